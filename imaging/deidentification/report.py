"""What de-identification did: counts by action and element name, never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What was done to an element or field."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    REMAPPED = "UID replaced"
    SHIFTED = "date moved"
    CLEANED = "cleaned"


_SENTENCES = {
    Action.REMOVED: "Removed",
    Action.EMPTIED: "Emptied",
    Action.REPLACED: "Replaced by a pseudonym or a dummy value",
    Action.REMAPPED: "UIDs replaced, the same one for the same original everywhere",
    Action.SHIFTED: "Dates moved by a number of days that is the same for all of a patient's files",
    Action.CLEANED: "Texts of which only known harmless words were kept",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Counts by action and by element keyword or field name, over one file or many.

    ``remarks`` are sentences about what was found but could not be judged (a file that does not say whether writing is
    burned into its pixels), with the number of files.
    """

    files: int
    counts: Mapping[Action, Mapping[str, int]] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON: ``files``, ``counts`` by action and name, ``remarks``."""
        return {
            "files": self.files,
            "counts": {action.value: dict(sorted(names.items())) for action, names in sorted(self.counts.items())},
            "remarks": dict(sorted(self.remarks.items())),
        }

    def lines(self) -> list[str]:
        """Return the report as lines for people."""
        lines = [f"{self.files} files de-identified"]
        for action in Action:
            names = self.counts.get(action)
            if names:
                told = ", ".join(f"{name} ({count})" for name, count in sorted(names.items()))
                lines.append(f"{_SENTENCES[action]}: {told}")
        lines.extend(f"{count} files: {remark}" for remark, count in sorted(self.remarks.items()))
        return lines


def merged(reports: Iterable[Report]) -> Report:
    """Return the sum of reports."""
    files = 0
    counts: dict[Action, Counter[str]] = {}
    remarks: Counter[str] = Counter()
    for report in reports:
        files += report.files
        for action, names in report.counts.items():
            counts.setdefault(action, Counter()).update(names)
        remarks.update(report.remarks)
    return Report(files, {action: dict(names) for action, names in counts.items()}, dict(remarks))


def report_from_json(stored: Mapping[str, object]) -> Report:
    """Return the report that ``as_json`` wrote. Raises ValueError or TypeError for anything else."""
    counts, remarks = stored["counts"], stored["remarks"]
    if not isinstance(counts, Mapping) or not isinstance(remarks, Mapping):
        raise TypeError("a stored report has counts and remarks")
    return Report(
        files=int(str(stored["files"])),
        counts={
            Action(action): {str(name): int(count) for name, count in names.items()} for action, names in counts.items()
        },
        remarks={str(remark): int(count) for remark, count in remarks.items()},
    )


@dataclass(frozen=True, slots=True)
class CrosswalkEntry:
    """What stands behind a replacement. The one thing here that identifies; it is for a locked place or for none.

    ``kind``: ``patient``, ``patient-name``, ``study``, ``series``, ``instance``, ``frame-of-reference``, ``person``,
    ``label``, ``file``.
    """

    kind: str
    original: str
    replacement: str


@dataclass(frozen=True, slots=True, eq=False)
class Deidentified:
    """One de-identified file. Digests are SHA-256 in hexadecimal; ``sha256`` is of ``data``."""

    data: bytes = field(repr=False)
    original_sha256: str
    sha256: str
    report: Report
    crosswalk: tuple[CrosswalkEntry, ...] = field(repr=False)


class Tally:
    """Collects what is done while one file is worked on."""

    def __init__(self) -> None:
        self._counts: dict[Action, Counter[str]] = {}
        self._remarks: Counter[str] = Counter()
        self._crosswalk: dict[tuple[str, str], CrosswalkEntry] = {}

    def note(self, action: Action, name: str) -> None:
        self._counts.setdefault(action, Counter())[name] += 1

    def changed(self, name: str, before: str) -> None:
        """Be told which field of a label file is changed; its value is for looking at, not for keeping."""

    def remark(self, sentence: str) -> None:
        self._remarks[sentence] += 1

    def crossed(self, kind: str, original: str, replacement: str) -> None:
        if original.strip() and original != replacement:
            self._crosswalk[kind, original] = CrosswalkEntry(kind, original, replacement)

    def report(self) -> Report:
        return Report(1, {action: dict(names) for action, names in self._counts.items()}, dict(self._remarks))

    def crosswalk(self) -> tuple[CrosswalkEntry, ...]:
        return tuple(self._crosswalk[key] for key in sorted(self._crosswalk))
