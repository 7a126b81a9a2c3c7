"""The three charts of a detector's evaluation, as SVG: FROC, calibration, sensitivity by size.

Pure: figures in, bytes out; no display, no clock, no random number, so that the same figures give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from imaging.agreement.intervals import proportion
from imaging.evaluation.bands import FrocBand
from imaging.evaluation.calibration import ReliabilityRow
from imaging.evaluation.drawing import BLUE, INK, ORANGE, PALE_BLUE, SOFT, Axis, Chart
from imaging.evaluation.froc import CONFIDENCE, FALSE_POSITIVE_RATES, Froc
from imaging.evaluation.operating_point import OperatingPoint, SizeRow

WIDTH, HEIGHT = 640.0, 430.0
SHARES = tuple((step / 5, f"{step / 5:.1f}") for step in range(6))
LEAST_RATE, MOST_RATE = 1 / 16, 16.0
RATE_LABELS = ("1/8", "1/4", "1/2", "1", "2", "4", "8")

BAND_RATES = tuple(LEAST_RATE * 2 ** (step / 8) for step in range(65))
"""Eight rates to a doubling, from 1/16 to 16 false positives a scan: where a band is asked for."""


def froc_plot(*, curve: Froc, band: FrocBand, point: OperatingPoint) -> bytes:
    """Return the FROC curve with its pointwise 95 % band, LUNA16's seven points and the operating point, as SVG."""
    cpm = f"{curve.cpm:.3f}"
    chart = Chart(
        title="Sensitivity against false positives (FROC)",
        key=(
            f"circles: LUNA16's seven points, mean {cpm}; shaded: 95 % limits over {point.patients} "
            f"patient{_s(point.patients)}",
            f"diamond: operating point, {point.found}/{point.nodules} found at "
            f"{point.false_positives.estimate:.2f} false positives a scan",
        ),
        description=f"{curve.nodules} nodules on {curve.scans} scans. Mean sensitivity at LUNA16's seven points {cpm}. "
        f"At the operating point {point.found} of {point.nodules} found with "
        f"{point.false_positives.estimate:.2f} false positives a scan.",
        horizontal=Axis(
            "False positives a scan (logarithmic)",
            LEAST_RATE,
            MOST_RATE,
            tuple(zip(FALSE_POSITIVE_RATES, RATE_LABELS, strict=True)),
            logarithmic=True,
        ),
        vertical=Axis("Sensitivity", 0.0, 1.0, SHARES),
        width=WIDTH,
        height=HEIGHT,
    )
    rates = [float(rate) for rate in band.rates]
    chart.band(
        list(zip(rates, (float(value) for value in band.lower), strict=True)),
        list(zip(rates, (float(value) for value in band.upper), strict=True)),
        colour=PALE_BLUE,
    )
    chart.line(_steps(curve), colour=BLUE, thickness=2.4)
    for rate, sensitivity in zip(FALSE_POSITIVE_RATES, curve.sensitivities, strict=True):
        chart.dot(rate, sensitivity, colour=BLUE, radius=4.5, filled=False)
    found = point.sensitivity.estimate
    rate = min(MOST_RATE, max(LEAST_RATE, point.false_positives.estimate))
    chart.diamond(rate, found, colour=ORANGE, radius=7.5)
    return chart.svg()


