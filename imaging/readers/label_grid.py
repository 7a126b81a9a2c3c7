"""Whether a label volume's own sampling is the image's, and if not, by how much and in what way it differs.

A label volume (NIfTI, NRRD) names no image: its affine is all that ties it to a patient. So it is compared with the
image's to the tenth of a millimetre, and what does not fit is refused with what would have fitted; nothing is moved.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from imaging.readers.frame_placement import DIRECTION_TOLERANCE, PLANE_TOLERANCE_MM
from imaging.readers.shapes import span_text
from imaging.types import Grid, Index, Rejection

# x and y together first: the difference between RAS and LPS.
_MIRRORINGS = (
    (True, True, False),
    (True, False, False),
    (False, True, False),
    (False, False, True),
    (True, False, True),
    (False, True, True),
    (True, True, True),
)


class Fit(StrEnum):
    """How a label's sampling relates to the image's."""

    EXACT = "exact"
    """Every label voxel is an image voxel, the axes perhaps in another order or direction."""
    RESAMPLED = "resampled"
    """The same axes and the whole image covered, but with other steps or between the image's voxels."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, eq=False)
class GridFit:
    """How a label's array comes onto the image's grid.

    ``axes[i]`` is the label axis that runs along image axis i (slice, row, column), ``reversed_axes[i]`` whether it
    runs the other way. After both, label index l lies at image index ``offset + step * l``, axis by axis. For EXACT
    ``step`` is 1 and ``offset`` whole.
    """

    fit: Fit
    axes: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]
    offset: tuple[float, float, float]
    step: tuple[float, float, float]
    refusals: tuple[Rejection, ...] = ()

    @property
    def origin(self) -> Index:
        """Where an EXACT label's first voxel lies: (slice, row, column)."""
        return (round(self.offset[0]), round(self.offset[1]), round(self.offset[2]))


def fit_of(*, shape: tuple[int, int, int], affine: NDArray[np.float64], image: Grid) -> GridFit:
    """Return how a label's sampling relates to the image's.

    ``affine``: (4, 4), label index in the array's own axis order to LPS millimetres; ``shape`` in the same order.
    EXACT where every label voxel is an image voxel: the whole grid, a part of it, or more than it. RESAMPLED where the
    axes are the image's and the label covers it. Otherwise refused: ``label-flipped`` (the grid would be the image's
    if axes of the patient were mirrored, as when RAS is taken for LPS), ``label-shifted`` (by whole slices, rows or
    columns, with the shift that would fit), ``orientation-disagrees``, ``label-outside-image``,
    ``label-grid-disagrees`` (another sampling that covers only a part of the image), ``bad-affine``.
    """
    direct = _fit(shape, affine, image)
    if direct is None:
        return _refused(Rejection("bad-affine", "The label's axes do not span three dimensions."))
    if direct.fit is not Fit.REFUSED:
        return direct
    flips = _flip(shape, affine, image)
    shift = _whole_shift(shape, direct, image)
    # A mirrored grid of a nearly symmetrical image is also a shifted one. Dropping the sign of x and y together is the
    # commonest mistake; any other mirroring is believed only where the shift would be most of the image.
    far = bool(np.any(2 * np.abs(direct.offset) > np.array(image.shape)))
    if flips is not None and (flips[0] == (True, True, False) or shift is None or far):
        return _refused(_flip_refusal(*flips))
    if shift is not None:
        return _refused(shift)
    return direct


def _same_extent(shape: tuple[int, ...], found: GridFit, image: Grid) -> bool:
    turned = tuple(shape[axis] for axis in found.axes)
    return turned == image.shape and found.origin == (0, 0, 0)


def _fit(shape: tuple[int, int, int], affine: NDArray[np.float64], image: Grid) -> GridFit | None:
    if not np.all(np.isfinite(affine)) or np.abs(affine).max() > 1e7:
        return None
    try:
        to_image = np.linalg.solve(image.matrix, affine)
    except np.linalg.LinAlgError:
        return None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if float(lengths.min()) < 1e-6 or abs(float(np.linalg.det(affine[:3, :3] / lengths))) < 1e-3:
        return None
    cosines = (image.matrix[:3, :3] / np.array(image.spacing_mm)).T @ (affine[:3, :3] / lengths)
    axes = tuple(int(axis) for axis in np.abs(cosines).argmax(axis=1))
    turn = float(np.abs(np.abs(cosines) - _permutation(axes)).max()) if len(set(axes)) == 3 else 1.0
    if turn > DIRECTION_TOLERANCE:
        message = f"The label's axes are turned against the image's: a direction cosine differs by {turn:.3f}."
        return _refused(Rejection("orientation-disagrees", message))
    order = (axes[0], axes[1], axes[2])
    backwards = tuple(bool(cosines[image_axis, axis] < 0) for image_axis, axis in enumerate(order))
    step = np.array([abs(to_image[image_axis, axis]) for image_axis, axis in enumerate(order)])
    turned = np.array([shape[axis] for axis in order])
    corner = np.array([shape[axis] - 1 if back else 0 for axis, back in zip(order, backwards, strict=True)])
    first = np.zeros(4)
    first[list(order)] = corner
    first[3] = 1.0
    offset = (to_image @ first)[:3]
    last = offset + step * (turned - 1)
    found = GridFit(
        _judge(offset, last, step, turned, image),
        order,
        (backwards[0], backwards[1], backwards[2]),
        (float(offset[0]), float(offset[1]), float(offset[2])),
        (float(step[0]), float(step[1]), float(step[2])),
    )
    if found.fit is not Fit.REFUSED:
        return found
    reasons = (_misfit(offset, last, step, turned, image),)
    return GridFit(Fit.REFUSED, found.axes, found.reversed_axes, found.offset, found.step, reasons)


