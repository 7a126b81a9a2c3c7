"""Outlines as NIfTI label maps, one a set and more where they overlap, with a sidecar that says what values mean."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.masks.build import box_of, mask_from_voxels
from imaging.types import Finding, Grid
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
from imaging.writers.identity import author_of, file_stem, labels_of

SIDECAR_FORMAT = "label-qa label map sidecar, version 1"

CARRIES = Carried(
    shapes=frozenset({"mask"}),
    category=CategoryFidelity.NONE,
    tracking=False,
    names=False,
    characteristics=False,
    attributes=False,
    measurements=False,
    confidence=False,
    author=False,
    empty_sets=True,
    case_probabilities=False,
)
"""Of the map itself. The sidecar says the rest, but whoever reads NIfTI need not know it."""

LABELS_A_MAP = 255
"""A byte a voxel."""

COMPRESSION = 5
"""Label maps are mostly zeros: higher levels cost seconds and save nothing."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_Nifti1Image: Any = nibabel.Nifti1Image  # the library is not typed
_SCANNER = 1


def write_nifti(labelled: LabelledSeries, context: WriteContext) -> Written:
    """Return one label map (``.nii.gz``) a set and its sidecar (``.json``); overlapping findings go to further maps.

    Values count findings from 1 in each map; 0 is the background. The array has the image's own voxels, axes (column,
    row, slice), its affine in RAS as NIfTI wants it, the same by matrix (sform) and, where the axes are at right
    angles, by quaternion (qform). A set that was read and found nothing is a map of zeros.
    """
    sets, losses = carried_sets(
        labelled.annotation_sets, CARRIES, series_instance_uid=labelled.image.series_instance_uid
    )
    files: list[WrittenFile] = []
    named = list(losses)
    for ordinal, one in enumerate(sets, start=1):
        stem = file_stem(one.source, ordinal)
        maps: list[WrittenFile] = []
        labelled_values: dict[str, tuple[Finding, ...]] = {}
        for number, layer in enumerate(layers_of(one.findings), start=1):
            content = _as_read(layer)
            if len(content) > len(layer):
                message = f"Alone in its map and in {len(content)} parts, the finding reads as that many."
                named.append(Loss(LossKind.PARTS, message, one.source.set_id, layer[0].finding_id))
            name = f"{stem}.nii.gz" if number == 1 else f"{stem}.layer-{number}.nii.gz"
            labelled_values[name] = layer
            maps.append(
                WrittenFile(
                    name=name,
                    media_type="application/gzip",
                    data=label_map_bytes(layer, labelled.image.grid),
                    set_ids=(one.source.set_id,),
                    read_as="nifti",
                    carries=CARRIES,
                    content=content,
                )
            )
        files.extend(maps)
        files.append(_sidecar(one, labelled_values, stem, labelled, context))
    return Written(tuple(files), tuple(named))


def layers_of(findings: tuple[Finding, ...]) -> tuple[tuple[Finding, ...], ...]:
    """Return findings in as few groups as their order allows, none of which overlap; one group if there are none."""
    layers: list[list[Finding]] = []
    for finding in findings:
        for layer in layers:
            if len(layer) < LABELS_A_MAP and not any(_overlap(finding, other) for other in layer):
                layer.append(finding)
                break
        else:
            layers.append([finding])
    return tuple(tuple(layer) for layer in layers) or ((),)


def label_map_bytes(findings: tuple[Finding, ...], grid: Grid) -> bytes:
    """Return a compressed NIfTI-1 file of findings that do not overlap, valued from 1 in their order."""
    values = np.zeros(grid.shape, dtype=np.uint8)
    for value, finding in enumerate(findings, start=1):
        if finding.mask is not None:
            view = values[box_of(finding.mask)]
            view[finding.mask.voxels] = value
    ras = _LPS_TO_RAS @ grid.matrix[:, [2, 1, 0, 3]]
    picture = _Nifti1Image(values.transpose(2, 1, 0), ras)
    picture.set_sform(ras, code=_SCANNER)
    # A quaternion cannot say that axes lean; where they do, the matrix alone speaks.
    picture.set_qform(ras, code=_SCANNER if _at_right_angles(ras) else 0, strip_shears=True)
    picture.header.set_xyzt_units("mm")
    # No time of compression in the file: the same labels are the same bytes.
    return gzip.compress(picture.to_bytes(), compresslevel=COMPRESSION, mtime=0)


def _as_read(layer: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What a map says: of a single value, binary, each connected part is taken for a finding, as most programs do."""
    if len(layer) != 1 or layer[0].mask is None:
        return layer
    (finding,), mask = layer, layer[0].mask
    parts, count = ndimage.label(mask.voxels, structure=np.ones((3, 3, 3), dtype=np.bool_))
    return tuple(
        replace(
            finding,
            finding_id=finding.finding_id if count == 1 else f"{finding.finding_id}@part-{number}",
            mask=mask_from_voxels(grid=mask.grid, voxels=parts == number, origin=mask.origin),
        )
        for number in range(1, count + 1)
    )


def _at_right_angles(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=1e-6))


def _overlap(one: Finding, other: Finding) -> bool:
    if one.mask is None or other.mask is None:
        return False
    spans = [
        (max(a, b), min(a + size_a, b + size_b))
        for a, size_a, b, size_b in zip(
            one.mask.origin, one.mask.voxels.shape, other.mask.origin, other.mask.voxels.shape, strict=True
        )
    ]
    if any(first >= last for first, last in spans):
        return False
    cuts = [
        tuple(slice(first - start, last - start) for (first, last), start in zip(spans, mask.origin, strict=True))
        for mask in (one.mask, other.mask)
    ]
    return bool(np.any(one.mask.voxels[cuts[0]] & other.mask.voxels[cuts[1]]))


def _sidecar(
    carried: CarriedSet,
    maps: Mapping[str, tuple[Finding, ...]],
    stem: str,
    labelled: LabelledSeries,
    context: WriteContext,
) -> WrittenFile:
    names = dict(
        zip((one.finding_id for one in carried.findings), labels_of(carried.findings, length=200), strict=True)
    )
    document = {
        "format": SIDECAR_FORMAT,
        "series_instance_uid": labelled.image.series_instance_uid,
        "frame_of_reference_uid": labelled.image.grid.frame_of_reference_uid,
        "author": author_of(carried.source),
        "kind": carried.source.kind.value,
        "written_by": {"manufacturer": context.manufacturer, "model": context.model_name}
        | {"version": context.software_version, "at": context.written_at.isoformat()},
        "maps": [
            {
                "file": name,
                "labels": [
                    {
                        "value": value,
                        "name": names[finding.finding_id],
                        "category": finding.category.value,
                        "tracking_uid": finding.tracking_uid,
                        "characteristics": dict(finding.characteristics),
                        "confidence": finding.confidence,
                    }
                    for value, finding in enumerate(layer, start=1)
                ],
            }
            for name, layer in maps.items()
        ],
    }
    return WrittenFile(
        name=f"{stem}.json",
        media_type="application/json",
        data=(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
        set_ids=(carried.source.set_id,),
        read_as=None,
        carries=CARRIES,
    )


WRITER = LabelWriter(
    name="nifti",
    title="NIfTI label maps with a sidecar (JSON)",
    needs_header=False,
    carries=CARRIES,
    write=write_nifti,
)
