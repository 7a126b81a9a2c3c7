"""The edge that the image itself shows, and what it says together with model and readers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.base import CHEST_CT_NODULES, BoundaryConvention, Contour
from imaging.checks.boundary import Boundary
from imaging.checks.deviation import grown
from imaging.checks.image_edge import ImageEdge, image_edge
from imaging.checks.incomplete_contour import IncompleteContour
from imaging.checks.issues import features_of
from imaging.checks.merged_lesions import MergedLesions
from imaging.types import Case, LabelIssue, Mask
from tests.factories.cases import (
    LEFT_LUNG,
    SPACING_MM,
    ball,
    case,
    opinion,
    outlined,
    painted,
    prediction,
    reader,
    shifted,
    united,
    without_slices,
)

NODULE = ball(centre_mm=LEFT_LUNG, diameter_mm=14.0)
EVERYTHING = replace(CHEST_CT_NODULES, report_from=0.001)


def on_image(label: Mask, *, model: bool = False, shown: Mask = NODULE) -> Case:
    """One reader's outline over a nodule that the image shows; the model outlines the same nodule where asked."""
    told = prediction(outlines=(opinion(centre_mm=LEFT_LUNG, diameter_mm=14.0, certainty=0.9),)) if model else None
    return painted(case(reader("a", outlined(finding_id="a-1", mask=label)), predicted=told), shown)


def edge_of(label: Mask, *, offset_mm: float = 0.0) -> ImageEdge:
    looked_at = on_image(label)
    found = image_edge(
        case=looked_at,
        finding=looked_at.annotation_sets[0].findings[0],
        least_contrast_hu=CHEST_CT_NODULES.least_contrast_hu,
        offset_mm=offset_mm,
    )
    assert found is not None
    return found


def boundary_of(looked_at: Case) -> LabelIssue:
    (issue,) = Boundary().run(case=looked_at, parameters=EVERYTHING)
    return issue


def test_an_outline_along_the_edge_has_no_bias_and_no_shift() -> None:
    edge = edge_of(NODULE)
    assert abs(edge.bias_mm) < 0.4
    assert edge.shift_mm < 0.4
    assert edge.found_share == 1.0


@pytest.mark.parametrize("by_mm", [-3.0, 2.0, 3.0])
def test_an_outline_too_wide_or_too_tight_is_measured_in_millimetres_with_its_sign(by_mm: float) -> None:
    assert edge_of(grown(mask=NODULE, by_mm=by_mm)).bias_mm == pytest.approx(by_mm, abs=0.8)


def test_an_outline_beside_the_nodule_is_shifted_and_neither_wide_nor_tight() -> None:
    edge = edge_of(shifted(mask=NODULE, slices=2))
    assert edge.shift_mm == pytest.approx(2 * SPACING_MM[0], abs=1.0)
    assert edge.shift[0] > 0.9 * edge.shift_mm
    assert abs(edge.bias_mm) < 1.3


def test_the_margin_that_a_guideline_asks_for_is_no_bias() -> None:
    wide = grown(mask=NODULE, by_mm=2.0)
    assert edge_of(wide, offset_mm=2.0).bias_mm == pytest.approx(edge_of(wide).bias_mm - 2.0)
    margin = BoundaryConvention(margin_mm=2.0, contour=Contour.INSIDE)
    # An outline that lies where it was asked for is held for right, so its numbers are heard far below any report.
    asked = replace(EVERYTHING, boundary_convention=margin, report_from=1e-6)
    (issue,) = Boundary().run(case=on_image(wide, model=True), parameters=asked)
    assert abs(features_of(issue=issue)["edge_bias_mm"]) < 0.8


def test_an_image_without_contrast_has_no_edge() -> None:
    plain = case(reader("a", outlined(finding_id="a-1", mask=NODULE)))
    finding = plain.annotation_sets[0].findings[0]
    assert image_edge(case=plain, finding=finding, least_contrast_hu=200.0, offset_mm=0.0) is None