def _permutation(axes: tuple[int, ...]) -> NDArray[np.float64]:
    matrix = np.zeros((3, 3))
    for image_axis, axis in enumerate(axes):
        matrix[image_axis, axis] = 1.0
    return matrix


def _judge(
    offset: NDArray[np.float64],
    last: NDArray[np.float64],
    step: NDArray[np.float64],
    turned: NDArray[np.int64],
    image: Grid,
) -> Fit:
    spacing = np.array(image.spacing_mm)
    whole = np.rint(offset)
    # Both ends must meet image voxels, so that a slightly other spacing cannot drift across the volume.
    astray = np.maximum(np.abs(offset - whole), np.abs(last - (whole + turned - 1))) * spacing
    within = bool(np.all(whole >= 0) and np.all(whole + turned <= np.array(image.shape)))
    covers = bool(np.all(whole <= 0) and np.all(whole + turned >= np.array(image.shape)))
    if float(astray.max()) <= PLANE_TOLERANCE_MM:
        return Fit.EXACT if within or covers else Fit.REFUSED
    half = step / 2.0
    tolerance = PLANE_TOLERANCE_MM / spacing
    covered = np.all(offset - half <= -0.5 + tolerance) and np.all(
        last + half >= np.array(image.shape) - 0.5 - tolerance
    )
    return Fit.RESAMPLED if covered else Fit.REFUSED


def _misfit(
    offset: NDArray[np.float64],
    last: NDArray[np.float64],
    step: NDArray[np.float64],
    turned: NDArray[np.int64],
    image: Grid,
) -> Rejection:
    spacing = np.array(image.spacing_mm)
    beyond = np.maximum(np.maximum(-offset, last - (np.array(image.shape) - 1)), 0.0) * spacing
    label = " x ".join(str(int(size)) for size in turned)
    steps = " x ".join(f"{value:.3f}" for value in step * spacing)
    own = " x ".join(str(size) for size in image.shape)
    message = (
        f"The label has {label} voxels (slices, rows, columns) of {steps} mm, the image {own} of "
        f"{' x '.join(f'{value:.3f}' for value in spacing)} mm; "
    )
    if float(beyond.max()) > PLANE_TOLERANCE_MM:
        message += (
            f"the label reaches {float(beyond[0]):.1f} mm beyond the image's slices and {float(beyond[1:].max()):.1f} "
            f"mm beyond its edge. The image spans {span_text(image)} mm."
        )
        return Rejection("label-outside-image", message)
    message += (
        "the label's voxels lie between the image's and cover only a part of it, so they are not another sampling."
    )
    return Rejection("label-grid-disagrees", message)


def _flip(
    shape: tuple[int, int, int], affine: NDArray[np.float64], image: Grid
) -> tuple[tuple[bool, bool, bool], float] | None:
    """Which axes of the patient, mirrored, would make the grids one, and how far apart they lie now."""
    for flips in _MIRRORINGS:
        signs = np.where(flips, -1.0, 1.0)
        whole = affine.copy()
        whole[:3] *= signs[:, None]
        directions = affine.copy()
        directions[:3, :3] *= signs[:, None]
        for candidate in (whole, directions):
            found = _fit(shape, candidate, image)
            if found is not None and found.fit is Fit.EXACT and _same_extent(shape, found, image):
                corners = np.array(list(itertools.product(*((0, size - 1) for size in shape))), dtype=np.float64)
                apart = corners @ (candidate - affine)[:3, :3].T + (candidate - affine)[:3, 3]
                return flips, float(np.linalg.norm(apart, axis=1).max())
    return None


def _flip_refusal(flips: tuple[bool, bool, bool], apart_mm: float) -> Rejection:
    axes = " and ".join(axis for axis, flipped in zip("xyz", flips, strict=True) if flipped)
    cause = "; RAS and LPS were confused" if flips == (True, True, False) else ""
    message = (
        f"The label is mirrored: with the sign of {axes} turned over its grid is the image's{cause}. As it stands its "
        f"voxels lie up to {apart_mm:.1f} mm from there."
    )
    return Rejection(
        "label-flipped", message, tuple(axis for axis, flipped in zip("xyz", flips, strict=True) if flipped)
    )


def _whole_shift(shape: tuple[int, int, int], found: GridFit, image: Grid) -> Rejection | None:
    """The refusal of a label of the image's own shape and steps that lies whole voxels away from it, if it does."""
    if len(set(found.axes)) < 3 or not any(found.step):
        return None
    turned = tuple(shape[axis] for axis in found.axes)
    offset, spacing = np.array(found.offset), np.array(image.spacing_mm)
    drift = np.abs((np.array(found.step) - 1.0) * (np.array(turned) - 1)) * spacing
    astray = np.abs(offset - np.rint(offset)) * spacing
    if turned != image.shape or max(float(drift.max()), float(astray.max())) > PLANE_TOLERANCE_MM:
        return None
    moves = [
        f"{-round(count):+d} {name} ({-count * step:+.2f} mm)"
        for name, count, step in zip(("slices", "rows", "columns"), offset, spacing, strict=True)
        if round(count)
    ]
    if not moves:
        return None
    message = (
        "The label has the image's own sampling but lies whole voxels away from it; a shift by "
        f"{', '.join(moves)} would fit. It was not moved."
    )
    return Rejection("label-shifted", message)


def _refused(*reasons: Rejection) -> GridFit:
    return GridFit(Fit.REFUSED, (0, 1, 2), (False, False, False), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), reasons)
