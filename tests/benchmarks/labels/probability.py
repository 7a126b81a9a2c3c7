"""How far the probabilities may be believed: every label and every candidate place, flagged or not.

A label is wrong if an injected error names it, or concerns its whole set. A place is wrong if a label is missing there.
What is flagged has its flag's probability (a whole set's flag speaks for every label in it). What is not flagged has no
probability of its own: it gets the share of unflagged ones that were wrong on the scans for fitting, one number for all
of them, so that silence is judged as a statement too. What is excused is left out. Errors where neither a label
nor a candidate lies have no probability and are in the recall figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.evaluation.calibration import ReliabilityRow, expected_calibration_error, reliability_table
from imaging.masks.place import centre_of, mask_holds, radius_of
from imaging.phantom.label_errors import ErrorKind
from imaging.training.spoilt import SpoiltCase
from imaging.types import AnnotationSet, PointMm
from tests.benchmarks.labels.flags import LEAST_REACH_MM, Flag, one_a_subject
from tests.benchmarks.labels.matching import excused, meets
from tests.benchmarks.labels.seen import FLOOR

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Statements:
    """What was said and what was true: (n,) each. ``probability`` is NaN where nothing was flagged."""

    probability: NDArray[np.float64]
    wrong: NDArray[np.bool_]

    @property
    def unflagged(self) -> NDArray[np.bool_]:
        """Which ones nothing was said about."""
        return np.isnan(self.probability)


def statements(*, cases: Sequence[SpoiltCase], flags: Sequence[Sequence[Flag]]) -> Statements:
    """Return every label and candidate place of the cases with its probability and whether it is wrong."""
    rows: list[tuple[float, bool]] = []
    for case, own in zip(cases, flags, strict=True):
        for annotation_set in case.case.annotation_sets:
            here = [flag for flag in one_a_subject(own) if flag.set_id == annotation_set.set_id]
            rows.extend(_of_labels(case, annotation_set, here))
            rows.extend(_of_places(case, annotation_set, here))
    return Statements(np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.bool_))


def share_wrong_unflagged(found: Statements) -> float:
    """Return the share of what was not flagged that is wrong, 0 if all was flagged."""
    silent = found.unflagged
    return float(found.wrong[silent].mean()) if silent.any() else 0.0


def calibration_error(
    found: Statements, *, unflagged: float, flagged_only: bool
) -> tuple[float, int, tuple[ReliabilityRow, ...]]:
    """Return the expected calibration error over bins of equal mass, how many statements, and the table."""
    scores = np.where(found.unflagged, unflagged, found.probability)
    wrong = found.wrong
    if flagged_only:
        scores, wrong = scores[~found.unflagged], wrong[~found.unflagged]
    if not len(scores):
        return float("nan"), 0, ()
    error = expected_calibration_error(scores=scores, truths=wrong, bins=BINS)
    return error, len(scores), reliability_table(scores=scores, truths=wrong, bins=BINS)


def _of_labels(case: SpoiltCase, annotation_set: AnnotationSet, flags: Sequence[Flag]) -> list[tuple[float, bool]]:
    errors = [error for error in case.errors if error.set_id == annotation_set.set_id]
    whole = any(error.kind.of_a_whole_set for error in errors)
    named = {error.finding_id for error in errors}
    twice = [error for error in errors if error.kind is ErrorKind.DUPLICATED]
    of_set = [flag.score for flag in flags if flag.whole_set]
    rows = []
    for finding in annotation_set.findings:
        place, radius = centre_of(finding), radius_of(finding)
        wrong = whole or finding.finding_id in named
        subject = Flag(annotation_set.set_id, finding.finding_id, place, radius, 0.0, frozenset())
        # Of a lesion marked twice either mark may be called the one too many: its twin is neither right nor wrong.
        if not wrong and (excused(case=case, flag=subject) or any(_near(place, radius, one.place_mm) for one in twice)):
            continue
        said = [*of_set, *(flag.score for flag in flags if flag.finding_id == finding.finding_id)]
        rows.append((max(said, default=float("nan")), wrong))
    return rows


def _of_places(case: SpoiltCase, annotation_set: AnnotationSet, flags: Sequence[Flag]) -> list[tuple[float, bool]]:
    """Empty places: those flagged, and the model's other candidates that no label touches."""
    diameters = {nodule.nodule_id: nodule.diameter_mm for nodule in case.nodules}
    absent = [flag for flag in flags if flag.finding_id is None and not flag.whole_set]
    prediction = case.case.prediction
    assert prediction is not None
    silent = [
        Flag(annotation_set.set_id, None, one.centre_mm, 0.5 * (one.diameter_mm or 0.0), float("nan"), frozenset())
        for one in prediction.candidates
        if one.probability >= FLOOR
        and not any(_near(one.centre_mm, flag.radius_mm, flag.place_mm) for flag in absent)
        and not _labelled(annotation_set, one.centre_mm)
    ]
    rows = []
    for flag in (*absent, *silent):
        wrong = any(meets(flag=flag, error=error, diameters=diameters) for error in case.errors)
        if wrong or not excused(case=case, flag=flag):
            rows.append((flag.score, wrong))
    return rows


def _labelled(annotation_set: AnnotationSet, place: PointMm) -> bool:
    return any(
        mask_holds(finding.mask, place)
        if finding.mask is not None
        else math.dist(centre_of(finding), place) <= LEAST_REACH_MM
        for finding in annotation_set.findings
    )


def _near(place: PointMm, radius: float, other: PointMm) -> bool:
    return math.dist(place, other) <= max(radius, LEAST_REACH_MM)
