"""The numbers that a geometry issue rests on."""

from __future__ import annotations

from imaging.checks.issues import COMMON_FEATURES

FEATURES = COMMON_FEATURES | {
    "kind_import": "1 where an importer objected to the label's geometry",
    "kind_outside_image": "1 where the label lies outside the image or on another grid",
    "kind_unknown_slice": "1 where it names slices that the series has not",
    "kind_outside_lungs": "1 where it lies too far from the lungs",
    "kind_displaced": "1 where all outlines of the set fit the others' and the model's far better moved",
    "kind_misfit": "1 where they fit the edges of the image far better moved",
    "kind_elsewhere": "1 where no label of the set lies on anything",
    "lung_distance_mm": "how far the label's edge lies from the lungs",
    "present_overlap": "mean IoU of the set's outlines with the best of the others' and the model's, where they lie",
    "displaced_overlap": "the same, moved",
    "present_agreement": "correlation of the set's outlines with the image, where they lie",
    "displaced_agreement": "the same, moved",
    "outlines": "outlines of the set that were moved together, or labels of it that lie on nothing",
    "mirrored": "1 where the move is a mirroring, 0 where it is a shift",
    "shift_mm": "length of the shift",
    "contrast_hu": "mean inside the label less the lung around it",
}
