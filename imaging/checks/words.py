"""The wording of reasons: short, neutral, plain, and before the reveal the same for every check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from imaging.checks.once import once
from imaging.checks.places import lies_inside
from imaging.geometry.affine import to_index
from imaging.types import Case, PointMm, Volume

CLOSING = "Could we look at it together?"

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def blind_reason(*, case: Case, place_mm: PointMm, body_threshold_hu: float, midline_margin_mm: float) -> str:
    """Return what a reader may see before voting: where to look, and nothing about who or what prompted it.

    It depends on the place alone, never on the check, so that a missing and a spurious label read alike.
    """
    where = place_on_case(
        case=case, place_mm=place_mm, body_threshold_hu=body_threshold_hu, midline_margin_mm=midline_margin_mm
    )
    return f"This place may deserve a second look: {where}." if where else "This place may deserve a second look."


def place_on_case(*, case: Case, place_mm: PointMm, body_threshold_hu: float, midline_margin_mm: float) -> str:
    """Return ``place_in_words`` on a case's volume, said once for each place: every check names it twice an issue."""
    return once(
        case=case,
        key=("place_on_case", place_mm, body_threshold_hu, midline_margin_mm),
        compute=lambda: _in_words(
            case.volume,
            place_mm,
            midline_margin_mm,
            # Many places lie on one slice, and finding the body takes a look at all of it.
            lambda index: once(
                case=case,
                key=("body_middle", index, body_threshold_hu),
                compute=lambda: _body_middle_x_mm(case.volume, index, body_threshold_hu),
            ),
        ),
    )


def place_in_words(*, volume: Volume, place_mm: PointMm, body_threshold_hu: float, midline_margin_mm: float) -> str:
    """Return a place as people say it, "image 87, patient's left side"; empty for one outside the image.

    The image number is the instance number, where the series has one, else the slice counted from 1. The side is told
    by the sign of x (LPS) from the middle of the body in that slice, and left out near the middle or without a body.
    """
    return _in_words(
        volume, place_mm, midline_margin_mm, lambda index: _body_middle_x_mm(volume, index, body_threshold_hu)
    )


def _in_words(
    volume: Volume, place_mm: PointMm, midline_margin_mm: float, middle_of: Callable[[int], float | None]
) -> str:
    if not lies_inside(grid=volume.grid, place_mm=place_mm):
        return ""
    index = int(np.clip(np.rint(to_index(volume.grid, place_mm)[0]), 0, volume.grid.shape[0] - 1))
    number = volume.instance_numbers[index] if index < len(volume.instance_numbers) else None
    image = f"image {number}" if number is not None else f"slice {index + 1} of {volume.grid.shape[0]}"
    middle = middle_of(index)
    if middle is None or abs(place_mm[0] - middle) < midline_margin_mm:
        return image
    side = "left" if place_mm[0] > middle else "right"
    return f"{image}, patient's {side} side"


def percent(*, probability: float) -> str:
    """Return a probability as whole percent, "94 %", never 0 or 100, which would claim certainty."""
    return f"{min(max(round(100 * probability), 1), 99)} %"


def millimetres(*, value: float) -> str:
    """Return a length to the whole millimetre, below 3 mm to half a millimetre, with its unit."""
    return f"{round(value * 2) / 2:g} mm" if value < 3 else f"{round(value)} mm"


def counted(*, number: int, noun: str) -> str:
    """Return "one reader", "three readers", "14 readers"."""
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {noun}" if number == 1 else f"{word} {noun}s"


def who_marked(*, marked: int, total: int) -> str:
    """Return who marked a place, as a clause: "none of the four readers marked it", "two of the three readers ..."."""
    if total == 1:
        return "the only reader marked it" if marked else "the only reader did not mark it"
    readers = counted(number=total, noun="reader")
    if marked == 0:
        return f"{'neither' if total == 2 else 'none'} of the {readers} marked it"
    if marked == total:
        return "both readers marked it" if total == 2 else f"all {readers} marked it"
    return f"{_NUMBERS[marked] if marked < len(_NUMBERS) else marked} of the {readers} marked it"


def _body_middle_x_mm(volume: Volume, index: int, threshold_hu: float) -> float | None:
    # Every fourth voxel is enough to find the middle of a body.
    dense = volume.hounsfield[index, ::4, ::4] > threshold_hu
    labels, number = ndimage.label(dense)
    if number == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    body = labels == int(np.argmax(sizes)) + 1
    # A body fills a good part of its slice; a lone vessel in an empty one tells nothing about sides.
    if np.count_nonzero(body) < 0.05 * body.size:
        return None
    rows, columns = np.nonzero(body)
    row = (rows.min() + rows.max()) * 2.0
    column = (columns.min() + columns.max()) * 2.0
    matrix = volume.grid.matrix
    return float(matrix[0, :3] @ np.array([float(index), row, column]) + matrix[0, 3])
