"""What three witnesses say of an outline together: the model's outline, the other readers', and the image's own edge.

Each for itself is fooled now and then: the model by vessels, readers by each other's habits, the edge by the chest
wall. What all of them say is rarely chance; so the least that any of them says, on the side on which they agree, is a
number of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from imaging.agreement.overlap import align
from imaging.checks.base import CheckParameters
from imaging.checks.deviation import Deviation, measure_deviation
from imaging.checks.image_edge import LUNG_BELOW_HU, ImageEdge, image_edge, levels_of
from imaging.checks.issues import Features
from imaging.checks.near import Others
from imaging.checks.once import once
from imaging.checks.outline_references import Reference
from imaging.checks.surroundings import surroundings_of
from imaging.types import Case, Finding, Mask

LEAST_OF_HABIT = 3
"""Outlines of one reader from which on how that reader draws is known."""

FEATURES = {
    "edge_bias_mm": "mean distance of the outline outside the image's own edge, negative inside it",
    "edge_shift_mm": "by how much the outline lies beside the image's edge",
    "edge_over_mm": "90th percentile of how far it lies outside the image's edge",
    "edge_under_mm": "90th percentile of how far it lies inside the image's edge",
    "edge_left_mm": "what neither bias nor shift explain of the distances to the image's edge",
    "edge_found_share": "part of the surface along which the image has an edge at all",
    "witnesses": "how many of model, other readers and image have an edge to compare with",
    "agreed_bias_mm": "least bias of all witnesses, 0 where they differ in its sign",
    "agreed_over_mm": "how far the outline runs outside of all witnesses at the least",
    "agreed_under_mm": "how far it runs inside of all witnesses at the least",
    "agreed_shift_mm": "how far it lies beside all witnesses, along their common direction",
    "mean_bias_mm": "mean bias over the witnesses",
    "beyond_habit_mm": "that less the same of the reader's other outlines: wider or tighter than this reader draws",
    "lobe_mm": "inner radius of the thickest part that lies outside the surest reference",
    "lobe_dense_share": "share of what lies outside it that is as dense as a nodule and not as lung",
    "left_out_mm": "inner radius of the thickest part of the reference that is left out",
    "end_goes_on_share": "density beyond the end slices against that of the label's core: 1 where the lesion goes on",
    "end_area_share": "area of the end slice where it goes on most, over that of the largest slice",
}


@dataclass(frozen=True, slots=True, eq=False)
class OutlineEvidence:
    """An outline before its witnesses. ``deviations`` by the references' source; ``edge`` None without one."""

    deviations: Mapping[str, Deviation]
    edge: ImageEdge | None
    features: Features

    @property
    def goes_on(self) -> float:
        """Return how far the image goes on beyond the outline's ends, as a share in [0, 1] weighted by their area."""
        return (self.features["end_goes_on_share"] or 0.0) * (self.features["end_area_share"] or 0.0)


def evidence_on(
    *, case: Case, finding: Finding, mask: Mask, references: tuple[Reference, ...], parameters: CheckParameters
) -> OutlineEvidence:
    """Return what the witnesses say of a finding's outline; computed once a case."""
    return once(
        case=case,
        key=("outline_evidence", finding, parameters),
        compute=lambda: _evidence(case, finding, mask, references, parameters),
    )


def habit_of(outlines: Iterable[OutlineEvidence]) -> Others:
    """Return the mean biases of one reader's outlines, where there is one."""
    biases = (one.features["mean_bias_mm"] for one in outlines)
    return Others(bias for bias in biases if bias is not None)


def beyond_habit(*, evidence: OutlineEvidence, habit: Others) -> float | None:
    """Return by how much an outline is wider than its reader's other outlines are, mm; None where those are too few.

    ``habit``: of all the reader's outlines, this one among them.
    """
    own = evidence.features["mean_bias_mm"]
    return None if own is None or len(habit) - 1 < LEAST_OF_HABIT else own - habit.median_without(own)


def _evidence(
    case: Case, finding: Finding, mask: Mask, references: tuple[Reference, ...], parameters: CheckParameters
) -> OutlineEvidence:
    deviations = {
        reference.source: measure_deviation(label=mask, reference=reference.mask, parameters=parameters)
        for reference in references
    }
    edge = image_edge(
        case=case,
        finding=finding,
        least_contrast_hu=parameters.least_contrast_hu,
        offset_mm=parameters.boundary_convention.offset_mm(grid=case.volume.grid),
    )
    features: dict[str, float | None] = dict.fromkeys(FEATURES)
    if edge is not None:
        features |= {
            "edge_bias_mm": edge.bias_mm,
            "edge_shift_mm": edge.shift_mm,
            "edge_over_mm": edge.over_mm,
            "edge_under_mm": edge.under_mm,
            "edge_left_mm": edge.left_mm,
            "edge_found_share": edge.found_share,
        }
    features |= _agreed(case, deviations, edge)
    features |= _lobes(case, finding, mask, references)
    features |= _ends(case, finding, mask, parameters.least_contrast_hu)
    return OutlineEvidence(deviations, edge, features)


