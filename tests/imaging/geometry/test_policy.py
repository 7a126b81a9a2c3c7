"""A policy may be stricter than the default anywhere, and milder only where the volume stays true."""

from __future__ import annotations

import pytest

from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateStatus, Severity, assess
from imaging.geometry.policy import (
    DEFAULT_GATE_POLICY,
    DEFAULTS,
    MILDEST_GATE_POLICY,
    RELAXABLE,
    Disposition,
    GatePolicy,
    UnusablePolicy,
    policy_from_words,
)
from tests.imaging.geometry.made import a_series, a_slice, tilted


@pytest.mark.parametrize("code", sorted(DEFAULTS))
def test_every_finding_may_be_made_a_reason_for_quarantine(code: str) -> None:
    assert GatePolicy({code: Disposition.QUARANTINE}).disposition(code) is Disposition.QUARANTINE


@pytest.mark.parametrize("code", sorted(set(DEFAULTS) - set(RELAXABLE)))
def test_what_no_true_volume_can_be_built_from_is_refused_in_every_project(code: str) -> None:
    assert DEFAULTS[code] is Disposition.QUARANTINE
    for milder in (Disposition.WARN, Disposition.ACCEPT):
        with pytest.raises(UnusablePolicy) as caught:
            GatePolicy({code: milder})
        assert caught.value.code == "not-relaxable"


def test_what_is_refused_by_default_can_be_let_pass_with_a_warning_and_never_in_silence() -> None:
    refused = [code for code in RELAXABLE if DEFAULTS[code] is Disposition.QUARANTINE]
    assert refused
    for code in refused:
        assert MILDEST_GATE_POLICY.disposition(code) is Disposition.WARN


@pytest.mark.parametrize("code", sorted(RELAXABLE))
def test_every_leniency_has_its_reason(code: str) -> None:
    mildest, reason = RELAXABLE[code]
    assert len(reason) > 20
    assert policy_from_words({code: str(mildest)}).disposition(code) is mildest


def test_words_that_are_no_disposition_are_refused_with_those_that_are() -> None:
    with pytest.raises(UnusablePolicy) as caught:
        policy_from_words({"non-axial": "maybe"})
    assert caught.value.code == "unknown-disposition"
    assert "accept, warn, quarantine" in caught.value.message


def test_a_leaning_series_becomes_a_volume_whose_affine_carries_the_lean() -> None:
    series = [
        a_slice(number=number, orientation=tilted(30.0), position_mm=(0.0, 1.25 * number, 2.1650635 * number))
        for number in range(10)
    ]
    assert assess(series, LUNG_CT_TOLERANCES).status is GateStatus.REFUSED
    verdict = assess(series, LUNG_CT_TOLERANCES, GatePolicy({"non-axial": Disposition.WARN}))
    assert verdict.status is GateStatus.ACCEPTED_WITH_WARNING
    assert verdict.grid is not None
    assert verdict.grid.spacing_mm == pytest.approx((2.5, 0.7, 0.7))


def test_an_accepted_finding_is_kept_as_a_note_and_raises_no_warning() -> None:
    thick = [a_slice(number=number, slice_thickness_mm=5.0) for number in range(10)]
    verdict = assess(thick, LUNG_CT_TOLERANCES, GatePolicy({"slices-overlap": Disposition.ACCEPT}))
    assert verdict.status is GateStatus.ACCEPTED
    assert [(finding.code, finding.severity) for finding in verdict.findings] == [("slices-overlap", Severity.NOTE)]


def test_a_warning_made_a_reason_for_quarantine_leaves_no_volume() -> None:
    thick = [a_slice(number=number, slice_thickness_mm=5.0) for number in range(10)]
    verdict = assess(thick, LUNG_CT_TOLERANCES, GatePolicy({"slices-overlap": Disposition.QUARANTINE}))
    assert (verdict.status, verdict.grid) == (GateStatus.REFUSED, None)


def test_a_sound_series_is_accepted_under_any_policy() -> None:
    strictest = GatePolicy(dict.fromkeys(DEFAULTS, Disposition.QUARANTINE))
    for policy in (DEFAULT_GATE_POLICY, MILDEST_GATE_POLICY, strictest):
        assert assess(a_series(), LUNG_CT_TOLERANCES, policy).status is GateStatus.ACCEPTED
