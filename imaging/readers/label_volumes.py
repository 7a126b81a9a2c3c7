"""Label volumes (NIfTI, NRRD) onto a CT series: label maps, binary masks and probability maps.

One finding per label value. A file with a single value and no names of its own is a binary mask: there each
26-connected component is a finding, since such files hold all nodules of a scan at once. A probability map (fractions
between 0 and 1) is cut at the caller's threshold, each component a finding whose confidence is the mean inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.masks.measure import measure
from imaging.readers.formats import ImageReferences, ReadContext
from imaging.readers.label_array import LabelArray, LabelHeader, NamedSegment
from imaging.readers.label_grid import Fit, GridFit, fit_of
from imaging.readers.label_values import (
    FilledBox,
    LabelValues,
    label_values,
    regions_by_label,
    touching_regions,
    whole_region,
)
from imaging.readers.naming import references_of, set_id_of, telling_form, without_ending
from imaging.readers.redrawn import wider, worst_gap
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Category,
    Finding,
    Mask,
    Rejection,
    RoundTrip,
    SetKind,
)

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One region in label space, axes already the image's: a box of voxels and its first index there."""

    name: str
    suffix: str
    voxels: NDArray[np.bool_]
    start: tuple[int, int, int]
    confidence: float | None


def label_references(header: LabelHeader, context: ReadContext) -> ImageReferences:
    """Return a label volume's own grid, and the UIDs that stand in its path."""
    named = references_of((context.file_name,) if context.file_name else ())
    return replace(named, grid=header.grid)


def read_label_volume(
    source_format: str, data: bytes, label: LabelArray, image: PlacedSeries, context: ReadContext
) -> AnnotationImport:
    """Return the findings of a label volume on a CT series.

    Refused as a whole, with the codes of ``label_grid.fit_of``; ``no-label-position`` (the file does not say where it
    lies), ``not-three-dimensional``, ``not-a-label-map`` (negative or fractional values beyond [0, 1], or too many of
    them), and what the file's own reader found. A finding that reaches outside the image is left out
    (``label-outside-image``), as is one with no voxel (``empty-segment``, ``lost-in-resampling``). Remarks:
    ``resampled`` (the label's sampling is another; nearest neighbour, its cost in each finding's round trip),
    ``many-components``, ``empty-label``.
    """

    def refused(*reasons: Rejection) -> AnnotationImport:
        return AnnotationImport(source_format, image.series_instance_uid, (), reasons)

    header = label.header
    if header.refusals:
        return refused(*header.refusals)
    if header.affine is None:
        message = "The file does not say where its volume lies in the patient, so it cannot be compared with the image."
        return refused(Rejection("no-label-position", message))
    fit = fit_of(shape=header.shape, affine=header.affine, image=image.grid)
    if fit.fit is Fit.REFUSED:
        return refused(*fit.refusals)
    values = label_values([_turned(layer, fit) for layer in label.values])
    if isinstance(values, Rejection):
        return refused(values)
    placer = _Placer(fit, image, context, set_id_of(source_format, data))
    if fit.fit is Fit.RESAMPLED:
        placer.remark_resampling()
    threshold = context.fraction_threshold if values.fractional else None
    findings = placer.findings(_parts(values, header.segments, threshold, placer.rejections))
    if not findings and not placer.rejections:
        placer.rejections.append(Rejection("empty-label", "The label volume marks no voxel.", ()))
    one = AnnotationSet(
        set_id=placer.set_id,
        reader_label="probability map" if values.fractional else "label map",
        kind=SetKind.ALGORITHM if values.fractional else SetKind.READER,
        read=True,
        findings=tuple(findings),
        algorithm=Algorithm("", "") if values.fractional else None,
    )
    return AnnotationImport(source_format, image.series_instance_uid, (one,), tuple(placer.rejections))


def _turned(layer: NDArray[np.generic], fit: GridFit) -> NDArray[np.generic]:
    """The label's array with the image's axis order and directions: (slice, row, column). A view, not a copy."""
    turned = layer.transpose(fit.axes)
    return turned[tuple(slice(None, None, -1 if back else 1) for back in fit.reversed_axes)]


def _parts(
    values: LabelValues, segments: Sequence[NamedSegment], threshold: float | None, rejections: list[Rejection]
) -> Iterator[_Part]:
    first = values.layers[0]
    if values.fractional:
        yield from _touching(first, "probability map", threshold, rejections)
        return
    if not segments and len(values.layers) == 1 and len(first.labels) == 1:
        yield from _touching(first, f"label {first.labels[0]}", None, rejections)
        return
    described = {(one.layer, one.value): one.name for one in segments}
    for number, layer in enumerate(values.layers):
        for region in regions_by_label(layer):
            name = described.pop((number, region.value), f"label {region.value}")
            suffix = f"label-{region.value:03d}"
            if len(values.layers) > 1:
                suffix = f"layer-{number}-{suffix}"
            yield _Part(name, suffix, region.voxels, region.start, None)
    for _, value in described:
        message = f"The file describes label {value}, but no voxel has it."
        rejections.append(Rejection("empty-segment", message, (f"label {value}",)))


def _touching(layer: FilledBox, name: str, threshold: float | None, rejections: list[Rejection]) -> Iterator[_Part]:
    regions = touching_regions(layer, least=threshold)
    if isinstance(regions, Rejection):
        rejections.append(regions)
        regions = iter((whole_region(layer, least=threshold),))
    for region in regions:
        yield _Part(name, f"component-{region.value:03d}", region.voxels, region.start, region.mean)


