"""The figures of the report: against counts made by hand, and in words where there is no figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import numpy as np
import pytest

from compliance.recording import SYSTEM, change
from compliance.rendering.document import Measure
from imaging.types import Grid, Mask
from qaservice.analysis.models import AnalysisRun, SeriesResult
from qaservice.labels.models import AnnotationSet, Finding, FindingRevision
from qaservice.reports import words
from qaservice.reports.evidence import Evidence, TrailEntry, gather
from qaservice.reports.sections.agreement import agreement, lesions_of
from qaservice.reports.sections.closing import audit, deviations, software
from qaservice.reports.sections.label_errors import label_errors, reader_effect
from qaservice.reports.sections.listing import line_listing
from qaservice.reports.sections.opening import synopsis
from qaservice.reports.sections.provenance import provenance, truthing
from qaservice.reports.sections.statistics import by_patient, proportion_of
from qaservice.storage.services import store_blob
from qaservice.studies.models import Series, Study
from tests.qaservice.reports.conftest import Reviewed

GRID = Grid(
    shape=(8, 32, 32),
    affine=((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
    frame_of_reference_uid="2.25.9",
)
NODULE, SMALL, OTHER = "nodule >= 3 mm", "nodule < 3 mm", "non-nodule"


@pytest.fixture
def evidence(reviewed: Reviewed) -> Evidence:
    return gather(project=reviewed.site.project)


def with_lesions(evidence: Evidence, cases: Sequence[Sequence[Sequence[str | None]]]) -> Evidence:
    """Replace the labels: for each patient a case, for each lesion of it every reader's category or None."""
    studies, series, sets, results, revisions = {}, [], [], [], {}
    for number, lesions in enumerate(cases):
        study = Study(id=uuid4(), study_instance_uid=f"2.25.{number}", patient_key=f"P{number}")
        one = Series(id=uuid4(), study=study, series_instance_uid=f"2.25.1{number}", state="accepted")
        studies[study.pk] = study
        series.append(one)
        readers = [
            AnnotationSet(id=uuid4(), series=one, kind="reader", reader_label=f"R{index}", read=True)
            for index in range(len(lesions[0]))
        ]
        sets += readers
        stored = []
        for lesion in lesions:
            members = []
            for reader, category in zip(readers, lesion, strict=True):
                if category is not None:
                    finding = Finding(id=uuid4(), annotation_set=reader)
                    revisions[finding.pk] = FindingRevision(
                        finding=finding,
                        category=category,
                        shape="mask" if category == NODULE else "point",
                        diameter_mm=6.0 + readers.index(reader) if category == NODULE else None,
                        characteristics={"malignancy": 1 + number % 5} if category == NODULE else {},
                    )
                    members.append([str(reader.pk), str(finding.pk)])
            stored.append({"id": "L", "centre_mm": [0, 0, 0], "members": members})
        results.append(SeriesResult(series=one, checks=[], lesions=stored))
    return replace(
        evidence,
        studies=studies,
        series=tuple(series),
        sets=tuple(sets),
        revisions=revisions,
        results=tuple(results),
        flags=(),
    )


def cube(revision: FindingRevision) -> Mask:
    """Every reader draws the same 4 x 4 square, the second one a column further to the left."""
    start = 10 + (revision.finding.annotation_set.reader_label == "R1")
    return Mask(grid=GRID, origin=(3, 10, start), voxels=np.ones((1, 4, 4), dtype=np.bool_))


def named(measures: Sequence[Measure], beginning: str) -> Measure:
    (found,) = [one for one in measures if one.name.startswith(beginning)]
    return found


def test_specific_agreement_is_the_chance_that_another_reader_confirms_a_mark(evidence: Evidence):
    # One case, three readers: all mark the first lesion, one alone the second. Of 3 + 1 marks with 2 partners each,
    # 6 of 8 chances are confirmed: 3 agreeing pairs count twice.
    labelled = with_lesions(evidence, [[(NODULE, NODULE, NODULE), (NODULE, None, None)]])
    found = agreement(labelled, shape_of=cube)
    measure = named(found.readers, "Specific agreement, nodules of 3 mm")
    assert measure.value == Decimal("0.75")
    assert (measure.lower, measure.upper) == (None, None)
    assert "1 patient, and fewer than 5 give no interval" in found.explanation[-1]


