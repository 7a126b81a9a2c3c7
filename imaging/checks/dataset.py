"""What a check over a whole dataset is: it sees every series' facts at once, and no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from imaging.facts.types import DatasetFacts
from imaging.types import CheckOutcome, LabelIssue, Rejection


@dataclass(frozen=True, slots=True)
class DatasetParameters:
    """What decides the outcome of the dataset checks; recorded with every run.

    ``neighbours``: k of the k-nearest-neighbour distances. ``least_series``: fewer series than this are no population
    to be unlike of. ``least_class``: categories and ratings with fewer members than this are rare and protected: no
    classifier speaks about them. ``folds``: of the patient-grouped cross-validation. ``seed``: of everything random.
    ``hash_distance``: bits (of 64) by which the perceptual hashes of two copies of one slice may differ.
    ``duplicate_share``: share of a series' slices that must recur in another for the two to count as copies.
    ``report_from``: issues with a smaller score are not reported.
    """

    neighbours: int
    least_series: int
    least_class: int
    folds: int
    seed: int
    hash_distance: int
    duplicate_share: float
    report_from: float


CHEST_CT_DATASET = DatasetParameters(
    neighbours=5,
    least_series=12,
    least_class=10,
    folds=5,
    seed=20_261_121,
    hash_distance=6,
    duplicate_share=0.5,
    report_from=0.2,
)


@dataclass(frozen=True, slots=True, eq=False)
class LocatedIssue:
    """An issue about one label of one series: it becomes a flag like those of the checks on a case."""

    series_instance_uid: str
    issue: LabelIssue


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about the dataset that has no place in an image: for whoever leads the project, not for a reader.

    ``kind``: stable, within the check ("same-patient-in-two-splits"). ``series``: UIDs concerned, most telling first.
    ``score``: probability in [0, 1] that something is wrong. ``reason``: short, neutral, plain.
    ``evidence`` is JSON-able. ``subject``: with check and kind the concern's identity, so that a later run knows it
    again although its series changed ("category by reader: Reader 2").
    """

    check: str
    check_version: str
    kind: str
    series: tuple[str, ...]
    score: float
    reason: str
    subject: str
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetFindings:
    """What one dataset check found, in no promised order, and what it passed over although it ran, and why."""

    issues: tuple[LocatedIssue, ...] = ()
    concerns: tuple[Concern, ...] = ()
    passed_over: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DatasetOutcome:
    """What the dataset checks found, surest first, and how each ended."""

    issues: tuple[LocatedIssue, ...]
    concerns: tuple[Concern, ...]
    checks: tuple[CheckOutcome, ...]


class DatasetCheck(Protocol):
    """One reason to suspect a dataset, or a label in view of all others.

    ``name`` is stable. ``version`` changes whenever scores may change. ``run`` is a pure function of its arguments.
    """

    @property
    def name(self) -> str:
        """Stable name, as stored with every issue."""

    @property
    def version(self) -> str:
        """Version of the rule and its score formula."""

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        """Return issues about single labels, concerns about the dataset, and what was passed over.

        Raises NotApplicable, with the reason, when the question does not make sense for this dataset.
        """
