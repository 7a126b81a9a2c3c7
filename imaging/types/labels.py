"""What readers and files say: findings, the sets they come in, and what was refused of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imaging.types.space import Box, Mask, PointMm, Sphere

LIDC_SCALES: Mapping[str, tuple[int, int]] = {
    "subtlety": (1, 5),
    "internalStructure": (1, 4),
    "calcification": (1, 6),
    "sphericity": (1, 5),
    "margin": (1, 5),
    "lobulation": (1, 5),
    "spiculation": (1, 5),
    "texture": (1, 5),
    "malignancy": (1, 5),
}
"""Lowest and highest rating of each LIDC characteristic (Armato et al., Med Phys 38:915, 2011)."""


class Category(StrEnum):
    """What a finding is said to be; the LIDC reading process distinguishes exactly the first three.

    ``STRUCTURE`` is whatever else a source outlines (anatomy, a lymph node, a planning volume): kept and shown, never
    judged as a nodule or matched with one.
    """

    NODULE_GE_3MM = "nodule >= 3 mm"
    NODULE_LT_3MM = "nodule < 3 mm"
    NON_NODULE = "non-nodule"
    STRUCTURE = "other structure"

    @property
    def is_nodule(self) -> bool:
        """Whether checks of nodules look at it."""
        return self in (Category.NODULE_GE_3MM, Category.NODULE_LT_3MM)


class SetKind(StrEnum):
    """Whose labels an annotation set holds."""

    READER = "reader"
    ALGORITHM = "algorithm"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How far a shape as it is held lies from the same shape as its source gave it, at the worst place.

    ``mm`` is a distance in patient space, ``voxels`` the same along the axis where it is worst, in steps of the grid.
    Zero where nothing was moved.
    """

    voxels: float
    mm: float


@dataclass(frozen=True, slots=True)
class ReportedMeasurement:
    """A number that the source gives for a finding, as given: nothing is computed from it or repaired.

    ``unit`` is UCUM ("mm", "mm3", "[hnsf'U]"), empty where the source names none.
    """

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Finding:
    """One labelled thing by one reader. Exactly one of ``mask``, ``sphere``, ``box`` and ``point_mm`` says where.

    ``finding_id`` is unique within a case. ``source_label`` is the name the source gave it ("Nodule 001").
    ``characteristics`` keeps ratings as given, zeros and blanks left out (LIDC: subtlety, texture, malignancy ...),
    ``attributes`` what is said of it in words (concept name to value), ``measurements`` what is said in numbers.
    ``tracking_uid`` is the source's identity of the lesion across objects (PS3.3, Tracking UID), empty where it has
    none. ``confidence`` is a prediction's own score in [0, 1]; None for what a person drew.
    """

    finding_id: str
    category: Category
    mask: Mask | None = None
    sphere: Sphere | None = None
    point_mm: PointMm | None = None
    source_label: str = ""
    characteristics: Mapping[str, int] = field(default_factory=dict)
    sop_instance_uids: tuple[str, ...] = ()
    box: Box | None = None
    tracking_uid: str = ""
    confidence: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    measurements: tuple[ReportedMeasurement, ...] = ()
    round_trip: RoundTrip | None = None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Which algorithm made an annotation set, as the source says; empty where it does not."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationSet:
    """All labels of one reader, or one source, on one series.

    ``read`` tells "read, nothing found" (True, no findings) from "not read" (False). ``algorithm`` and
    ``case_probabilities`` (class to probability, for the scan as a whole) belong to predictions made elsewhere.
    """

    set_id: str
    reader_label: str
    kind: SetKind
    read: bool
    findings: tuple[Finding, ...]
    algorithm: Algorithm | None = None
    case_probabilities: Mapping[str, float] = field(default_factory=dict)

    @property
    def structures_only(self) -> bool:
        """Whether it holds findings, and not one that is a nodule or was taken for one.

        Who outlined organs was not looking for nodules, so that finding none in such a set says nothing.
        """
        return bool(self.findings) and all(finding.category is Category.STRUCTURE for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something in an input that was not taken, and why. ``subjects``: UIDs or source names, most telling first."""

    code: str
    message: str
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationImport:
    """What one annotation file gave on one series: what was understood, and what was refused and why."""

    source_format: str
    series_instance_uid: str
    annotation_sets: tuple[AnnotationSet, ...]
    rejections: tuple[Rejection, ...] = ()
