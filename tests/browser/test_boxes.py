"""Boxes, predictions and anatomy on the series page: boxes lie on the voxels that they enclose, left is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.acceptance.service import Service
from tests.browser.conftest import Portal, Visitor
from tests.browser.pixels import box, bright, canvas, yellow
from tests.browser.scans import BLOCK_MM, SCANS, Scan
from tests.browser.seeding import LEAD, PROJECT

pytestmark = pytest.mark.browser

BOTH_SCANS = pytest.mark.parametrize("scan", SCANS, ids=["plain", "mirrored"])


def orange(picture):  # type: ignore[no-untyped-def]  # (rows, columns, RGB) to (rows, columns)
    """Pixels of an algorithm's marks."""
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    return (red > 200) & (green > 100) & (green < 170) & (blue < 110)


def predictions() -> str:
    """Boxes of an algorithm round the bright blocks; another structure in the other lung."""
    (x0, x1), (y0, y1), (z0, z1) = BLOCK_MM
    around = {"shape": "box", "corner_mm": [x0, y0, z0 - 1.25], "opposite_corner_mm": [x1, y1, z1 + 1.25]}
    aorta = {"shape": "box", "corner_mm": [-60, -20, 10], "opposite_corner_mm": [-40, 0, 35]}
    cases = [
        {
            "series_instance_uid": scan.uid,
            "predictions": [
                around | {"label": "nodule", "confidence": 0.87},
                aorta | {"label": "aorta", "confidence": 0.5},
            ],
            "class_probabilities": {"malignant": 0.31},
        }
        for scan in SCANS
    ]
    algorithm = {"name": "Detector", "version": "2"}
    return json.dumps({"format": "label-qa-predictions", "version": 1, "algorithm": algorithm, "cases": cases})


@pytest.fixture(scope="module")
def seeded(
    seeded: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """The seeded site with an algorithm's boxes on both scans."""

    data, tokens = seeded
    folder = tmp_path_factory.mktemp("boxes")
    shutil.copytree(data, folder / "data")
    (folder / "predictions.json").write_text(predictions())
    Service(folder / "data").run("ingest", folder / "predictions.json", "--project", PROJECT)
    return folder / "data", tokens


def opened(visitor: Visitor, portal: Portal, scan: Scan, z_mm: float) -> Page:
    """The series page of a scan at a height, only the algorithm's labels shown, voxels plain."""
    rows = portal.lead.get(f"projects/{PROJECT}/series/").body
    series = next(row["id"] for row in rows if row["series_instance_uid"] == scan.uid)
    affine = portal.lead.get(f"series/{series}/").body["affine"]
    index = round((z_mm - affine[2][3]) / affine[2][0])
    visitor.log_in(LEAD).page.goto(f"{portal.address}/projects/{PROJECT}/series/{series}/?slice={index}")
    visitor.wait_for_image()
    for group in ("annotator 1", "annotator 2"):
        for switch in visitor.page.locator(".legend h3", has_text=group).locator("+ ul input").all():
            switch.uncheck()
    visitor.page.evaluate("() => document.activeElement.blur()")
    visitor.page.keyboard.press("i")
    visitor.wait_for_image()
    return visitor.page


@BOTH_SCANS
def test_a_box_lies_on_the_voxels_that_it_encloses_on_the_patients_left(visitor: Visitor, portal: Portal, scan: Scan):
    page = opened(visitor, portal, scan, z_mm=22.5)
    picture = canvas(page)
    block, drawn = box(bright(picture)), box(orange(picture))
    assert block.left > picture.shape[1] / 2, "the patient's left is on the right of the screen"
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(drawn, side) - getattr(block, side)) <= 3, side
    assert visitor.complaints == []


@BOTH_SCANS
@pytest.mark.parametrize(("z_mm", "shown"), [(15.0, True), (30.0, True), (12.5, False), (32.5, False)])
def test_a_box_shows_on_the_slices_that_it_covers_and_on_no_other(
    visitor: Visitor, portal: Portal, scan: Scan, z_mm: float, shown: bool
):
    picture = canvas(opened(visitor, portal, scan, z_mm=z_mm))
    assert orange(picture).any() == shown


def test_anatomy_is_drawn_apart_and_by_name(visitor: Visitor, portal: Portal):
    page = opened(visitor, portal, SCANS[0], z_mm=32.5)
    picture = canvas(page)
    assert not orange(picture).any() and not yellow(picture).any()
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    pale = (green > 190) & (green - red > 15) & (green - blue > 8)
    assert pale.any() and box(pale).right < picture.shape[1] / 2, "it lies in the right lung"
    assert page.locator(".legend").get_by_text("aorta (other structure)").is_visible()


def test_the_series_page_says_where_each_set_comes_from_in_plain_words(visitor: Visitor, portal: Portal):
    page = opened(visitor, portal, SCANS[0], z_mm=22.5)
    text = page.get_by_role("complementary", name="Annotation sets of this series").inner_text()
    for words in (
        "annotator 1",
        "predictions (JSON)",
        "Detector, version 2",
        "50 % to 87 % by its own account, not calibrated here",
        "malignant: 31 %",
        "by nothing",
        "aorta",
    ):
        assert words in text, words
