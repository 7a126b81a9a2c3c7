"""A survey of many reader files: what each rule finds on each, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from imaging.marks.displaced import by_coincidence
from imaging.marks.patterns import Pattern, patterns_of
from imaging.marks.registry import RULES
from imaging.marks.relations import counted, met_by, outlines_met, readers_in_words
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature, Rule

STRENGTH_BANDS: tuple[tuple[str, float, float], ...] = (
    ("strong", 0.75, 1.01),
    ("middling", 0.5, 0.75),
    ("weak", 0.0, 0.5),
)
"""Name, from (inclusive), to (exclusive): for counting, since strengths are reasoned and not measured."""


@dataclass(frozen=True, slots=True)
class NotSurveyed:
    """A file that holds no marks of a CT, or none that can be read. ``code``: ``chest-x-ray``, or why it is refused."""

    file_name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedScan:
    """One scan with its issues, strongest first. ``remarks``: what a reviewer should know of the file as a whole."""

    scan: MarkedScan
    issues: tuple[MarkIssue, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class KindCount:
    """How often one kind fired. ``by_reader``: by the reader's place in the file, which is no person across files.

    ``coincidences``: how often it fires after readers' marks were moved apart, so that no two mean the same lesion;
    None for kinds that do not hold marks against each other.
    """

    kind: Kind
    issues: int
    scans: int
    by_reader: tuple[int, ...]
    by_band: tuple[int, ...]
    coincidences: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """All scans by file name, kinds in the order of the rules, and the files that were not surveyed."""

    scans: tuple[SurveyedScan, ...]
    kinds: tuple[KindCount, ...]
    patterns: tuple[Pattern, ...]
    not_surveyed: tuple[NotSurveyed, ...]
    unmarked_by_one: int

    @property
    def issues(self) -> tuple[tuple[SurveyedScan, MarkIssue], ...]:
        """All issues, the strongest first; among equals by file, reader and mark."""
        every = [(one, issue) for one in self.scans for issue in one.issues]
        return tuple(
            sorted(every, key=lambda item: (-round(item[1].strength, 4), item[0].scan.file_name, *order(item[1])))
        )

    @property
    def set_aside(self) -> tuple[NotSurveyed, ...]:
        """Sound files that describe no CT."""
        return tuple(one for one in self.not_surveyed if one.code == "chest-x-ray")

    @property
    def refused(self) -> tuple[NotSurveyed, ...]:
        """Files that could not be read."""
        return tuple(one for one in self.not_surveyed if one.code != "chest-x-ray")

    def count(self, nature: Nature) -> int:
        """Return how many issues are of kinds of one nature."""
        return sum(one.issues for one in self.kinds if one.kind.nature is nature)

    def scans_with(self, nature: Nature) -> int:
        """Return how many scans have an issue of a kind of one nature."""
        names = {one.kind.name for one in self.kinds if one.kind.nature is nature}
        return sum(any(issue.kind in names for issue in one.issues) for one in self.scans)


def survey_scan(*, scan: MarkedScan, rules: Sequence[Rule] = RULES) -> SurveyedScan:
    """Return what the rules find on one scan, strongest first."""
    issues = [issue for rule in rules for issue in rule.issues(scan=scan)]
    issues.sort(key=lambda issue: (-round(issue.strength, 4), issue.kind, *order(issue)))
    return SurveyedScan(scan, tuple(issues), _remarks(scan))


def survey(
    *, scans: Iterable[MarkedScan], not_surveyed: Sequence[NotSurveyed], rules: Sequence[Rule] = RULES
) -> Survey:
    """Return the survey of some scans; the same scans in any order give the same survey."""
    surveyed: list[SurveyedScan] = []
    moved: dict[str, int] = {}
    silent = 0
    for scan in scans:
        surveyed.append(survey_scan(scan=scan, rules=rules))
        silent += len(_unmarked_by_one(scan))
        for name, number in by_coincidence(scan=scan, rules=rules).items():
            moved[name] = moved.get(name, 0) + number
    surveyed.sort(key=lambda one: (one.scan.file_name, one.scan.sha256))
    return Survey(
        scans=tuple(surveyed),
        kinds=tuple(_count(rule.kind, surveyed, moved.get(rule.kind.name)) for rule in rules),
        patterns=patterns_of(
            [(one.scan, issue) for one in surveyed for issue in one.issues],
            {rule.kind.name: rule.kind for rule in rules},
        ),
        not_surveyed=tuple(sorted(not_surveyed, key=lambda one: (one.code, one.file_name))),
        unmarked_by_one=silent,
    )


def order(issue: MarkIssue) -> tuple[int, tuple[int, ...], float, float, float]:
    """Return what tells issues of one kind on one scan apart, for sorting."""
    return issue.reader, issue.marks, issue.place.z_mm, issue.place.x, issue.place.y


def _count(kind: Kind, scans: Sequence[SurveyedScan], coincidences: int | None) -> KindCount:
    issues = [issue for one in scans for issue in one.issues if issue.kind == kind.name]
    readers = max((one.scan.readers for one in scans), default=0)
    return KindCount(
        kind=kind,
        issues=len(issues),
        scans=sum(any(issue.kind == kind.name for issue in one.issues) for one in scans),
        by_reader=tuple(sum(issue.reader == number for issue in issues) for number in range(1, readers + 1)),
        by_band=tuple(sum(low <= issue.strength < high for issue in issues) for _, low, high in STRENGTH_BANDS),
        coincidences=coincidences,
    )


def _remarks(scan: MarkedScan) -> tuple[str, ...]:
    remarks = []
    if scan.step_mm is None:
        remarks.append("No outline shows the slice step; marks one image apart are told by a step of 2 mm.")
    shared = [z for z, images in groupby(scan.slices, key=lambda one: one[0]) if len(list(images)) > 1]
    if shared:
        at = {
            uid: sorted({mark.reader for mark in scan.marks for one in mark.contours if one.sop_instance_uid == uid})
            for z, uid in scan.slices
            if z == shared[0]
        }
        sides = " against ".join(readers_in_words(readers) for _, readers in sorted(at.items(), key=lambda one: one[1]))
        remarks.append(
            f"At {counted(len(shared), 'z position')} the readers marked two different images (at z {shared[0]:g} mm "
            f"{sides}): the scan repeats positions, or was read from two series. Marks are held against each other by "
            "position."
        )
    remarks += [f"{'Reader ' + str(reader) if reader else 'The file'}: {said}." for reader, said in scan.unusable]
    return tuple(remarks)


def _unmarked_by_one(scan: MarkedScan) -> list[Mark]:
    """Return the outlines, one a nodule, that all readers but one outlined and the last one marked in no way."""
    found: list[Mark] = []
    for mark in scan.marks:
        if not mark.outlined or scan.readers < 3:
            continue
        met = outlines_met(mark=mark, scan=scan)
        silent = set(range(1, scan.readers + 1)) - set(met) - {mark.reader}
        first = all(mark.reader < reader for reader in met)
        if len(silent) == 1 and first and not _marks_there(mark, silent.pop(), scan):
            found.append(mark)
    return found


def _marks_there(mark: Mark, reader: int, scan: MarkedScan) -> bool:
    return reader in met_by(mark=mark, scan=scan)
