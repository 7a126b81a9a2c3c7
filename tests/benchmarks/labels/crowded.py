"""A scan with many times the usual findings: what the checks cost as findings grow, on a volume of one size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry.affine import to_index, to_patient
from imaging.masks.matching import match_lesions
from imaging.masks.place import centre_of, radius_of
from imaging.types import Candidate, Case, Finding, Index, Mask, OutlineOpinion, PointMm, Prediction

PITCH_MM = 20.0
"""Between the middles of copies: they are apart by as much as nodules of a scan with many metastases."""

LARGEST_MM = 10.0
_CUT_MM = 8.0
_LUNG_BELOW_HU = -700.0
_LEAST_MARKS = 3


@dataclass(frozen=True, slots=True)
class _Lesion:
    """One lesion of the case: where it is, who marked it, and what the model said of it."""

    index: Index
    marks: tuple[tuple[str, Finding], ...]
    candidates: tuple[Candidate, ...]
    outlines: tuple[OutlineOpinion, ...]


def crowded(*, case: Case, lesions: int) -> Case | None:
    """Return the case with so many copies of its own lesions of at most ``LARGEST_MM`` in its lungs, and nothing else.

    A lesion is copied with the image around it, all readers' marks of it and what the model says of it. Fewer where the
    lungs hold no room for so many; None where no lesion is marked by three readers.
    """
    assert case.prediction is not None
    found = list(_lesions(case))
    most = max((len(lesion.marks) for lesion in found), default=0)
    known = [lesion for lesion in found if len(lesion.marks) == most]
    if not known:
        return None
    places = _places(case)[:lesions]
    hounsfield = case.volume.hounsfield.copy()
    findings: dict[str, list[Finding]] = {one.set_id: [] for one in case.annotation_sets}
    candidates: list[Candidate] = []
    outlines: list[OutlineOpinion] = []
    for number, place in enumerate(places):
        lesion = known[number % len(known)]
        by = _difference(place, lesion.index)
        _paste(hounsfield, case, lesion.index, place)
        for set_id, finding in lesion.marks:
            moved = _moved_finding(finding, by, case)
            findings[set_id].append(replace(moved, finding_id=f"{finding.finding_id}-{number:04d}"))
        candidates += [
            replace(one, centre_mm=_moved_place(one.centre_mm, by, case), mask=_moved_mask(one.mask, by))
            for one in lesion.candidates
        ]
        outlines += [_moved_opinion(one, by, case) for one in lesion.outlines]
    hounsfield.setflags(write=False)
    sets = tuple(replace(one, findings=tuple(findings[one.set_id])) for one in case.annotation_sets)
    prediction: Prediction = replace(case.prediction, candidates=tuple(candidates), outlines=tuple(outlines))
    return replace(
        case, volume=replace(case.volume, hounsfield=hounsfield), annotation_sets=sets, prediction=prediction
    )


def _lesions(case: Case) -> Iterator[_Lesion]:
    assert case.prediction is not None
    marks = {(one.set_id, finding.finding_id): finding for one in case.annotation_sets for finding in one.findings}
    for lesion in match_lesions(case.annotation_sets):
        own = tuple((set_id, marks[set_id, name]) for set_id, name in lesion.members)
        if len(own) < _LEAST_MARKS or max(2 * radius_of(finding) for _, finding in own) > LARGEST_MM:
            continue
        index = _nearest(case, lesion.centre_mm)
        if not all(_far_from_edges(finding, case) for _, finding in own):
            continue
        places = {centre_of(finding) for _, finding in own}
        yield _Lesion(
            index=index,
            marks=own,
            candidates=tuple(
                one for one in case.prediction.candidates if math.dist(one.centre_mm, lesion.centre_mm) <= _CUT_MM
            ),
            outlines=tuple(one for one in case.prediction.outlines if one.place_mm in places),
        )


def _places(case: Case) -> list[Index]:
    spacing = case.volume.grid.spacing_mm
    steps = [max(1, round(PITCH_MM / step)) for step in spacing]
    reach = [round(_CUT_MM / step) + 2 for step in spacing]
    lung = ndimage.uniform_filter(case.volume.hounsfield.astype(np.float32), reach) < _LUNG_BELOW_HU
    axes = [
        range(2 * room, size - 2 * room, step)
        for room, size, step in zip(reach, case.volume.grid.shape, steps, strict=True)
    ]
    return [(a, b, c) for a in axes[0] for b in axes[1] for c in axes[2] if lung[a, b, c]]


def _paste(hounsfield: NDArray[np.int16], case: Case, source: Index, target: Index) -> None:
    reach = [round(_CUT_MM / step) for step in case.volume.grid.spacing_mm]
    cut = case.volume.hounsfield[_around(source, reach, case)]
    room = tuple(
        slice(middle - (start - part.start), middle - (start - part.start) + size)
        for middle, start, part, size in zip(target, source, _around(source, reach, case), cut.shape, strict=True)
    )
    hounsfield[room] = cut


def _around(middle: Index, reach: list[int], case: Case) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, place - wide), min(size, place + wide + 1))
        for place, wide, size in zip(middle, reach, case.volume.grid.shape, strict=True)
    )


def _far_from_edges(finding: Finding, case: Case) -> bool:
    index = _nearest(case, centre_of(finding))
    reach = [round(_CUT_MM / step) for step in case.volume.grid.spacing_mm]
    return all(
        wide <= place < size - wide for place, wide, size in zip(index, reach, case.volume.grid.shape, strict=True)
    )


def _nearest(case: Case, place_mm: PointMm) -> Index:
    first, second, third = (round(value) for value in to_index(case.volume.grid, place_mm))
    return (first, second, third)


def _difference(target: Index, source: Index) -> Index:
    return (target[0] - source[0], target[1] - source[1], target[2] - source[2])


def _moved_place(place_mm: PointMm, by: Index, case: Case) -> PointMm:
    first, second, third = to_index(case.volume.grid, place_mm)
    return to_patient(case.volume.grid, (first + by[0], second + by[1], third + by[2]))


def _moved_mask(mask: Mask | None, by: Index) -> Mask | None:
    if mask is None:
        return None
    first, second, third = mask.origin
    return replace(mask, origin=(first + by[0], second + by[1], third + by[2]))


def _moved_finding(finding: Finding, by: Index, case: Case) -> Finding:
    sphere, point = finding.sphere, finding.point_mm
    return replace(
        finding,
        mask=_moved_mask(finding.mask, by),
        sphere=None if sphere is None else replace(sphere, centre_mm=_moved_place(sphere.centre_mm, by, case)),
        point_mm=None if point is None else _moved_place(point, by, case),
        sop_instance_uids=(),
    )


def _moved_opinion(opinion: OutlineOpinion, by: Index, case: Case) -> OutlineOpinion:
    told = opinion.probability
    if told is not None:
        first, second, third = told.origin
        told = replace(told, origin=(first + by[0], second + by[1], third + by[2]))
    return replace(
        opinion,
        place_mm=_moved_place(opinion.place_mm, by, case),
        mask=_moved_mask(opinion.mask, by),
        probability=told,
    )
