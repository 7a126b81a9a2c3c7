"""Slice headers of a made-up axial series, one deliberate fault at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from imaging.geometry.header import SliceHeader

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def a_slice(*, number: int, step_mm: float = 2.5, **changes: object) -> SliceHeader:
    """One header of a sound axial CT series; ``changes`` replace fields."""
    header = SliceHeader(
        sop_instance_uid=f"1.2.3.{number + 1}",
        sop_class_uid=CT_IMAGE_STORAGE,
        series_instance_uid="1.2.3",
        study_instance_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="CT",
        patient_id="made-up",
        frame_of_reference_uid="1.2.9",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        position_mm=(-160.0, -170.0, -300.0 + number * step_mm),
        orientation=AXIAL,
        pixel_spacing_mm=(0.7, 0.7),
        rows=512,
        columns=512,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        pixel_representation=1,
        has_pixel_data=True,
        instance_number=None,
        slice_thickness_mm=step_mm,
        gantry_tilt_degrees=0.0,
        rescale_slope=1.0,
        rescale_intercept=-1024.0,
        rescale_type="HU",
        pixel_padding_value=None,
        pixel_padding_limit=None,
    )
    return dataclasses.replace(header, **changes)  # type: ignore[arg-type]  # fields are named by the test


def a_series(
    *, count: int = 10, change: Callable[[int, SliceHeader], SliceHeader] = lambda number, header: header
) -> list[SliceHeader]:
    """A sound series with each header passed through ``change``."""
    return [change(number, a_slice(number=number)) for number in range(count)]


def moved(header: SliceHeader, *, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> SliceHeader:
    """The same slice, shifted by millimetres."""
    assert header.position_mm is not None
    place = header.position_mm
    return dataclasses.replace(header, position_mm=(place[0] + x, place[1] + y, place[2] + z))


def tilted(degrees: float) -> tuple[float, ...]:
    """The orientation of slices that lean about the patient's left-right axis."""
    angle = math.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, math.cos(angle), -math.sin(angle))
