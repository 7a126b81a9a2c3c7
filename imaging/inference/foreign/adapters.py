"""From what a bundle says to what the checks hear: boxes and label maps as candidates and outlines in patient space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.errors import BundleError
from imaging.geometry.affine import contains_index, to_index
from imaging.inference.foreign.mapping import BACKGROUND, NODULE, BoxMode, Frame, OutputMapping
from imaging.masks.build import mask_from_voxels
from imaging.masks.measure import centroid, measure
from imaging.masks.place import mask_holds
from imaging.types import Candidate, Grid, Mask, OutlineOpinion, PointMm

__all__ = ["ForeignOpinion", "Structure", "opinion_from_boxes", "opinion_from_labels"]

MOST_CANDIDATES = 1_000
LEAST_VOXELS = 3
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REACH_MM = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Anatomy that a bundle outlined: kept and shown, never judged as a nodule."""

    name: str
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class ForeignOpinion:
    """A bundle's output in patient space. ``remarks``: what of it was not taken, and why."""

    candidates: tuple[Candidate, ...]
    outlines: tuple[OutlineOpinion, ...]
    structures: tuple[Structure, ...]
    remarks: tuple[str, ...]


def opinion_from_boxes(
    *, output: Mapping[str, Any], mapping: OutputMapping, grid: Grid, places: Sequence[PointMm]
) -> ForeignOpinion:
    """Return a detector's boxes as candidates, most certain first; it draws no outlines, so there are none.

    ``output`` holds ``boxes`` (n rows of six numbers in the mapping's mode and frame), ``labels``, ``scores`` and
    ``affine``, which takes the numbers of a box in the frame ``image`` to RAS millimetres. A box's size is the root
    mean square of its three extents in millimetres, which for the box around a ball is the ball's diameter. Raises
    BundleError ``bundle-answer-refused`` for numbers that are none.
    """
    boxes = _numbers(output.get("boxes"), columns=6)
    labels, scores = _numbers(output.get("labels"), columns=0), _numbers(output.get("scores"), columns=0)
    if not len(boxes) == len(labels) == len(scores):
        raise _refused(f"{len(boxes)} boxes with {len(labels)} labels and {len(scores)} scores")
    to_lps = _frame(mapping, output.get("affine"))
    candidates: list[Candidate] = []
    dropped: dict[str, int] = {}

    def drop(why: str) -> None:
        dropped[why] = dropped.get(why, 0) + 1

    for box, label, score in zip(boxes, labels, scores, strict=True):
        name = mapping.labels.get(int(label), "")
        if name != NODULE:
            drop(f"{name or f'label {int(label)}'}, not a nodule")
        elif not 0.0 <= score <= 1.0:
            raise _refused(f"a score of {score:g}")
        else:
            centre, extents = _centre_and_extents(box, mapping.box_mode, to_lps)
            if min(extents) <= 0:
                drop("without extent")
            elif not contains_index(grid, to_index(grid, centre)):
                drop("outside the image")
            else:
                size = math.sqrt(sum(extent * extent for extent in extents) / 3.0)
                candidates.append(Candidate(centre_mm=centre, diameter_mm=size, probability=float(score)))
    candidates.sort(key=lambda candidate: (-candidate.probability, candidate.centre_mm))
    remarks = [f"{number} box{'' if number == 1 else 'es'} {why}" for why, number in sorted(dropped.items())]
    if len(candidates) > MOST_CANDIDATES:
        remarks.append(f"only the {MOST_CANDIDATES} most certain of {len(candidates)} candidates were taken")
    outlines = tuple(OutlineOpinion(place_mm=place, mask=None, mean_probability=0.0) for place in places)
    return ForeignOpinion(tuple(candidates[:MOST_CANDIDATES]), outlines, (), tuple(remarks))


def opinion_from_labels(
    *,
    labels: NDArray[np.uint8],
    certainty: NDArray[np.uint8] | None,
    output: Mapping[str, Any],
    mapping: OutputMapping,
    grid: Grid,
    places: Sequence[PointMm],
) -> ForeignOpinion:
    """Return a label map as candidates and outlines, one a connected component (26 neighbours), on the CT's grid.

    ``labels`` (x, y, z) lies on the grid of ``output["affine"]`` (index to RAS mm); where that is not the CT's own, the
    nearest label is taken at every voxel of the CT. ``certainty``: the probability of the label there in 1/255; a
    candidate's probability is the mean over its voxels, and the mapping's threshold where there is none. Components of
    less than three voxels are left out. The outline at a place is the component there, or the nearest within 5 mm.
    """
    ras = _affine(output.get("affine"))
    on_grid = _on_grid(labels, ras, grid)
    certain = None if certainty is None else _on_grid(certainty, ras, grid)
    remarks: list[str] = []
    candidates: list[Candidate] = []
    structures: list[Structure] = []
    for number in sorted(int(one) for one in np.unique(on_grid)):
        name = mapping.labels.get(number, "")
        if number == 0 or name.lower() == BACKGROUND:
            continue
        if name == NODULE:
            found, small = _components(on_grid == number, certain, grid, mapping.threshold)
            candidates.extend(found)
            if small:
                remarks.append(f"{small} specks of less than {LEAST_VOXELS} voxels")
        elif name:
            structures.append(Structure(name, mask_from_voxels(grid=grid, voxels=on_grid == number)))
        else:
            remarks.append(f"label {number}, which nobody explains")
    candidates.sort(key=lambda candidate: (-candidate.probability, candidate.centre_mm))
    if len(candidates) > MOST_CANDIDATES:
        remarks.append(f"only the {MOST_CANDIDATES} most certain of {len(candidates)} candidates were taken")
        del candidates[MOST_CANDIDATES:]
    outlines = tuple(_outline(place, candidates) for place in places)
    return ForeignOpinion(tuple(candidates), outlines, tuple(structures), tuple(remarks))


