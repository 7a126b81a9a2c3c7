"""Predictions made elsewhere, as a model's opinion: what they claim and, above all, what they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.boundary import Boundary
from imaging.checks.missing_nodule import MissingNodule
from imaging.checks.spurious_label import SpuriousLabel
from imaging.errors import NotApplicable
from imaging.masks.boxes import box_around
from imaging.predictions import external_prediction
from imaging.types import AnnotationSet, Category, Finding, Prediction, Sphere
from tests.factories.cases import (
    LEFT_LUNG,
    RIGHT_LUNG,
    algorithm,
    ball,
    boxed,
    candidate,
    case,
    nodule,
    outlined,
    point,
    prediction,
    reader,
    structure,
)

DIGEST = "ab" * 32


def heard(*findings: Finding, threshold: float = 0.5) -> Prediction:
    return external_prediction(annotation_set=algorithm("ai", *findings), source_sha256=DIGEST, threshold=threshold)


def sure(finding: Finding, confidence: float) -> Finding:
    return replace(finding, confidence=confidence)


def test_outlines_spheres_boxes_and_points_become_candidates_the_surest_first() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    found = heard(
        sure(point(finding_id="p", place_mm=(18.0, -10.0, -20.0)), 0.4),
        sure(Finding("s", Category.NODULE_GE_3MM, sphere=Sphere(RIGHT_LUNG, 6.0)), 0.7),
        sure(outlined(finding_id="m", mask=mask), 0.9),
        sure(boxed(finding_id="b", mask=mask), 0.8),
    )
    assert [one.probability for one in found.candidates] == [0.9, 0.8, 0.7, 0.4]
    outline, box, sphere, bare = found.candidates
    assert outline.mask is mask and outline.diameter_mm == pytest.approx(10.0, abs=0.5)
    assert box.mask is None and box.diameter_mm == pytest.approx(10.0, abs=1.5)
    assert sphere.diameter_mm == 6.0
    assert bare.diameter_mm is None, "a point has no size, and none is made up"


def test_organs_and_what_was_taken_for_a_nodule_are_no_candidates() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    found = heard(
        structure(finding_id="lung", centre_mm=LEFT_LUNG, diameter_mm=30.0),
        sure(outlined(finding_id="no", mask=mask, category=Category.NON_NODULE), 0.99),
        Finding("nowhere", Category.NODULE_GE_3MM),
    )
    assert found.candidates == ()


def test_nothing_is_claimed_that_the_source_does_not_say() -> None:
    found = heard(sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=8.0), 0.9))
    assert found.validated_diameters_mm is None
    assert found.sensitivity_by_diameter == ()
    assert (found.model.name, found.model.version, found.model.bundle_sha256) == ("elsewhere", "7", "")
    assert found.input_sha256 == DIGEST
    assert found.backend == "imported"


def test_a_finding_without_a_confidence_was_reported_and_no_more() -> None:
    found = heard(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=8.0), threshold=0.35)
    assert found.candidates[0].probability == 0.35


def test_a_readers_set_is_no_models_opinion() -> None:
    with pytest.raises(NotApplicable, match="reader"):
        external_prediction(annotation_set=reader("a"), source_sha256=DIGEST, threshold=0.5)


def test_an_algorithm_that_was_not_run_has_no_opinion() -> None:
    not_run = replace(algorithm("ai"), read=False)
    with pytest.raises(NotApplicable, match="not run"):
        external_prediction(annotation_set=not_run, source_sha256=DIGEST, threshold=0.5)


@pytest.mark.parametrize(("threshold", "confidence"), [(1.5, 0.5), (-0.1, 0.5), (0.5, 1.2), (0.5, -0.2)])
def test_scores_outside_zero_and_one_are_refused(threshold: float, confidence: float) -> None:
    said = algorithm("ai", sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=8.0), confidence))
    with pytest.raises(ValueError, match="between 0 and 1"):
        external_prediction(annotation_set=said, source_sha256=DIGEST, threshold=threshold)


def test_a_report_from_elsewhere_counts_as_one_reader_and_a_validated_models_as_several() -> None:
    found = heard(sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=8.0), 0.9))
    own = prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=8.0, probability=0.9))
    [imported] = MissingNodule().run(case=case(reader("a"), predicted=found), parameters=CHEST_CT_NODULES)
    [validated] = MissingNodule().run(case=case(reader("a"), predicted=own), parameters=CHEST_CT_NODULES)
    assert imported.score < 0.5 < validated.score
    assert "imported algorithm" in imported.reason
    assert "imported algorithm" in imported.proposals[0].origin


def test_that_no_validated_sizes_are_stated_is_said_aloud() -> None:
    found = heard(sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=8.0), 0.9))
    codes = {
        one.code
        for one in MissingNodule().abstentions(case=case(reader("a"), predicted=found), parameters=CHEST_CT_NODULES)
    }
    assert "validated-sizes-not-stated" in codes


def test_the_silence_of_an_algorithm_from_elsewhere_is_held_against_nobody() -> None:
    silent = heard()
    looked_at = case(reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=8.0)), predicted=silent)
    with pytest.raises(NotApplicable, match="sensitivity"):
        SpuriousLabel().run(case=looked_at, parameters=CHEST_CT_NODULES)


def test_a_bare_point_from_elsewhere_is_a_question_without_a_drawn_answer() -> None:
    found = heard(sure(point(finding_id="p", place_mm=LEFT_LUNG, category=Category.NODULE_GE_3MM), 0.95))
    [issue] = MissingNodule().run(case=case(reader("a"), predicted=found), parameters=CHEST_CT_NODULES)
    assert issue.proposals == ()
    assert issue.evidence["model_diameter_mm"] is None
    assert "a nodule here" in issue.reason


def test_a_mass_from_elsewhere_is_passed_over_aloud() -> None:
    found = heard(sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=34.0), 0.95))
    looked_at = case(reader("a"), predicted=found)
    assert MissingNodule().run(case=looked_at, parameters=CHEST_CT_NODULES) == ()
    codes = {one.code for one in MissingNodule().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)}
    assert "mass" in codes


def test_an_outline_from_elsewhere_weighs_no_more_than_one_other_readers() -> None:
    label = reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=18.0))
    found = heard(sure(nodule(finding_id="n", centre_mm=LEFT_LUNG, diameter_mm=10.0), 1.0))
    own = prediction(candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=1.0))
    [imported] = Boundary().run(case=case(label, predicted=found), parameters=CHEST_CT_NODULES)
    [validated] = Boundary().run(case=case(label, predicted=own), parameters=CHEST_CT_NODULES)
    assert 0.5 < imported.score < validated.score


def test_a_set_without_a_named_algorithm_is_called_by_its_label() -> None:
    unnamed = AnnotationSet("x", "detector of site 4", algorithm("ai").kind, True, ())
    found = external_prediction(annotation_set=unnamed, source_sha256=DIGEST, threshold=0.5)
    assert (found.model.name, found.model.version) == ("detector of site 4", "")


def test_a_box_from_elsewhere_around_a_label_is_that_label() -> None:
    mask = ball(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    found = heard(replace(Finding("b", Category.NODULE_GE_3MM, box=box_around(mask)), confidence=0.9))
    looked_at = case(reader("a", outlined(finding_id="a-1", mask=mask)), predicted=found)
    assert MissingNodule().run(case=looked_at, parameters=CHEST_CT_NODULES) == ()
