"""What is on the screen, as numbers."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page
from skimage.io import imread


@dataclass(frozen=True)
class Box:
    """Where something is on the canvas, in screen pixels: from ``left`` up to, not with, ``right``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def canvas(page: Page) -> NDArray[np.int16]:
    """The canvas as the screen shows it, (rows, columns, RGB), without the text that lies over its rim."""
    hide = "() => document.querySelectorAll('.frame > :not(canvas)').forEach(e => e.style.visibility = 'hidden')"
    page.evaluate(hide)
    picture = page.locator("canvas.slice").screenshot()
    return imread(io.BytesIO(picture))[..., :3].astype(np.int16)


def bright(picture: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Grey pixels near white; the scale bar's corner is left out."""
    grey = (picture.max(axis=2) - picture.min(axis=2)) < 12
    found = grey & (picture.min(axis=2) > 215)
    found[-60:, picture.shape[1] // 2 :] = False
    return found


def yellow(picture: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels of the outline of the label under review."""
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    return (red > 180) & (green > 150) & (blue < 150) & (red - blue > 80)


def box(found: NDArray[np.bool_]) -> Box:
    """The bounding box of what was found."""
    rows, columns = np.nonzero(found)
    assert rows.size, "nothing of that colour is on the screen"
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
