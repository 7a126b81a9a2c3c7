"""What one DICOM instance says about itself before its pixels are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging.types import PointMm


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """The header of one DICOM instance, as stored; nothing is filled in, absent values are None or empty.

    ``position_mm`` is ImagePositionPatient (LPS, millimetres, centre of the first voxel), ``orientation``
    ImageOrientationPatient (row cosines, then column cosines), ``pixel_spacing_mm`` (between rows, between columns).
    ``acquisition_number``, ``temporal_position`` and ``acquisition_time`` tell several passes over one place apart.
    ``acquisition`` holds what the scanner says of the technique (manufacturer, kernel, kVp ...) and nothing personal;
    ``patient_id`` is personal and belongs in no log.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: str
    frame_of_reference_uid: str
    image_type: tuple[str, ...]
    position_mm: PointMm | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    rows: int | None
    columns: int | None
    number_of_frames: int
    samples_per_pixel: int
    bits_allocated: int | None
    pixel_representation: int | None
    has_pixel_data: bool
    instance_number: int | None
    slice_thickness_mm: float | None
    gantry_tilt_degrees: float | None
    rescale_slope: float | None
    rescale_intercept: float | None
    rescale_type: str
    pixel_padding_value: int | None
    pixel_padding_limit: int | None
    acquisition: Mapping[str, str] = field(default_factory=dict)
    acquisition_number: int | None = None
    temporal_position: int | None = None
    acquisition_time: str = ""