def test_what_all_witnesses_say_is_a_number_of_its_own_and_none_where_they_differ() -> None:
    wide = features_of(issue=boundary_of(on_image(grown(mask=NODULE, by_mm=3.0), model=True)))
    assert wide["witnesses"] == 2.0
    assert wide["agreed_bias_mm"] == pytest.approx(min(wide["edge_bias_mm"], wide["model_bias_mm"]))
    assert wide["agreed_bias_mm"] > 1.5
    # The image shows a nodule as wide as the label, the model outlines a smaller one.
    seen = on_image(grown(mask=NODULE, by_mm=3.0), model=True, shown=grown(mask=NODULE, by_mm=4.5))
    differ = features_of(issue=boundary_of(seen))
    assert differ["edge_bias_mm"] < 0 < differ["model_bias_mm"]
    assert differ["agreed_bias_mm"] == 0.0


def test_the_image_speaks_where_neither_model_nor_readers_do() -> None:
    issue = boundary_of(on_image(grown(mask=NODULE, by_mm=4.0)))
    assert issue.evidence["kind"] == "over"
    assert issue.score > 0.6
    assert "outside the edge that the image shows" in issue.reason
    assert Boundary().run(case=on_image(NODULE), parameters=CHEST_CT_NODULES) == ()


def test_differences_within_the_tolerance_are_kept_for_a_calibration_and_not_reported() -> None:
    looked_at = on_image(grown(mask=NODULE, by_mm=1.5), model=True)
    issue = boundary_of(looked_at)
    assert issue.evidence["kind"] == "within"
    assert issue.score < CHEST_CT_NODULES.report_from
    assert Boundary().run(case=looked_at, parameters=CHEST_CT_NODULES) == ()


def test_an_outline_is_held_against_how_its_reader_draws_otherwise() -> None:
    places = [(20.0, 3.0, z) for z in (-25.0, -9.0, 7.0, 25.0)]
    shown = [ball(centre_mm=place, diameter_mm=9.0) for place in places]
    drawn = [grown(mask=mask, by_mm=2.0) for mask in shown[:3]] + [grown(mask=shown[3], by_mm=5.0)]
    labels = [outlined(finding_id=f"a-{number}", mask=mask) for number, mask in enumerate(drawn)]
    found = Boundary().run(case=painted(case(reader("a", *labels)), *shown), parameters=EVERYTHING)
    beyond = {issue.finding_id: features_of(issue=issue)["beyond_habit_mm"] for issue in found}
    assert beyond["a-3"] > 2.0
    assert all(abs(beyond[f"a-{number}"]) < 1.0 for number in range(3))


def test_a_flat_end_beyond_which_the_nodule_goes_on_is_incomplete_by_the_image_alone() -> None:
    cut = without_slices(mask=NODULE, dropped=tuple(range(4)))
    (issue,) = IncompleteContour().run(case=on_image(cut), parameters=CHEST_CT_NODULES)
    assert issue.evidence["kind"] == "poles"
    assert features_of(issue=issue)["goes_on"] > 0.6
    assert "the density in the image goes on" in issue.reason
    assert IncompleteContour().run(case=on_image(NODULE), parameters=CHEST_CT_NODULES) == ()


def test_a_lobe_as_thick_and_dense_as_a_nodule_that_the_model_leaves_out_is_a_second_lesion() -> None:
    x, y, z = LEFT_LUNG
    second = ball(centre_mm=(x, y + 11.5, z), diameter_mm=9.0)
    both = united(NODULE, second)
    looked_at = on_image(both, model=True, shown=both)
    (issue,) = MergedLesions().run(case=looked_at, parameters=EVERYTHING)
    dense = features_of(issue=issue)
    assert dense["lobe_mm"] > 2.0
    assert dense["lobe_dense_share"] > 0.9
    pieces = issue.evidence["pieces_mm"]
    assert isinstance(pieces, list)
    assert min(float(np.linalg.norm(np.subtract(piece, (x, y + 11.5, z)))) for piece in pieces) < 3.0
    (lung,) = MergedLesions().run(case=on_image(both, model=True), parameters=EVERYTHING)
    assert features_of(issue=lung)["lobe_dense_share"] < 0.4
    assert lung.score < issue.score
