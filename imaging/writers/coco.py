"""Outlines and boxes as COCO JSON: one file a set, one annotation a finding and slice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_patient
from imaging.geometry.series import PlacedSeries
from imaging.masks.boxes import box_spans
from imaging.masks.build import mask_from_voxels
from imaging.types import Box, Category, Finding, Grid, SetKind
from imaging.writers.carrying import CarriedSet, carried_sets
from imaging.writers.contract import (
    Carried,
    CategoryFidelity,
    LabelledSeries,
    LabelWriter,
    Loss,
    LossKind,
    WriteContext,
    Written,
    WrittenFile,
)
from imaging.writers.identity import algorithm_of, author_of, file_stem

CARRIES = Carried(
    shapes=frozenset({"mask", "box"}),
    category=CategoryFidelity.EXACT,
    tracking=False,
    names=False,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=True,
    author=True,
    empty_sets=True,
    case_probabilities=False,
)

_CATEGORY_IDS = {category: number for number, category in enumerate(Category, start=1)}


def write_coco(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one COCO file a set: every slice an image, annotations by slice with box and uncompressed run lengths.

    An image's ``file_name`` is what the caller calls the slice, else its SOP Instance UID with ``.dcm``. Category names
    are ours, word for word. A prediction's confidence is its ``score``; ``info.contributor`` is the author. That the
    annotations of neighbouring slices are one finding is lost, and reported for each finding on several.
    """
    sets, losses = carried_sets(
        labelled.annotation_sets, CARRIES, series_instance_uid=labelled.image.series_instance_uid
    )
    files: list[WrittenFile] = []
    named = list(losses)
    for ordinal, one in enumerate(sets, start=1):
        parts: list[tuple[int, Finding]] = []
        for finding in one.findings:
            slices = list(_by_slice(finding, labelled.image))
            parts.extend(slices)
            if len(slices) > 1:
                message = f"The format does not say that the labels on {len(slices)} slices are one finding."
                named.append(Loss(LossKind.PARTS, message, one.source.set_id, finding.finding_id))
        files.append(_file(one, parts, labelled, context, ordinal=ordinal))
    return Written(tuple(files), tuple(named))


def run_lengths(pixels: NDArray[np.bool_]) -> list[int]:
    """Return COCO's uncompressed run lengths: down the columns, the first run (perhaps 0) outside, then in turn."""
    flat = np.concatenate([[False], pixels.T.ravel()])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(run) for run in np.diff(np.concatenate([[0], ends, [pixels.size]]))]


def slice_name(labelled: LabelledSeries, sop_instance_uid: str) -> str:
    """Return what a slice is called in files that name images."""
    return labelled.slice_names.get(sop_instance_uid, f"{sop_instance_uid}.dcm")


def _by_slice(finding: Finding, image: PlacedSeries) -> Iterator[tuple[int, Finding]]:
    """What the format says of one finding: a finding of its own on every slice."""
    for index, part in _slices(finding, image.grid):
        yield (
            index,
            replace(
                part,
                finding_id=f"{finding.finding_id}@slice-{index:04d}",
                tracking_uid="",
                sop_instance_uids=(image.sop_instance_uids[index],),
            ),
        )


def _slices(finding: Finding, grid: Grid) -> Iterator[tuple[int, Finding]]:
    mask, box = finding.mask, finding.box
    if mask is not None:
        for offset, plane in enumerate(mask.voxels):
            if plane.any():
                index = mask.origin[0] + offset
                origin = (index, mask.origin[1], mask.origin[2])
                yield index, replace(finding, mask=mask_from_voxels(grid=grid, voxels=plane[None], origin=origin))
    elif box is not None:
        (low, high), (top, bottom), (left, right) = box_spans(box=box, grid=grid)
        first, last = max(0, int(np.ceil(low - 1e-6))), min(grid.shape[0] - 1, int(np.floor(high + 1e-6)))
        if first > last:  # thinner than a slice, between two of them
            first = last = min(max(round((low + high) / 2.0), 0), grid.shape[0] - 1)
        for index in range(first, last + 1):
            corners = (index - 0.5, top, left), (index + 0.5, bottom, right)
            yield index, replace(finding, box=Box(*(to_patient(grid, corner) for corner in corners)))


def _file(
    carried: CarriedSet,
    parts: list[tuple[int, Finding]],
    labelled: LabelledSeries,
    context: WriteContext,
    *,
    ordinal: int,
) -> WrittenFile:
    image, grid = labelled.image, labelled.image.grid
    info: dict[str, object] = {
        "description": f"Labels of CT series {image.series_instance_uid}",
        "version": context.software_version,
        "contributor": author_of(carried.source),
        "date_created": context.written_at.isoformat(),
    }
    if carried.source.kind is SetKind.ALGORITHM:
        name, version = algorithm_of(carried.source)
        info["algorithm"] = {"name": name, "version": version}
    document = {
        "info": info,
        "images": [
            {"id": index + 1, "file_name": slice_name(labelled, uid), "width": grid.shape[2], "height": grid.shape[1]}
            for index, uid in enumerate(image.sop_instance_uids)
        ],
        "categories": [
            {"id": number, "name": category.value, "supercategory": "finding"}
            for category, number in _CATEGORY_IDS.items()
        ],
        "annotations": [
            _annotation(number, index, finding, grid) for number, (index, finding) in enumerate(parts, start=1)
        ],
    }
    return WrittenFile(
        name=f"{file_stem(carried.source, ordinal)}.coco.json",
        media_type="application/json",
        data=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(),
        set_ids=(carried.source.set_id,),
        read_as="coco-json",
        carries=CARRIES,
        content=tuple(finding for _, finding in parts),
    )


def _annotation(number: int, index: int, finding: Finding, grid: Grid) -> dict[str, object]:
    """Coordinates count from the upper left corner of the upper left pixel, x to the right and y down."""
    annotation: dict[str, object] = {
        "id": number,
        "image_id": index + 1,
        "category_id": _CATEGORY_IDS[finding.category],
        # Run lengths or not: evaluators pass over what is marked as a crowd.
        "iscrowd": 0,
    }
    if finding.mask is not None:
        _, top, left = finding.mask.origin
        plane = finding.mask.voxels[0]
        whole = np.zeros(grid.shape[1:], dtype=np.bool_)
        whole[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
        annotation["bbox"] = [left, top, plane.shape[1], plane.shape[0]]
        annotation["area"] = finding.mask.count
        annotation["segmentation"] = {"size": list(grid.shape[1:]), "counts": run_lengths(whole)}
    elif finding.box is not None:
        _, (upper, lower), (low, high) = box_spans(box=finding.box, grid=grid)
        annotation["bbox"] = [low + 0.5, upper + 0.5, high - low, lower - upper]
        annotation["area"] = (high - low) * (lower - upper)
    if finding.confidence is not None:
        annotation["score"] = finding.confidence
    return annotation


WRITER = LabelWriter(
    name="coco-json",
    title="COCO annotations (JSON)",
    needs_header=False,
    carries=CARRIES,
    write=write_coco,
)