def _agreed(case: Case, deviations: Mapping[str, Deviation], edge: ImageEdge | None) -> dict[str, float | None]:
    biases = [one.bias_mm for one in deviations.values()]
    over = [one.over_mm for one in deviations.values()]
    under = [one.under_mm for one in deviations.values()]
    shifts = [np.array(one.shift_mm) for one in deviations.values()]
    if edge is not None:
        biases.append(edge.bias_mm)
        over.append(edge.over_mm)
        under.append(edge.under_mm)
        # Along the grid's axes, as the others' are along the patient's: only directions count here.
        shifts.append(_in_patient(case, edge.shift))
    if not biases:
        return {"witnesses": 0.0}
    alike = all(bias > 0 for bias in biases) or all(bias < 0 for bias in biases)
    way = np.sum(shifts, axis=0)
    length = float(np.linalg.norm(way))
    along = [float(shift @ way) / length for shift in shifts] if length > 0 else [0.0]
    return {
        "witnesses": float(len(biases)),
        "agreed_bias_mm": min(biases, key=abs) if alike else 0.0,
        "agreed_over_mm": min(over),
        "agreed_under_mm": min(under),
        "agreed_shift_mm": max(0.0, min(along)),
        "mean_bias_mm": sum(biases) / len(biases),
    }


def _in_patient(case: Case, vector: tuple[float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    directions = case.volume.grid.matrix[:3, :3] / np.array(case.volume.grid.spacing_mm)
    return np.asarray(directions @ np.array(vector), dtype=np.float64)


def _lobes(case: Case, finding: Finding, mask: Mask, references: tuple[Reference, ...]) -> dict[str, float | None]:
    """Return how thick what lies outside the surest reference is, and what of it is left out."""
    if not references:
        return {}
    surest = max(references, key=lambda reference: reference.weight)
    aligned = align(masks=(mask, surest.mask), margin_voxels=1)
    own, wanted = aligned.voxels
    spacing = aligned.grid.spacing_mm
    lobe, left = own & ~wanted, wanted & ~own
    found: dict[str, float | None] = {"lobe_mm": _depth(lobe, spacing), "left_out_mm": _depth(left, spacing)}
    if lobe.any():
        core, around = levels_of(surroundings_of(case=case, finding=finding, mask=mask))
        cut = tuple(
            slice(max(0, start), min(start + size, limit))
            for start, size, limit in zip(aligned.origin, lobe.shape, case.volume.grid.shape, strict=True)
        )
        within = tuple(
            slice(part.start - start, part.stop - start) for part, start in zip(cut, aligned.origin, strict=True)
        )
        dense = case.volume.hounsfield[cut] > (core + around) / 2
        found["lobe_dense_share"] = float(dense[lobe[within]].mean())
    return found


def _depth(voxels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], spacing: tuple[float, float, float]) -> float:
    return float(ndimage.distance_transform_edt(voxels, sampling=spacing).max()) if voxels.any() else 0.0


def _ends(case: Case, finding: Finding, mask: Mask, least_contrast_hu: float) -> dict[str, float | None]:
    """Return how dense the image is beyond the end slices, over their own area, against core and lung."""
    box = surroundings_of(case=case, finding=finding, mask=mask)
    core, around = levels_of(box)
    # Lung beyond lung goes on for ever; it is air outside the body that would make it look dense.
    if core < max(around + least_contrast_hu, LUNG_BELOW_HU):
        return {}
    areas = np.count_nonzero(box.inside, axis=(1, 2))
    filled = np.flatnonzero(areas)
    largest = float(areas.max())
    best = (0.0, 0.0)
    for end, step in ((int(filled[0]), -1), (int(filled[-1]), 1)):
        beyond = end + step
        if not 0 <= beyond < len(areas):
            continue
        values = box.values[beyond][box.inside[end]]
        dense = float(np.clip((np.mean(values) - around) / (core - around), 0.0, 1.0))
        share = float(areas[end]) / largest
        if dense * share > math.prod(best):
            best = (dense, share)
    return {"end_goes_on_share": best[0], "end_area_share": best[1]}
