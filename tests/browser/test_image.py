"""The image itself: left is left, voxels keep their shape, and overlays lie on the voxels that they mean."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visitor
from tests.browser.pixels import box, bright, canvas, yellow
from tests.browser.scans import BLOCK_MM, SLICES

pytestmark = pytest.mark.browser

# F-0001 and F-0003 are the flags on the bright block of the plain and of the mirrored scan.
BOTH_SCANS = pytest.mark.parametrize("flag", ["F-0001", "F-0003"], ids=["plain", "mirrored"])
BLOCK_SIDE_MM = BLOCK_MM[0][1] - BLOCK_MM[0][0]


def without_marks(visitor: Visitor) -> None:
    visitor.page.keyboard.press("m")
    visitor.page.keyboard.press("o")
    visitor.page.keyboard.press("i")
    visitor.wait_for_image()


@BOTH_SCANS
def test_the_patients_left_is_on_the_right_of_the_screen(visitor: Visitor, flag: str):
    page = visitor.log_in("ada").open_case("ada", flag)
    without_marks(visitor)
    picture = canvas(page)
    found = box(bright(picture))
    assert found.left > picture.shape[1] / 2
    assert page.locator(".letter.at-right").text_content() == "L"
    assert page.locator(".letter.at-left").text_content() == "R"
    assert page.locator(".letter.at-top").text_content() == "A"
    assert page.locator(".letter.at-bottom").text_content() == "P"


@BOTH_SCANS
def test_voxels_that_are_not_square_keep_their_true_shape(visitor: Visitor, flag: str):
    page = visitor.log_in("ada").open_case("ada", flag)
    without_marks(visitor)
    picture = canvas(page)
    found = box(bright(picture))
    expected = BLOCK_SIDE_MM / 160.0 * min(picture.shape[:2])
    assert abs(found.width - expected) <= 2
    assert abs(found.height - expected) <= 2


@BOTH_SCANS
@pytest.mark.parametrize("zoomed", [False, True], ids=["whole image", "zoomed"])
def test_the_outline_lies_on_the_voxels_of_its_mask(visitor: Visitor, flag: str, zoomed: bool):
    page = visitor.log_in("ada").open_case("ada", flag)
    without_marks(visitor)
    if zoomed:
        page.keyboard.press("g")
        visitor.wait_for_image()
    block = box(bright(canvas(page)))
    page.keyboard.press("o")
    visitor.wait_for_image()
    outline = box(yellow(canvas(page)))
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(outline, side) - getattr(block, side)) <= 2, side


def test_the_outline_is_gone_on_the_slice_beyond_the_label(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0001")
    page.keyboard.press("m")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    visitor.wait_for_image()
    picture = canvas(page)
    assert not bright(picture).any()
    assert not yellow(picture).any()


def test_scrolling_goes_towards_the_feet_and_stops_at_the_last_image(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0001")
    corner = page.locator(".corner.top-left")
    page.keyboard.press("Home")
    visitor.wait_for_image()
    assert f"Image 1 of {SLICES}" in corner.inner_text()
    assert "z 47.5 mm" in corner.inner_text()
    canvas_box = page.locator("canvas.slice").bounding_box()
    assert canvas_box is not None
    page.mouse.move(canvas_box["x"] + 200, canvas_box["y"] + 200)
    page.mouse.wheel(0, 100)
    visitor.wait_for_image()
    assert f"Image 2 of {SLICES}" in corner.inner_text()
    page.keyboard.press("End")
    page.keyboard.press("PageDown")
    visitor.wait_for_image()
    assert f"Image {SLICES} of {SLICES}" in corner.inner_text()
    assert "z 0.0 mm" in corner.inner_text()


def test_the_readout_names_the_voxel_the_place_and_the_value_under_the_pointer(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0001")
    page.keyboard.press("g")
    visitor.wait_for_image()
    at = page.locator("canvas.slice").bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    text = page.locator(".corner.bottom-left").inner_text()
    assert "150 HU" in text
    x, y, z = (float(part.replace("−", "-")) for part in text.split("LPS ")[1].split(" mm")[0].split(", "))
    assert abs(x - 40.0) <= 1 and abs(y) <= 1.5 and abs(z - 22.5) <= 0.1


def test_the_lung_window_comes_first_and_presets_change_it(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0001")
    corner = page.locator(".corner.top-right")
    assert "L −600" in corner.inner_text() and "W 1500" in corner.inner_text()
    page.get_by_role("button", name="Soft tissue").click()
    assert "L 40" in corner.inner_text() and "W 400" in corner.inner_text()
    assert page.get_by_role("button", name="Soft tissue").get_attribute("aria-pressed") == "true"
