"""What an audit found, ready to be shown: text, numbers and pictures, no volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging.audit.described import DescribedFinding
from imaging.audit.labels import LabelFile
from imaging.audit.scan import FoundSeries, LeftOut
from imaging.geometry.affine import OrientationLetters
from imaging.geometry.label_fit import LabelFit
from imaging.types import CheckOutcome, LabelIssue, ModelIdentity, SetKind


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A slice around a place. ``letters`` lie at its edges, ``caption`` tells the lines, ``shown`` window and width."""

    png: bytes
    letters: OrientationLetters
    caption: str
    alternative: str
    shown: str


@dataclass(frozen=True, slots=True, eq=False)
class AuditedSet:
    """One annotation set; ``number`` is what flags call it. ``fit`` is None where it was not asked.

    ``nodules`` counts the findings that are nodules; ``other_names`` are the names that were not taken for one.
    """

    number: int
    set_id: str
    reader_label: str
    kind: SetKind
    algorithm: str
    read: bool
    title: str
    file_numbers: tuple[int, ...]
    findings: tuple[DescribedFinding, ...]
    fit: LabelFit | None
    fit_not_asked: str
    case_probabilities: Mapping[str, float]
    nodules: int
    other_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """One reason to suspect one label, with where to look. ``set_number`` names the suspect's set."""

    number: int
    issue: LabelIssue
    set_number: int
    finding_label: str
    place: str
    picture: Picture | None


@dataclass(frozen=True, slots=True, eq=False)
class OpinionOutcome:
    """One model's part in the audit of a series, and how each check ended with it.

    ``refusal`` says why there is no opinion; ``model`` is None where none was asked. ``silence`` says what it means
    that it reports nothing, ``scope`` which scans it was validated for; ``backend`` what computed it, and
    ``backend_refusals`` what should have. Empty where there is nothing to say.
    """

    title: str
    model: ModelIdentity | None
    refusal: str
    threshold: float | None
    candidates: int
    validated_diameters_mm: tuple[float, float] | None
    seconds: float
    checks: tuple[CheckOutcome, ...]
    reported: int
    silence: str
    scope: str
    backend: str
    backend_refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LesionPicture:
    """One lesion, or one other structure, with every outline of it."""

    title: str
    place: str
    picture: Picture


@dataclass(frozen=True, slots=True, eq=False)
class SeriesAudit:
    """One series. ``refusal`` says why its pixels could not be read though the gate accepted it."""

    number: int
    found: FoundSeries
    refusal: str
    acquisition: Mapping[str, str]
    sets: tuple[AuditedSet, ...]
    lesions: tuple[LesionPicture, ...]
    lesions_not_shown: int
    flags: tuple[Flag, ...]
    opinions: tuple[OpinionOutcome, ...]
    not_analysed: str


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The whole outcome. ``made_at`` is UTC, ISO 8601."""

    made_at: str
    version: str
    scan_name: str
    series: tuple[SeriesAudit, ...]
    label_files: tuple[LabelFile, ...]
    left_out_images: tuple[LeftOut, ...]
    left_out_labels: tuple[LeftOut, ...]
    model_asked: bool

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Every flag on every series."""
        return tuple(flag for one in self.series for flag in one.flags)

    @property
    def refused_series(self) -> tuple[SeriesAudit, ...]:
        """Series without a volume."""
        return tuple(one for one in self.series if not one.found.verdict.accepted or one.refusal)

    @property
    def refused_files(self) -> tuple[LabelFile, ...]:
        """Label files of which nothing was taken."""
        return tuple(file for file in self.label_files if file.refusal)

    @property
    def needs_a_look(self) -> bool:
        """Whether anything in it should be looked at by a person; what was accepted with a warning is on the page."""
        partly = any(file.rejections for file in self.label_files)
        displaced = any(one.fit is not None and one.fit.suggestion for item in self.series for one in item.sets)
        return bool(self.flags or self.refused_series or self.refused_files or partly or displaced)
