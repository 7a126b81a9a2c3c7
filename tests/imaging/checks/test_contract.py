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
from imaging.types import Action, Case, Category, LabelIssue
from tests.factories.cases import (
    case,
    reader,
)
from tests.imaging.checks.contract_cases import (
    CASES,
    SEEN,
    agreed,
    everything_else_at_once,
    model_is_silent,
    organs_alone,
    organs_beside_nodules,
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
