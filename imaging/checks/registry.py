"""Every check that an analysis runs, in the order in which ties are reported."""

from __future__ import annotations

from imaging.checks.base import Check
from imaging.checks.boundary import Boundary
from imaging.checks.duplicate_mark import DuplicateMark
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.checks.incomplete_contour import IncompleteContour
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
    WrongCategory(),
)
