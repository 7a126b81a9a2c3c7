"""Findings as a MONAI datalist of boxes: ``box`` as [x, y, z, width, height, depth], centre and size, LPS millimetres.

That is the box mode "cccwhd" in world coordinates, as MONAI's lung nodule detection bundle is trained from
(``affine_lps_to_ras`` true).
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.affine import to_patient
from imaging.masks.boxes import box_around, box_spans
from imaging.readers.shapes import patient_box
from imaging.types import Box, Finding, Grid
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
from imaging.writers.identity import file_stem

CARRIES = Carried(
    shapes=frozenset({"mask", "sphere", "box"}),
    category=CategoryFidelity.KIND,
    tracking=False,
    names=False,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=True,
    author=False,
    empty_sets=True,
    case_probabilities=False,
)

LEAN_MM = 1e-3
"""A box whose corners move by less when it is laid along the patient's axes is called the same."""


def write_datalist(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one datalist a set, its one image the series, ``label`` 0 for every box: nodules are its one class.

    An outline becomes the box around it, a sphere the cube around it; where the image's axes lean, a box becomes the
    one along the patient's axes that encloses it. Findings of other categories than nodules are left out. The image is
    called what the caller calls it, else its Series Instance UID with ``.nii.gz``.
    """
    series = labelled.image.series_instance_uid
    sets, losses = carried_sets(labelled.annotation_sets, CARRIES, series_instance_uid=series)
    named = list(losses)
    files = tuple(_file(one, labelled, named, ordinal=ordinal) for ordinal, one in enumerate(sets, start=1))
    return Written(files, tuple(named))


def _file(carried: CarriedSet, labelled: LabelledSeries, losses: list[Loss], *, ordinal: int) -> WrittenFile:
    grid = labelled.image.grid
    content: list[Finding] = []
    boxes: list[list[float]] = []
    for finding in carried.findings:
        if not finding.category.is_nodule:
            message = f'The format\'s one class is nodules; one that is "{finding.category.value}" is left out.'
            losses.append(Loss(LossKind.FINDING, message, carried.source.set_id, finding.finding_id))
            continue
        low, high = _reach(finding, grid)
        boxes.append([*((low + high) / 2.0).tolist(), *(high - low).tolist()])
        held, cost = patient_box(grid, corner_mm=_point(low), opposite_corner_mm=_point(high))
        content.append(replace(finding, mask=None, sphere=None, box=held, tracking_uid=""))
        message = _reduction(finding, cost.mm)
        if message:
            losses.append(Loss(LossKind.SHAPE, message, carried.source.set_id, finding.finding_id))
    name = labelled.image_name or f"{labelled.image.series_instance_uid}.nii.gz"
    entry: dict[str, object] = {"image": name, "box": boxes, "label": [0] * len(boxes)}
    scores = [finding.confidence for finding in content]
    if scores and None not in scores:
        entry["label_scores"] = scores
    else:
        for finding in content:
            if finding.confidence is not None:
                message = "The format has a score for every box or for none; others of the set have none."
                losses.append(Loss(LossKind.CONFIDENCE, message, carried.source.set_id, finding.finding_id))
        content = [replace(finding, confidence=None) for finding in content]
    # MONAI passes over the mode, since its transforms are told; other readers would have to guess it.
    document = {"labels": {"0": "nodule"}, "box_mode": "cccwhd", "training": [entry]}
    return WrittenFile(
        name=f"{file_stem(carried.source, ordinal)}.datalist.json",
        media_type="application/json",
        data=(json.dumps(document, indent=1) + "\n").encode(),
        set_ids=(carried.source.set_id,),
        read_as="monai-datalist",
        carries=CARRIES,
        content=tuple(content),
    )


def _reach(finding: Finding, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest x, y, z of a finding's box, LPS millimetres."""
    if finding.sphere is not None:
        centre, radius = np.array(finding.sphere.centre_mm), finding.sphere.diameter_mm / 2.0
        return centre - radius, centre + radius
    box: Box | None = box_around(finding.mask) if finding.mask is not None else finding.box
    assert box is not None
    corners = np.array([to_patient(grid, corner) for corner in product(*box_spans(box=box, grid=grid))])
    return corners.min(axis=0), corners.max(axis=0)


def _reduction(finding: Finding, lean_mm: float) -> str:
    if finding.mask is not None:
        return "The outline is written as the box around it."
    if finding.sphere is not None:
        return "The sphere is written as the cube around it."
    return f"The box leans against the patient's axes; the one along them is written, {lean_mm:.2f} mm wider." * (
        lean_mm > LEAN_MM
    )


def _point(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


WRITER = LabelWriter(
    name="monai-datalist",
    title="MONAI datalist of boxes (JSON)",
    needs_header=False,
    carries=CARRIES,
    write=write_datalist,
)
