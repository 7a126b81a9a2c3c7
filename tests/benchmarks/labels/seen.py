"""What a peer is given of a case: labels and predictions with their masks, boxes and overlaps, in voxels and in mm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.masks.build import mask_from_sphere
from imaging.masks.overlap import shared_voxels
from imaging.masks.place import centre_of, radius_of
from imaging.training.spoilt import SpoiltCase
from imaging.types import Category, Finding, Grid, Mask, PointMm, Sphere

FLOOR = 0.05
"""Predictions below it are given to nobody."""

POINT_MM = 4.0
"""A mark without a size is a ball of this diameter to those who need boxes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A labelled or predicted thing: centre (LPS mm), half diameter (mm), voxels."""

    place_mm: PointMm
    radius_mm: float
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """One label of a set. ``nodule``: whether it claims one."""

    finding: Finding
    region: Region
    nodule: bool


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One label set beside the predictions: all that a peer sees.

    ``probabilities``: (predictions,). ``iou``: (labels, predictions), voxel by voxel in 3-D. ``distance_mm``: the same
    shape, between centres.
    """

    set_id: str
    grid: Grid
    labels: tuple[Label, ...]
    predictions: tuple[Region, ...]
    probabilities: Floats
    iou: Floats
    distance_mm: Floats


def seen_sets(case: SpoiltCase) -> Iterator[Seen]:
    """Return each label set of a case beside the model's candidates."""
    grid = case.case.volume.grid
    prediction = case.case.prediction
    assert prediction is not None
    candidates = [one for one in prediction.candidates if one.probability >= FLOOR]
    regions = tuple(
        Region(
            one.centre_mm,
            0.5 * (one.diameter_mm or POINT_MM),
            one.mask if one.mask is not None else _ball(grid, one.centre_mm, one.diameter_mm or POINT_MM),
        )
        for one in candidates
    )
    probabilities = np.array([one.probability for one in candidates], dtype=np.float64)
    for annotation_set in case.case.annotation_sets:
        labels = tuple(_label(grid, finding) for finding in annotation_set.findings)
        iou = np.zeros((len(labels), len(regions)))
        distance = np.zeros_like(iou)
        for row, label in enumerate(labels):
            for column, region in enumerate(regions):
                distance[row, column] = math.dist(label.region.place_mm, region.place_mm)
                shared = shared_voxels(label.region.mask, region.mask)
                if shared:
                    iou[row, column] = shared / (label.region.mask.count + region.mask.count - shared)
        yield Seen(annotation_set.set_id, grid, labels, regions, probabilities, iou, distance)


def _label(grid: Grid, finding: Finding) -> Label:
    place = centre_of(finding)
    mask = finding.mask if finding.mask is not None else _ball(grid, place, POINT_MM)
    radius = radius_of(finding) or 0.5 * POINT_MM
    return Label(finding, Region(place, radius, mask), finding.category in NODULES)


def _ball(grid: Grid, place: PointMm, diameter_mm: float) -> Mask:
    return mask_from_sphere(grid=grid, sphere=Sphere(place, diameter_mm))


NODULES = (Category.NODULE_GE_3MM, Category.NODULE_LT_3MM)
