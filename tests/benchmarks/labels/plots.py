"""The benchmark's charts, as SVG in the style of the model's evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imaging.evaluation.drawing import BLUE, INK, ORANGE, PALE_BLUE, SOFT, Axis, Chart
from imaging.phantom.label_errors import ErrorKind
from tests.benchmarks.labels.compare import everything
from tests.benchmarks.labels.figures import Ranking, rank
from tests.benchmarks.labels.ours import NAME
from tests.benchmarks.labels.run import Collected

SHARES = tuple((step / 5, f"{step / 5:.1f}") for step in range(6))
WIDTH, HEIGHT = 860.0, 460.0


def write_plots(figures: Mapping[str, Any], found: Collected, folder: Path) -> None:
    """Write ``kinds.svg``, ``ranking.svg`` and ``probability.svg`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kinds.svg").write_bytes(kinds_plot(figures["high"]["by_kind_moderate"]))
    (folder / "ranking.svg").write_bytes(ranking_plot(found, best_peer(figures["high"]["overall"])))
    (folder / "probability.svg").write_bytes(probability_plot(figures["calibration"]["high"]))


def best_peer(overall: Mapping[str, Any]) -> str:
    """Return the peer with the highest average precision over all errors."""
    return max((name for name in overall if name != NAME), key=lambda name: overall[name]["average_precision"] or 0.0)


def kinds_plot(table: Mapping[str, Any]) -> bytes:
    """Return the precision at the budget by kind at moderate severity: ours as bars, the best peer's as diamonds."""
    kinds = [kind.value for kind in ErrorKind]
    ticks = tuple((number + 0.5, str(number + 1)) for number in range(len(kinds)))
    chart = Chart(
        title="Precision at a budget of as many flags as errors, moderate severity",
        key=(
            "; ".join(f"{number + 1} {kind}" for number, kind in enumerate(kinds[:8])),
            "; ".join(f"{number + 9} {kind}" for number, kind in enumerate(kinds[8:])),
        ),
        description="; ".join(f"{kind}: {_said(table[kind])}" for kind in kinds),
        horizontal=Axis(
            "Kind; bars: our checks, diamonds: the best peer, numbers: errors", 0.0, float(len(kinds)), ticks
        ),
        vertical=Axis("Precision", 0.0, 1.0, SHARES),
        width=WIDTH,
        height=HEIGHT,
    )
    for number, kind in enumerate(kinds):
        ours, theirs = _pair(table[kind])
        middle = number + 0.5
        chart.bar(middle - 0.3, middle + 0.3, 0.0, ours, colour=PALE_BLUE)
        chart.dot(middle, ours, colour=BLUE, radius=4.0, filled=True)
        chart.diamond(middle, theirs, colour=ORANGE, radius=6.0)
        errors = str(table[kind][NAME]["errors"])
        highest = max(ours, theirs)
        # Under the marks where there is no room above them.
        below = 26.0 if highest > 0.95 else -8.0
        chart.note(middle, highest, errors, anchor="middle", dx=0.0, dy=below, colour=INK)
    return chart.svg()


def ranking_plot(found: Collected, peer: str) -> bytes:
    """Return precision against recall of our ranking and of the best peer's."""
    rankings = {
        name: rank(cases=found.cases, flags=found.flags[name], kinds=None, wanted=everything().wanted)
        for name in (NAME, peer)
    }
    chart = Chart(
        title="Precision and recall over all injected errors",
        key=(f"solid: {NAME}; dashed: {peer}", f"{rankings[NAME].asked} errors; one ranking over all scans"),
        description=f"Precision against recall of {NAME} and of {peer}.",
        horizontal=Axis("Recall", 0.0, 1.0, SHARES),
        vertical=Axis("Precision", 0.0, 1.0, SHARES),
        width=640.0,
        height=430.0,
    )
    for name, colour, dashes in ((NAME, BLUE, ""), (peer, ORANGE, "6 4")):
        points = _curve(rankings[name])
        if points:
            chart.line(points, colour=colour, thickness=2.2, dashes=dashes)
    return chart.svg()


def probability_plot(figure: Mapping[str, Any]) -> bytes:
    """Return the share that was wrong against the probability given: all statements, and flags alone."""
    chart = Chart(
        title="Probability given and share that was wrong",
        key=(
            f"dots: all {figure['statements']} labels and places, expected calibration error {figure['ece']}",
            f"circles: the {figure['flagged']} flagged ones alone, {figure['flagged_ece']}; dashed: perfect",
        ),
        description=f"Expected calibration error {figure['ece']} over {figure['statements']} labels and places.",
        horizontal=Axis("Mean probability given", 0.0, 1.0, SHARES),
        vertical=Axis("Share that was wrong", 0.0, 1.0, SHARES),
        width=640.0,
        height=430.0,
    )
    chart.line([(0.0, 0.0), (1.0, 1.0)], colour=SOFT, thickness=1.4, dashes="6 5")
    for table, colour, filled in ((figure["table"], BLUE, True), (figure["flagged_table"], ORANGE, False)):
        points = [(float(mean), float(share)) for _, mean, share in table]
        if len(points) > 1:
            chart.line(points, colour=colour, thickness=1.8)
        for mean, share in points:
            chart.dot(mean, share, colour=colour, radius=5.0, filled=filled)
    return chart.svg()


def _curve(ranking: Ranking) -> list[tuple[float, float]]:
    if not len(ranking.found) or not ranking.asked:
        return []
    right = np.cumsum(ranking.found)
    precision = right / np.arange(1, len(right) + 1)
    recall = right / ranking.asked
    steps = np.flatnonzero(ranking.found)
    return [(float(recall[step]), float(precision[step])) for step in steps]


def _pair(row: Mapping[str, Any]) -> tuple[float, float]:
    theirs = [own["precision"] or 0.0 for name, own in row.items() if name != NAME]
    return row[NAME]["precision"] or 0.0, max(theirs, default=0.0)


def _said(row: Mapping[str, Any]) -> str:
    ours, theirs = _pair(row)
    return f"ours {ours}, best peer {theirs}"