def test_categories_count_for_the_agreement_on_nodules_and_not_for_that_on_marks(evidence: Evidence):
    labelled = with_lesions(evidence, [[(NODULE, SMALL), (OTHER, OTHER)]])
    found = agreement(labelled, shape_of=cube).readers
    assert named(found, "Specific agreement, nodules of 3 mm").value == Decimal("0.00")
    assert named(found, "Specific agreement, marks of any").value == Decimal("1.00")


def test_overlap_distance_and_spread_are_taken_over_pairs_of_outlines(evidence: Evidence):
    labelled = with_lesions(evidence, [[(NODULE, NODULE)]])
    found = agreement(labelled, shape_of=cube).readers
    # Two squares of 4 x 4 that share 3 of 4 columns: 2 * 12 / 32.
    assert named(found, "Pairwise Dice").value == Decimal("0.75")
    assert named(found, "Pairwise surface").value == Decimal("1.0")
    # Diameters of 6 and 7 mm: standard deviation 0.7 mm.
    spread = named(found, "Diameter")
    assert (spread.value, spread.unit) == (Decimal("0.7"), "mm")


def test_coefficients_over_few_lesions_are_not_given_and_say_why(evidence: Evidence):
    labelled = with_lesions(evidence, [[(NODULE, NODULE)]])
    found = agreement(labelled, shape_of=cube).readers
    for name in ("Fleiss' kappa", "Krippendorff's alpha (ordinal), malignancy"):
        measure = named(found, name)
        assert measure.value is None
        assert measure.remark.startswith("Not given: 1 lesion, and a coefficient over fewer than 5")


def test_with_patients_enough_every_coefficient_has_an_interval_by_patient(evidence: Evidence):
    cases = [[(NODULE, NODULE, NODULE, None), (NODULE, SMALL, None, None)] for _ in range(5)]
    cases.append([(NODULE, NODULE, NODULE, NODULE), (OTHER, None, None, SMALL)])
    found = agreement(with_lesions(evidence, cases), shape_of=cube).readers
    for name in ("Specific agreement, nodules", "Specific agreement, marks", "Fleiss' kappa", "Pairwise Dice"):
        measure = named(found, name)
        assert measure.lower is not None and measure.upper is not None, name
        assert measure.lower <= measure.value <= measure.upper
        assert "bootstrap over 6 clusters" in measure.remark
    # Every reader gave a patient's nodule the same rating, and the ratings differ between patients.
    assert named(found, "Krippendorff's alpha (ordinal), malignancy").value == Decimal("1.00")


def test_readers_who_did_not_read_a_case_take_no_part_in_its_agreement(evidence: Evidence):
    labelled = with_lesions(evidence, [[(NODULE, NODULE, None)]])
    labelled.sets[2].read = False
    (lesion,) = lesions_of(labelled)
    assert len(lesion.marks) == 2
    assert named(agreement(labelled, shape_of=cube).readers, "Specific agreement, nodules").value == Decimal("1.00")


def test_one_reader_alone_gives_no_agreement_at_all(evidence: Evidence):
    assert agreement(with_lesions(evidence, [[(NODULE,)]]), shape_of=cube).readers == ()


def test_agreement_of_reviewers_counts_pairs_of_verdicts(evidence: Evidence):
    found = agreement(evidence).reviewers
    # Blind verdicts: (right, wrong), (right, right), (right, cannot tell, unclear): 1 of 1 + 1 + 3 pairs agrees.
    assert named(found, "Agreeing pairs, blind").value == Decimal("0.20")
    assert named(found, "Agreeing pairs, final").value == Decimal("0.40")
    assert named(found, "Krippendorff's alpha (nominal), blind").value is None
    assert named(found, "Fleiss' kappa, final").value is None


