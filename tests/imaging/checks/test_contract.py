"""One suite over every registered check: what any of them must hold, whatever it looks for."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.base import CHEST_CT_NODULES, Check
from imaging.checks.issues import features_of
from imaging.checks.places import lies_inside
from imaging.checks.registry import FEATURES, REGISTRY
from imaging.checks.words import blind_reason
from imaging.errors import NotApplicable
from imaging.predictions import external_prediction
from imaging.types import Action, Box, Case, Category, LabelIssue, Rejection
from tests.factories.cases import (
    CHEST_WALL,
    LEFT_LUNG,
    RIGHT_LUNG,
    algorithm,
    ball,
    boxed,
    candidate,
    case,
    four_readers,
    nodule,
    opinion,
    outlined,
    point,
    prediction,
    reader,
    shifted,
    structure,
    united,
    upper_half,
    with_map,
    without_finding,
    without_slices,
)

BEHIND = (LEFT_LUNG[0], LEFT_LUNG[1] + 10.0, LEFT_LUNG[2])
SEEN = prediction(
    candidate(centre_mm=LEFT_LUNG, diameter_mm=10.0, probability=0.94),
    outlines=(opinion(centre_mm=LEFT_LUNG, diameter_mm=10.0, certainty=0.9),),
)


def agreed() -> Case:
    return case(*four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0), predicted=SEEN)


def one_reader_missed_it() -> Case:
    sets = without_finding(sets=four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0), set_id="c", finding_id="c-1")
    return case(*sets, predicted=SEEN)


def nobody_marked_it() -> Case:
    return case(reader("a"), reader("b"), predicted=SEEN)


def model_is_silent() -> Case:
    return case(reader("a", nodule(finding_id="a-1", centre_mm=LEFT_LUNG, diameter_mm=10.0)), predicted=prediction())


def one_of_four_marked_it() -> Case:
    return case(
        reader("a", nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=10.0)),
        reader("b"),
        reader("c"),
        reader("d"),
        predicted=prediction(),
    )


def outline_too_wide() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    wide = reader("d", nodule(finding_id="d-1", centre_mm=LEFT_LUNG, diameter_mm=20.0))
    return case(*sets[:3], wide, predicted=SEEN)


def moved_by_four_slices() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    moved = shifted(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), slices=4)
    return case(*sets[:3], reader("d", outlined(finding_id="d-1", mask=moved)), predicted=SEEN)


def everything_else_at_once() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=12.0)
    return case(
        reader(
            "a",
            outlined(finding_id="a-1", mask=without_slices(mask=mask, dropped=(1,)), characteristics={"texture": 9}),
            nodule(finding_id="a-2", centre_mm=RIGHT_LUNG, diameter_mm=8.0),
            nodule(finding_id="a-3", centre_mm=CHEST_WALL, diameter_mm=6.0),
            point(finding_id="a-4", place_mm=(500.0, 0.0, 0.0)),
            outlined(
                finding_id="a-5",
                mask=ball(centre_mm=LEFT_LUNG, diameter_mm=9.0),
                category=Category.NODULE_LT_3MM,
                characteristics={"malignancy": 1},
            ),
        ),
        reader("b", outlined(finding_id="b-1", mask=mask, category=Category.NON_NODULE)),
        reader("c", outlined(finding_id="c-1", mask=mask, characteristics={"malignancy": 5})),
        reader("d", read=False),
        predicted=SEEN,
        rejections=(Rejection("outside-image", "the outline lies 40 mm outside the image", ("a",)),),
    )


def boxes_of_every_kind() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=12.0)
    outside = boxed(finding_id="a-4", mask=mask)
    far = replace(outside, box=Box(corner_mm=(500.0, 0.0, 0.0), opposite_corner_mm=(510.0, 10.0, 10.0)))
    return case(
        reader(
            "a",
            boxed(finding_id="a-1", mask=mask),
            boxed(finding_id="a-2", mask=ball(centre_mm=RIGHT_LUNG, diameter_mm=10.0)),
            boxed(finding_id="a-3", mask=mask, category=Category.NODULE_LT_3MM),
            far,
            boxed(finding_id="a-5", mask=ball(centre_mm=CHEST_WALL, diameter_mm=6.0)),
        ),
        reader("b", boxed(finding_id="b-1", mask=mask, category=Category.NON_NODULE)),
        reader("c", outlined(finding_id="c-1", mask=mask, characteristics={"malignancy": 5})),
        reader("d", point(finding_id="d-1", place_mm=RIGHT_LUNG)),
        predicted=SEEN,
    )


def organs_beside_nodules() -> Case:
    around = structure(finding_id="organ", centre_mm=LEFT_LUNG, diameter_mm=24.0)
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=10.0)
    return case(
        replace(sets[0], findings=(around,)),
        replace(sets[1], findings=(*sets[1].findings, around)),
        *sets[2:],
        predicted=SEEN,
    )


def organs_alone() -> Case:
    gaps = without_slices(mask=ball(centre_mm=LEFT_LUNG, diameter_mm=10.0), dropped=(1,))
    organ = outlined(finding_id="organ", mask=gaps, category=Category.STRUCTURE)
    return case(reader("a", organ), reader("b", replace(organ, finding_id="organ-b")), predicted=SEEN)


def heard_from_elsewhere() -> Case:
    mask = ball(centre_mm=RIGHT_LUNG, diameter_mm=9.0)
    said = algorithm(
        "ai",
        replace(outlined(finding_id="p1", mask=mask), confidence=0.97),
        replace(boxed(finding_id="p2", mask=ball(centre_mm=LEFT_LUNG, diameter_mm=8.0)), confidence=0.9),
        replace(point(finding_id="p3", place_mm=(18.0, -10.0, -20.0)), confidence=0.8),
    )
    heard = external_prediction(annotation_set=said, source_sha256="2" * 64, threshold=0.5)
    moved = shifted(mask=mask, slices=3)
    return case(reader("a", outlined(finding_id="a-1", mask=moved)), reader("b"), predicted=heard)


def two_drawn_as_one() -> Case:
    one, other = ball(centre_mm=LEFT_LUNG, diameter_mm=9.0), ball(centre_mm=BEHIND, diameter_mm=8.0)
    both = united(one, other)
    apart = [
        reader(name, outlined(finding_id=f"{name}-1", mask=one), outlined(finding_id=f"{name}-2", mask=other))
        for name in "bc"
    ]
    return case(
        reader("a", outlined(finding_id="a-1", mask=both)),
        *apart,
        predicted=prediction(
            candidate(centre_mm=LEFT_LUNG, diameter_mm=9.0, probability=0.94),
            candidate(centre_mm=BEHIND, diameter_mm=8.0, probability=0.9),
        ),
    )


def nobody_is_sure() -> Case:
    sets = four_readers(centre_mm=LEFT_LUNG, diameter_mm=9.0)
    unsure = replace(opinion(centre_mm=LEFT_LUNG, diameter_mm=9.0, certainty=0.6), nodule_probability=0.5)
    return case(*sets[:2], reader("c"), reader("d"), predicted=prediction(outlines=(unsure,)))


def model_says_no_at_the_place() -> Case:
    says_no = replace(opinion(centre_mm=RIGHT_LUNG, diameter_mm=9.0, certainty=0.1), mask=None, nodule_probability=0.02)
    label = nodule(finding_id="a-1", centre_mm=RIGHT_LUNG, diameter_mm=9.0)
    return case(reader("a", label), reader("b"), reader("c"), predicted=prediction(outlines=(says_no,)))


def outline_with_everything_wrong() -> Case:
    whole = ball(centre_mm=LEFT_LUNG, diameter_mm=14.0)
    sure = with_map(opinion(centre_mm=LEFT_LUNG, diameter_mm=14.0, certainty=0.9))
    stray = ball(centre_mm=(LEFT_LUNG[0], LEFT_LUNG[1] + 14.0, LEFT_LUNG[2]), diameter_mm=4.0)
    cut = outlined(finding_id="a-1", mask=united(upper_half(whole), stray))
    box = boxed(finding_id="a-2", mask=ball(centre_mm=RIGHT_LUNG, diameter_mm=22.0))
    asked = opinion(centre_mm=RIGHT_LUNG, diameter_mm=9.0, certainty=0.9)
    return case(reader("a", cut, box), predicted=prediction(outlines=(sure, asked)))


CASES: tuple[Callable[[], Case], ...] = (
    agreed,
    two_drawn_as_one,
    nobody_is_sure,
    model_says_no_at_the_place,
    outline_with_everything_wrong,
    one_reader_missed_it,
    nobody_marked_it,
    model_is_silent,
    one_of_four_marked_it,
    outline_too_wide,
    moved_by_four_slices,
    everything_else_at_once,
    boxes_of_every_kind,
    organs_beside_nodules,
    organs_alone,
    heard_from_elsewhere,
)
EVERY_CHECK = pytest.mark.parametrize("check", REGISTRY, ids=lambda check: check.name)
EVERY_CASE = pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)


def issues_of(check: Check, looked_at: Case) -> tuple[LabelIssue, ...]:
    try:
        return check.run(case=looked_at, parameters=CHEST_CT_NODULES)
    except NotApplicable as refusal:
        assert refusal.message
        return ()


def fingerprint(issue: LabelIssue) -> str:
    proposals = [
        (item.action, item.origin, item.category, item.sphere)
        + ((item.mask.origin, item.mask.voxels.tobytes()) if item.mask is not None else ())
        for item in issue.proposals
    ]
    told = (issue.score, issue.reason, json.dumps(issue.evidence, sort_keys=True), issue.implicated_set_ids)
    return repr((issue.annotation_set_id, issue.finding_id, issue.place_mm, issue.radius_mm, told, proposals))


@EVERY_CHECK
def test_every_check_finds_something_in_some_case(check: Check) -> None:
    assert any(issues_of(check, make()) for make in CASES)


@EVERY_CHECK
@EVERY_CASE
def test_a_check_gives_the_same_answer_twice_and_in_any_order_of_readers(
    check: Check, make: Callable[[], Case]
) -> None:
    first = make()
    turned = replace(make(), annotation_sets=tuple(reversed(first.annotation_sets)))
    expected = sorted(fingerprint(issue) for issue in issues_of(check, first))
    assert sorted(fingerprint(issue) for issue in issues_of(check, first)) == expected
    assert sorted(fingerprint(issue) for issue in issues_of(check, turned)) == expected


@EVERY_CHECK
@EVERY_CASE
def test_an_issue_is_well_formed(check: Check, make: Callable[[], Case]) -> None:
    looked_at = make()
    findings = {item.set_id: {finding.finding_id for finding in item.findings} for item in looked_at.annotation_sets}
    read = {item.set_id for item in looked_at.annotation_sets if item.read}
    for issue in issues_of(check, looked_at):
        assert (issue.check, issue.check_version) == (check.name, check.version)
        assert 0.0 <= issue.score <= 1.0
        assert all(math.isfinite(value) for value in (*issue.place_mm, issue.radius_mm))
        assert issue.radius_mm > 0
        assert issue.annotation_set_id in read
        assert issue.finding_id is None or issue.finding_id in findings[issue.annotation_set_id]
        assert set(issue.implicated_set_ids) <= read
        assert json.loads(json.dumps(issue.evidence, allow_nan=False)) == issue.evidence
        assert "not calibrated" in str(issue.evidence["score_basis"])
        if check.name != "geometry_mismatch":
            assert lies_inside(grid=looked_at.volume.grid, place_mm=issue.place_mm)


@EVERY_CHECK
@EVERY_CASE
def test_an_issue_says_in_numbers_that_are_described_what_its_score_rests_on(
    check: Check, make: Callable[[], Case]
) -> None:
    described = FEATURES[check.name]
    kinds = {name for name in described if name.startswith("kind_")}
    for issue in issues_of(check, make()):
        features = issue.evidence["features"]
        assert isinstance(features, dict)
        assert all(type(value) is float and math.isfinite(value) for value in features.values())
        assert set(features) <= set(described)
        assert kinds <= set(features)
        assert not kinds or any(features[name] == 1.0 for name in kinds)
        assert features["score"] == issue.score


@EVERY_CHECK
def test_every_number_that_a_check_describes_stands_in_some_issue(check: Check) -> None:
    seen = {name for make in CASES for issue in issues_of(check, make()) for name in features_of(issue=issue)}
    assert {"score", "readers", "slice_step_mm"} <= seen
    assert len(seen) >= len(FEATURES[check.name]) / 2


@EVERY_CHECK
@EVERY_CASE
def test_what_is_kept_of_a_case_changes_no_answer(check: Check, make: Callable[[], Case]) -> None:
    warm, cold = make(), make()
    for other in REGISTRY:
        issues_of(other, warm)
    assert sorted(fingerprint(issue) for issue in issues_of(check, warm)) == sorted(
        fingerprint(issue) for issue in issues_of(check, cold)
    )


def test_nothing_is_kept_of_a_case_that_nobody_holds() -> None:
    looked_at = everything_else_at_once()
    for check in REGISTRY:
        issues_of(check, looked_at)
    gone = weakref.ref(looked_at)
    del looked_at
    gc.collect()
    assert gone() is None


@EVERY_CHECK
@EVERY_CASE
def test_a_check_asks_about_one_label_only_once(check: Check, make: Callable[[], Case]) -> None:
    subjects = [
        (issue.annotation_set_id, issue.finding_id, issue.place_mm if issue.finding_id is None else None)
        for issue in issues_of(check, make())
    ]
    assert len(set(subjects)) == len(subjects)


@EVERY_CHECK
@EVERY_CASE
def test_a_proposal_carries_what_its_action_needs(check: Check, make: Callable[[], Case]) -> None:
    looked_at = make()
    for issue in issues_of(check, looked_at):
        for proposal in issue.proposals:
            assert proposal.origin
            drawn = (proposal.mask is not None) + (proposal.sphere is not None)
            assert drawn == (proposal.action in (Action.ADD, Action.REPLACE_OUTLINE))
            assert (proposal.category is not None) == (proposal.action in (Action.ADD, Action.RECATEGORISE))
            if proposal.mask is not None:
                assert proposal.mask.grid.digest == looked_at.volume.grid.digest
                assert proposal.mask.count > 0
                assert not proposal.mask.voxels.flags.writeable
            assert (issue.finding_id is None) == (proposal.action is Action.ADD)
        if issue.evidence.get("kind") == "ambiguous":
            assert issue.proposals == ()
            assert "wrong" not in issue.reason.replace("Nothing here says that a label is wrong", "")


@EVERY_CHECK
@EVERY_CASE
def test_the_blind_reason_depends_on_the_place_alone(check: Check, make: Callable[[], Case]) -> None:
    looked_at = make()
    for issue in issues_of(check, looked_at):
        assert issue.blind_reason == blind_reason(
            case=looked_at,
            place_mm=issue.place_mm,
            body_threshold_hu=CHEST_CT_NODULES.body_threshold_hu,
            midline_margin_mm=CHEST_CT_NODULES.midline_margin_mm,
        )
        told = issue.blind_reason.lower()
        for giveaway in ("model", "reader", "missing", "marked", "outline", "label", "nodule", "%", "mm", check.name):
            assert giveaway not in told


@EVERY_CHECK
@EVERY_CASE
def test_the_revealed_reason_is_plain_prose_and_invites(check: Check, make: Callable[[], Case]) -> None:
    for issue in issues_of(check, make()):
        assert issue.reason.endswith("Could we look at it together?")
        assert "may" in issue.reason
        assert "  " not in issue.reason
        for machine_word in ("nan", "None", "_", "Mark(", "Category."):
            assert machine_word not in issue.reason.replace("None of the", "")


@EVERY_CHECK
def test_a_check_does_not_change_the_case(check: Check) -> None:
    looked_at = everything_else_at_once()
    before = [
        (finding.finding_id, finding.mask.voxels.copy())
        for item in looked_at.annotation_sets
        for finding in item.findings
        if finding.mask is not None
    ]
    issues_of(check, looked_at)
    after = [
        finding.mask.voxels
        for item in looked_at.annotation_sets
        for finding in item.findings
        if finding.mask is not None
    ]
    assert all(np.array_equal(kept, now) for (_, kept), now in zip(before, after, strict=True))


@EVERY_CHECK
def test_a_case_that_nobody_read_is_not_applicable_or_clean(check: Check) -> None:
    unread = case(reader("a", read=False), predicted=SEEN)
    with pytest.raises(NotApplicable):
        check.run(case=unread, parameters=CHEST_CT_NODULES)


@EVERY_CHECK
def test_four_readers_and_a_model_who_agree_raise_no_issue(check: Check) -> None:
    assert issues_of(check, agreed()) == ()


def test_a_missing_and_a_spurious_label_at_one_place_look_alike_before_the_reveal() -> None:
    checks = {check.name: check for check in REGISTRY}
    missing = issues_of(checks["missing_nodule"], case(reader("a"), predicted=SEEN))[0]
    spurious = issues_of(checks["spurious_label"], model_is_silent())[0]
    assert missing.place_mm == pytest.approx(spurious.place_mm, abs=0.8)
    assert missing.radius_mm == pytest.approx(spurious.radius_mm, abs=0.5)
    assert missing.blind_reason == spurious.blind_reason


def test_names_are_unique_and_versions_stated() -> None:
    assert len({check.name for check in REGISTRY}) == len(REGISTRY)
    assert all(check.version for check in REGISTRY)


def test_the_checks_load_neither_torch_nor_monai() -> None:
    program = "import sys, imaging.pipeline; print(sorted({'torch', 'monai', 'django'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@EVERY_CHECK
def test_no_check_finds_anything_against_organs_that_lie_on_the_image(check: Check) -> None:
    assert issues_of(check, organs_alone()) == ()


@EVERY_CHECK
def test_an_organ_changes_nothing_of_what_is_said_of_nodules(check: Check) -> None:
    with_organs = organs_beside_nodules()
    readers = tuple(
        replace(item, findings=tuple(one for one in item.findings if one.category is not Category.STRUCTURE))
        for item in with_organs.annotation_sets[1:]
    )
    without = replace(with_organs, annotation_sets=readers)
    assert [fingerprint(issue) for issue in issues_of(check, with_organs)] == [
        fingerprint(issue) for issue in issues_of(check, without)
    ]


@EVERY_CHECK
def test_every_check_says_of_organs_that_it_passed_them_over_or_why_it_did_not_apply(check: Check) -> None:
    looked_at = organs_beside_nodules()
    check.run(case=looked_at, parameters=CHEST_CT_NODULES)
    codes = {one.code for one in check.abstentions(case=looked_at, parameters=CHEST_CT_NODULES)}
    assert codes >= {"other-structure", "structures-only"}
