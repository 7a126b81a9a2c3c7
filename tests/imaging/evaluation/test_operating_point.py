"""A detector at its own operating point, against counts made by hand and exact limits."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from imaging.errors import NotApplicable
from imaging.evaluation.bands import froc_band
from imaging.evaluation.froc import Detection, Scan, Truth, froc
from imaging.evaluation.operating_point import at_threshold, poisson_rate, without_small

SEED = 5


def nodule(x: float, diameter_mm: float, *, included: bool = True) -> Truth:
    return Truth(centre_mm=(x, 0.0, 0.0), diameter_mm=diameter_mm, included=included)


def seen(x: float, confidence: float) -> Detection:
    return Detection(centre_mm=(x, 0.0, 0.0), confidence=confidence)


def scan(name: str, truths: tuple[Truth, ...], detections: tuple[Detection, ...]) -> Scan:
    return Scan(scan_id=name, truths=truths, detections=detections)


FIRST = scan("a", (nodule(0.0, 5.0), nodule(50.0, 9.0)), (seen(0.5, 0.9), seen(50.0, 0.3), seen(100.0, 0.6)))
SECOND = scan("b", (nodule(0.0, 7.0),), (seen(0.0, 0.5), seen(200.0, 0.49)))


def test_only_candidates_at_the_threshold_or_above_count() -> None:
    point = at_threshold(scans=[FIRST, SECOND], patients={}, threshold=0.5, smallest_mm=3.0, seed=SEED)
    assert (point.found, point.nodules, point.false_positives_total) == (2, 3, 1)
    assert point.sensitivity.estimate == pytest.approx(2 / 3)
    assert point.false_positives.estimate == 0.5
    assert (point.scans, point.patients) == (2, 2)


def test_a_hit_on_a_nodule_too_small_to_count_is_neither_right_nor_wrong() -> None:
    point = at_threshold(scans=[FIRST, SECOND], patients={}, threshold=0.5, smallest_mm=6.0, seed=SEED)
    assert (point.found, point.nodules, point.false_positives_total) == (1, 2, 1)
    small = without_small(scans=[FIRST], smallest_mm=6.0)[0]
    assert [truth.included for truth in small.truths] == [False, True]


def test_sizes_are_binned_by_their_lower_bound_and_counted_apart() -> None:
    scans = [scan("a", (nodule(0.0, 4.0), nodule(50.0, 6.0), nodule(90.0, 35.0)), (seen(0.0, 1.0), seen(95.0, 1.0)))]
    rows = at_threshold(scans=scans, patients={}, threshold=0.5, smallest_mm=3.0, seed=SEED).by_size
    assert [(row.lower_mm, row.upper_mm, row.found, row.total) for row in rows] == [
        (4.0, 6.0, 1, 1),
        (6.0, 8.0, 0, 1),
        (30.0, math.inf, 1, 1),
    ]


def test_few_findings_without_a_miss_are_not_called_certain() -> None:
    scans = [scan(f"s{number}", (nodule(0.0, 8.0),), (seen(0.0, 0.9),)) for number in range(6)]
    point = at_threshold(scans=scans, patients={}, threshold=0.5, smallest_mm=3.0, seed=SEED)
    assert point.sensitivity.lower == pytest.approx(stats.beta.ppf(0.025, 6, 1)), "the bootstrap alone would say 1"
    assert point.false_positives.upper == pytest.approx(stats.chi2.ppf(0.975, 2) / 2 / 6)


def test_patients_that_differ_widen_the_limits() -> None:
    scans, one_each, few = [], {}, {}
    for number in range(40):
        hit = (seen(0.0, 0.9),) if number < 20 else ()
        scans.append(scan(f"s{number}", (nodule(0.0, 8.0),), hit))
        one_each[f"s{number}"] = f"p{number}"
        few[f"s{number}"] = f"p{number // 5}"
    alone = at_threshold(scans=scans, patients=one_each, threshold=0.5, smallest_mm=3.0, seed=SEED).sensitivity
    clustered = at_threshold(scans=scans, patients=few, threshold=0.5, smallest_mm=3.0, seed=SEED).sensitivity
    assert clustered.lower < alone.lower - 0.1 and clustered.upper > alone.upper + 0.1


@pytest.mark.parametrize(("events", "exposure"), [(0, 10), (1, 4), (37, 12)])
def test_rates_have_garwoods_exact_limits(events: int, exposure: int) -> None:
    rate = poisson_rate(events=events, exposure=exposure)
    lower = 0.0 if events == 0 else stats.chi2.ppf(0.025, 2 * events) / 2 / exposure
    assert rate.lower == pytest.approx(lower)
    assert rate.upper == pytest.approx(stats.chi2.ppf(0.975, 2 * events + 2) / 2 / exposure)


def test_nothing_to_find_has_no_sensitivity() -> None:
    empty = [scan("a", (), (seen(0.0, 0.9),))]
    with pytest.raises(NotApplicable) as caught:
        at_threshold(scans=empty, patients={}, threshold=0.5, smallest_mm=3.0, seed=SEED)
    assert caught.value.code == "no-nodules"
    with pytest.raises(NotApplicable):
        froc_band(scans=empty, patients={}, rates=[1.0], seed=SEED)
    with pytest.raises(NotApplicable):
        poisson_rate(events=0, exposure=0)


def test_a_band_holds_its_curve_and_is_the_same_for_the_same_seed() -> None:
    scans = [
        scan(
            f"s{number}",
            (nodule(0.0, 8.0), nodule(60.0, 8.0)),
            (seen(0.0, 0.3 + 0.02 * number), *((seen(60.0, 0.9),) if number % 3 else ()), seen(300.0, 0.03 * number)),
        )
        for number in range(20)
    ]
    rates = (0.125, 0.25, 0.5, 1.0, 2.0)
    band = froc_band(scans=scans, patients={}, rates=rates, seed=SEED)
    again = froc_band(scans=scans, patients={}, rates=rates, seed=SEED)
    assert (band.lower == again.lower).all() and (band.upper == again.upper).all() and band.draws == 1000
    read = froc(scans=scans).sensitivities[:5]
    assert all(low <= value <= high for low, value, high in zip(band.lower, read, band.upper, strict=True))
    assert (band.upper - band.lower).max() > 0.05