def test_checks_that_ran_without_a_flag_have_a_row_and_those_that_did_not_apply_a_deviation(evidence: Evidence):
    rows = {row.kind: row for row in label_errors(evidence).rows}
    assert list(rows) == ["Missing nodule", "Boundary of the outline", "Disagreement among readers"]
    assert (rows["Disagreement among readers"].raised, rows["Disagreement among readers"].settled) == (0, 0)
    assert rows["Boundary of the outline"].disputed == 1
    assert rows["Boundary of the outline"].errors.method == "none of this kind is settled"
    told = {one.subject: one.description for one in deviations(evidence)}
    assert told["Check: Geometry mismatch"] == "It did not apply to 1 series: no label names an image."


def test_the_denominator_is_explained_where_the_table_stands(evidence: Evidence):
    text = " ".join(label_errors(evidence).explanation)
    assert "verification bias" in text
    assert "not the rate of label errors in the dataset" in text


def test_the_reader_effect_counts_pairs_and_says_in_which_direction_they_moved(evidence: Evidence):
    effect = reader_effect(evidence)
    assert (effect.changed.count, effect.changed.total) == (1, 7)
    assert ("Label is right", "Label is wrong", 1) in effect.changes
    assert effect.towards_model.startswith("Of 1 changed verdict, 1 moved to “label is wrong”")


def test_the_account_of_files_adds_up_and_refusals_carry_their_reason(evidence: Evidence):
    section = provenance(evidence)
    counts = {row.stage: row.count for row in section.accountability}
    parts = ("Stored", "Already held", "Kept apart", "Refused", "Left aside")
    assert counts["Files received"] == sum(counts[part] for part in parts) == 3
    assert [(row.name, row.reason) for row in section.refused] == [
        ("seg/wrong.dcm", "The planes lie 97.5 mm outside the image.")
    ]
    assert section.series[0].sampling == "64 x 64 x 20 voxels of 0.750 x 0.750 x 2.500 mm"


def test_parts_of_a_label_file_that_were_not_taken_are_listed_with_the_refused_files(evidence: Evidence):
    evidence.sets[0].rejections = [{"code": "no-image", "message": "the image is not here", "subjects": ["2.25.5"]}]
    row = provenance(evidence).refused[-1]
    assert (row.outcome, row.reason, row.uid) == ("part not taken", "The image is not here.", "2.25.5")


def test_truthing_names_guideline_rule_readers_and_reviewers(evidence: Evidence):
    section = truthing(evidence)
    assert section.guideline == "Lung nodules, version 1"
    assert section.consensus_rule.startswith("2 agreeing final verdicts of 3 settle a flag.")
    assert "F-0004" in section.equivocal
    assert [(one.name, one.identified_as, one.cases_read, one.findings) for one in section.readers] == [
        ("annotator 1", "not identified", 1, 1),
        ("annotator 2", "not identified", 1, 1),
    ]
    assert [one.blind_verdicts for one in section.reviewers] == [3, 3, 1, 0]


def test_limits_of_the_evidence_are_named_as_deviations(simulated: Reviewed):
    evidence = replace(gather(project=simulated.site.project), on_sqlite=True)
    told = {one.subject: one.description for one in deviations(evidence)}
    assert "show an alteration of the record afterwards" in told["Embedded database"]
    assert "say nothing about clinicians" in told["Simulated readers"]
    assert "could not be applied" in told["Readers not identified"]
    assert told["Open flags"].startswith("1 flag had not been settled")


def test_a_project_that_was_never_analysed_says_so_instead_of_counting(evidence: Evidence):
    bare = replace(evidence, run=None, runs=(), results=(), flags=())
    paragraphs = synopsis(bare, label_errors(bare)).paragraphs
    assert "No analysis has been completed" in paragraphs[1]
    assert "no run has been completed" in software(bare, typst_version="0").components[0].text


def test_intervals_by_patient_need_patients_enough():
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    none, why = by_patient(units=[("A", 1.0), ("A", 0.0)], statistic=mean)
    assert none is None
    assert why == "no interval by patient: 1 patient, and fewer than 5 give none"
    found, how = by_patient(units=[(str(number), number % 2) for number in range(6)], statistic=mean)
    assert found is not None
    assert 0 <= found.lower <= found.estimate <= found.upper <= 1
    assert "6 clusters" in how


