"""What is checked, and what the checks answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imaging.types.labels import AnnotationSet, Category, Rejection
from imaging.types.predictions import Prediction
from imaging.types.space import Mask, PointMm, Sphere, Volume


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Case:
    """What the checks look at: one volume, every annotation set on it, and the model's opinion if there is one.

    It can be weakly referred to, so that what several checks compute of it is kept exactly as long as it lives.
    """

    volume: Volume
    annotation_sets: tuple[AnnotationSet, ...]
    prediction: Prediction | None
    import_rejections: tuple[Rejection, ...] = ()


class Action(StrEnum):
    """What a proposed correction would do to the reference standard."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE_OUTLINE = "replace-outline"
    RECATEGORISE = "recategorise"


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A correction that a reviewer may accept. ``origin`` says in words where it comes from ("model outline").

    ADD and REPLACE_OUTLINE carry ``mask`` or ``sphere``; ADD and RECATEGORISE carry ``category``.
    """

    action: Action
    origin: str
    mask: Mask | None = None
    sphere: Sphere | None = None
    category: Category | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelIssue:
    """One reason to suspect one label (or its absence).

    ``annotation_set_id`` is the suspect's set; ``finding_id`` the suspect finding, None where a label is missing.
    ``implicated_set_ids`` are all sets whose readers have a stake in the answer. ``score`` is a probability in [0, 1]
    that the label is wrong. ``blind_reason`` gives no opinion away; ``reason`` tells what the model or the others say,
    what this label says, why it is suspect and what may be right. ``evidence`` is JSON-able.
    """

    check: str
    check_version: str
    annotation_set_id: str
    finding_id: str | None
    place_mm: PointMm
    radius_mm: float
    score: float
    blind_reason: str
    reason: str
    implicated_set_ids: tuple[str, ...] = ()
    evidence: Mapping[str, object] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """Findings of different readers that a stated rule holds to be one thing. Members: (set_id, finding_id)."""

    lesion_id: str
    centre_mm: PointMm
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """How one check ended on one case. ``status``: ``"ran"`` or ``"not-applicable"``; ``detail`` says why not."""

    check: str
    version: str
    status: str
    detail: str
    issue_count: int


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisOutcome:
    """Everything that one analysis of one case found, and what was looked at to find it."""

    issues: tuple[LabelIssue, ...]
    lesions: tuple[Lesion, ...]
    checks: tuple[CheckOutcome, ...]
