"""Turns a report document into its PDF. The same document and marks give the same bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from compliance.rendering import wording
from compliance.rendering.document import (
    Chart,
    CorrectionRow,
    FileRow,
    FlagEntry,
    LabelErrorRow,
    Measure,
    ModelCard,
    Picture,
    Proportion,
    Provenance,
    ReaderEffect,
    ReportDocument,
    SeriesRow,
    VoteRow,
)
from compliance.rendering.typesetting import can_show, typeset

DRAFT = "DRAFT unless its signature page says APPROVED"
"""True before the report is signed and after: signing changes none of its pages."""

EMBEDDED_DATABASE = "Embedded SQLite: evidence, not prevention"
SIMULATED_READERS = "Contains simulated readers"

TEMPLATES = ("report.typ", "house.typ", "flags.typ")


BYTES = ("png", "svg")
"""Fields that hold a picture's bytes: they go into files of their own beside the document."""


def render(document: ReportDocument, *, marks: tuple[str, ...]) -> bytes:
    """Return the PDF of ``document`` with every mark printed at the head of every page.

    ``marks`` are short statements such as ``DRAFT``, in the order of printing. "Not for clinical use" and the page
    number stand at the foot of every page in any case. Characters that the fonts lack are printed as their Unicode
    number. Raises RenderingError if typesetting fails.
    """
    pictures: dict[str, bytes] = {}
    view = _view(document, marks, pictures)
    return typeset(
        what="report",
        templates=TEMPLATES,
        view=view,
        pictures=pictures,
        timestamp=int(document.identity.generated_at.timestamp()),
    )


def _view(document: ReportDocument, marks: tuple[str, ...], pictures: dict[str, bytes]) -> dict[str, object]:
    """Return the document as the templates read it: text in its printed form, pictures as file names."""
    identity = document.identity
    view = _shown(document, pictures)
    assert isinstance(view, dict)
    version = f"Dataset version {identity.dataset_version}"
    own: dict[str, object] = {
        "title": f"Validation report {identity.report_number}: {identity.project_title}",
        "running_title": wording.shortened(
            f"Validation report {identity.report_number}: {identity.project_title}", longest=90
        ),
        "running_version": version,
        "running_time": wording.moment(identity.generated_at),
        "marks": list(marks),
        "signature_note": (
            "This document was made unsigned, and signing does not change it. Signatures stand on a signature page of "
            "their own, which names this document's SHA-256; without one that says approved this is a draft, and "
            "supports no release and no claim. Figures are descriptive and rest on the flags that were settled when it "
            "was made."
        ),
        "identity_facts": [
            {"label": label, "text": text, "exact": exact}
            for label, text, exact in (
                ("Project", _named(identity.project_title, identity.project_key), False),
                ("Report", f"Number {identity.report_number}, draft when made", False),
                ("Dataset", f"Version {identity.dataset_version}. {identity.dataset_note}", False),
                (
                    "Analysis",
                    "No analysis has been run" if identity.run_number is None else f"Run {identity.run_number}",
                    False,
                ),
                ("Made", f"{wording.moment(identity.generated_at)} by {identity.generated_by}", False),
                ("Ledger", wording.count_of(document.audit.ledger_size, "sealed event", "sealed events"), False),
                ("Head of the ledger", document.audit.ledger_head, True),
            )
        ],
    }
    shown = _shown(own, pictures)
    assert isinstance(shown, dict)
    view.update(shown)
    return view


