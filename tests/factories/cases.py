"""Small synthetic cases for the checks: a chest of two lungs, balls for nodules, readers and a model by hand.

The grid is 40 x 64 x 64 voxels of 2.0 x 1.5 x 1.5 mm, centred on (0, 0, 0): x grows to the patient's left, y to the
back, z to the head, so a place can be read off without arithmetic. Instance numbers run from the head downwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from imaging.masks.boxes import box_around
from imaging.masks.build import full_voxels, mask_from_sphere, mask_from_voxels
from imaging.types import (
    Algorithm,
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    Grid,
    Mask,
    ModelIdentity,
    OutlineOpinion,
    PointMm,
    Prediction,
    ProbabilityMap,
    Rejection,
    SetKind,
    Sphere,
    Volume,
)

SHAPE = (40, 64, 64)
SPACING_MM = (2.0, 1.5, 1.5)
LEFT_LUNG: PointMm = (20.0, 3.0, 7.0)
RIGHT_LUNG: PointMm = (-20.0, -6.0, -9.0)
CHEST_WALL: PointMm = (0.0, 42.0, 0.0)
THRESHOLD = 0.5


def chest_grid() -> Grid:
    """The grid of every case here."""
    corner = [-(size - 1) / 2 * step for size, step in zip(SHAPE, SPACING_MM, strict=True)]
    return Grid(
        shape=SHAPE,
        affine=(
            (0.0, 0.0, SPACING_MM[2], corner[2]),
            (0.0, SPACING_MM[1], 0.0, corner[1]),
            (SPACING_MM[0], 0.0, 0.0, corner[0]),
            (0.0, 0.0, 0.0, 1.0),
        ),
        frame_of_reference_uid="2.25.100",
    )


@cache
def chest_volume() -> Volume:
    """An elliptic body of soft tissue in air, with two lungs in it; no nodule is painted, for no check looks at it."""
    grid = chest_grid()
    columns = (np.arange(SHAPE[2]) - (SHAPE[2] - 1) / 2) * SPACING_MM[2]
    rows = (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2) * SPACING_MM[1]
    y, x = np.meshgrid(rows, columns, indexing="ij")
    plane = np.full(SHAPE[1:], -1000, dtype=np.int16)
    plane[(x / 46.5) ** 2 + (y / 46.5) ** 2 < 1] = 40
    for side in (-1, 1):
        plane[((x - side * 20) / 13) ** 2 + (y / 28) ** 2 < 1] = -850
    hounsfield = np.ascontiguousarray(np.broadcast_to(plane, SHAPE))
    hounsfield.setflags(write=False)
    return Volume(
        grid=grid,
        hounsfield=hounsfield,
        series_instance_uid="2.25.101",
        study_instance_uid="2.25.102",
        sop_instance_uids=tuple(f"2.25.103.{number}" for number in range(SHAPE[0])),
        instance_numbers=tuple(SHAPE[0] - number for number in range(SHAPE[0])),
        slice_thickness_mm=2.0,
    )


def ball(*, centre_mm: PointMm, diameter_mm: float) -> Mask:
    """The mask of a ball on the grid."""
    return mask_from_sphere(grid=chest_grid(), sphere=Sphere(centre_mm=centre_mm, diameter_mm=diameter_mm))


def without_slices(*, mask: Mask, dropped: tuple[int, ...]) -> Mask:
    """The mask with some slices of its box emptied."""
    voxels = mask.voxels.copy()
    voxels[list(dropped)] = False
    return mask_from_voxels(grid=mask.grid, voxels=voxels, origin=mask.origin)


def shifted(*, mask: Mask, slices: int) -> Mask:
    """The mask moved along the stack."""
    origin = (mask.origin[0] + slices, mask.origin[1], mask.origin[2])
    return mask_from_voxels(grid=mask.grid, voxels=mask.voxels, origin=origin)


def united(*masks: Mask) -> Mask:
    """All masks as one."""
    voxels = np.zeros(SHAPE, dtype=bool)
    for mask in masks:
        voxels |= full_voxels(mask)
    return mask_from_voxels(grid=masks[0].grid, voxels=voxels)


def upper_half(mask: Mask) -> Mask:
    """The mask without the lower half of its slices."""
    return without_slices(mask=mask, dropped=tuple(range(mask.voxels.shape[0] // 2)))


def with_map(opinion: OutlineOpinion, *, sure: float = 0.97) -> OutlineOpinion:
    """The opinion with its outline as a probability map: ``sure`` inside, 1 - ``sure`` in a margin around it."""
    assert opinion.mask is not None
    values = np.where(np.pad(opinion.mask.voxels, 2), sure, 1 - sure).astype(np.float32)
    values.setflags(write=False)
    spread = np.full(values.shape, 0.02, dtype=np.float32)
    spread.setflags(write=False)
    origin = tuple(start - 2 for start in opinion.mask.origin)
    return replace(
        opinion,
        probability=ProbabilityMap(
            grid=opinion.mask.grid, origin=(origin[0], origin[1], origin[2]), values=values, spread=spread
        ),
    )


def outlined(
    *,
    finding_id: str,
    mask: Mask,
    category: Category = Category.NODULE_GE_3MM,
    characteristics: Mapping[str, int] | None = None,
) -> Finding:
    """A finding with an outline."""
    return Finding(finding_id=finding_id, category=category, mask=mask, characteristics=characteristics or {})


def nodule(*, finding_id: str, centre_mm: PointMm, diameter_mm: float) -> Finding:
    """A nodule of at least 3 mm, outlined as a ball."""
    return outlined(finding_id=finding_id, mask=ball(centre_mm=centre_mm, diameter_mm=diameter_mm))


def point(*, finding_id: str, place_mm: PointMm, category: Category = Category.NODULE_LT_3MM) -> Finding:
    """A point mark."""
    return Finding(finding_id=finding_id, category=category, point_mm=place_mm)


def boxed(*, finding_id: str, mask: Mask, category: Category = Category.NODULE_GE_3MM) -> Finding:
    """A finding with a box alone, drawn around a mask."""
    return Finding(finding_id=finding_id, category=category, box=box_around(mask))


def structure(*, finding_id: str, centre_mm: PointMm, diameter_mm: float) -> Finding:
    """Another structure than a nodule, outlined as a ball."""
    mask = ball(centre_mm=centre_mm, diameter_mm=diameter_mm)
    return outlined(finding_id=finding_id, mask=mask, category=Category.STRUCTURE)


def reader(set_id: str, *findings: Finding, read: bool = True) -> AnnotationSet:
    """One reader's set."""
    return AnnotationSet(set_id=set_id, reader_label=set_id, kind=SetKind.READER, read=read, findings=findings)


