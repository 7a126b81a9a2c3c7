"""The frames of a DICOM SEG: where each lies, whose segment it shows, and its values (PS3.3 C.8.20)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.readers.dataset import numbers_of, text_of, whole_of
from imaging.readers.frame_placement import LabelPlane, Placement, worst
from imaging.readers.limits import ReadLimits
from imaging.types import Index, Mask, RoundTrip

Style = Literal["BINARY", "LABELMAP", "FRACTIONAL"]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One segment on the image's grid.

    ``mean_fraction`` in [0, 1] is the mean stored fraction inside the mask, None where the segmentation stores no
    fractions or the mask is empty. ``slices`` are the slice indices of its frames, empty ones of a LABELMAP left out.
    """

    mask: Mask
    mean_fraction: float | None
    round_trip: RoundTrip
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The decoded frames of one segmentation, each with its place.

    ``values`` is (frames, rows, columns), as stored. ``of_segment`` maps a segment number to its frames;
    ``unassigned`` are frames that name no segment.
    """

    style: Style
    values: NDArray[np.generic]
    placement: Placement
    of_segment: dict[int, tuple[int, ...]]
    unassigned: tuple[int, ...]
    maximum: int

    def region(self, number: int, image: PlacedSeries, *, threshold: float) -> Region:
        """Return a segment's voxels.

        ``threshold`` in (0, 1]: a voxel of a FRACTIONAL segmentation belongs from this fraction of its maximum on.
        """
        indices = self.of_segment.get(number, ())
        origins = [self.placement.origins[index] for index in indices]
        mean: float | None = None
        if self.style == "FRACTIONAL":
            stored, start = _assemble([self.values[index] for index in indices], origins, image, np.dtype(np.float32))
            # Stored values are whole numbers, so a millionth keeps equality from hanging on a rounded product.
            inside = stored >= threshold * self.maximum - 1e-6
            mask = mask_from_voxels(grid=image.grid, voxels=inside, origin=start)
            if mask.count:
                mean = min(1.0, float(stored[inside].mean(dtype=np.float64)) / self.maximum)
        else:
            planes = [
                self.values[index] == number if self.style == "LABELMAP" else self.values[index] != 0
                for index in indices
            ]
            laid, start = _assemble(planes, origins, image, np.dtype(np.bool_))
            mask = mask_from_voxels(grid=image.grid, voxels=laid != 0, origin=start)
        return Region(
            mask=mask,
            mean_fraction=mean,
            round_trip=worst([self.placement.round_trips[index] for index in indices]),
            slices=tuple(sorted({origin[0] for origin in origins})),
        )


def read_frames(
    dataset: Dataset, style: Style, planes: Sequence[LabelPlane], placement: Placement, limits: ReadLimits
) -> Frames:
    """Return the decoded frames of a segmentation whose ``planes`` have their ``placement``.

    Raises UnreadableFile: ``pixel-claim-too-large``, ``pixels-not-decoded``, ``malformed``, ``bad-value``.
    """
    size = (whole_of(dataset, "Rows") or 0, whole_of(dataset, "Columns") or 0)
    values = _decoded(dataset, (len(planes), *size), limits)
    maximum = whole_of(dataset, "MaximumFractionalValue") or 0
    if style == "FRACTIONAL" and maximum <= 0:
        raise UnreadableFile("malformed", "The segmentation is fractional but does not say what its whole is.")
    found: dict[int, list[int]] = defaultdict(list)
    unassigned: list[int] = []
    if style == "LABELMAP":
        for index, plane in enumerate(values):
            for number in np.unique(plane):
                found[int(number)].append(index)
    else:
        shared = first_item(dataset, "SharedFunctionalGroupsSequence")
        for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence[: len(values)]):
            named = whole_of(_group(frame, shared, "SegmentIdentificationSequence"), "ReferencedSegmentNumber")
            if named is None:
                unassigned.append(index)
            else:
                found[named].append(index)
    of_segment = {number: tuple(indices) for number, indices in found.items()}
    return Frames(style, values, placement, of_segment, tuple(unassigned), maximum)


def planes_of(dataset: Dataset) -> Iterator[LabelPlane]:
    """Yield what each frame says of its own place, in frame order. Raises UnreadableFile ``bad-value``."""
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    for frame in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        position = numbers_of(_group(frame, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
        spacing = numbers_of(_group(frame, shared, "PixelMeasuresSequence"), "PixelSpacing", 2)
        yield LabelPlane(
            position_mm=None if position is None else (position[0], position[1], position[2]),
            orientation=numbers_of(_group(frame, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
            source_uids=tuple(text_of(source, "ReferencedSOPInstanceUID") for source in frame_sources(frame)),
        )


def frame_sources(frame: Dataset) -> Iterator[Dataset]:
    """Yield the source images that a frame's functional groups name."""
    for derivation in frame.get("DerivationImageSequence") or ():
        yield from derivation.get("SourceImageSequence") or ()


def first_item(dataset: Dataset, keyword: str) -> Dataset:
    """Return the first item of a sequence, an empty data set if there is none."""
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def _assemble(
    planes: Sequence[NDArray[np.generic]],
    origins: Sequence[Index],
    image: PlacedSeries,
    kind: np.dtype[np.float32] | np.dtype[np.bool_],
) -> tuple[NDArray[np.float32 | np.bool_], Index]:
    """Lay planes into whole slices, the larger value where two of them meet; and the index of the first voxel."""
    first = min((origin[0] for origin in origins), default=0)
    last = max((origin[0] for origin in origins), default=-1)
    laid: NDArray[np.float32 | np.bool_] = np.zeros((last - first + 1, *image.grid.shape[1:]), dtype=kind)
    for plane, (index, top, left) in zip(planes, origins, strict=True):
        target = laid[index - first, top : top + plane.shape[0], left : left + plane.shape[1]]
        np.maximum(target, plane.astype(kind), out=target)
    return laid, (first, 0, 0)


def _decoded(dataset: Dataset, shape: tuple[int, int, int], limits: ReadLimits) -> NDArray[np.generic]:
    # A packed bit becomes a byte when it is read, so the claim is counted in voxels and not in stored bytes.
    claimed = max(shape[0], whole_of(dataset, "NumberOfFrames") or 1) * shape[1] * shape[2]
    if claimed > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large", f"The label claims {claimed} voxels; at most {limits.pixel_bytes} are read."
        )
    try:
        values: NDArray[np.generic] = pixel_array(dataset, raw=True)
    # Decoders raise whatever their libraries do on damaged or unsupported streams.
    except Exception as error:
        raise UnreadableFile(
            "pixels-not-decoded", f"The label's voxels cannot be decoded ({type(error).__name__})."
        ) from error
    if values.ndim == 2:
        values = values[None]
    if values.shape != shape:
        raise UnreadableFile(
            "malformed", f"The label has {values.shape[0]} frames of voxels but describes {shape[0]} planes."
        )
    return values


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
    return first_item(frame, keyword) if frame.get(keyword) else first_item(shared, keyword)