@pytest.mark.parametrize(
    ("count", "total", "lower", "upper", "method"),
    [
        # Wilson: Newcombe (1998), table I, 81 of 263 and 15 of 148; exact: rule of three's exact form.
        (81, 263, "0.2553", "0.3662", "Wilson score"),
        (15, 148, "0.0624", "0.1605", "Wilson score"),
        (0, 20, "0.0000", "0.1684", "Clopper-Pearson exact"),
        (29, 29, "0.8806", "1.0000", "Clopper-Pearson exact"),
    ],
)
def test_proportions_carry_the_published_intervals(count: int, total: int, lower: str, upper: str, method: str):
    found = proportion_of(count=count, total=total, nothing="")
    assert (str(found.lower), str(found.upper), found.method) == (lower, upper, method)


def test_a_proportion_of_nothing_has_no_limits_and_says_why():
    found = proportion_of(count=0, total=0, nothing="none is settled")
    assert (found.lower, found.upper, found.method) == (None, None, "none is settled")


def test_words_stand_for_keys_also_where_a_key_is_new():
    assert words.suspicion("missing_nodule") == "Missing nodule"
    assert words.suspicion("some_new_check") == "Some new check"
    assert sorted(["zzz", "boundary", "missing_nodule"], key=words.suspicion_order) == [
        "missing_nodule",
        "boundary",
        "zzz",
    ]
    assert words.role("qa_lead") == "QA lead"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.decimal(-0.04, 1) == Decimal("0.0")


def test_a_series_on_which_the_model_abstained_is_a_deviation_and_shown_as_such(reviewed: Reviewed):
    said = b'{"abstained_because":"there are no lungs in this scan"}'
    with change("series.analysed", actor=SYSTEM, reason="for a test", subject=("series", "test")):
        blob = store_blob(data=said, media_type="application/json")
    evidence = gather(project=reviewed.site.project)
    (result,) = evidence.results
    result.prediction_id = blob.pk
    told = {one.subject: one.description for one in deviations(evidence)}
    assert told["QA model"] == "It abstained on 1 series: there are no lungs in this scan."
    for observations in evidence.observations.values():
        observations[-1].threshold = None
    flag = line_listing(evidence, progress=None)[0]
    assert "which abstained on this series" in {fact.label: fact.text for fact in flag.identifiers}["QA model"]
    assert "no opinion of the model, which abstained" in flag.votes[1].shown


def test_a_consensus_that_the_reference_standard_anticipated_is_not_told_as_a_correction(evidence: Evidence):
    flag = evidence.flags[0]
    trail = (TrailEntry(index=7, kind="reference.corrected", already_so=True),)
    anticipated = replace(
        evidence,
        corrections={},
        trails={str(flag.pk): trail},
        events_by_kind=(("reference.corrected", True, 1),),
    )
    entry = line_listing(anticipated, progress=None)[0]
    assert entry.trail == (("7", "the reference standard was found to say so already"),)
    assert "said so already and was not changed" in entry.decision
    assert entry.correction is None
    assert audit(anticipated).events_by_type == (("A consensus found the reference standard to say so already", 1),)


def test_a_series_without_a_volume_has_its_flag_listed_without_a_picture(evidence: Evidence):
    for flag in evidence.flags:
        flag.series.grid = None
    entry = line_listing(evidence, progress=None)[0]
    assert (entry.picture, entry.picture_missing) == (None, "No picture: the series is not a regular volume.")
    assert entry.image_number == "none"


def test_failed_runs_and_reopened_flags_are_deviations(evidence: Evidence):
    failed = AnalysisRun(number=9, state="failed", failure="the worker was stopped")
    evidence.flags[1].reopened_because = "another QA model is surer"
    evidence.deliveries[0].state, evidence.deliveries[0].failure = "failed", "the archive is cut short"
    told = {one.subject: one.description for one in deviations(replace(evidence, runs=(failed,)))}
    assert told["Run 9"] == "The analysis run failed: the worker was stopped."
    assert told["F-0002"] == "It was settled and opened again: another QA model is surer."
    assert told["Delivery delivery-1.zip"] == "It could not be read: the archive is cut short."
