"""One outline out of several readers' outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.agreement.overlap import align, crop
from imaging.errors import NotApplicable
from imaging.types import Index, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Staple:
    """What STAPLE made of several outlines.

    ``mask`` holds the voxels with probability of at least one half. ``probability`` is (slices, rows, columns) float64
    in the box that starts at ``origin``. ``sensitivities`` and ``specificities`` follow the order of the input;
    specificity depends on how much background the box holds and is comparable only within one call.
    """

    mask: Mask
    origin: Index
    probability: NDArray[np.float64]
    sensitivities: tuple[float, ...]
    specificities: tuple[float, ...]
    iterations: int


def majority(*, masks: Sequence[Mask]) -> Mask:
    """Return the voxels that more than half of the outlines hold; exactly half is not a majority.

    With one outline it is that outline. The result may be empty when readers outline different parts.
    Raises NotApplicable if no outline has a voxel, GeometryError if they lie on different grids.
    """
    aligned = align(masks=masks, margin_voxels=0)
    votes = np.count_nonzero(aligned.voxels, axis=0)
    return crop(grid=aligned.grid, origin=aligned.origin, voxels=votes * 2 > len(masks))


def staple(*, masks: Sequence[Mask], margin_voxels: int, maximum_iterations: int) -> Staple:
    """Return the STAPLE estimate (Warfield 2004, as in ITK) of the outline behind several readers' outlines.

    It runs in the joint box plus ``margin_voxels``: over a whole scan the background would swamp the prior and every
    voxel that anyone marked would win. ``maximum_iterations`` bounds the expectation maximisation, which is
    deterministic. Needs at least two outlines with a voxel (NotApplicable otherwise) on one grid (GeometryError).
    """
    filled = [mask for mask in masks if mask.count]
    if len(filled) < 2:
        raise NotApplicable("too-few-outlines", f"STAPLE weighs outlines against each other; got {len(filled)}")
    aligned = align(masks=filled, margin_voxels=margin_voxels)
    # A box without any background voxel has no prior to estimate: every reader outlined all of it.
    if bool(aligned.voxels.all()):
        raise NotApplicable("no-background", "every outline fills the whole box; STAPLE needs a margin around them")
    # Loaded here because it takes a tenth of a second that nobody else should wait for at start.
    import SimpleITK

    # SimpleITK ships signatures without types for its filters; Any keeps the untyped part to this one name.
    filter_type: Any = SimpleITK.STAPLEImageFilter
    estimator = filter_type()
    estimator.SetForegroundValue(1.0)
    estimator.SetMaximumIterations(maximum_iterations)
    images = [SimpleITK.GetImageFromArray(plane.astype(np.uint8)) for plane in aligned.voxels]
    probability = SimpleITK.GetArrayFromImage(estimator.Execute(images)).astype(np.float64)
    return Staple(
        mask=crop(grid=aligned.grid, origin=aligned.origin, voxels=probability >= 0.5),
        origin=aligned.origin,
        probability=probability,
        sensitivities=tuple(float(value) for value in estimator.GetSensitivity()),
        specificities=tuple(float(value) for value in estimator.GetSpecificity()),
        iterations=int(estimator.GetElapsedIterations()),
    )
