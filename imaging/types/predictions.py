"""What a model says of a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.types.space import Grid, Index, Mask, PointMm


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which QA model spoke. ``bundle_sha256`` pins every file of the bundle."""

    name: str
    version: str
    bundle_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A place where the model sees a nodule. ``mask`` is its outline there, if any.

    ``probability`` is calibrated, unless the prediction states no validated sizes: then it is the confidence that an
    algorithm gave itself. ``diameter_mm`` is None where an imported candidate is a bare point.
    """

    centre_mm: PointMm
    diameter_mm: float | None
    probability: float
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityMap:
    """For each voxel of a box of ``grid``, the calibrated probability that it belongs to the lesion asked about.

    ``origin``: index of the box's first voxel; ``values``: (d, h, w) float32 in [0, 1], read-only; ``spread``: the same
    shape, standard deviation of the probability over the views that were averaged, None where there was one.
    """

    grid: Grid
    origin: Index
    values: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OutlineOpinion:
    """What the model would outline at a given place. ``mask`` is None where it sees nothing to outline.

    ``mean_probability`` is the mean voxel probability inside the outline: its own certainty of the outline.
    ``nodule_probability``: that the thing at this place is a nodule at all; None from a model that does not say.
    ``probability``: the outline voxel by voxel, with its uncertainty; None from a model that does not give it.
    """

    place_mm: PointMm
    mask: Mask | None
    mean_probability: float
    nodule_probability: float | None = None
    probability: ProbabilityMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One model's opinion on one volume, with what is needed to repeat it.

    ``validated_diameters_mm`` is the size range in which the model's silence means something; outside it checks
    abstain. None where nobody states one (predictions made elsewhere): what it reports then counts as one more
    reader's mark, and its silence as nothing. ``sensitivity_by_diameter`` maps a lower bound in mm to sensitivity at
    the operating point, from the model card; empty where none is stated. ``backend`` names what computed it, with
    precision, version and device; ``backend_refusals`` what should have and was refused, and why. ``weights_sha256``
    is of the file of weights; empty where it was never seen.
    """

    model: ModelIdentity
    input_sha256: str
    backend: str
    threshold: float
    candidates: tuple[Candidate, ...]
    outlines: tuple[OutlineOpinion, ...]
    validated_diameters_mm: tuple[float, float] | None
    sensitivity_by_diameter: tuple[tuple[float, float], ...]
    seconds: float
    backend_refusals: tuple[str, ...] = ()
    weights_sha256: str = ""
