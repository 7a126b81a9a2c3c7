"""The numbers that a boundary issue rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from imaging.checks.deviation import CertainDifference, Deviation
from imaging.checks.issues import COMMON_FEATURES, Features
from imaging.checks.outline_evidence import FEATURES as EVIDENCE
from imaging.checks.outline_references import MODEL, OTHERS, Reference

_COMPARED = {
    "deviation_mm": "mean surface distance or distance of the centroids, whichever is larger",
    "bias_mm": "mean signed surface distance, positive where the label is the wider",
    "shift_mm": "distance of the centroids",
    "hd95_mm": "95th percentile of the surface distances",
    "tolerance_mm": "how far careful outlines of this size may lie apart",
    "volume_ratio": "the label's volume over the reference's",
    "over_mm": "95th percentile of how far the label lies outside",
    "under_mm": "95th percentile of how far the reference lies outside the label",
}

FEATURES = (
    COMMON_FEATURES
    | {
        "kind_over": "1 where the outline is too wide",
        "kind_under": "1 where it is too tight",
        "kind_shift": "1 where it lies beside",
        "kind_shape": "1 where it differs on several sides",
        "kind_within": "1 where each difference alone is one that careful outlines have",
        "kind_extra_slices": "1 where it goes on beyond the ends of the references",
        "kind_fragments": "1 where stray pieces lie beside it",
        "kind_holes": "1 where voxels in its middle are left out",
        "kind_loose_box": "1 where a box is wider than the model's outline",
        "kind_tight_box": "1 where a box cuts the model's outline off",
        "kind_shifted_box": "1 where a box lies beside it",
    }
    | EVIDENCE
    | {f"model_{name}": f"against the model's outline: {meaning}" for name, meaning in _COMPARED.items()}
    | {f"others_{name}": f"against the other readers' outline: {meaning}" for name, meaning in _COMPARED.items()}
    | {
        "model_short_mm": "length of the model's outline beyond the label's ends",
        "model_long_mm": "length of the label beyond the ends of the model's outline",
        "others_short_mm": "length of the other readers' outlines beyond the label's ends",
        "others_long_mm": "length of the label beyond the ends of theirs",
        "model_weight": "how sure the model is of its outline",
        "other_outlines": "other readers' outlines in the majority",
        "held_share": "share of the label that the model surely holds to be outside",
        "left_out_share": "what the model surely holds to be inside and the label leaves out, over the label",
        "sure_over_mm": "the former as the thickness of a layer",
        "sure_under_mm": "the latter as the thickness of a layer",
        "certain_share": "share of the difference of which the model is sure",
        "uncertain_share": "voxels of which the model is not sure, over those of its outline",
        "probability_spread": "mean standard deviation of the model's probability where it is not sure",
        "extra_slices_mm": "length of the label beyond the ends of the references",
        "reference_weight": "how much the surest reference counts",
        "pieces": "stray pieces",
        "piece_voxels": "voxels in them",
        "piece_share": "share of the label in them",
        "piece_distance_mm": "of the farthest stray piece from the body",
        "piece_probability": "mean voxel probability of the model in them",
        "hole_voxels": "voxels in holes",
        "hole_share": "the same over the label's",
        "hole_gap_hu": "mean in the holes less the mean of the label",
        "box_excess_mm": "mean distance of the box's faces outside the model's outline",
        "box_worst_mm": "of the face that lies farthest outside",
        "box_held_share": "share of the model's outline that the box holds",
        "box_shift_mm": "distance of the box's centre from that of the outline's own box",
    }
)


def deviation_features(
    *,
    deviations: Mapping[str, Deviation],
    references: tuple[Reference, ...],
    certain: CertainDifference | None,
    kind: str,
    voters: int,
) -> Features:
    """Return an outline's differences from its references as features; ``deviations`` by the references' source."""
    found: dict[str, float | None] = {f"kind_{kind}": 1.0, "other_outlines": float(voters)}
    for reference in references:
        prefix = {MODEL: "model", OTHERS: "others"}[reference.source]
        deviation = deviations[reference.source]
        found[f"{prefix}_deviation_mm"] = deviation.deviation_mm
        found[f"{prefix}_bias_mm"] = deviation.bias_mm
        found[f"{prefix}_shift_mm"] = math.hypot(*deviation.shift_mm)
        found[f"{prefix}_hd95_mm"] = deviation.hd95_mm
        found[f"{prefix}_tolerance_mm"] = deviation.tolerance_mm
        found[f"{prefix}_volume_ratio"] = deviation.volume_ratio
        found[f"{prefix}_over_mm"] = deviation.over_mm
        found[f"{prefix}_under_mm"] = deviation.under_mm
        if reference.source == MODEL:
            found["model_weight"] = reference.weight
    if certain is not None:
        found |= {
            "held_share": certain.held_share,
            "left_out_share": certain.left_out_share,
            "sure_over_mm": certain.over_mm,
            "sure_under_mm": certain.under_mm,
            "certain_share": certain.certain_share,
            "uncertain_share": certain.uncertain_share,
            "probability_spread": certain.spread,
        }
    return found
