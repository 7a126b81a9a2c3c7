"""Withheld truth on a real scan: a radiologist's mark on LIDC-IDRI-0001 is taken out, and must be asked for again."""

from __future__ import annotations

import csv
import functools
import math
from dataclasses import replace

import pytest

from imaging.agreement.overlap import dice
from imaging.checks.base import CHEST_CT_NODULES
from imaging.geometry.gate import LUNG_CT_TOLERANCES
from imaging.masks.build import mask_from_sphere
from imaging.pipeline import AnalysisParameters, analyse
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.series import CT_READ_LIMITS, load_volume
from imaging.scoring.merge import checks_of
from imaging.types import AnnotationSet, Candidate, Case, Category, Finding, LabelIssue, PointMm, Sphere
from tests.factories.cases import prediction
from tests.imaging.readers import real

pytestmark = pytest.mark.real_data

PARAMETERS = AnalysisParameters(checks=CHEST_CT_NODULES)


@functools.cache
def whole_case() -> Case:
    slices = real.lidc_slices()
    volume = load_volume(
        slices=[header for header, _ in slices.values()],
        open_bytes=lambda uid: slices[uid][1],
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    labels = read_lidc_xml(real.member("lidc-0001.zip", "annotations-lidc.xml"), volume)
    return Case(
        volume=volume,
        annotation_sets=labels.annotation_sets,
        prediction=None,
        import_rejections=labels.rejections,
    )


def luna16() -> tuple[PointMm, float]:
    with (real.folder() / "luna16-annotations.csv").open(newline="") as table:
        uid = whole_case().volume.series_instance_uid
        (row,) = [row for row in csv.DictReader(table) if row["seriesuid"] == uid]
    return (float(row["coordX"]), float(row["coordY"]), float(row["coordZ"])), float(row["diameter_mm"])


def large(annotation_set: AnnotationSet) -> Finding:
    (found,) = [finding for finding in annotation_set.findings if finding.category is Category.NODULE_GE_3MM]
    return found


def withheld(ordinal: int, *, candidates: tuple[Candidate, ...] | None) -> tuple[Case, AnnotationSet]:
    case = whole_case()
    suspect = case.annotation_sets[ordinal]
    kept = tuple(finding for finding in suspect.findings if finding is not large(suspect))
    sets = tuple(replace(item, findings=kept) if item is suspect else item for item in case.annotation_sets)
    predicted = prediction(*candidates) if candidates is not None else None
    return replace(case, annotation_sets=sets, prediction=predicted), suspect


def seen_there() -> Candidate:
    place, diameter = luna16()
    # A hand-made candidate, three millimetres off and too small, as a detector would be.
    beside = (place[0] + 3.0, place[1], place[2])
    ball = Sphere(centre_mm=beside, diameter_mm=diameter * 0.8)
    outline = mask_from_sphere(grid=whole_case().volume.grid, sphere=ball)
    return Candidate(centre_mm=beside, diameter_mm=ball.diameter_mm, probability=0.8, mask=outline)


def at_the_place(issue: LabelIssue) -> bool:
    place, diameter = luna16()
    return math.dist(issue.place_mm, place) < diameter / 2


def test_the_four_radiologists_agree_on_the_large_nodule_and_nothing_is_said_about_it() -> None:
    outcome = analyse(case=whole_case(), parameters=PARAMETERS)
    assert not [issue for issue in outcome.issues if at_the_place(issue)]
    # Three of the four marked three points below 3 mm; the fourth reader is asked about each of them.
    marking = [issue for issue in outcome.issues if issue.check == "reader_disagreement"]
    assert [issue.annotation_set_id for issue in marking] == ["lidc-session-2"] * 3
    assert len(outcome.issues) == 3


@pytest.mark.parametrize("ordinal", [0, 1, 2, 3])
def test_a_withheld_mark_is_asked_for_by_its_reader_at_its_place(ordinal: int) -> None:
    case, suspect = withheld(ordinal, candidates=None)
    there = [issue for issue in analyse(case=case, parameters=PARAMETERS).issues if at_the_place(issue)]
    here = [issue for issue in there if issue.annotation_set_id == suspect.set_id]
    assert [(issue.check, issue.finding_id) for issue in here] == [("reader_disagreement", None)]
    # With fewer readers left one of them may rate the nodule unlike the others; nobody else is asked for a mark.
    assert all(issue.finding_id is not None and issue.score < here[0].score / 2 for issue in there if issue not in here)
    assert here[0].score > 0.8
    proposal = here[0].proposals[0].mask
    original = large(suspect).mask
    assert proposal is not None
    assert original is not None
    # The majority of the other three is close to what this reader had drawn.
    assert dice(proposal, original) > 0.75


def test_with_a_model_both_checks_speak_about_the_reader_in_one_issue() -> None:
    case, suspect = withheld(2, candidates=(seen_there(),))
    issues = analyse(case=case, parameters=PARAMETERS).issues
    (missing,) = [issue for issue in issues if at_the_place(issue) and issue.annotation_set_id == suspect.set_id]
    assert checks_of(missing) == ("missing_nodule", "reader_disagreement")
    assert issues[0] is missing
    assert [proposal.origin for proposal in missing.proposals] == [
        "model outline",
        "majority outline of 3 other readers",
    ]
    assert "three of the four readers marked it" in missing.reason


def test_the_blind_reason_names_the_image_and_the_side_and_nothing_else() -> None:
    case, _ = withheld(0, candidates=None)
    (issue,) = [issue for issue in analyse(case=case, parameters=PARAMETERS).issues if at_the_place(issue)]
    headers = [header for header, _ in real.lidc_slices().values()]
    heights = [(abs(header.position_mm[2] - issue.place_mm[2]), header) for header in headers if header.position_mm]
    nearest = min(heights, key=lambda entry: entry[0])[1]
    # The nodule lies at positive x, which is the patient's left, and the scan is centred near x = 0.
    assert issue.place_mm[0] > 30.0
    number = nearest.instance_number
    assert issue.blind_reason == f"This place may deserve a second look: image {number}, patient's left side."
