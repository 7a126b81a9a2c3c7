"""Readers who look at a phantom and label what they see, as differently as radiologists do.

Their differences are of the kind that LIDC readings show: a reader's own habit of drawing wide or tight, an outline
that wanders by two thirds of a millimetre, subtle nodules passed over, small ones marked as a point, vessels marked as
non-nodules. None of these is an error in the sense of ``label_errors``: they are what honest disagreement looks like.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.masks.build import mask_from_voxels
from imaging.masks.place import centre_of
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.types import AnnotationSet, Category, Finding, Mask, PointMm, SetKind

MISSED_BY_SUBTLETY = {1: 0.30, 2: 0.18, 3: 0.08, 4: 0.03, 5: 0.01}
HABIT_MM = 0.45
WANDER_MM = 0.65
WANDER_LENGTH_MM = 5.0


def simulated_readers(*, case: PhantomCase, seed: int, count: int = 4) -> tuple[AnnotationSet, ...]:
    """Return ``count`` readers' labels of a phantom, one set a reader, deterministic in ``case.seed`` and ``seed``.

    Sets and findings are named as the LIDC importer names them, so that truth about them survives a round trip.
    """
    sets = []
    for number in range(1, count + 1):
        generator = np.random.default_rng([case.seed, seed, number])
        findings = _read(case, generator)
        sets.append(AnnotationSet("", f"simulated reader {number}", SetKind.READER, True, tuple(findings)))
    return renumber(annotation_sets=tuple(sets))[0]


def renumber(
    *, annotation_sets: tuple[AnnotationSet, ...]
) -> tuple[tuple[AnnotationSet, ...], dict[tuple[int, str], str]]:
    """Name sets and findings as an LIDC file's import would: in file order, nodules first, then non-nodules.

    Returns the renamed sets and a map from (set's position, old finding id) to the new finding id.
    """
    renamed, moved = [], {}
    for position, annotation_set in enumerate(annotation_sets):
        set_id = f"lidc-session-{position + 1}"
        nodules = [item for item in annotation_set.findings if item.category is not Category.NON_NODULE]
        others = [item for item in annotation_set.findings if item.category is Category.NON_NODULE]
        findings = []
        for kind, label, items in (("nodule", "Nodule", nodules), ("non-nodule", "_Non-nodule", others)):
            for number, item in enumerate(items, start=1):
                finding_id = f"{set_id}/{kind}-{number:03d}"
                moved[(position, item.finding_id)] = finding_id
                findings.append(replace(item, finding_id=finding_id, source_label=f"{label} {number:03d}"))
        renamed.append(replace(annotation_set, set_id=set_id, findings=tuple(findings)))
    return tuple(renamed), moved


def redraw(
    *,
    mask: Mask,
    generator: np.random.Generator,
    outward_mm: float,
    wander_mm: float,
    shift_mm: tuple[float, float, float],
    within: NDArray[np.bool_],
) -> Mask:
    """Return an outline redrawn: moved outward by ``outward_mm``, wandering, and shifted by (x, y, z) mm.

    ``within``: (slices, rows, columns) bool, voxels that may belong (the lung). An outline that would vanish keeps its
    innermost voxel.
    """
    spacing = np.array(mask.grid.spacing_mm)
    pad = np.ceil((max(outward_mm, 0.0) + 3.0 * wander_mm + np.abs(shift_mm[::-1])) / spacing).astype(int) + 2
    low = np.maximum(np.array(mask.origin) - pad, 0)
    high = np.minimum(np.array(mask.origin) + np.array(mask.voxels.shape) + pad, mask.grid.shape)
    inside = np.zeros(tuple(high - low), dtype=np.bool_)
    start = np.array(mask.origin) - low
    inside[tuple(slice(a, a + size) for a, size in zip(start, mask.voxels.shape, strict=True))] = mask.voxels
    outer = ndimage.distance_transform_edt(~inside, sampling=spacing)
    inner = ndimage.distance_transform_edt(inside, sampling=spacing)
    # Both transforms reach to voxel centres; half a voxel either way is where the surface really lies.
    half = 0.5 * float(spacing.min())
    distance = np.where(inside, half - inner, outer - half)
    if any(shift_mm):
        index_shift = np.array(shift_mm[::-1]) / spacing
        distance = ndimage.shift(distance, index_shift, order=1, mode="nearest")
    noise = ndimage.gaussian_filter(generator.normal(size=inside.shape), WANDER_LENGTH_MM / 2.0 / spacing)
    noise *= wander_mm / max(float(noise.std()), 1e-9)
    drawn = distance + noise < outward_mm
    allowed = within[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    drawn &= allowed
    labels, found = ndimage.label(drawn)
    if found > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        drawn = labels == int(sizes.argmax())
    if not drawn.any():
        drawn[np.unravel_index(int(np.where(allowed, distance, np.inf).argmin()), drawn.shape)] = True
    return mask_from_voxels(grid=mask.grid, voxels=drawn, origin=(int(low[0]), int(low[1]), int(low[2])))


def _read(case: PhantomCase, generator: np.random.Generator) -> list[Finding]:
    habit = float(generator.normal(0.0, HABIT_MM))
    findings = []
    for nodule in case.nodules:
        if generator.random() < MISSED_BY_SUBTLETY[nodule.subtlety]:
            continue
        findings.append(_label(case, nodule, habit, generator))
    for number in range(int(generator.integers(0, 3))):
        place = bright_place(case=case, generator=generator, clear_of=tuple(item.centre_mm for item in case.nodules))
        if place is not None:
            category = Category.NON_NODULE if generator.random() < 0.7 else Category.NODULE_LT_3MM
            findings.append(Finding(f"mark-{number}", category, point_mm=place))
    return findings


def _label(case: PhantomCase, nodule: TrueNodule, habit_mm: float, generator: np.random.Generator) -> Finding:
    if nodule.diameter_mm < 4.0 and generator.random() < 0.25:
        return Finding(nodule.nodule_id, Category.NODULE_LT_3MM, point_mm=_centre_voxel(nodule))
    mask = redraw(
        mask=nodule.mask,
        generator=generator,
        outward_mm=habit_mm + float(generator.normal(0.0, 0.2)),
        # On a nodule of few voxels the same wander would leave nothing of the shape.
        wander_mm=WANDER_MM * min(1.0, nodule.diameter_mm / 8.0),
        shift_mm=(0.0, 0.0, 0.0),
        within=case.lungs,
    )
    rated = nodule.finding.characteristics
    ratings = {name: int(np.clip(value + generator.integers(-1, 2), 1, 5)) for name, value in rated.items()}
    return Finding(nodule.nodule_id, Category.NODULE_GE_3MM, mask=mask, characteristics=ratings)


def _centre_voxel(nodule: TrueNodule) -> PointMm:
    places = np.argwhere(nodule.mask.voxels) + np.array(nodule.mask.origin)
    middle = places[int(np.linalg.norm(places - places.mean(axis=0), axis=1).argmin())]
    x, y, z, _ = nodule.mask.grid.matrix @ np.array([*middle, 1.0])
    return (float(x), float(y), float(z))


def bright_place(*, case: PhantomCase, generator: np.random.Generator, clear_of: tuple[PointMm, ...]) -> PointMm | None:
    """Return a vessel's place (x, y, z) mm at least 15 mm from every place in ``clear_of``, or None after 50 tries."""
    places = np.flatnonzero(case.vessels)
    for _ in range(50 if len(places) else 0):
        index = np.unravel_index(int(generator.choice(places)), case.vessels.shape)
        x, y, z, _one = case.volume.grid.matrix @ np.array([*index, 1.0])
        place = (float(x), float(y), float(z))
        if all(np.linalg.norm(np.subtract(place, other)) > 15.0 for other in clear_of):
            return place
    return None


def places_of(findings: tuple[Finding, ...]) -> tuple[PointMm, ...]:
    """Return the centres of findings, LPS mm."""
    return tuple(centre_of(finding) for finding in findings)
