"""Scans whose left and right are known: a bright block in the patient's left lung, its voxels not square."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.imaging.readers.made import a_file

SLICES, ROWS, COLUMNS = 20, 128, 256
# Each slice is 160 mm by 160 mm; a row is twice as high as a column is wide.
ROW_MM, COLUMN_MM, SLICE_MM = 1.25, 0.625, 2.5
AIR_HU, BLOCK_HU = -850, 150
# The block in LPS millimetres: x grows to the patient's left, y to the back, z to the head.
BLOCK_MM = ((30.0, 50.0), (-10.0, 10.0), (15.0, 30.0))
BLOCK_CENTRE_MM = (40.0, 0.0, 22.5)


@dataclass(frozen=True)
class Scan:
    """One series. ``mirrored``: its columns run to the patient's right, as in a scan stored the other way round."""

    name: str
    mirrored: bool
    root: str

    @property
    def uid(self) -> str:
        return f"{self.root}.1"

    def x_of(self, column: int) -> float:
        """The x of a column's centre in mm."""
        x = -80.0 + COLUMN_MM * (column + 0.5)
        return -x if self.mirrored else x

    def block(self) -> np.ndarray:
        """The block's voxels, (slices, rows, columns) bool, slice 0 at the feet."""
        x = np.array([self.x_of(column) for column in range(COLUMNS)])
        y = -80.0 + ROW_MM * (np.arange(ROWS) + 0.5)
        z = SLICE_MM * np.arange(SLICES)
        inside = [(low <= at) & (at <= high) for at, (low, high) in zip((x, y, z), BLOCK_MM, strict=True)]
        return inside[2][:, None, None] & inside[1][None, :, None] & inside[0][None, None, :]

    def write(self, folder: Path) -> None:
        """Write the series as DICOM files; image 1 is the topmost."""
        folder.mkdir(parents=True)
        hounsfield = np.where(self.block(), BLOCK_HU, AIR_HU).astype(np.int16)
        for index in range(SLICES):
            data = a_file(
                number=index,
                stored=(hounsfield[index] + 1024).astype(np.int16),
                SeriesInstanceUID=self.uid,
                StudyInstanceUID=self.root,
                FrameOfReferenceUID=f"{self.root}.9",
                SOPInstanceUID=f"{self.uid}.{index + 1}",
                PatientID=self.name,
                ImagePositionPatient=[self.x_of(0), -80.0 + ROW_MM / 2, SLICE_MM * index],
                ImageOrientationPatient=[-1 if self.mirrored else 1, 0, 0, 0, 1, 0],
                PixelSpacing=[ROW_MM, COLUMN_MM],
                SliceThickness=SLICE_MM,
                InstanceNumber=SLICES - index,
            )
            (folder / f"{index:03d}.dcm").write_bytes(data)


SCANS = (
    Scan(name="PLAIN", mirrored=False, root="1.2.826.0.1.3680043.10.51"),
    Scan(name="MIRRORED", mirrored=True, root="1.2.826.0.1.3680043.10.52"),
)
