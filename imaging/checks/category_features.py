"""The numbers that an issue on a category or a rating rests on."""

from __future__ import annotations

from imaging.checks.issues import COMMON_FEATURES
from imaging.checks.reader_ratings import FEATURES as UNLIKE

FEATURES = (
    COMMON_FEATURES
    | UNLIKE
    | {
        "kind_size": "1 where the size class contradicts the size",
        "kind_contradiction": "1 where readers call one lesion a nodule and none",
        "kind_model": "1 where the model sees a nodule in what readers called none",
        "kind_rating": "1 where a rating lies outside its scale",
        "kind_rating_against_image": "1 where the voxels contradict a rating",
        "kind_inverted_scale": "1 where ratings fit the other readers' only if the scale was read backwards",
        "long_axis_mm": "longest axis in a slice, of the label or of what measured it",
        "beyond_border_mm": "how far that lies beyond the border between the size classes",
        "measurement_error_mm": "how much of it measuring explains",
        "says_small": "1 where the label says it is below the border",
        "says_nodule": "1 where the label says nodule, 0 where it says none",
        "readers_nodule": "readers who call the lesion a nodule",
        "readers_non_nodule": "readers who marked it as none",
        "model_probability": "the model's probability of a nodule here; absent where it gives none",
        "ratings_astray": "ratings outside their scale, or that the voxels contradict",
        "rating_beyond_hu": "how far the voxels lie beyond what the rating allows",
        "core_hu": "upper quartile inside the label",
        "gap_as_read": "mean difference of spiculation and lobulation to the others' median",
        "gap_inverted": "the same with this reader's scale turned round",
        "inverted_lesions": "lesions of this reader on which turning the scale round brings the ratings nearer",
        "rated_lesions": "lesions of this reader that at least two others rated as well",
    }
)
