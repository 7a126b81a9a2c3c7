"""The series of seg-sr-pairs.zip as grids, and its objects by UID, for tests of readers of DICOM labels."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

from pydicom import dcmread

from imaging.geometry.affine import as_affine, voxel_to_patient
from imaging.geometry.series import SeriesGeometry
from imaging.readers.formats import ReadContext, no_companion
from imaging.readers.series import CT_READ_LIMITS, read_header
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import Grid
from tests.imaging.readers import real

ARCHIVE = "seg-sr-pairs.zip"

SERIES = {
    "liver": "dcmqi-liver/ct-3slice/",
    "slice": "highdicom-ct/ct_image.dcm",
    "spine": "highdicom-ct/pydicom-77654033-CT2/",
    "23x38x3": "dcmqi-23x38x3/image/",
    "24x38x3": "dcmqi-24x38x3/image/",
}


def context_with(
    *, fraction_threshold: float = 0.5, companion: Callable[[str], bytes | None] = no_companion
) -> ReadContext:
    """What readers are told in these tests."""
    return ReadContext("label.dcm", LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold, companion=companion)


@functools.lru_cache(maxsize=1)
def objects() -> dict[str, bytes]:
    """Every DICOM object of the archive by SOP Instance UID."""
    found = {}
    for data in real.archive(ARCHIVE).values():
        if data[128:132] == b"DICM":
            found[str(dcmread(io.BytesIO(data), stop_before_pixels=True).SOPInstanceUID)] = data
    return found


@functools.lru_cache(maxsize=8)
def series(name: str) -> SeriesGeometry:
    """One of the archive's CT series. They are made for tests, and no gate would take them: placed by hand.

    ``spine`` is without its first slice, which lies 202.5 mm from the others.
    """
    files = [data for path, data in real.archive(ARCHIVE).items() if path.startswith(SERIES[name])]
    headers = sorted(
        (read_header(data, CT_READ_LIMITS) for data in files), key=lambda one: one.position_mm or (0, 0, 0)
    )
    if name == "spine":
        headers = headers[1:]
    positions = [header.position_mm for header in headers]
    first = headers[0]
    assert positions[0] is not None
    assert first.orientation is not None
    assert first.pixel_spacing_mm is not None
    step = positions[1][2] - positions[0][2] if len(positions) > 1 and positions[1] is not None else 1.0
    pixels = dcmread(io.BytesIO(files[0]), stop_before_pixels=True)
    matrix = voxel_to_patient(
        position_mm=positions[0],
        orientation=first.orientation,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_step_mm=step,
    )
    shape = (len(headers), int(pixels.Rows), int(pixels.Columns))
    grid = Grid(shape, as_affine(matrix), str(pixels.FrameOfReferenceUID))
    return SeriesGeometry(grid, first.series_instance_uid, tuple(header.sop_instance_uid for header in headers))
