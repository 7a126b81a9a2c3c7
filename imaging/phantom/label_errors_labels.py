"""What goes wrong with one label of a nodule, and labels of nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_index, to_patient
from imaging.masks.build import mask_from_sphere
from imaging.masks.measure import centroid
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.label_errors import SEVERITIES_MM, ErrorKind, Severity, Wish
from imaging.phantom.label_errors_outlines import (
    dilated,
    eroded,
    moved,
    run_on,
    without_inner_slices,
    without_pole,
)
from imaging.phantom.simulated_readers import bright_place, redraw
from imaging.types import Category, Finding, Mask, PointMm, Sphere

OFF_THE_SCALE = 9
ON_A_VESSEL = 0.75
"""Share of invented labels that are drawn on a vessel; the rest lie in plain lung."""

CLEAR_MM = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Spoilt:
    """What stands in place of a label: nothing, another, or two. ``finding_id``: the wrong one of them."""

    findings: tuple[Finding, ...]
    finding_id: str | None
    magnitude_mm: float


def spoil_label(
    *,
    finding: Finding,
    nodule: TrueNodule,
    wish: Wish,
    neighbours: tuple[TrueNodule, ...],
    lungs: NDArray[np.bool_],
    generator: np.random.Generator,
) -> Spoilt | None:
    """Return what the wish makes of an outlined label, or None where this label cannot take such an error.

    ``neighbours``: true nodules that touch this one; an outline runs on into the first of them. ``lungs``: whole grid.
    """
    mask = finding.mask
    if mask is None:
        return None
    if wish.kind is ErrorKind.MISSING:
        return Spoilt((), None, nodule.diameter_mm)
    if wish.kind is ErrorKind.WRONG_CATEGORY:
        return _recategorised(finding, mask, nodule, generator)
    if wish.kind is ErrorKind.WRONG_RATING:
        return _misrated(finding, wish.severity, generator)
    if wish.kind is ErrorKind.DUPLICATED:
        return _duplicated(finding, mask, wish, lungs, generator)
    done = _redrawn(mask, wish, neighbours, lungs, generator)
    if done is None:
        return None
    return Spoilt((replace(finding, mask=done[0]),), finding.finding_id, done[1])


def invented(
    *,
    case: PhantomCase,
    name: str,
    span_mm: tuple[float, float],
    clear_of: tuple[PointMm, ...],
    generator: np.random.Generator,
) -> tuple[Finding, float] | None:
    """Return an outline where there is no nodule, and its diameter in mm; None if no free place is found.

    ``span_mm``: least and greatest diameter. Places lie at least 15 mm from all in ``clear_of``.
    """
    if generator.random() < ON_A_VESSEL:
        place = bright_place(case=case, generator=generator, clear_of=clear_of)
    else:
        place = _plain_place(case, clear_of, generator)
    if place is None:
        return None
    wanted = float(generator.uniform(span_mm[0] + 0.3, span_mm[1] - 0.3))
    grid = case.volume.grid
    ball = mask_from_sphere(grid=grid, sphere=Sphere(place, wanted))
    drawn = redraw(
        mask=ball,
        generator=generator,
        outward_mm=0.0,
        wander_mm=0.3,
        shift_mm=(0.0, 0.0, 0.0),
        within=case.lungs,
    )
    if drawn.count < 2:
        return None
    ratings = {
        "subtlety": int(generator.integers(2, 5)),
        "texture": int(generator.integers(4, 6)),
        "malignancy": int(generator.integers(1, 4)),
    }
    return Finding(name, Category.NODULE_GE_3MM, mask=drawn, characteristics=ratings), wanted


def _redrawn(
    mask: Mask,
    wish: Wish,
    neighbours: tuple[TrueNodule, ...],
    lungs: NDArray[np.bool_],
    generator: np.random.Generator,
) -> tuple[Mask, float] | None:
    length = SEVERITIES_MM[wish.kind][wish.severity][0]
    if wish.kind is ErrorKind.SHIFTED:
        return _shifted(mask, length, generator)
    if wish.kind is ErrorKind.ERODED:
        smaller = eroded(mask=mask, distance_mm=length)
        return None if smaller is None else (smaller, length)
    if wish.kind is ErrorKind.DILATED:
        larger = dilated(mask=mask, distance_mm=length, within=lungs)
        return None if larger is None else (larger, length)
    if wish.kind is ErrorKind.POLE_SLICES:
        return without_pole(mask=mask, length_mm=length, lower=bool(generator.integers(2)))
    if wish.kind is ErrorKind.INNER_SLICES:
        return without_inner_slices(mask=mask, length_mm=length, where=float(generator.random()))
    return _run_on(mask, length, neighbours, lungs, generator)


def _shifted(mask: Mask, length_mm: float, generator: np.random.Generator) -> tuple[Mask, float] | None:
    direction = generator.normal(size=3) * np.array([0.3, 1.0, 1.0])
    direction *= length_mm / float(np.linalg.norm(direction))
    for sign in (1.0, -1.0):
        vector = sign * direction
        away = moved(mask=mask, vector_mm=(float(vector[0]), float(vector[1]), float(vector[2])))
        if away is not None:
            return away, length_mm
    return None


def _run_on(
    mask: Mask,
    length_mm: float,
    neighbours: tuple[TrueNodule, ...],
    lungs: NDArray[np.bool_],
    generator: np.random.Generator,
) -> tuple[Mask, float] | None:
    """Run on into a neighbour where there is one, else wherever the lung leaves at least three quarters of the way."""
    if neighbours:
        here, there = to_index(mask.grid, centroid(mask)), to_index(mask.grid, neighbours[0].centre_mm)
        way = np.subtract(there, here) * np.array(mask.grid.spacing_mm)
        towards = [way]
    else:
        start = float(generator.uniform(0.0, 2.0 * np.pi))
        turns = start + np.arange(8) * np.pi / 4.0
        towards = [np.array([0.0, np.sin(turn), np.cos(turn)]) for turn in turns]
    for way in towards:
        vector = (float(way[0]), float(way[1]), float(way[2]))
        done = run_on(mask=mask, reach_mm=length_mm, towards=vector, within=lungs)
        if done is not None and done[1] >= 0.75 * length_mm:
            return done
    return None


def _recategorised(finding: Finding, mask: Mask, nodule: TrueNodule, generator: np.random.Generator) -> Spoilt:
    category = Category.NON_NODULE if generator.random() < 0.5 else Category.NODULE_LT_3MM
    changed = replace(finding, category=category, mask=None, point_mm=_voxel_centre(mask), characteristics={})
    return Spoilt((changed,), finding.finding_id, nodule.diameter_mm)


def _misrated(finding: Finding, severity: Severity, generator: np.random.Generator) -> Spoilt | None:
    """Rate one characteristic wrongly: some points off, or off the scale of 1 to 5."""
    names = sorted(finding.characteristics)
    if not names:
        return None
    points = round(SEVERITIES_MM[ErrorKind.WRONG_RATING][severity][0])
    for name in (str(entry) for entry in generator.permutation(names)):
        value = finding.characteristics[name]
        if severity is Severity.SEVERE:
            wrong = OFF_THE_SCALE
        else:
            within = [other for other in (value - points, value + points) if 1 <= other <= 5]
            if not within:
                continue
            wrong = within[0]
        changed = replace(finding, characteristics={**finding.characteristics, name: wrong})
        return Spoilt((changed,), finding.finding_id, float(abs(wrong - value)))
    return None


def _duplicated(
    finding: Finding, mask: Mask, wish: Wish, lungs: NDArray[np.bool_], generator: np.random.Generator
) -> Spoilt | None:
    length = SEVERITIES_MM[wish.kind][wish.severity][0]
    if 2.0 * length > _diameter_mm(mask):
        # Farther apart than half the lesion, two outlines no longer look like one thing marked twice.
        return None
    away = _shifted(mask, length, generator)
    if away is None:
        return None
    drawn = redraw(
        mask=away[0], generator=generator, outward_mm=0.0, wander_mm=0.3, shift_mm=(0.0, 0.0, 0.0), within=lungs
    )
    twin = replace(finding, finding_id=f"{finding.finding_id}-again", mask=drawn)
    return Spoilt((finding, twin), twin.finding_id, length)


def _diameter_mm(mask: Mask) -> float:
    volume = mask.count * float(np.prod(mask.grid.spacing_mm))
    return float((6.0 * volume / np.pi) ** (1.0 / 3.0))


def _plain_place(case: PhantomCase, clear_of: tuple[PointMm, ...], generator: np.random.Generator) -> PointMm | None:
    places = np.flatnonzero(case.lungs & ~case.vessels)
    for _ in range(50 if len(places) else 0):
        index = np.unravel_index(int(generator.choice(places)), case.lungs.shape)
        place = to_patient(case.volume.grid, [float(value) for value in index])
        if all(np.linalg.norm(np.subtract(place, other)) > CLEAR_MM for other in clear_of):
            return place
    return None


def _voxel_centre(mask: Mask) -> PointMm:
    """The outline's voxel nearest to its centroid: a mark is made on a pixel, not between pixels."""
    places = np.argwhere(mask.voxels) + np.array(mask.origin)
    middle = places[int(np.linalg.norm(places - places.mean(axis=0), axis=1).argmin())]
    return to_patient(mask.grid, [float(value) for value in middle])
