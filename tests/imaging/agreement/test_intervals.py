"""Confidence limits against published figures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imaging.agreement.intervals import clopper_pearson, cluster_bootstrap, proportion, wilson
from imaging.errors import NotApplicable


def test_wilson_gives_the_limits_of_newcombes_table() -> None:
    # Newcombe 1998, table I, method 3.
    limits = wilson(successes=81, total=263, confidence=0.95)
    assert (limits.lower, limits.upper) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    none = wilson(successes=0, total=20, confidence=0.95)
    assert (none.lower, none.upper) == (0.0, pytest.approx(0.1611, abs=5e-5))


def test_clopper_pearson_gives_the_limits_of_newcombes_table() -> None:
    # Newcombe 1998, table I, method 5.
    limits = clopper_pearson(successes=81, total=263, confidence=0.95)
    assert (limits.lower, limits.upper) == (pytest.approx(0.2527, abs=5e-5), pytest.approx(0.3676, abs=5e-5))
    none = clopper_pearson(successes=0, total=20, confidence=0.95)
    assert (none.lower, none.upper) == (0.0, pytest.approx(0.1684, abs=5e-5))


def test_a_proportion_uses_the_exact_interval_only_at_the_extremes() -> None:
    assert proportion(successes=0, total=9, confidence=0.95).method == "Clopper-Pearson exact"
    assert proportion(successes=9, total=9, confidence=0.95).method == "Clopper-Pearson exact"
    assert proportion(successes=1, total=9, confidence=0.95).method == "Wilson score"


def test_a_proportion_of_nothing_has_no_interval() -> None:
    with pytest.raises(NotApplicable):
        proportion(successes=0, total=0, confidence=0.95)


def mean(values: Sequence[float]) -> float:
    if not values:
        raise NotApplicable("empty", "nothing drawn")
    return sum(values) / len(values)


def test_the_bootstrap_draws_whole_patients_and_repeats_with_its_seed() -> None:
    alike_within = [[1.0] * 20, [0.0] * 20, [1.0] * 20, [0.0] * 20]
    apart = [[value] for cluster in alike_within for value in cluster]
    first = cluster_bootstrap(clusters=alike_within, statistic=mean, resamples=500, seed=7, confidence=0.95)
    again = cluster_bootstrap(clusters=alike_within, statistic=mean, resamples=500, seed=7, confidence=0.95)
    naive = cluster_bootstrap(clusters=apart, statistic=mean, resamples=500, seed=7, confidence=0.95)
    assert first == again
    assert first.estimate == 0.5
    # 80 findings of four patients are four facts, not eighty.
    assert first.upper - first.lower > 2 * (naive.upper - naive.lower)


def test_draws_without_a_value_are_counted_not_hidden() -> None:
    interval = cluster_bootstrap(clusters=[[1.0], [], [1.0]], statistic=mean, resamples=300, seed=1, confidence=0.95)
    assert "draws without a value" in interval.method
    with pytest.raises(NotApplicable):
        cluster_bootstrap(clusters=[], statistic=mean, resamples=10, seed=1, confidence=0.95)
