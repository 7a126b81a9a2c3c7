"""Issues by hand for the tests of scoring."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from imaging.checks.words import CLOSING
from imaging.scoring.calibrator import CheckModel, FeatureTerm
from imaging.types import LabelIssue, PointMm, Proposal

PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is slow, and that is no fault of what is tested."""

CHECKS = ("missing_nodule", "spurious_label", "boundary", "reader_disagreement", "ambiguous", "wrong_category")


def issue(
    *,
    check: str = "boundary",
    version: str = "1",
    set_id: str = "a",
    finding_id: str | None = "a-1",
    place_mm: PointMm = (10.0, 20.0, 30.0),
    radius_mm: float = 4.0,
    score: float = 0.6,
    reason: str = "",
    evidence: Mapping[str, object] | None = None,
    proposals: tuple[Proposal, ...] = (),
) -> LabelIssue:
    """One issue; its reason names check and score unless told otherwise."""
    return LabelIssue(
        check=check,
        check_version=version,
        annotation_set_id=set_id,
        finding_id=finding_id,
        place_mm=place_mm,
        radius_mm=radius_mm,
        score=score,
        blind_reason="This place may deserve a second look.",
        reason=f"{reason or f'{check} says so.'} {CLOSING}",
        implicated_set_ids=(set_id,),
        evidence=evidence or {},
        proposals=proposals,
    )


def model(
    *,
    check: str = "boundary",
    version: str = "1",
    intercept: float = 0.0,
    slope: float = 1.0,
    terms: tuple[FeatureTerm, ...] = (),
    rests_on_model: bool = False,
) -> CheckModel:
    """One check's model."""
    return CheckModel(
        check=check,
        version=version,
        intercept=intercept,
        slope=slope,
        terms=terms,
        floor=0.01,
        ceiling=0.99,
        examples=200,
        wrong=90,
        rests_on_model=rests_on_model,
    )


def deviation(*, weight: float = 0.8, missing: float = -0.3) -> FeatureTerm:
    """A term on a deviation in millimetres, fitted between 0.5 and 6 mm."""
    return FeatureTerm("deviation_mm", (0.5, 2.0, 6.0), (weight, 2 * weight), missing, 1)


probabilities = st.floats(min_value=0.0, max_value=1.0, allow_nan=False)
places = st.tuples(*(st.floats(min_value=-30, max_value=30, allow_nan=False) for _ in range(3)))


@st.composite
def issues(draw: st.DrawFn) -> list[LabelIssue]:
    """Some issues of several checks in two sets, with and without findings, close together and apart."""
    return [
        issue(
            check=draw(st.sampled_from(CHECKS)),
            set_id=draw(st.sampled_from(("a", "b"))),
            finding_id=draw(st.sampled_from((None, None, "1", "2"))),
            place_mm=draw(places),
            radius_mm=draw(st.floats(min_value=2.5, max_value=15.0)),
            score=draw(probabilities),
            reason=f"Sighting {number}.",
        )
        for number in range(draw(st.integers(min_value=0, max_value=12)))
    ]
