"""Label errors put into readers' sets on purpose, with a record of each: what checks are measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from imaging.masks.build import mask_from_voxels
from imaging.masks.overlap import dice
from imaging.masks.place import centre_of
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.simulated_readers import bright_place, places_of, redraw, renumber
from imaging.types import AnnotationSet, Category, Finding, Mask, PointMm


class ErrorKind(StrEnum):
    """What was done to a label."""

    MISSING = "missing"
    SPURIOUS = "spurious"
    BOUNDARY_OVER = "boundary-over"
    BOUNDARY_UNDER = "boundary-under"
    BOUNDARY_SHIFT = "boundary-shift"
    MERGED = "merged"
    WRONG_CATEGORY = "wrong-category"
    DISPLACED = "displaced"


@dataclass(frozen=True, slots=True)
class InjectedError:
    """One error. ``finding_id`` is the wrong label in the returned sets, None where a label was taken away or the whole
    set is concerned.

    ``nodule_id`` names the true nodule concerned, None for a spurious label. ``magnitude_mm``: how far a boundary was
    moved or shifted, or a set displaced, else the size of the thing.
    """

    kind: ErrorKind
    set_id: str
    finding_id: str | None
    nodule_id: str | None
    place_mm: PointMm
    magnitude_mm: float


BOUNDARY_SHARE = {ErrorKind.BOUNDARY_OVER: 0.45, ErrorKind.BOUNDARY_UNDER: 0.4, ErrorKind.BOUNDARY_SHIFT: 0.7}
BOUNDARY_LEAST_MM = {ErrorKind.BOUNDARY_OVER: 1.8, ErrorKind.BOUNDARY_UNDER: 1.0, ErrorKind.BOUNDARY_SHIFT: 2.0}
WORST_HONEST_DICE = 0.7
"""An injected boundary error overlaps the truth less than this; most honest outlines overlap it more."""

_OF_ONE_LABEL = tuple(kind for kind in ErrorKind if kind is not ErrorKind.DISPLACED)
_Target = tuple[int, Finding, TrueNodule]


def inject_errors(
    *, annotation_sets: tuple[AnnotationSet, ...], case: PhantomCase, seed: int, count: int
) -> tuple[tuple[AnnotationSet, ...], tuple[InjectedError, ...]]:
    """Return the sets with up to ``count`` errors in them, kinds taken in turn, and the record of the errors.

    A nodule gets at most one error, and only nodules that at least three readers outlined (all, if there are fewer
    readers), so that the truth stays visible in the other labels. Deterministic in ``case.seed`` and ``seed``.
    """
    generator = np.random.default_rng([case.seed, seed, 991])
    findings = [list(annotation_set.findings) for annotation_set in annotation_sets]
    targets = _targets(annotation_sets, case, generator)
    kinds = [ErrorKind(kind) for kind in generator.permutation([kind.value for kind in _OF_ONE_LABEL])]
    errors: list[tuple[int, InjectedError]] = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        if kind is ErrorKind.SPURIOUS:
            done = _spurious(findings, case, generator, number)
        elif targets:
            done = _spoil(findings, targets.pop(), case, kind, generator)
        else:
            continue
        if done is not None:
            errors.append(done)
    changed = tuple(
        replace(annotation_set, findings=tuple(own))
        for annotation_set, own in zip(annotation_sets, findings, strict=True)
    )
    renamed, moved = renumber(annotation_sets=changed)
    record = tuple(
        replace(
            error,
            set_id=renamed[position].set_id,
            finding_id=None if error.finding_id is None else moved[(position, error.finding_id)],
        )
        for position, error in errors
    )
    return renamed, record


def _targets(
    annotation_sets: tuple[AnnotationSet, ...], case: PhantomCase, generator: np.random.Generator
) -> list[_Target]:
    """One (reader, finding, nodule) for each nodule that enough readers outlined, in random order."""
    targets = []
    for nodule in case.nodules:
        outlined = [
            (position, finding)
            for position, annotation_set in enumerate(annotation_sets)
            for finding in annotation_set.findings
            if finding.mask is not None
            and np.linalg.norm(np.subtract(centre_of(finding), nodule.centre_mm)) < 0.5 * nodule.diameter_mm
        ]
        if len(outlined) >= min(3, len(annotation_sets)):
            position, finding = outlined[int(generator.integers(len(outlined)))]
            targets.append((position, finding, nodule))
    return [targets[index] for index in generator.permutation(len(targets))]


def _spoil(
    findings: list[list[Finding]],
    target: _Target,
    case: PhantomCase,
    kind: ErrorKind,
    generator: np.random.Generator,
) -> tuple[int, InjectedError] | None:
    position, finding, nodule = target
    own = findings[position]
    at = next(index for index, item in enumerate(own) if item.finding_id == finding.finding_id)
    magnitude = nodule.diameter_mm
    if kind is ErrorKind.MISSING:
        del own[at]
    elif kind is ErrorKind.WRONG_CATEGORY:
        own[at] = replace(
            finding, category=Category.NON_NODULE, mask=None, point_mm=_voxel_centre(finding), characteristics={}
        )
    else:
        spoilt = _spoilt_mask(finding, nodule, case, kind, generator)
        if spoilt is None:
            return None
        magnitude = spoilt[1]
        own[at] = replace(finding, mask=spoilt[0])
    kept = None if kind is ErrorKind.MISSING else finding.finding_id
    return position, InjectedError(kind, "", kept, nodule.nodule_id, nodule.centre_mm, round(magnitude, 3))


def _spoilt_mask(
    finding: Finding, nodule: TrueNodule, case: PhantomCase, kind: ErrorKind, generator: np.random.Generator
) -> tuple[Mask, float] | None:
    """Return the wrong outline and how far it was moved, or None if a nodule of few voxels hides any such error."""
    assert finding.mask is not None
    if kind is ErrorKind.MERGED:
        return _merged(finding.mask, case, generator)
    first = BOUNDARY_SHARE[kind] * 0.5 * nodule.diameter_mm
    direction = generator.normal(size=3) * np.array([1.0, 1.0, 0.3])
    direction /= np.linalg.norm(direction)
    for stronger in (1.0, 1.3, 1.7, 2.2):
        magnitude = max(BOUNDARY_LEAST_MM[kind], first) * stronger
        shift = magnitude * direction if kind is ErrorKind.BOUNDARY_SHIFT else np.zeros(3)
        outward = {ErrorKind.BOUNDARY_OVER: magnitude, ErrorKind.BOUNDARY_UNDER: -magnitude}.get(kind, 0.0)
        mask = redraw(
            mask=finding.mask,
            generator=generator,
            outward_mm=outward,
            wander_mm=0.2,
            shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
            within=case.lungs,
        )
        if dice(mask, nodule.mask) < WORST_HONEST_DICE:
            return mask, magnitude
    return None


def _merged(mask: Mask, case: PhantomCase, generator: np.random.Generator) -> tuple[Mask, float] | None:
    """The outline runs on into a neighbour: a second lobe as large as the first, touching it, inside the lung.

    None if there is no room for one in any of eight directions within the slice.
    """
    spacing = np.array(mask.grid.spacing_mm)
    places = np.argwhere(mask.voxels) + np.array(mask.origin)
    middle = places.mean(axis=0)
    radius = (3.0 * mask.count * float(np.prod(spacing)) / (4.0 * np.pi)) ** (1.0 / 3.0)
    reach = np.ceil((radius * 3.0) / spacing).astype(int) + 1
    low = np.maximum(np.floor(middle).astype(int) - reach, 0)
    high = np.minimum(np.ceil(middle).astype(int) + reach + 1, mask.grid.shape)
    axes = np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij")
    lungs = case.lungs[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    start = float(generator.uniform(0.0, 2.0 * np.pi))
    for turn in range(8):
        angle = start + turn * np.pi / 4.0
        other = middle + np.array([0.0, np.sin(angle), np.cos(angle)]) * 1.7 * radius / spacing
        squares = [((axis - centre) * step) ** 2 for axis, centre, step in zip(axes, other, spacing, strict=True)]
        joined = (np.sqrt(squares[0] + squares[1] + squares[2]) < radius) & lungs
        joined[tuple((places - low).T)] = True
        if np.count_nonzero(joined) >= 1.5 * mask.count:
            origin = (int(low[0]), int(low[1]), int(low[2]))
            return mask_from_voxels(grid=mask.grid, voxels=joined, origin=origin), float(radius)
    return None


def _spurious(
    findings: list[list[Finding]], case: PhantomCase, generator: np.random.Generator, number: int
) -> tuple[int, InjectedError] | None:
    position = int(generator.integers(len(findings)))
    taken = tuple(nodule.centre_mm for nodule in case.nodules) + places_of(tuple(findings[position]))
    place = bright_place(case=case, generator=generator, clear_of=taken)
    if place is None:
        return None
    diameter = float(generator.uniform(4.0, 9.0))
    grid = case.volume.grid
    index = np.linalg.solve(grid.matrix, np.array([*place, 1.0]))[:3].round().astype(int)
    seed_voxel = mask_from_voxels(
        grid=grid, voxels=np.ones((1, 1, 1), dtype=np.bool_), origin=(int(index[0]), int(index[1]), int(index[2]))
    )
    mask = redraw(
        mask=seed_voxel,
        generator=generator,
        outward_mm=0.5 * diameter,
        wander_mm=0.4,
        shift_mm=(0.0, 0.0, 0.0),
        within=case.lungs,
    )
    finding_id = f"spurious-{number}"
    ratings = {"subtlety": 3, "texture": 5, "malignancy": 2}
    findings[position].append(Finding(finding_id, Category.NODULE_GE_3MM, mask=mask, characteristics=ratings))
    return position, InjectedError(ErrorKind.SPURIOUS, "", finding_id, None, place, round(diameter, 3))


def _voxel_centre(finding: Finding) -> PointMm:
    """The outline's voxel nearest to its centroid: a mark is made on a pixel, not between pixels."""
    assert finding.mask is not None
    places = np.argwhere(finding.mask.voxels) + np.array(finding.mask.origin)
    middle = places[int(np.linalg.norm(places - places.mean(axis=0), axis=1).argmin())]
    x, y, z, _ = finding.mask.grid.matrix @ np.array([*middle, 1.0])
    return (float(x), float(y), float(z))
