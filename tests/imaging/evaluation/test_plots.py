"""The charts: well-formed, true to their figures, alike for alike figures, and nothing outside the frame."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from imaging.evaluation.bands import froc_band
from imaging.evaluation.calibration import ReliabilityRow, reliability_table
from imaging.evaluation.drawing import BOTTOM, LEFT, RIGHT, TOP
from imaging.evaluation.froc import Detection, Scan, Truth, froc
from imaging.evaluation.operating_point import SizeRow, at_threshold
from imaging.evaluation.plots import BAND_RATES, HEIGHT, WIDTH, calibration_plot, froc_plot, sensitivity_plot

SVG = "{http://www.w3.org/2000/svg}"
ROWS = (
    SizeRow(0.0, 3.0, 0, 2, 0.0, 0.84),
    SizeRow(6.0, 8.0, 3, 4, 0.3, 0.95),
    SizeRow(30.0, math.inf, 2, 2, 0.16, 1.0),
)


def scans(*, false: int) -> list[Scan]:
    truth = Truth(centre_mm=(0.0, 0.0, 0.0), diameter_mm=8.0, included=True)
    made = []
    for number in range(6):
        others = tuple(Detection((100.0 + place, 0.0, 0.0), 0.1 + 0.01 * place) for place in range(0, false * 20, 20))
        hit = (Detection((0.0, 0.0, 0.0), 0.9 - 0.1 * number),) if number < 5 else ()
        made.append(Scan(f"s{number}", (truth,), (*hit, *others)))
    return made


def drawn(*, false: int) -> bytes:
    given = scans(false=false)
    return froc_plot(
        curve=froc(scans=given),
        band=froc_band(scans=given, patients={}, rates=BAND_RATES, seed=1),
        point=at_threshold(scans=given, patients={}, threshold=0.5, smallest_mm=3.0, seed=1),
    )


def calibrated() -> bytes:
    scores = np.linspace(0.05, 0.99, 60)
    rows = reliability_table(scores=scores, truths=scores > 0.5, bins=10)
    return calibration_plot(rows=rows, error=0.1234, brier=0.0567, least=0.05)


def every() -> list[bytes]:
    one = ReliabilityRow(0.5, 0.5, 3, 0.5, 1.0)
    return [
        drawn(false=0),
        drawn(false=3),
        drawn(false=30),
        calibrated(),
        calibration_plot(rows=(one,), error=0.5, brier=0.25, least=0.05),
        sensitivity_plot(rows=ROWS, threshold=0.35),
    ]


@pytest.mark.parametrize("number", range(6))
def test_every_mark_lies_within_the_frame_and_every_text_within_the_picture(number: int) -> None:
    root = ElementTree.fromstring(every()[number])
    assert root.get("width") == f"{WIDTH:g}" and root.find(f"{SVG}title") is not None
    for dot in root.iter(f"{SVG}circle"):
        x, y = float(dot.get("cx", "nan")), float(dot.get("cy", "nan"))
        assert LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM
    for line in (*root.iter(f"{SVG}polyline"), *root.iter(f"{SVG}polygon")):
        pairs = [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]
        assert pairs and all(
            LEFT - 8 <= x <= WIDTH - RIGHT + 8 and TOP - 8 <= y <= HEIGHT - BOTTOM + 8 for x, y in pairs
        )
    for text in root.iter(f"{SVG}text"):
        x, size = float(text.get("x", "nan")), float(text.get("font-size", "nan"))
        if text.get("transform") is None and text.get("text-anchor") == "start":
            # No common face is wider than 0.55 of its size on average (DejaVu Sans is 0.53).
            assert x + 0.55 * size * len(text.text or "") <= WIDTH, text.text


def test_the_same_figures_give_the_same_bytes_and_nothing_is_fetched() -> None:
    assert every() == every()
    assert not any(re.search(rb"href|<script|<style|url\(", chart) for chart in every())


def test_the_charts_say_their_figures_in_words() -> None:
    froc_text = drawn(false=3).decode()
    assert "operating point, 5/6 found" in froc_text and "over 6 patients" in froc_text
    assert "expected calibration error 0.123, Brier score 0.057" in calibrated().decode()
    assert "10 bins of 6 candidates, 60 in all" in calibrated().decode()
    by_size = sensitivity_plot(rows=ROWS, threshold=0.35).decode()
    assert "under 3" in by_size and "over 30" in by_size and ">3/4<" in by_size


def test_a_detector_without_false_positives_is_drawn_to_the_right_edge() -> None:
    root = ElementTree.fromstring(drawn(false=0))
    line = next(root.iter(f"{SVG}polyline"))
    xs = [float(pair.split(",")[0]) for pair in line.get("points", "").split()]
    assert xs[0] == LEFT and xs[-1] == WIDTH - RIGHT