def _components(
    voxels: NDArray[np.bool_], certain: NDArray[np.uint8] | None, grid: Grid, threshold: float
) -> tuple[list[Candidate], int]:
    numbered, count = ndimage.label(voxels, structure=np.ones((3, 3, 3)))
    found: list[Candidate] = []
    small = 0
    for index, box in enumerate(ndimage.find_objects(numbered, max_label=count), start=1):
        inside = numbered[box] == index
        if np.count_nonzero(inside) < LEAST_VOXELS:
            small += 1
            continue
        mask = mask_from_voxels(grid=grid, voxels=inside, origin=(box[0].start, box[1].start, box[2].start))
        probability = threshold if certain is None else float(certain[box][inside].mean()) / 255.0
        found.append(
            Candidate(
                centre_mm=centroid(mask),
                diameter_mm=measure(mask).equivalent_diameter_mm,
                probability=min(1.0, probability),
                mask=mask,
            )
        )
    return found, small


def _outline(place: PointMm, candidates: Sequence[Candidate]) -> OutlineOpinion:
    for candidate in candidates:
        if candidate.mask is not None and mask_holds(candidate.mask, place):
            return OutlineOpinion(place_mm=place, mask=candidate.mask, mean_probability=candidate.probability)
    near = min(candidates, key=lambda candidate: math.dist(candidate.centre_mm, place), default=None)
    if near is None or math.dist(near.centre_mm, place) > max(_REACH_MM, (near.diameter_mm or 0.0) / 2.0):
        return OutlineOpinion(place_mm=place, mask=None, mean_probability=0.0)
    return OutlineOpinion(place_mm=place, mask=near.mask, mean_probability=near.probability)


def _on_grid(array: NDArray[np.uint8], ras: NDArray[np.float64], grid: Grid) -> NDArray[np.uint8]:
    """Return (slices, rows, columns) on the CT's grid, each voxel's nearest value; 0 outside of what was given."""
    # Voxel (slice, row, column) to LPS, to RAS, to the array's own index.
    step = np.linalg.inv(ras) @ np.linalg.inv(_RAS_TO_LPS) @ grid.matrix
    swapped = np.zeros((4, 4))
    swapped[[0, 1, 2, 3], [2, 1, 0, 3]] = 1.0
    if array.shape == grid.shape[::-1] and np.allclose(step, swapped, atol=1e-3):
        return np.ascontiguousarray(array.transpose(2, 1, 0))
    result: NDArray[np.uint8] = ndimage.affine_transform(
        array, step[:3, :3], offset=step[:3, 3], output_shape=grid.shape, order=0, mode="constant", cval=0
    )
    return result


def _centre_and_extents(
    box: NDArray[np.float64], mode: BoxMode | None, to_lps: NDArray[np.float64]
) -> tuple[PointMm, tuple[float, float, float]]:
    if mode is BoxMode.CENTRE_AND_EXTENTS:
        middle, extents = box[:3], box[3:]
    else:
        middle, extents = (box[:3] + box[3:]) / 2.0, box[3:] - box[:3]
    x, y, z = (float(value) for value in (to_lps @ np.array([*middle, 1.0]))[:3])
    a, b, c = (float(value) for value in extents * np.linalg.norm(to_lps[:3, :3], axis=0))
    return (x, y, z), (a, b, c)


def _frame(mapping: OutputMapping, affine: object) -> NDArray[np.float64]:
    """Return (4, 4): a box's numbers to LPS millimetres."""
    if mapping.frame is Frame.LPS:
        return np.eye(4)
    if mapping.frame is Frame.RAS:
        return _RAS_TO_LPS
    # MONAI's boxes count from voxel centres, as the affine does.
    return np.asarray(_RAS_TO_LPS @ _affine(affine), dtype=np.float64)


def _affine(value: object) -> NDArray[np.float64]:
    matrix = _numbers(value, columns=4)
    if matrix.shape != (4, 4) or abs(float(np.linalg.det(matrix[:3, :3]))) < 1e-9:
        raise _refused("an affine that is none")
    return matrix


def _numbers(value: object, *, columns: int) -> NDArray[np.float64]:
    """Return (n, columns) float64, or (n,) for no columns. Raises for anything that is not finite numbers."""
    try:
        array = np.array(value if isinstance(value, list) else None, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _refused("something else than numbers") from error
    if columns and array.size == 0:
        return np.zeros((0, columns))
    wanted = 2 if columns else 1
    if array.ndim != wanted or (columns and array.shape[1] != columns) or not np.isfinite(array).all():
        raise _refused("something else than rows of finite numbers")
    return array


def _refused(what: str) -> BundleError:
    return BundleError("bundle-answer-refused", f"The bundle's output is not taken: {what}.")
