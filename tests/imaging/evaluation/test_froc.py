"""FROC by the rules of LUNA16, on examples small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.errors import NotApplicable
from imaging.evaluation.froc import (
    FALSE_POSITIVE_RATES,
    Detection,
    Scan,
    Truth,
    froc,
    froc_interval,
    match_scan,
)


def truth(x: float, diameter_mm: float | None = 6.0, *, included: bool = True) -> Truth:
    return Truth(centre_mm=(x, 0.0, 0.0), diameter_mm=diameter_mm, included=included)


def found(x: float, confidence: float) -> Detection:
    return Detection(centre_mm=(x, 0.0, 0.0), confidence=confidence)


def scan(truths: list[Truth], detections: list[Detection], name: str = "s") -> Scan:
    return Scan(scan_id=name, truths=tuple(truths), detections=tuple(detections))


def test_a_hit_is_nearer_than_half_the_diameter_and_not_at_it() -> None:
    hits = match_scan(scan=scan([truth(0.0)], [found(2.999, 0.9)]))
    assert (hits.hit_confidences, hits.missed) == ((0.9,), 0)
    edge = match_scan(scan=scan([truth(0.0)], [found(3.0, 0.9)]))
    assert (edge.hit_confidences, edge.missed, edge.false_positive_confidences) == ((), 1, (0.9,))


def test_of_several_hits_the_surest_counts_and_the_rest_are_ignored() -> None:
    hits = match_scan(scan=scan([truth(0.0)], [found(1.0, 0.4), found(0.0, 0.8), found(-1.0, 0.6)]))
    assert (hits.hit_confidences, hits.ignored_doubles, hits.false_positive_confidences) == ((0.8,), 2, ())


def test_a_hit_on_an_excluded_finding_is_neither_hit_nor_false_positive() -> None:
    hits = match_scan(scan=scan([truth(0.0, included=False)], [found(1.0, 0.9), found(50.0, 0.2)]))
    assert (hits.hit_confidences, hits.ignored_on_excluded) == ((), 1)
    assert hits.false_positive_confidences == (0.2,)
    assert hits.missed == 0


def test_an_excluded_finding_without_a_size_counts_as_ten_millimetres() -> None:
    hits = match_scan(scan=scan([truth(0.0, None, included=False)], [found(4.9, 0.9), found(5.0, 0.8)]))
    assert hits.false_positive_confidences == (0.8,)


def test_a_candidate_on_both_a_nodule_and_an_excluded_finding_is_a_hit() -> None:
    for order in (1, -1):
        truths = [truth(0.0), truth(1.0, included=False)][::order]
        hits = match_scan(scan=scan(truths, [found(0.5, 0.9)]))
        assert (hits.hit_confidences, hits.false_positive_confidences) == ((0.9,), ())


def test_an_included_nodule_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="positive diameter"):
        match_scan(scan=scan([truth(0.0, None)], []))


def test_a_curve_counted_by_hand() -> None:
    # Four scans, two nodules. By confidence: hit .9, false .8, false .7, hit .6, false .5.
    scans = [
        scan([truth(0.0)], [found(0.0, 0.9), found(40.0, 0.8)], "1"),
        scan([truth(0.0)], [found(0.0, 0.6), found(40.0, 0.7)], "2"),
        scan([], [found(40.0, 0.5)], "3"),
        scan([], [], "4"),
    ]
    curve = froc(scans=scans)
    points = list(zip(curve.false_positives_per_scan.tolist(), curve.sensitivity.tolist(), strict=True))
    assert points == [(0.0, 0.0), (0.0, 0.5), (0.25, 0.5), (0.5, 0.5), (0.5, 1.0), (0.75, 1.0)]
    assert curve.sensitivities == (0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert curve.cpm == pytest.approx(6 / 7)
    assert (curve.scans, curve.nodules) == (4, 2)


def test_the_curve_is_interpolated_linearly_between_its_points() -> None:
    # One scan: the step from 0 to 1 false positive a scan carries no gain, the second nodule comes at 2.
    one = scan([truth(0.0), truth(100.0)], [found(0.0, 0.9), found(40.0, 0.8), found(60.0, 0.7), found(100.0, 0.7)])
    curve = froc(scans=[one])
    # The last threshold adds a false positive and a hit at once: a slanted line from (1, .5) to (2, 1).
    assert curve.sensitivities == (0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0)
    assert np.interp(1.5, curve.false_positives_per_scan, curve.sensitivity) == pytest.approx(0.75)


def test_scans_without_nodules_dilute_the_false_positives() -> None:
    noisy = scan([truth(0.0)], [found(0.0, 0.5), found(40.0, 0.9)], "1")
    alone, diluted = froc(scans=[noisy]), froc(scans=[noisy, *(scan([], [], str(n)) for n in range(2, 9))])
    assert alone.sensitivities[:3] == pytest.approx((0.0, 0.0, 0.0))
    assert diluted.sensitivities[0] == 1.0


def test_a_perfect_detector_scores_one_and_a_blind_one_zero() -> None:
    perfect = [scan([truth(0.0)], [found(0.0, 0.9)], "1"), scan([truth(0.0)], [found(0.0, 0.2)], "2")]
    blind = [scan([truth(0.0)], [], "1")]
    assert froc(scans=perfect).cpm == 1.0
    assert froc(scans=blind).cpm == 0.0


def test_without_any_nodule_sensitivity_has_no_value() -> None:
    with pytest.raises(NotApplicable):
        froc(scans=[scan([], [found(0.0, 0.9)])])


def test_the_bootstrap_draws_scans_repeats_with_its_seed_and_covers_the_estimate() -> None:
    generator = np.random.default_rng(3)
    scans = [
        scan(
            [truth(0.0)],
            [found(0.0, float(generator.uniform(0.3, 1.0))), found(40.0, float(generator.uniform(0.0, 0.9)))],
            str(number),
        )
        for number in range(30)
    ]
    interval, again = froc_interval(scans=scans, seed=11), froc_interval(scans=scans, seed=11)
    assert interval == again
    assert (interval.draws, interval.draws_without_nodules) == (1000, 0)
    mean, lower, upper = interval.cpm
    assert lower < froc(scans=scans).cpm < upper
    assert lower < mean < upper
    assert len(interval.sensitivities) == len(FALSE_POSITIVE_RATES)


def test_bootstrap_draws_without_a_nodule_are_left_out_and_counted() -> None:
    scans = [scan([truth(0.0)], [found(0.0, 0.9)], "1"), scan([], [], "2"), scan([], [], "3")]
    interval = froc_interval(scans=scans, seed=5)
    assert interval.draws + interval.draws_without_nodules == 1000
    # (2/3)^3 of the draws miss the only scan with a nodule.
    assert interval.draws_without_nodules == pytest.approx(296, abs=60)
