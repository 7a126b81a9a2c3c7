"""What the values of a label volume mean: labels, probabilities, or neither; and the regions that they mark.

Volumes of a whole chest have some eighty million voxels, most of them background: values are looked at plane by plane,
and regions are looked for in the box that holds all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.types import Index, Rejection

LABELS_AT_MOST = 1024
"""More distinct values than this are an image's, not labels: atlases have some hundred."""

COMPONENTS_AT_MOST = 512
"""A binary mask in more parts than this is noise or vessels; it stays one finding."""

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)
_GREATEST = 2**31 - 1
_FIND_DIRECTLY = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class FilledBox:
    """The box of a layer that holds everything but background, and its first index there.

    ``values`` are integers, or probabilities where the volume is fractional; ``labels`` the integers that occur.
    """

    values: NDArray[np.generic]
    start: Index
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One region of a layer: a box of voxels and its first index there; ``value`` is its label, or its ordinal."""

    value: int
    voxels: NDArray[np.bool_]
    start: Index
    mean: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelValues:
    """A label volume's layers, cut to what they mark. ``fractional``: one layer of probabilities."""

    fractional: bool
    layers: tuple[FilledBox, ...]


def label_values(layers: Sequence[NDArray[np.generic]]) -> LabelValues | Rejection:
    """Return what the layers of a label volume hold, or why they are not labels (``not-a-label-map``)."""
    if not all(layer.size for layer in layers):
        return _wrong("it has no voxels")
    low = min(float(layer.min()) for layer in layers)
    high = max(float(layer.max()) for layer in layers)
    if not (np.isfinite(low) and np.isfinite(high)):
        return _wrong("some values are not finite numbers")
    if low < 0:
        return _wrong(f"its least value is {low:g}, which no label has")
    if not all(_is_whole(layer) for layer in layers):
        if high > 1.0 or len(layers) > 1:
            return _wrong(f"its values are fractions up to {high:g}; probabilities reach 1")
        return LabelValues(True, (FilledBox(layers[0], (0, 0, 0), ()),))
    if high > _GREATEST:
        return _wrong(f"its greatest value is {high:g}")
    found: list[FilledBox] = []
    for layer in layers:
        values, start = _cut(layer)
        labels = _distinct(values)
        if len(labels) > LABELS_AT_MOST:
            return _wrong(f"it has more than {LABELS_AT_MOST} different values")
        found.append(FilledBox(values, start, labels))
    return LabelValues(False, tuple(found))


def regions_by_label(layer: FilledBox) -> Iterator[Region]:
    """Yield one region for each label of a layer, in the order of labels."""
    if not layer.labels:
        return
    values, numbers = layer.values, layer.labels
    if numbers[-1] >= _FIND_DIRECTLY:
        # Numbers as they stand would make as many entries as the greatest of them.
        background = values == 0
        values = np.searchsorted(np.array(numbers), values).astype(np.int32) + 1
        values[background] = 0
        numbers = tuple(range(1, len(numbers) + 1))
    boxes = ndimage.find_objects(values, max_label=numbers[-1])
    for label, number in zip(layer.labels, numbers, strict=True):
        box = boxes[number - 1]
        yield Region(label, np.asarray(values[box] == number), _first(box, layer.start))


def touching_regions(layer: FilledBox, *, least: float | None) -> Iterator[Region] | Rejection:
    """Return the 26-connected regions of a layer: where it is not 0, or where its probability reaches ``least``.

    With ``least`` each region carries its mean value. More than ``COMPONENTS_AT_MOST`` are a Rejection
    ``many-components``.
    """
    values = layer.values
    filled = values != 0 if least is None else values.astype(np.float32, copy=False) >= least
    marked, count = ndimage.label(filled, structure=_TOUCHING)
    if count > COMPONENTS_AT_MOST:
        message = f"The mask is in {count} parts; it is kept as one finding, not as a finding a part."
        return Rejection("many-components", message)
    return _each(marked, count, layer, with_mean=least is not None)


def whole_region(layer: FilledBox, *, least: float | None) -> Region:
    """Return all that a layer marks as one region."""
    filled = np.asarray(layer.values != 0 if least is None else layer.values.astype(np.float32, copy=False) >= least)
    return Region(1, filled, layer.start, None if least is None else _mean(layer.values[filled]))


def _each(marked: NDArray[np.generic], count: int, layer: FilledBox, *, with_mean: bool) -> Iterator[Region]:
    for number, box in enumerate(ndimage.find_objects(marked, max_label=count), start=1):
        voxels = np.asarray(marked[box] == number)
        mean = _mean(layer.values[box][voxels]) if with_mean else None
        yield Region(number, voxels, _first(box, layer.start), mean)


def _mean(values: NDArray[np.generic]) -> float:
    return float(np.clip(values.astype(np.float64).mean(), 0.0, 1.0))


def _first(box: tuple[slice, ...], start: Index) -> Index:
    return (box[0].start + start[0], box[1].start + start[1], box[2].start + start[2])


def _wrong(what: str) -> Rejection:
    return Rejection("not-a-label-map", f"The volume is not a label map: {what}.")


def _is_whole(layer: NDArray[np.generic]) -> bool:
    return layer.dtype.kind != "f" or all(bool(np.all(plane == np.rint(plane))) for plane in layer)


def _cut(layer: NDArray[np.generic]) -> tuple[NDArray[np.generic], Index]:
    """The box of a layer that is not all 0, whole numbers as integers, and its first index."""
    by_slice = np.array([bool(plane.any()) for plane in layer])
    if not by_slice.any():
        return np.zeros((0, 0, 0), dtype=np.uint8), (0, 0, 0)
    in_plane = np.zeros(layer.shape[1:], dtype=np.bool_)
    for plane in layer[by_slice.argmax() : len(by_slice) - by_slice[::-1].argmax()]:
        in_plane |= plane != 0
    spans = [np.flatnonzero(hits) for hits in (by_slice, in_plane.any(axis=1), in_plane.any(axis=0))]
    box = layer[tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)]
    if box.dtype.kind != "u" or box.dtype.itemsize > 2:
        box = box.astype(np.int32)
    return box, (int(spans[0][0]), int(spans[1][0]), int(spans[2][0]))


def _distinct(values: NDArray[np.generic]) -> tuple[int, ...]:
    """The labels that occur, in order; no more than one beyond ``LABELS_AT_MOST``."""
    found: set[int] = set()
    for plane in values:
        if values.dtype.itemsize <= 2:
            found.update(np.flatnonzero(np.bincount(plane.ravel())).tolist())
        else:
            found.update(np.unique(plane).tolist())
        if len(found) > LABELS_AT_MOST + 1:
            break
    return tuple(sorted(int(value) for value in found if value))
