"""What the checks cost, inference apart: seconds and memory a case, and how both grow with the number of findings."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from imaging.masks.place import centre_of
from imaging.pipeline import analyse
from imaging.training.spoilt import SpoiltCase
from imaging.types import AnnotationSet, Case
from tests.benchmarks.labels.crowded import crowded
from tests.benchmarks.labels.ours import PARAMETERS

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
LESIONS = (10, 40, 160)
ROUNDS = 3


def seconds_for(case: Case) -> float:
    """Return the time of one analysis."""
    began = time.perf_counter()
    analyse(case=case, parameters=PARAMETERS)
    return time.perf_counter() - began


def growth(case: SpoiltCase) -> Mapping[str, object]:
    """Return seconds for parts of a case's findings, the straight line through them, and how well it fits.

    ``curvature``: what a quadratic term would add at all findings, as a share of the time there; near 0 is linear.
    """
    points: list[tuple[int, float]] = []
    for share in SHARES:
        part = _part(case.case, share)
        count = sum(len(one.findings) for one in part.annotation_sets)
        # What is computed once a case is computed anew on a copy.
        points.append((count, min(seconds_for(replace(part)) for _ in range(ROUNDS))))
    counts = np.array([count for count, _ in points], dtype=np.float64)
    seconds = np.array([value for _, value in points])
    slope, start = np.polyfit(counts, seconds, 1)
    residual = seconds - (start + slope * counts)
    spread = seconds - seconds.mean()
    square = np.polyfit(counts, seconds, 2)[0]
    return {
        "findings_and_seconds": [[count, round(value, 3)] for count, value in points],
        "seconds_without_findings": round(float(start), 3),
        "milliseconds_a_finding": round(1000.0 * float(slope), 2),
        "r_squared": round(1.0 - float((residual**2).sum() / max((spread**2).sum(), 1e-12)), 3),
        "curvature": round(float(square * counts[-1] ** 2 / seconds[-1]), 3),
    }


def crowding(case: Case) -> list[list[float]]:
    """Return (findings, seconds) on the case's volume with ever more copies of its lesions, all readers together."""
    found = []
    for lesions in LESIONS:
        copies = [crowded(case=case, lesions=lesions) for _ in range(ROUNDS)]
        seconds = [seconds_for(one) for one in copies if one is not None]
        if seconds and copies[0] is not None:
            findings = sum(len(one.findings) for one in copies[0].annotation_sets)
            found.append([findings, round(min(seconds), 3)])
    return found


def peak_memory_mb(case: Case) -> float:
    """Return how much memory an analysis takes beyond what its case holds, in MB, as the allocator sees it."""
    tracemalloc.start()
    try:
        analyse(case=case, parameters=PARAMETERS)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _part(case: Case, share: float) -> Case:
    sets = tuple(_first(one, share) for one in case.annotation_sets)
    places = {centre_of(finding) for one in sets for finding in one.findings}
    assert case.prediction is not None
    outlines = tuple(one for one in case.prediction.outlines if one.place_mm in places)
    return replace(case, annotation_sets=sets, prediction=replace(case.prediction, outlines=outlines))


def _first(annotation_set: AnnotationSet, share: float) -> AnnotationSet:
    count = max(1, round(share * len(annotation_set.findings)))
    return replace(annotation_set, findings=annotation_set.findings[:count])
