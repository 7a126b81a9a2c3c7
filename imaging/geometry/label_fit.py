"""Does a label fit what the image shows where it lies, or would it fit markedly better mirrored or some slices away?

A label that went wrong on its way (slices counted from the other end, an axis negated between RAS and LPS, an offset of
some slices) keeps its shape: somewhere else the image has the edges that it was drawn along. So the label is laid on
the image at every place to which such a fault could have moved it from, and its agreement with the voxels is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.placements import Displacement, displacements
from imaging.types import Mask, Volume

_INSIDE_IMAGE = 0.9
"""A place counts if at least this part of the label lies inside the image there."""

_BOX_VOXELS = 2_000_000
"""Boxes with more voxels are thinned within the slice: an organ has edges enough at a coarser step."""

AIR_BELOW_HU = -800
"""Aerated lung and the air around the patient; nothing that is outlined as dense is thinner."""


class Contrast(StrEnum):
    """How a label's inside is expected to differ from what surrounds it."""

    DENSER = "denser than its surroundings"
    THINNER = "thinner than its surroundings"


class FitStatus(StrEnum):
    """The answer. ``ABSTAINED``: the label or the image does not say enough."""

    FITS = "fits"
    DISPLACED = "displaced"
    ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class FitSearch:
    """How far to look and how sure to be. Every field is stated by the caller.

    ``slices``: shifts up to so many slices either way. ``shell_mm``: how far around the label the image is compared
    with its inside. ``window_hu``: Hounsfield units beyond are taken as the nearest end (air and bone say no more).
    ``minimum_voxels`` and ``minimum_slices``: smaller labels match anything by chance. ``least_contrast_hu`` and
    ``least_agreement``: what the best place must show for any answer; ``single_agreement``: what another place than
    the present one must show to be named for one outline alone, which resembles a vessel sooner than several do.
    ``margin``: by how much agreement at another place must exceed the present one, as a part of what is missing there
    to full agreement. ``contrast``: see there.
    """

    slices: int
    shell_mm: float
    window_hu: tuple[float, float]
    minimum_voxels: int
    minimum_slices: int
    least_contrast_hu: float
    least_agreement: float
    single_agreement: float
    margin: float
    contrast: Contrast


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well labels fit one place: ``correlation`` of the outline with the voxels in and around it, in [-1, 1].

    ``contrast_hu`` is the mean inside less the mean around it; ``air_share`` the part of the labelled voxels in air.
    """

    correlation: float
    contrast_hu: float
    air_share: float


@dataclass(frozen=True, slots=True)
class LabelFit:
    """Whether labels fit where they lie. ``message`` is for people, with slices and millimetres.

    ``suggestion`` is what would make them fit, None unless ``status`` is DISPLACED. ``present`` and ``best`` are None
    where nothing could be measured.
    """

    status: FitStatus
    message: str
    suggestion: Displacement | None
    present: Agreement | None
    best: Agreement | None


def label_fit(*, volume: Volume, masks: Sequence[Mask], search: FitSearch) -> LabelFit:
    """Tell whether ``masks``, which were displaced together if at all, fit the volume where they lie.

    ``masks`` are all outlines of one annotation set, or one of them, on the volume's own grid. Each is compared, where
    it lies and at every displacement of ``displacements``, with the voxels within ``search.shell_mm`` of it by point
    biserial correlation; agreement of several is their mean, weighted by the square root of their sizes. Raises
    ValueError for a mask on another grid. Abstains, with the reason in ``message``, where the answer would be a guess.
    """
    if any(mask.grid != volume.grid for mask in masks):
        raise ValueError("a label on another grid than the volume's cannot be laid on it")
    usable = [_Patch.of(mask, volume, search) for mask in masks if mask.count >= search.minimum_voxels]
    usable = [patch for patch in usable if patch.slices >= search.minimum_slices]
    if not usable:
        return _abstained(
            f"No outline has at least {search.minimum_voxels} voxels on {search.minimum_slices} slices; smaller ones "
            "match anything by chance."
        )
    here = Displacement()
    present = _agreement(usable, volume, here, search)
    if present is None:
        return _abstained("The label lies outside the image, or reaches beyond it.")
    found = [(present, here)]
    for way in displacements(grid=volume.grid, slices=search.slices):
        there = _agreement(usable, volume, way, search)
        if there is not None:
            found.append((there, way))
    best, way = max(found, key=lambda pair: (pair[0].correlation, pair[1] is here))
    if best.correlation < search.least_agreement or abs(best.contrast_hu) < search.least_contrast_hu:
        return LabelFit(
            FitStatus.ABSTAINED,
            f"Nowhere does the label fit edges of the image well enough to tell (at best {best.correlation:.2f} where "
            f"{search.least_agreement:.2f} is asked, {best.contrast_hu:.0f} HU of contrast).",
            None,
            present,
            best,
        )
    gain = (best.correlation - present.correlation) / max(1e-6, 1.0 - present.correlation)
    if way is here or gain < search.margin:
        message = f"The label fits the image where it lies (agreement {present.correlation:.2f})."
        return LabelFit(FitStatus.FITS, message, None, present, best)
    if len(usable) == 1 and best.correlation < search.single_agreement:
        message = (
            f"The label hardly fits where it lies (agreement {present.correlation:.2f}), and no other place fits it "
            f"well enough to be named (at best {best.correlation:.2f} where {search.single_agreement:.2f} is asked)."
        )
        return LabelFit(FitStatus.ABSTAINED, message, None, present, best)
    message = (
        f"{way.words()} would fit: agreement with the image would be {best.correlation:.2f} instead of "
        f"{present.correlation:.2f}, and {round(100 * best.air_share)} % of the labelled voxels would lie in air "
        f"instead of {round(100 * present.air_share)} %."
    )
    return LabelFit(FitStatus.DISPLACED, message, way, present, best)


def _abstained(message: str) -> LabelFit:
    return LabelFit(FitStatus.ABSTAINED, message, None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """One outline with the voxels around it that it is compared with. ``step`` thins rows and columns of large ones."""

    origin: tuple[int, int, int]
    inside: NDArray[np.bool_]
    around: NDArray[np.bool_]
    step: int
    weight: float

    @classmethod
    def of(cls, mask: Mask, volume: Volume, search: FitSearch) -> _Patch:
        spacing = volume.grid.spacing_mm
        # At least one voxel each way: slices may be thicker than the shell.
        pad = [max(1, round(search.shell_mm / step)) for step in spacing]
        inside = np.pad(mask.voxels, [(size, size) for size in pad])
        step = max(1, int(np.ceil(np.sqrt(inside.size / _BOX_VOXELS))))
        inside = inside[:, ::step, ::step]
        sampling = (spacing[0], spacing[1] * step, spacing[2] * step)
        reach = max(search.shell_mm, *sampling) * 1.001
        around = np.asarray(ndimage.distance_transform_edt(~inside, sampling=sampling) <= reach, dtype=np.bool_)
        first = (mask.origin[0] - pad[0], mask.origin[1] - pad[1], mask.origin[2] - pad[2])
        return cls(first, inside, around, step, float(np.sqrt(mask.count)))

    @property
    def slices(self) -> int:
        return int(np.count_nonzero(self.inside.any(axis=(1, 2))))


def _agreement(patches: Sequence[_Patch], volume: Volume, way: Displacement, search: FitSearch) -> Agreement | None:
    """Return how well all outlines fit after ``way``, None where too much of them would leave the image."""
    sign = 1.0 if search.contrast is Contrast.DENSER else -1.0
    parts: list[tuple[float, float, float, float]] = []
    for patch in patches:
        part = _patch_agreement(patch, volume, way, search)
        if part is None:
            return None
        parts.append((patch.weight, *part))
    table = np.array(parts)
    means = np.average(table[:, 1:], axis=0, weights=table[:, 0])
    return Agreement(float(sign * means[0]), float(means[1]), float(means[2]))


def _patch_agreement(
    patch: _Patch, volume: Volume, way: Displacement, search: FitSearch
) -> tuple[float, float, float] | None:
    shape = volume.grid.shape
    slots = [way.moved(patch.origin[0] + np.arange(patch.inside.shape[0]), axis=0)]
    slots += [
        way.moved(patch.origin[axis] + patch.step * np.arange(patch.inside.shape[axis]), axis=axis) for axis in (1, 2)
    ]
    kept = [(slot >= 0) & (slot < size) for slot, size in zip(slots, shape, strict=True)]
    chosen = np.ix_(*kept)
    inside, around = patch.inside[chosen], patch.around[chosen]
    if np.count_nonzero(inside) < _INSIDE_IMAGE * np.count_nonzero(patch.inside):
        return None
    window = volume.hounsfield[np.ix_(*(slot[keep] for slot, keep in zip(slots, kept, strict=True)))]
    values = np.clip(window[around].astype(np.float64), *search.window_hu)
    labelled = inside[around]
    if not labelled.any() or labelled.all():
        return None
    share = float(labelled.mean())
    contrast = float(values[labelled].mean() - values[~labelled].mean())
    spread = float(values.std())
    correlation = contrast * np.sqrt(share * (1.0 - share)) / spread if spread > 0 else 0.0
    air = float((values[labelled] < AIR_BELOW_HU).mean())
    return float(correlation), contrast, air


NODULE_FIT = FitSearch(
    # A gap in a series, or a header counted twice, displaces by a few slices; beyond ten the lung looks alike again.
    slices=10,
    # Far enough to see lung around a nodule in thick slices, near enough to leave the next vessel out.
    shell_mm=4.0,
    window_hu=(-1000.0, 200.0),
    minimum_voxels=30,
    minimum_slices=2,
    least_contrast_hu=100.0,
    # On phantoms, simulated readers' outlines of ground glass and of nodules on vessels reach 0.4 where they belong;
    # below 0.5, single small outlines were at times called to a vessel that looks like them.
    least_agreement=0.4,
    single_agreement=0.5,
    margin=0.2,
    contrast=Contrast.DENSER,
)
"""The search for outlines of nodules in CT; callers pass it on purpose."""