def _shown(value: object, pictures: dict[str, bytes]) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[str, object] = {
            field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name not in BYTES
        }
        fields.update(_printed(value, pictures))
        return {name: _shown(member, pictures) for name, member in fields.items()}
    if isinstance(value, Mapping):
        return {str(name): _shown(member, pictures) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [_shown(member, pictures) for member in value]
    if isinstance(value, datetime):
        return wording.moment(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        return wording.displayable(value, can_show)
    return value


def _printed(value: object, pictures: dict[str, bytes]) -> dict[str, object]:
    """Return what the templates need beside the plain fields of one document class."""
    match value:
        case Proportion():
            return {
                "fraction": f"{value.count}/{value.total}",
                "share": wording.share_of(value),
                "interval": wording.interval_of(value),
            }
        case Measure():
            return {"value": wording.value_of(value), "interval": wording.limits_of(value)}
        case LabelErrorRow():
            return {
                "unsettled": str(value.open + value.disputed),
                "outcomes": "; ".join(f"{words}: {count}" for words, count in value.decisions),
            }
        case SeriesRow():
            return {"images": f"{value.modality}, {value.instances} images, {value.sampling}"}
        case CorrectionRow():
            return {"before_exact": _is_digest(value.before_sha256), "after_exact": _is_digest(value.after_sha256)}
        case Provenance():
            ignored = wording.count_of(value.ignored, "file that is", "files that are")
            return {"ignored_note": f"Beside these, {ignored} not part of a study left aside." if value.ignored else ""}
        case FileRow():
            return {"name": wording.breakable(value.name), "reason": wording.breakable(value.reason)}
        case ReaderEffect():
            changed = value.changed
            return {
                "changed_text": "No pair of verdicts to compare"
                if changed.total == 0
                else f"{changed.count} of {changed.total} ({wording.share_of(changed)}; 95 % interval "
                f"{wording.interval_of(changed)}, {changed.method})"
            }
        case ModelCard():
            return {"blocks": wording.card_blocks(value.text)}
        case FlagEntry():
            return {
                "standing": f"{value.state}: {value.outcome}" if value.outcome else value.state,
                "probability_short": f"{value.probability:f}",
                "probability_long": f"{value.probability:f} (as last observed)",
                "trail_text": _trail(value.trail),
                "readings": _readings(value),
                "shown_notes": _shown_notes(value.votes),
            }
        case Picture():
            name = f"picture-{len(pictures)}.png"
            pictures[name] = value.png
            return {"file": name}
        case Chart():
            name = f"chart-{len(pictures)}.svg"
            pictures[name] = value.svg
            return {"file": name}
        case _:
            return {}


def _named(title: str, key: str) -> str:
    return title if title == key else f"{title} ({key})"


def _trail(trail: tuple[tuple[str, str], ...]) -> str:
    """Return what happened to a flag, each kind of event once with its indices, in the order of first occurrence."""
    indices: dict[str, list[str]] = {}
    for index, what in trail:
        indices.setdefault(what, []).append(index)
    return "; ".join(f"{what}: {', '.join(found)}" for what, found in indices.items()) or "no event"


def _readings(flag: FlagEntry) -> list[dict[str, object]]:
    """Return the votes as readings: one reader in one round, with the blind and the final verdict side by side."""
    readings: dict[tuple[int, str], dict[str, object]] = {}
    for vote in flag.votes:
        reading = readings.setdefault(
            (vote.round, vote.reader),
            {
                "reader": vote.reader,
                "simulated": vote.simulated,
                "round": f"Round {vote.round}" if flag.rounds > 1 else "",
                "blind": None,
                "final": None,
            },
        )
        reading["final" if vote.final else "blind"] = vote
    return list(readings.values())


def _shown_notes(votes: tuple[VoteRow, ...]) -> list[str]:
    """Return what had been shown, said once for all votes of a phase that saw the same."""
    notes: dict[tuple[bool, str], list[str]] = {}
    for vote in votes:
        notes.setdefault((vote.final, vote.shown), []).append(vote.reader)
    lines = []
    for final, phase in ((False, "blind"), (True, "final")):
        told = {shown: readers for (of_final, shown), readers in notes.items() if of_final is final}
        for shown, readers in told.items():
            whose = "" if len(told) == 1 else f" of {', '.join(dict.fromkeys(readers))}"
            lines.append(f"Shown before the {phase} verdicts{whose}: {shown}")
    return lines


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
