"""Label sets of every kind on a small oblique series, for tests of writers."""

from __future__ import annotations

import datetime

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import as_affine, to_patient
from imaging.geometry.series import SeriesGeometry
from imaging.masks.build import mask_from_voxels
from imaging.types import (
    Algorithm,
    AnnotationSet,
    Box,
    Category,
    Finding,
    Grid,
    Index,
    Mask,
    PointMm,
    ReportedMeasurement,
    SetKind,
    Sphere,
)
from imaging.writers.contract import LabelledSeries, WriteContext
from imaging.writers.identity import content_uid
from tests.imaging.readers.made import FRAME, SERIES, a_dataset, uid_of

SHAPE = (10, 40, 50)
TURN = np.radians(7.0)
CONTEXT = WriteContext(
    manufacturer="Label QA",
    model_name="label-qa",
    software_version="test",
    device_serial_number="1",
    written_at=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    new_uid=content_uid,
)
RATINGS = {"subtlety": 5, "texture": 3, "malignancy": 4, "calcification": 6, "internalStructure": 1, "margin": 2}


def a_grid(*, shape: tuple[int, int, int] = SHAPE, turn: float = TURN, reversed_slices: bool = False) -> Grid:
    """Slices 2.5 mm apart, rows 0.7, columns 0.8, turned about z."""
    along_row = np.array([np.cos(turn), np.sin(turn), 0.0]) * 0.8
    along_column = np.array([-np.sin(turn), np.cos(turn), 0.0]) * 0.7
    step = np.array([0.0, 0.0, -2.5 if reversed_slices else 2.5])
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([step, along_column, along_row, [-20.0, -15.0, -100.0]])
    return Grid(shape, as_affine(matrix), FRAME)


def a_series(grid: Grid) -> SeriesGeometry:
    """A series on this grid."""
    return SeriesGeometry(grid, SERIES, tuple(uid_of(number) for number in range(grid.shape[0])))


def a_mask(grid: Grid, *, origin: Index = (3, 10, 12), shape: Index = (3, 6, 7), hole: bool = False) -> Mask:
    """A block, with a hole through it where asked for."""
    voxels: NDArray[np.bool_] = np.ones(shape, dtype=np.bool_)
    if hole:
        voxels[:, 2:4, 2:4] = False
    return mask_from_voxels(grid=grid, voxels=voxels, origin=origin)


def at(grid: Grid, *index: float) -> PointMm:
    """The place of an index, LPS millimetres."""
    return to_patient(grid, index)


def sets_of_every_kind(grid: Grid) -> tuple[AnnotationSet, ...]:
    """Readers', an algorithm's and the reference: outlines, spheres, boxes and points of all categories."""
    box = Box(at(grid, 1.5, 5.5, 8.5), at(grid, 4.5, 11.5, 15.5))
    reader = AnnotationSet(
        "set-a",
        "reader 0badcafe",
        SetKind.READER,
        True,
        (
            Finding(
                "a/1", Category.NODULE_GE_3MM, mask=a_mask(grid), source_label="Nodule 001", characteristics=RATINGS
            ),
            # Overlaps the first, has a hole, and its name is the first one's again.
            Finding(
                "a/2",
                Category.NODULE_GE_3MM,
                mask=a_mask(grid, origin=(4, 12, 14), shape=(3, 7, 8), hole=True),
                source_label="Nodule 001",
                attributes={"location": "left upper lobe"},
                measurements=(ReportedMeasurement("diameter", 8.1, "mm"),),
            ),
            Finding("a/3", Category.NODULE_LT_3MM, point_mm=at(grid, 6, 20, 30), source_label="4"),
            Finding("a/4", Category.NON_NODULE, point_mm=at(grid, 7, 25.25, 31.5)),
            Finding("a/5", Category.NON_NODULE, mask=a_mask(grid, origin=(8, 30, 30), shape=(1, 3, 3))),
            Finding(
                "a/6", Category.STRUCTURE, mask=a_mask(grid, origin=(0, 0, 0), shape=(10, 2, 3)), source_label="GTV"
            ),
        ),
    )
    algorithm = AnnotationSet(
        "set-b",
        "segmentation by an algorithm",
        SetKind.ALGORITHM,
        True,
        (
            Finding(
                "b/1", Category.NODULE_GE_3MM, mask=a_mask(grid, hole=True), confidence=0.875, tracking_uid="2.25.99"
            ),
            Finding("b/2", Category.NODULE_GE_3MM, sphere=Sphere(at(grid, 5, 20, 25), 9.0), confidence=0.5),
            Finding("b/3", Category.NODULE_GE_3MM, box=box, confidence=0.25),
            Finding("b/4", Category.NODULE_LT_3MM, sphere=Sphere(at(grid, 5.5, 30.5, 25.5), 0.5), confidence=0.125),
        ),
        algorithm=Algorithm("Finder", "2.1"),
        case_probabilities={"malignant": 0.75},
    )
    parts = np.zeros((2, 5, 9), dtype=np.bool_)
    parts[:, :, :3] = parts[:, :, 6:] = True
    apart = mask_from_voxels(grid=grid, voxels=parts, origin=(5, 20, 20))
    reference = AnnotationSet(
        "set-c", "reference standard", SetKind.REFERENCE, True, (Finding("c/1", Category.NODULE_GE_3MM, mask=apart),)
    )
    nothing = AnnotationSet("set-d", "reader 12345678", SetKind.READER, True, ())
    unread = AnnotationSet("set-e", "reader 87654321", SetKind.READER, False, ())
    return (reader, algorithm, reference, nothing, unread)


def labelled(grid: Grid | None = None, sets: tuple[AnnotationSet, ...] | None = None) -> LabelledSeries:
    """A series with its labels: those of every kind unless others are given."""
    grid = a_grid() if grid is None else grid
    return LabelledSeries(
        image=a_series(grid),
        annotation_sets=sets_of_every_kind(grid) if sets is None else sets,
        header=a_dataset(PixelData=None),
    )