def candidate(*, centre_mm: PointMm, diameter_mm: float, probability: float) -> Candidate:
    """A place where the model sees a nodule, outlined as a ball."""
    return Candidate(
        centre_mm=centre_mm,
        diameter_mm=diameter_mm,
        probability=probability,
        mask=ball(centre_mm=centre_mm, diameter_mm=diameter_mm),
    )


def opinion(*, centre_mm: PointMm, diameter_mm: float, certainty: float) -> OutlineOpinion:
    """What the model outlines when asked about a place: a ball."""
    mask = ball(centre_mm=centre_mm, diameter_mm=diameter_mm)
    return OutlineOpinion(place_mm=centre_mm, mask=mask, mean_probability=certainty)


def prediction(*candidates: Candidate, outlines: tuple[OutlineOpinion, ...] = ()) -> Prediction:
    """A model's opinion: validated from 4 to 30 mm, sensitivity .60, .85 and .95 from 4, 6 and 8 mm."""
    return Prediction(
        model=ModelIdentity(name="by-hand", version="1", bundle_sha256="0" * 64),
        input_sha256="1" * 64,
        backend="none",
        threshold=THRESHOLD,
        candidates=candidates,
        outlines=outlines,
        validated_diameters_mm=(4.0, 30.0),
        sensitivity_by_diameter=((4.0, 0.60), (6.0, 0.85), (8.0, 0.95)),
        seconds=0.0,
    )


def algorithm(set_id: str, *findings: Finding) -> AnnotationSet:
    """What an algorithm elsewhere predicted."""
    return AnnotationSet(
        set_id=set_id,
        reader_label=set_id,
        kind=SetKind.ALGORITHM,
        read=True,
        findings=findings,
        algorithm=Algorithm(name="elsewhere", version="7"),
    )


def case(*sets: AnnotationSet, predicted: Prediction | None = None, rejections: tuple[Rejection, ...] = ()) -> Case:
    """A case on the chest volume."""
    return Case(volume=chest_volume(), annotation_sets=sets, prediction=predicted, import_rejections=rejections)


def painted(looked_at: Case, *masks: Mask, hounsfield: int = 30) -> Case:
    """The case with something of one density where the masks are; the chest itself shows no nodule."""
    values = looked_at.volume.hounsfield.copy()
    for mask in masks:
        values[full_voxels(mask)] = hounsfield
    values.setflags(write=False)
    return replace(looked_at, volume=replace(looked_at.volume, hounsfield=values))


def four_readers(*, centre_mm: PointMm, diameter_mm: float) -> tuple[AnnotationSet, ...]:
    """Four readers who outlined the same nodule alike."""
    return tuple(
        reader(name, nodule(finding_id=f"{name}-1", centre_mm=centre_mm, diameter_mm=diameter_mm)) for name in "abcd"
    )


def without_finding(*, sets: tuple[AnnotationSet, ...], set_id: str, finding_id: str) -> tuple[AnnotationSet, ...]:
    """The sets with one finding of one set taken out; its reader has still read the case."""
    return tuple(
        replace(item, findings=tuple(finding for finding in item.findings if finding.finding_id != finding_id))
        if item.set_id == set_id
        else item
        for item in sets
    )
