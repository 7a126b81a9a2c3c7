"""Figures with their intervals, in the form in which the report prints and keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from compliance.rendering.document import Measure, Proportion
from imaging.agreement.intervals import Interval, cluster_bootstrap, proportion
from imaging.errors import NotApplicable
from qaservice.reports import words

CONFIDENCE = 0.95
PLACES = 4
# Whole patients are drawn with replacement: from fewer, the draws repeat a few samples and limits mean nothing.
LEAST_PATIENTS = 5
RESAMPLES = 1000
SEED = 20260101

Unit = TypeVar("Unit")


def proportion_of(*, count: int, total: int, nothing: str) -> Proportion:
    """Return n/N with Wilson's 95 % interval (Clopper-Pearson's at the extremes); ``nothing`` is said when N is 0."""
    try:
        interval = proportion(successes=count, total=total, confidence=CONFIDENCE)
    except NotApplicable:
        return Proportion(count=count, total=total, lower=None, upper=None, method=nothing)
    return Proportion(
        count=count,
        total=total,
        lower=words.decimal(interval.lower, PLACES),
        upper=words.decimal(interval.upper, PLACES),
        method=interval.method,
    )


def by_patient(
    *, units: Iterable[tuple[str, Unit]], statistic: Callable[[Sequence[Unit]], float]
) -> tuple[Interval | None, str]:
    """Return the bootstrap interval of ``statistic`` over whole patients, and how it came about or why there is none.

    ``units`` are (patient, unit). Fewer than ``LEAST_PATIENTS`` patients give no interval.
    """
    clusters: dict[str, list[Unit]] = {}
    for patient, unit in units:
        clusters.setdefault(patient, []).append(unit)
    if len(clusters) < LEAST_PATIENTS:
        patients = words.counted(len(clusters), "patient")
        return None, f"no interval by patient: {patients}, and fewer than {LEAST_PATIENTS} give none"
    try:
        interval = cluster_bootstrap(
            clusters=[clusters[patient] for patient in sorted(clusters)],
            statistic=statistic,
            resamples=RESAMPLES,
            seed=SEED,
            confidence=CONFIDENCE,
        )
    except NotApplicable as reason:
        return None, f"no interval by patient: {reason.message}"
    return interval, interval.method


def measure(
    *,
    name: str,
    units: Sequence[tuple[str, Unit]],
    statistic: Callable[[Sequence[Unit]], float],
    places: int,
    unit: str,
    basis: str,
    remark: str,
) -> Measure:
    """Return a statistic over (patient, unit) pairs with its interval by patient; where it has no value, why not."""
    try:
        value = statistic([member for _, member in units])
    except NotApplicable as reason:
        return absent(name=name, why=reason.message, basis=basis)
    interval, how = by_patient(units=units, statistic=statistic)
    return Measure(
        name=name,
        value=words.decimal(value, places),
        lower=words.decimal(interval.lower, places) if interval else None,
        upper=words.decimal(interval.upper, places) if interval else None,
        unit=unit,
        basis=basis,
        remark=words.sentence("; ".join(part for part in (remark, how if interval else "") if part)),
    )


def absent(*, name: str, why: str, basis: str) -> Measure:
    """Return a measure that has no value, with the reason in words."""
    return Measure(
        name=name,
        value=None,
        lower=None,
        upper=None,
        unit="",
        basis=basis,
        remark=words.sentence(f"Not given: {why}"),
    )
