"""One CT series: the header of each instance, and the volume that the geometry gate allows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging.errors import GeometryError, UnreadableFile
from imaging.geometry.gate import GateTolerances, Severity, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import DEFAULT_GATE_POLICY, GatePolicy
from imaging.readers.dataset import (
    OpenedDataset,
    number_of,
    numbers_of,
    open_dataset,
    optional,
    text_of,
    whole_of,
)
from imaging.readers.limits import CT_READ_LIMITS, ReadLimits
from imaging.readers.pixels import stored_values
from imaging.types import Volume

__all__ = [
    "AIR_HU",
    "CT_READ_LIMITS",
    "InspectedInstance",
    "ReadLimits",
    "SliceHeader",
    "inspect_instance",
    "load_volume",
    "read_header",
]

AIR_HU = -1024
"""Hounsfield units given to padding, and the floor of a volume: nothing is thinner than air (-1000)."""

_INT16_TOP = 32767
_SHORT = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.uint16))
_PIXEL_DATA = 0x7FE00010
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_REQUIRED = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID")
_ACQUISITION = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "software": "SoftwareVersions",
    "kernel": "ConvolutionKernel",
    "kvp": "KVP",
    "exposure_mas": "Exposure",
    "tube_current_ma": "XRayTubeCurrent",
    "reconstruction_diameter_mm": "ReconstructionDiameter",
    "contrast_agent": "ContrastBolusAgent",
    "body_part": "BodyPartExamined",
    "patient_position": "PatientPosition",
    "lossy_compression": "LossyImageCompression",
}


def read_header(data: bytes | Path, limits: ReadLimits) -> SliceHeader:
    """Return what a DICOM file says about itself, without reading its pixels.

    Any stored object gives a header if it names itself, its series and its study; whether it can be a slice is the
    geometry gate's question. Raises UnreadableFile, and nothing else: the codes of ``open_dataset``, ``dicomdir``,
    ``missing-required-tags``, ``invalid-uid``, ``bad-value``, ``pixel-claim-too-large`` and
    ``pixel-data-shorter-than-claimed``. No message quotes personal data.
    """
    opened = open_dataset(data, limits, with_pixels=False)
    header = _header(opened)
    _check_pixel_claim(header, opened, limits)
    return header


@dataclass(frozen=True, slots=True)
class InspectedInstance:
    """What a DICOM file says about itself, and why its pixels cannot be decoded as one slice: None where they can."""

    header: SliceHeader
    pixel_fault: UnreadableFile | None


def inspect_instance(data: bytes, limits: ReadLimits) -> InspectedInstance:
    """Return an instance's header, as ``read_header`` does, and whether its pixels can be had.

    Pixels that lie there as plain 16-bit numbers, all of them, need no trial: nothing is left that could fail. All
    others are decoded once and forgotten. Without pixel data, or with more than one frame, there is no fault to find:
    the geometry gate refuses these. Raises what ``read_header`` raises.
    """
    opened = open_dataset(data, limits, with_pixels=False)
    header = _header(opened)
    _check_pixel_claim(header, opened, limits)
    if not header.has_pixel_data or header.number_of_frames != 1 or _is_plain(header, opened):
        return InspectedInstance(header, None)
    try:
        _stored_values(header, data, limits)
    except UnreadableFile as error:
        return InspectedInstance(header, error)
    return InspectedInstance(header, None)


def _is_plain(header: SliceHeader, opened: OpenedDataset) -> bool:
    """Whether pixels are whole 16-bit grey values, uncompressed; ``_check_pixel_claim`` has counted them before."""
    dataset = opened.dataset
    stored = optional(whole_of, dataset, "BitsStored")
    return (
        opened.transfer_syntax_uid in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
        and opened.pixel_tag == _PIXEL_DATA
        and (opened.pixel_bytes or 0) > 0
        and header.bits_allocated == 16
        and header.samples_per_pixel == 1
        and header.pixel_representation in (0, 1)
        and stored is not None
        and 1 <= stored <= 16
        and bool(header.rows)
        and bool(header.columns)
        and text_of(dataset, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    )


def _header(opened: OpenedDataset) -> SliceHeader:
    dataset = opened.dataset
    if "DirectoryRecordSequence" in dataset:
        raise UnreadableFile("dicomdir", "A DICOMDIR: an index of other files, not an image.")
    uids = {keyword: text_of(dataset, keyword) for keyword in _REQUIRED}
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        raise UnreadableFile("missing-required-tags", f"Required elements are missing or empty: {', '.join(missing)}.")
    frame_of_reference = text_of(dataset, "FrameOfReferenceUID")
    for keyword, uid in (*uids.items(), ("FrameOfReferenceUID", frame_of_reference)):
        if uid and (len(uid) > 64 or not _UID.fullmatch(uid)):
            raise UnreadableFile("invalid-uid", f"{keyword} is not a UID (digits and points, at most 64 characters).")
    position = numbers_of(dataset, "ImagePositionPatient", 3)
    spacing = numbers_of(dataset, "PixelSpacing", 2)
    samples = whole_of(dataset, "SamplesPerPixel")
    frames = whole_of(dataset, "NumberOfFrames")
    return SliceHeader(
        sop_instance_uid=uids["SOPInstanceUID"],
        sop_class_uid=uids["SOPClassUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        study_instance_uid=uids["StudyInstanceUID"],
        transfer_syntax_uid=opened.transfer_syntax_uid,
        modality=text_of(dataset, "Modality"),
        patient_id=text_of(dataset, "PatientID"),
        frame_of_reference_uid=frame_of_reference,
        image_type=tuple(part for part in text_of(dataset, "ImageType").split("\\") if part),
        position_mm=None if position is None else (position[0], position[1], position[2]),
        orientation=numbers_of(dataset, "ImageOrientationPatient", 6),
        pixel_spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        rows=whole_of(dataset, "Rows"),
        columns=whole_of(dataset, "Columns"),
        number_of_frames=1 if frames is None else frames,
        samples_per_pixel=1 if samples is None else samples,
        bits_allocated=whole_of(dataset, "BitsAllocated"),
        pixel_representation=whole_of(dataset, "PixelRepresentation"),
        has_pixel_data=opened.pixel_bytes is not None,
        instance_number=_whole(dataset, "InstanceNumber"),
        slice_thickness_mm=optional(number_of, dataset, "SliceThickness"),
        gantry_tilt_degrees=optional(number_of, dataset, "GantryDetectorTilt"),
        rescale_slope=number_of(dataset, "RescaleSlope"),
        rescale_intercept=number_of(dataset, "RescaleIntercept"),
        rescale_type=text_of(dataset, "RescaleType"),
        pixel_padding_value=_padding(dataset, "PixelPaddingValue"),
        pixel_padding_limit=_padding(dataset, "PixelPaddingRangeLimit"),
        acquisition=_acquisition(dataset),
        acquisition_number=_whole(dataset, "AcquisitionNumber"),
        temporal_position=_whole(dataset, "TemporalPositionIdentifier"),
        acquisition_time=_text(dataset, "AcquisitionDateTime") or _text(dataset, "AcquisitionTime"),
    )


def _whole(dataset: Dataset, keyword: str) -> int | None:
    number = optional(whole_of, dataset, keyword)
    return None if number is None else int(number)


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return text_of(dataset, keyword)
    except UnreadableFile:
        return ""


def _padding(dataset: Dataset, keyword: str) -> int | None:
    value = _whole(dataset, keyword)
    if value is None:
        return None
    # Some writers store a negative padding under VR US: 63536 for -2000.
    signed = whole_of(dataset, "PixelRepresentation") == 1
    bits = whole_of(dataset, "BitsAllocated") or 16
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value


def _acquisition(dataset: Dataset) -> dict[str, str]:
    found = {name: _text(dataset, keyword) for name, keyword in _ACQUISITION.items()}
    return {name: value for name, value in found.items() if value}


def _check_pixel_claim(header: SliceHeader, opened: OpenedDataset, limits: ReadLimits) -> None:
    claimed_bits = (
        (header.rows or 0)
        * (header.columns or 0)
        * max(1, header.number_of_frames)
        * max(1, header.samples_per_pixel)
        * (header.bits_allocated or 0)
    )
    claimed = -(-claimed_bits // 8)
    if claimed > limits.pixel_bytes:
        raise UnreadableFile(
            "pixel-claim-too-large",
            f"The image claims {claimed} bytes of pixels; at most {limits.pixel_bytes} are read.",
            subjects=(header.sop_instance_uid,),
        )
    if opened.pixel_bytes is None or not opened.has_native_pixels:
        return
    if text_of(opened.dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        claimed = claimed * 2 // 3  # two of three samples are stored (PS3.3 C.7.6.3.1.2)
    if opened.pixel_bytes < claimed:
        raise UnreadableFile(
            "pixel-data-shorter-than-claimed",
            f"The image claims {claimed} bytes of pixels but holds {opened.pixel_bytes}.",
            subjects=(header.sop_instance_uid,),
        )


def load_volume(
    *,
    slices: Sequence[SliceHeader],
    open_bytes: Callable[[str], bytes],
    tolerances: GateTolerances,
    limits: ReadLimits,
    policy: GatePolicy = DEFAULT_GATE_POLICY,
) -> Volume:
    """Return one series as a regular volume of Hounsfield units, slices sorted by position along row x column.

    ``open_bytes`` takes a SOP Instance UID and returns the file. Each slice is rescaled by its own slope and
    intercept, rounded to whole units and held as int16; padding becomes ``AIR_HU``, values below it are raised to it
    and values above 32767 lowered, and ``Volume.acquisition`` says for how many voxels (``padding_voxels``,
    ``clamped_low_voxels``, ``clamped_high_voxels``).
    Raises GeometryError, with the gate's first refusal as code, if the gate refuses the series; UnreadableFile if a
    file is not the one that its header was read from, its pixels cannot be decoded, or the volume is larger than
    ``limits.volume_bytes``.
    """
    verdict = assess(slices, tolerances, policy)
    if verdict.grid is None:
        refusals = [finding for finding in verdict.findings if finding.severity is Severity.REFUSAL]
        raise GeometryError(
            refusals[0].code,
            " ".join(finding.message for finding in refusals),
            subjects=refusals[0].sop_instance_uids,
        )
    grid = verdict.grid
    size = 2 * grid.shape[0] * grid.shape[1] * grid.shape[2]
    if size > limits.volume_bytes:
        raise UnreadableFile("volume-too-large", f"The volume has {size} bytes; at most {limits.volume_bytes} fit.")
    by_uid = {item.sop_instance_uid: item for item in slices}
    ordered = [by_uid[uid] for uid in verdict.sop_instance_uids]
    hounsfield = np.empty(grid.shape, dtype=np.int16)
    tally: Counter[str] = Counter()
    for index, header in enumerate(ordered):
        stored = _stored_values(header, open_bytes(header.sop_instance_uid), limits)
        hounsfield[index] = _to_hounsfield(stored, header, tally)
    hounsfield.setflags(write=False)
    thicknesses = [item.slice_thickness_mm for item in ordered if item.slice_thickness_mm]
    acquisition = dict(ordered[0].acquisition)
    acquisition.update({name: str(count) for name, count in sorted(tally.items()) if count})
    return Volume(
        grid=grid,
        hounsfield=hounsfield,
        series_instance_uid=ordered[0].series_instance_uid,
        study_instance_uid=ordered[0].study_instance_uid,
        sop_instance_uids=verdict.sop_instance_uids,
        instance_numbers=tuple(item.instance_number for item in ordered),
        slice_thickness_mm=float(np.median(thicknesses)) if thicknesses else None,
        acquisition=acquisition,
    )


def _stored_values(header: SliceHeader, data: bytes, limits: ReadLimits) -> NDArray[np.generic]:
    subjects = (header.sop_instance_uid,)
    opened = open_dataset(data, limits, with_pixels=True)
    if text_of(opened.dataset, "SOPInstanceUID") != header.sop_instance_uid:
        raise UnreadableFile("another-instance", "The file is not the instance that was asked for.", subjects=subjects)
    _check_pixel_claim(_header(opened), opened, limits)
    return stored_values(opened, header, limits)


def _to_hounsfield(stored: NDArray[np.generic], header: SliceHeader, tally: Counter[str]) -> NDArray[np.int16]:
    slope, intercept = header.rescale_slope or 1.0, header.rescale_intercept or 0.0
    values: NDArray[np.int32] | NDArray[np.float64]
    units: NDArray[np.int32] | NDArray[np.float64]
    if (
        stored.dtype in _SHORT
        and slope.is_integer()
        and intercept.is_integer()
        and max(abs(slope), abs(intercept)) < 1e4
    ):
        # Whole numbers stay whole: the same result as by floating point, several times as fast.
        values = stored.astype(np.int32)
        units = values * int(slope) + int(intercept)
    else:
        values = stored.astype(np.float64)
        units = np.rint(values * slope + intercept)
    if header.pixel_padding_value is not None:
        padding = _padding_mask(values, header)
        units[padding] = AIR_HU
        tally["padding_voxels"] += int(np.count_nonzero(padding))
    if units.min(initial=AIR_HU) < AIR_HU or units.max(initial=AIR_HU) > _INT16_TOP:
        tally["clamped_low_voxels"] += int(np.count_nonzero(units < AIR_HU))
        tally["clamped_high_voxels"] += int(np.count_nonzero(units > _INT16_TOP))
        return np.clip(units, AIR_HU, _INT16_TOP).astype(np.int16)
    return units.astype(np.int16)


def _padding_mask(values: NDArray[np.int32] | NDArray[np.float64], header: SliceHeader) -> NDArray[np.bool_]:
    # PS3.3 C.7.5.1.1.2: one value, or the range between it and the limit, in either order.
    if header.pixel_padding_value is None:
        return np.zeros(values.shape, dtype=np.bool_)
    limit = header.pixel_padding_limit
    other = header.pixel_padding_value if limit is None else limit
    low, high = sorted((header.pixel_padding_value, other))
    return (values >= low) & (values <= high)
