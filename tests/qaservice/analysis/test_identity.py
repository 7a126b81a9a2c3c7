"""When two sightings are one flag, and what opens a settled one again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qaservice.analysis.identity import Evidence, Sighting, is_same, reopening_reason

MISSING = Sighting("set-1", None, (10.0, 20.0, 30.0), 3.0)
OUTLINE = Sighting("set-1", "finding-1", (10.0, 20.0, 30.0), 3.0)
SETTLED = Evidence(model_sha256="a", score=0.4)


def test_the_same_place_within_the_radius_is_the_same_missing_nodule():
    assert is_same(MISSING, replace(MISSING, place_mm=(12.9, 20.0, 30.0)))
    assert not is_same(MISSING, replace(MISSING, place_mm=(13.1, 20.0, 30.0)))


def test_a_tiny_radius_still_reaches_two_and_a_half_millimetres():
    tiny = replace(MISSING, radius_mm=0.5)
    assert is_same(tiny, replace(tiny, place_mm=(10.0, 22.5, 30.0)))
    assert not is_same(tiny, replace(tiny, place_mm=(10.0, 22.6, 30.0)))


def test_a_finding_keeps_its_flag_wherever_the_evidence_points():
    assert is_same(OUTLINE, replace(OUTLINE, place_mm=(90.0, 0.0, 0.0)))
    assert not is_same(OUTLINE, replace(OUTLINE, finding_id="finding-2"))
    assert not is_same(OUTLINE, replace(OUTLINE, finding_id=None))


def test_another_reader_is_another_flag():
    assert not is_same(MISSING, replace(MISSING, annotation_set_id="set-2"))


def test_what_is_ambiguous_is_not_the_claim_about_the_same_label():
    assert not is_same(OUTLINE, replace(OUTLINE, ambiguous=True))
    assert is_same(replace(OUTLINE, ambiguous=True), replace(OUTLINE, ambiguous=True))


def test_a_set_as_a_whole_is_one_thing_and_no_empty_place():
    whole = replace(MISSING, whole_set=True)
    assert is_same(whole, replace(whole, place_mm=(90.0, 0.0, 0.0)))
    assert not is_same(whole, MISSING)


def test_the_same_model_never_reopens_what_was_settled():
    assert reopening_reason(outcome="label-right", settled_on=SETTLED, seen=Evidence("a", 0.99)) is None


def test_a_new_model_reopens_a_label_held_right_only_when_clearly_surer():
    assert reopening_reason(outcome="label-right", settled_on=SETTLED, seen=Evidence("b", 0.64)) is None
    reason = reopening_reason(outcome="label-right", settled_on=SETTLED, seen=Evidence("b", 0.66))
    assert reason is not None and "66%" in reason and "40%" in reason


@pytest.mark.parametrize("outcome", ["label-wrong", "cannot-tell", "guideline-unclear", "exclude"])
def test_no_model_reopens_any_other_outcome(outcome: str):
    assert reopening_reason(outcome=outcome, settled_on=SETTLED, seen=Evidence("b", 1.0)) is None
