"""Every check that an analysis runs, in the order in which ties are reported."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.checks import (
    ambiguous,
    boundary_features,
    category_features,
    duplicate_mark,
    geometry_features,
    incomplete_contour,
    merged_lesions,
    missing_nodule,
    reader_disagreement,
    spurious_label,
)
from imaging.checks.ambiguous import Ambiguous
from imaging.checks.base import Check
from imaging.checks.boundary import Boundary
from imaging.checks.duplicate_mark import DuplicateMark
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.checks.incomplete_contour import IncompleteContour
from imaging.checks.merged_lesions import MergedLesions
from imaging.checks.missing_nodule import MissingNodule
from imaging.checks.reader_disagreement import ReaderDisagreement
from imaging.checks.spurious_label import SpuriousLabel
from imaging.checks.wrong_category import WrongCategory

REGISTRY: tuple[Check, ...] = (
    GeometryMismatch(),
    MissingNodule(),
    ReaderDisagreement(),
    SpuriousLabel(),
    Boundary(),
    IncompleteContour(),
    DuplicateMark(),
    MergedLesions(),
    WrongCategory(),
    Ambiguous(),
)

FEATURES: Mapping[str, Mapping[str, str]] = {
    "geometry_mismatch": geometry_features.FEATURES,
    "missing_nodule": missing_nodule.FEATURES,
    "reader_disagreement": reader_disagreement.FEATURES,
    "spurious_label": spurious_label.FEATURES,
    "boundary": boundary_features.FEATURES,
    "incomplete_contour": incomplete_contour.FEATURES,
    "duplicate_mark": duplicate_mark.FEATURES,
    "merged_lesions": merged_lesions.FEATURES,
    "wrong_category": category_features.FEATURES,
    "ambiguous": ambiguous.FEATURES,
}
"""By check, every name that may stand in its issues' ``evidence["features"]``, and what the number is."""
