"""The pixels that a COCO segmentation means: polygons, and run lengths plain or packed.

COCO's coordinates have their origin at the upper left corner of the upper left pixel, so that pixel (row r, column c)
reaches from (c, r) to (c + 1, r + 1) and its centre is (c + 0.5, r + 0.5). A polygon holds the pixels whose centres lie
inside it or on its edge; several polygons are parts of one thing. Run lengths go down the columns, the first run empty
pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.masks.polygons import polygon_interior, polygon_outline
from imaging.readers.json_text import items_of, number_in, text_in

_NOT_A_SEGMENTATION = "segmentation-not-decoded"


def segmentation_pixels(segmentation: object, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a segmentation on an image of ``shape`` (rows, columns), bool.

    Raises UnreadableFile ``segmentation-not-decoded`` (with what is wrong) or ``label-outside-image`` (a polygon passes
    the image's edge by a pixel or more).
    """
    if isinstance(segmentation, dict):
        return _run_lengths(segmentation, shape)
    return _polygons(polygons_of(segmentation), shape)


def polygons_of(segmentation: object) -> list[NDArray[np.float64]]:
    """Return the polygons of a segmentation, each (n, 2) of x, y as written. Raises ``segmentation-not-decoded``."""
    polygons: list[NDArray[np.float64]] = []
    for part in items_of(segmentation):
        numbers = [number_in(one) for one in items_of(part)]
        kept = [one for one in numbers if one is not None]
        if len(kept) != len(numbers) or len(kept) < 6 or len(kept) % 2:
            raise UnreadableFile(_NOT_A_SEGMENTATION, "a polygon is not three or more pairs of finite numbers")
        polygons.append(np.array(kept, dtype=np.float64).reshape(-1, 2))
    return polygons


def _polygons(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    pixels = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons:
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        beyond = max(float(-low.min()), float(high[0] - shape[1]), float(high[1] - shape[0]))
        if beyond >= 1.0:
            raise UnreadableFile(
                "label-outside-image",
                f"a polygon reaches {beyond:.1f} pixels outside the image of {shape[1]} x {shape[0]} pixels",
            )
        vertices = [(float(y) - 0.5, float(x) - 0.5) for x, y in polygon]
        inside, (top, left) = polygon_interior(vertices=vertices)
        edge, _ = polygon_outline(vertices=vertices)
        rows, columns = np.nonzero(inside | edge)
        rows, columns = rows + top, columns + left
        kept = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        pixels[rows[kept], columns[kept]] = True
    return pixels


def _run_lengths(segmentation: Mapping[str, object], shape: tuple[int, int]) -> NDArray[np.bool_]:
    size = [number_in(one) for one in items_of(segmentation.get("size"))]
    if size != [float(shape[0]), float(shape[1])]:
        raise UnreadableFile(
            _NOT_A_SEGMENTATION,
            f"its size is not that of the image, {shape[0]} rows and {shape[1]} columns",
        )
    packed = text_in(segmentation, "counts") if isinstance(segmentation.get("counts"), str) else None
    runs = unpacked_runs(packed) if packed is not None else _plain_runs(segmentation.get("counts"))
    total = shape[0] * shape[1]
    if any(run < 0 for run in runs) or sum(runs) != total:
        raise UnreadableFile(_NOT_A_SEGMENTATION, f"its run lengths do not add up to {total} pixels")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape((shape[1], shape[0])).T


def _plain_runs(counts: object) -> list[int]:
    runs = [number_in(one) for one in items_of(counts)]
    if not runs or any(run is None or run != int(run) for run in runs):
        raise UnreadableFile(_NOT_A_SEGMENTATION, "its run lengths are not whole numbers")
    return [int(run) for run in runs if run is not None]


def unpacked_runs(text: str) -> list[int]:
    """Return the run lengths of COCO's packed text.

    Six bits a character from code 48 on: five of value, lowest first, and one that says that more follow; the value is
    signed, and from the fourth on it is the difference to the run before the last. Raises ``segmentation-not-decoded``.
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at >= len(text) or not 48 <= ord(text[at]) < 48 + 64 or shift > 60:
                raise UnreadableFile(_NOT_A_SEGMENTATION, "its packed run lengths are damaged")
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at += 1
            shift += 5
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
