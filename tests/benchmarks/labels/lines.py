"""The benchmark's headline figures as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imaging.phantom.label_errors import ErrorKind
from tests.benchmarks.labels.ours import NAME
from tests.benchmarks.labels.tables import moderate_shares
from tests.benchmarks.lines import Line, alone

MARGINS = ("missing", "missing_touching_another", "spurious", "boundary")
NAMES = (
    "labels.precision_at_budget",
    "labels.recall_at_budget",
    "labels.precision_at_budget_natural",
    *(f"labels.ap_margin_{name}" for name in MARGINS),
    "labels.ece",
    "labels.ece_natural",
    "labels.false_flags_clean",
    "labels.seconds",
    "labels.memory",
    *(f"labels.precision_{kind.value}" for kind in ErrorKind),
    *(f"labels.found_{kind.value}" for kind in ErrorKind),
)


def lines_of(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of all figures; a figure that has no value gives no line."""
    note = (
        f"`labels.*`: {figures['high']['errors']} errors of {len(ErrorKind)} kinds injected into labels of one and of "
        f"four simulated readers on {figures['scans']} scans (phantoms, and nodules put into real chests) with seeds "
        "that nothing was fitted on; all methods see the predictions of the same bundle. Peers run with their defaults "
        "and tuned on other seeds; the peer shown is the best of all of these."
    )
    found: list[Line | None] = [
        _beside_best(figures["high"]["overall"], "precision", "labels.precision_at_budget", note),
        _beside_best(figures["high"]["overall"], "recall", "labels.recall_at_budget", note),
        _beside_best(figures["natural"]["overall"], "precision", "labels.precision_at_budget_natural", note),
        *(_margin(f"labels.ap_margin_{name}", figures["margins"][name]) for name in MARGINS),
        _alone("labels.ece", figures["calibration"]["high"]["ece"], "expected calibration error"),
        _alone("labels.ece_natural", figures["calibration"]["natural"]["ece"], "expected calibration error"),
        _alone("labels.false_flags_clean", figures["clean"]["false_flags_a_case"], "false flags a clean case"),
        _alone("labels.seconds", figures["cost"]["seconds_median"]["4"], "s a case of four readers, median"),
        _alone("labels.memory", figures["cost"]["memory_peak_mb"], "MB"),
        *(
            _beside_best(
                figures["high"]["by_kind_moderate"][kind.value], "precision", f"labels.precision_{kind.value}", note
            )
            for kind in ErrorKind
        ),
        *(
            _alone(f"labels.found_{kind}", share, "of its moderate errors found at the common budget")
            for kind, share in moderate_shares(figures).items()
        ),
    ]
    return [line for line in found if line is not None]


def _beside_best(row: Mapping[str, Any], figure: str, bench: str, note: str) -> Line | None:
    ours = row[NAME][figure]
    peers = {name: own[figure] for name, own in row.items() if name != NAME and own[figure] is not None}
    if ours is None:
        return None
    if not peers:
        return Line(bench, ours, f"{figure} at the budget", note=note)
    best = max(peers, key=lambda name: float(peers[name]))
    ratio = round(ours / peers[best], 2) if peers[best] else None
    return Line(bench, ours, f"{figure} at the budget", best, peers[best], ratio, note)


def _margin(bench: str, figure: Mapping[str, Any]) -> Line | None:
    if figure["margin"] is None:
        return None
    unit = f"average precision above the peer's (ours {figure['ours']})"
    return Line(bench, figure["margin"], unit, figure["peer"], figure["peers"])


def _alone(bench: str, value: float | None, unit: str) -> Line | None:
    return None if value is None else alone(bench, value, unit)