def calibration_plot(*, rows: Sequence[ReliabilityRow], error: float, brier: float, least: float) -> bytes:
    """Return what share of candidates were nodules against the probability given, in bins of equal mass, as SVG.

    ``rows``: lowest scores first. ``error``: expected calibration error; ``brier``: Brier score; ``least``: the
    probability from which candidates were taken. Whiskers are the bins' score intervals.
    """
    total = sum(row.count for row in rows)
    least_count, most_count = min(row.count for row in rows), max(row.count for row in rows)
    each = f"{least_count}" if least_count == most_count else f"{least_count} to {most_count}"
    chart = Chart(
        title="Probability given and share that were nodules",
        key=(
            f"{len(rows)} bin{_s(len(rows))} of {each} candidates, {total} in all, with 95 % limits; dashed: perfect",
            f"expected calibration error {error:.3f}, Brier score {brier:.3f}",
        ),
        description=f"{total} candidates of a probability of at least {least:g} in {len(rows)} bins of equal mass. "
        f"Expected calibration error {error:.3f}, Brier score {brier:.3f}.",
        horizontal=Axis("Mean probability given by the model", 0.0, 1.0, SHARES),
        vertical=Axis("Share that were nodules", 0.0, 1.0, SHARES),
        width=WIDTH,
        height=HEIGHT,
    )
    chart.line([(0.0, 0.0), (1.0, 1.0)], colour=SOFT, thickness=1.4, dashes="6 5")
    chart.line([(row.mean_score, row.observed_share) for row in rows], colour=BLUE, thickness=2.0)
    for row in rows:
        limits = proportion(successes=round(row.observed_share * row.count), total=row.count, confidence=CONFIDENCE)
        chart.whisker(row.mean_score, limits.lower, limits.upper, colour=BLUE)
        chart.dot(row.mean_score, row.observed_share, colour=BLUE, radius=5.0, filled=True)
    return chart.svg()


def sensitivity_plot(*, rows: Sequence[SizeRow], threshold: float) -> bytes:
    """Return the share of nodules found at the operating point by size, with 95 % limits and counts, as SVG."""
    ticks = tuple((number + 0.5, _bin(row)) for number, row in enumerate(rows))
    told = "; ".join(f"{_bin(row)} mm: {row.found} of {row.total}" for row in rows)
    chart = Chart(
        title="Sensitivity by size at the operating point",
        key=(
            f"candidates of a probability of at least {threshold:.3g} count; whiskers: 95 % limits",
            "numbers: nodules found of all of that size",
        ),
        description=f"Candidates of a probability of at least {threshold:.3g} count. {told}.",
        horizontal=Axis("Diameter of the ball of equal volume, mm", 0.0, max(1.0, float(len(rows))), ticks),
        vertical=Axis("Sensitivity", 0.0, 1.0, SHARES),
        width=WIDTH,
        height=HEIGHT,
    )
    for number, row in enumerate(rows):
        middle = number + 0.5
        share = row.found / row.total
        chart.bar(middle - 0.3, middle + 0.3, 0.0, share, colour=PALE_BLUE)
        chart.whisker(middle, row.lower, row.upper, colour=BLUE)
        chart.dot(middle, share, colour=BLUE, radius=4.5, filled=True)
        chart.note(middle, 0.0, f"{row.found}/{row.total}", anchor="middle", dx=0.0, dy=-8.0, colour=INK)
    return chart.svg()


def _steps(curve: Froc) -> list[tuple[float, float]]:
    """Return the curve's points within the chart, joined by straight lines as LUNA16 reads them."""
    points = [
        (float(rate), float(value))
        for rate, value in zip(curve.false_positives_per_scan, curve.sensitivity, strict=True)
    ]
    inside = [(rate, value) for rate, value in points if LEAST_RATE <= rate <= MOST_RATE]
    before = [(rate, value) for rate, value in points if rate < LEAST_RATE]
    after = [(rate, value) for rate, value in points if rate > MOST_RATE]
    first = _at(before[-1], (inside or after or [before[-1]])[0], LEAST_RATE)
    last = [] if not after else [_at((inside or before)[-1], after[0], MOST_RATE)]
    # Without a further false positive the sensitivity stays what it is.
    end = [(MOST_RATE, (inside or before)[-1][1])] if not after else []
    return [first, *inside, *last, *end]


def _at(one: tuple[float, float], other: tuple[float, float], rate: float) -> tuple[float, float]:
    if math.isclose(one[0], other[0]):
        return rate, other[1]
    return rate, one[1] + (other[1] - one[1]) * (rate - one[0]) / (other[0] - one[0])


def _bin(row: SizeRow) -> str:
    if row.lower_mm <= 0.0:
        return f"under {row.upper_mm:g}"
    return f"over {row.lower_mm:g}" if math.isinf(row.upper_mm) else f"{row.lower_mm:g} to {row.upper_mm:g}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