class _Placer:
    """Brings regions from the label's voxels to the image's, and says what that cost."""

    def __init__(self, fit: GridFit, image: PlacedSeries, context: ReadContext, set_id: str) -> None:
        self._fit, self._image, self._context = fit, image, context
        self._spacing = np.array(image.grid.spacing_mm)
        self.set_id = set_id
        self.rejections: list[Rejection] = []

    def remark_resampling(self) -> None:
        steps = " x ".join(f"{value:.3f}" for value in np.array(self._fit.step) * self._spacing)
        own = " x ".join(f"{value:.3f}" for value in self._spacing)
        message = (
            f"The label is sampled every {steps} mm and the image every {own} mm (slices, rows, columns): each voxel "
            "of the image took the nearest of the label's. How far outlines moved stands with each finding."
        )
        self.rejections.append(Rejection("resampled", message))

    def findings(self, parts: Iterator[_Part]) -> list[Finding]:
        found: list[Finding] = []
        for part in parts:
            finding = self._finding(part)
            if finding is not None:
                found.append(finding)
        return found

    def _finding(self, part: _Part) -> Finding | None:
        finding_id = f"{self.set_id}/{part.suffix}"
        placed = self._resampled(part) if self._fit.fit is Fit.RESAMPLED else self._exact(part)
        if placed is None:
            message = f"{part.name}, which reaches outside the image by {self._beyond(part):.1f} mm, was left out."
            self.rejections.append(Rejection("label-outside-image", message, (finding_id,)))
            return None
        mask, round_trip = placed
        if not mask.count:
            message = f"No voxel of the image has {part.name} as its nearest: it is smaller than the image's sampling."
            self.rejections.append(Rejection("lost-in-resampling", message, (finding_id,)))
            return None
        filled = np.flatnonzero(mask.voxels.any(axis=(1, 2))) + mask.origin[0]
        return Finding(
            finding_id,
            self._category(part, mask),
            mask=mask,
            source_label=part.name,
            sop_instance_uids=tuple(self._image.sop_instance_uids[int(index)] for index in filled),
            confidence=part.confidence,
            round_trip=round_trip,
        )

    def _category(self, part: _Part, mask: Mask) -> Category:
        vocabulary, name = self._context.vocabulary, part.name
        category = vocabulary.category(name, longest_mm=None)
        if category is Category.STRUCTURE and part.suffix.startswith("component-"):
            # A mask of one thing is often named by its file alone ("nodule_mask.nii.gz").
            name = without_ending(telling_form(self._context.file_name)).replace("_", " ")
            category = vocabulary.category(name, longest_mm=None)
        # Only a nodule's category depends on its size, and lungs and lobes are dear to measure.
        return vocabulary.category(name, longest_mm=measure(mask).long_axis_mm) if category.is_nodule else category

    def _exact(self, part: _Part) -> tuple[Mask, RoundTrip] | None:
        if self._beyond(part) > 0:
            return None
        origin = self._fit.origin
        start = tuple(first + at for first, at in zip(origin, part.start, strict=True))
        mask = mask_from_voxels(grid=self._image.grid, voxels=part.voxels, origin=(start[0], start[1], start[2]))
        ends = np.array([part.start, np.array(part.start) + part.voxels.shape - 1])
        moved = np.abs(np.array(self._fit.offset) + np.array(self._fit.step) * ends - (np.array(origin) + ends))
        return mask, RoundTrip(float(moved.max()), float(np.linalg.norm(moved * self._spacing, axis=1).max()))

    def _resampled(self, part: _Part) -> tuple[Mask, RoundTrip] | None:
        if self._beyond(part) > 0:
            return None
        offset, step = np.array(self._fit.offset), np.array(self._fit.step)
        low = offset + step * (np.array(part.start) - 0.5)
        high = offset + step * (np.array(part.start) + np.array(part.voxels.shape) - 0.5)
        first = np.clip(np.ceil(low - 1e-9), 0, None).astype(np.int64)
        last = np.minimum(np.floor(high + 1e-9), np.array(self._image.grid.shape) - 1).astype(np.int64)
        axes = []
        for axis in range(3):
            indices = np.rint((np.arange(first[axis], last[axis] + 1) - offset[axis]) / step[axis])
            axes.append(indices.astype(np.int64) - part.start[axis])
        # An image voxel half way between two of the label's may round to one outside the box, which is empty there.
        inside = [(one >= 0) & (one < size) for one, size in zip(axes, part.voxels.shape, strict=True)]
        clipped = [np.clip(one, 0, size - 1) for one, size in zip(axes, part.voxels.shape, strict=True)]
        voxels = part.voxels[np.ix_(*clipped)] & inside[0][:, None, None] & inside[1][:, None] & inside[2]
        mask = mask_from_voxels(
            grid=self._image.grid, voxels=voxels, origin=(int(first[0]), int(first[1]), int(first[2]))
        )
        given = offset + step * (_border(part.voxels) + np.array(part.start))
        held = _border(mask.voxels) + np.array(mask.origin)
        spacing = self._image.grid.spacing_mm
        return mask, wider(worst_gap(given, held, spacing), worst_gap(held, given, spacing))

    def _beyond(self, part: _Part) -> float:
        """How far the region's voxel centres reach beyond the image's outer edges, millimetres."""
        offset, step = np.array(self._fit.offset), np.array(self._fit.step)
        low = offset + step * np.array(part.start)
        high = offset + step * (np.array(part.start) + np.array(part.voxels.shape) - 1)
        edge = np.array(self._image.grid.shape) - 0.5
        beyond = np.maximum(np.maximum(-0.5 - low, high - edge), 0.0) * self._spacing
        return float(beyond.max())


def _border(voxels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The voxels of a region that touch something outside it, (n, 3)."""
    inner = ndimage.binary_erosion(voxels, structure=_TOUCHING)
    return np.argwhere(voxels & ~inner).astype(np.float64)
