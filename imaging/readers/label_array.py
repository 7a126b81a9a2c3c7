"""A label volume as its file holds it, before it meets an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import as_affine
from imaging.types import Grid, Rejection


@dataclass(frozen=True, slots=True)
class NamedSegment:
    """What a file says of one of its labels: ``layer`` is the index of its array, ``value`` its number there."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class LabelHeader:
    """Where a label volume lies and what its voxels are, without them.

    ``shape`` and ``affine`` (index to LPS millimetres) are in the array's own axis order; ``affine`` is None where the
    file does not say where it lies. ``layers`` counts overlapping volumes on one grid. ``refusals`` say why the
    volume cannot be a label here although its file is sound.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64] | None
    layers: int
    dtype: np.dtype[np.generic]
    segments: tuple[NamedSegment, ...] = ()
    refusals: tuple[Rejection, ...] = ()

    @property
    def grid(self) -> Grid | None:
        """The sampling with the last array axis first: in NIfTI and NRRD the first axis runs fastest."""
        if self.affine is None or self.refusals:
            return None
        matrix = self.affine[:, [2, 1, 0, 3]]
        return Grid((self.shape[2], self.shape[1], self.shape[0]), as_affine(matrix), "")


@dataclass(frozen=True, slots=True, eq=False)
class LabelArray:
    """A label volume: its header, and (layers, *shape) values as stored."""

    header: LabelHeader
    values: NDArray[np.generic]
