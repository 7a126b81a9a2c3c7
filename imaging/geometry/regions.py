"""Where the lungs are: a plain threshold-and-components region, good enough to say where to look.

Not a lung segmentation to measure with: it is closed generously, so that nodules on the pleura and vessels lie inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_BELOW_HU = -400
BODY_ABOVE_HU = -250
BODY_CLOSING_MM = 20.0
WORKING_STEP_MM = 2.5
BODY_STEP_MM = 5.0
"""What the body is filled at: it only has to tell air inside it from air outside."""


def lung_region(
    *, hounsfield: NDArray[np.integer | np.floating], spacing_mm: tuple[float, float, float], closing_mm: float
) -> NDArray[np.bool_]:
    """Return the lungs with everything inside them, (slices, rows, columns) bool, on the grid of ``hounsfield``.

    ``hounsfield``: (slices, rows, columns), slices transverse or nearly so. ``spacing_mm``: (between slices, between
    rows, between columns). ``closing_mm``: bays up to about twice this wide (vessels, nodules on the pleura) are taken
    in. Computed at about 2.5 mm and repeated to full size. Empty where there is no air-filled component inside the
    body that does not touch the sides of the image and holds at least 20 ml.
    """
    steps = [max(1, round(WORKING_STEP_MM / spacing)) for spacing in spacing_mm]
    coarse = hounsfield[:: steps[0], :: steps[1], :: steps[2]]
    sampling = [step * spacing for step, spacing in zip(steps, spacing_mm, strict=True)]
    body = _inside_body(coarse, sampling)
    lungs = _largest_inner_air(coarse < AIR_BELOW_HU, body, float(np.prod(sampling)) / 1000.0)
    if not lungs.any():
        return np.zeros(hounsfield.shape, dtype=np.bool_)
    closed = _close(lungs, sampling, closing_mm)
    for plane in closed:
        box = _box(plane)
        if box is not None:
            plane[box] |= _small_holes(plane[box], sampling[1] * sampling[2])
    # Last axis first: what is repeated later is copied in whole rows and planes.
    full = closed.repeat(steps[2], axis=2).repeat(steps[1], axis=1).repeat(steps[0], axis=0)
    return np.ascontiguousarray(full[tuple(slice(size) for size in hounsfield.shape)])


def _inside_body(coarse: NDArray[np.integer | np.floating], sampling: list[float]) -> NDArray[np.bool_]:
    """The body with its cavities. A table touches the body at most thinly, so an erosion parts them.

    The erosion also breaks thin chest walls; closing each plane by 20 mm mends that, and gains outside only in bays.
    Planes are filled at about 5 mm and repeated.
    """
    labels, count = ndimage.label(ndimage.binary_erosion(coarse > BODY_ABOVE_HU, iterations=1))
    if count == 0:
        return np.zeros(coarse.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == int(sizes.argmax())
    steps = [max(1, round(BODY_STEP_MM / step)) for step in sampling]
    coarser = [step * size for step, size in zip(steps, sampling, strict=True)]
    filled = np.stack([_filled(plane, coarser[1:]) for plane in body[:: steps[0], :: steps[1], :: steps[2]]])
    for axis, step in enumerate(steps):
        filled = filled.repeat(step, axis=axis)
    return np.asarray(filled[tuple(slice(size) for size in body.shape)] | body, dtype=np.bool_)


def _filled(plane: NDArray[np.bool_], sampling: list[float]) -> NDArray[np.bool_]:
    filled = plane.copy()
    box = _box(plane)
    if box is not None:
        # What is closed and filled lies within the box, so that nothing outside it need be looked at.
        filled[box] = _filled_tight(plane[box], sampling)
    return filled


def _filled_tight(plane: NDArray[np.bool_], sampling: list[float]) -> NDArray[np.bool_]:
    pad = [int(np.ceil(BODY_CLOSING_MM / step)) + 1 for step in sampling]
    padded = np.pad(plane, [(pad[0], pad[0]), (pad[1], pad[1])])
    grown = ndimage.distance_transform_edt(~padded, sampling=sampling) <= BODY_CLOSING_MM
    closed = ndimage.distance_transform_edt(ndimage.binary_fill_holes(grown), sampling=sampling) > BODY_CLOSING_MM
    return np.asarray(closed[pad[0] : -pad[0], pad[1] : -pad[1]] | plane, dtype=np.bool_)


def _largest_inner_air(air: NDArray[np.bool_], body: NDArray[np.bool_], voxel_ml: float) -> NDArray[np.bool_]:
    """Air that does not reach the sides of the image and lies within the body, small pockets left out."""
    labels, count = ndimage.label(air)
    if count == 0:
        return np.zeros(air.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel()).astype(np.float64) * voxel_ml
    within = np.bincount(labels[body], minlength=count + 1).astype(np.float64) * voxel_ml
    sizes[0] = 0.0
    sizes[within < 0.8 * sizes] = 0.0
    for side in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        sizes[np.unique(side)] = 0.0
    kept = (sizes >= 20.0) & (sizes >= 0.12 * sizes.max())
    return np.asarray(kept[labels], dtype=np.bool_)


def _small_holes(plane: NDArray[np.bool_], pixel_mm2: float) -> NDArray[np.bool_]:
    """Holes of a plane up to 15 square centimetres: a mass or a vessel, but not the heart between two lungs."""
    labels, count = ndimage.label(ndimage.binary_fill_holes(plane) & ~plane)
    small = np.bincount(labels.ravel(), minlength=count + 1) * pixel_mm2 <= 1500.0
    small[0] = False
    return np.asarray(small[labels], dtype=np.bool_)


def _close(region: NDArray[np.bool_], sampling: list[float], radius_mm: float) -> NDArray[np.bool_]:
    """Closing by a ball, by distance transforms, which cost the same at any radius."""
    box = _box(region)
    if box is None:
        return region
    closed = region.copy()
    # All slices, but of each only as far as the region reaches: beyond that, closing by a ball adds nothing.
    within = (slice(None), *box[1:])
    closed[within] = _closed_tight(region[within], sampling, radius_mm)
    return closed


def _closed_tight(region: NDArray[np.bool_], sampling: list[float], radius_mm: float) -> NDArray[np.bool_]:
    pad = [int(np.ceil(radius_mm / step)) + 1 for step in sampling]
    # At the first and last slice the lungs go on outside the scan, so the padding repeats them.
    padded = np.pad(region, [(pad[0], pad[0]), (0, 0), (0, 0)], mode="edge")
    padded = np.pad(padded, [(0, 0), (pad[1], pad[1]), (pad[2], pad[2])])
    grown = ndimage.distance_transform_edt(~padded, sampling=sampling) <= radius_mm
    closed = ndimage.distance_transform_edt(grown, sampling=sampling) > radius_mm
    inner = tuple(slice(size, size + extent) for size, extent in zip(pad, region.shape, strict=True))
    return np.asarray(closed[inner] | region, dtype=np.bool_)


def _box(region: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """The smallest box that holds a region, None where it is empty."""
    boxes: list[tuple[slice, ...]] = ndimage.find_objects(region.astype(np.uint8))
    return boxes[0] if boxes else None
