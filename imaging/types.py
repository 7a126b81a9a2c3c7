"""The typed vocabulary of the core: what readers return, checks take and the pipeline passes on.

Index order is (slice, row, column), 0-based, at voxel centres; patient space is DICOM LPS, millimetres. All classes are
frozen; arrays in them are set read-only by whoever builds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

PointMm = tuple[float, float, float]
"""A place in patient space: (x, y, z), LPS, millimetres."""

Index = tuple[int, int, int]
"""A voxel: (slice, row, column), 0-based."""

Affine = tuple[tuple[float, float, float, float], ...]
"""(4, 4): ``affine @ [slice, row, column, 1] == [x, y, z, 1]``, LPS millimetres."""


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
class Grid:
    """The sampling of one volume: how many voxels, and where each lies in the patient."""

    shape: tuple[int, int, int]
    affine: Affine
    frame_of_reference_uid: str

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) float64, voxel index (slice, row, column) to LPS millimetres."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring slices, rows and columns, from the affine (never SliceThickness)."""
        steps = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return (float(steps[0]), float(steps[1]), float(steps[2]))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over shape, affine to the micrometre, and frame of reference."""
        rounded = [[f"{value:.6f}" for value in row] for row in self.affine]
        text = json.dumps([list(self.shape), rounded, self.frame_of_reference_uid], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT series as one regular volume.

    ``hounsfield``: (slices, rows, columns) int16 Hounsfield units, read-only; slice 0 first along the grid's slice
    axis. ``sop_instance_uids`` and ``instance_numbers`` are in slice order.
    """

    grid: Grid
    hounsfield: NDArray[np.int16]
    series_instance_uid: str
    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    instance_numbers: tuple[int | None, ...]
    slice_thickness_mm: float | None
    acquisition: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A binary region on a grid, held as its box.

    ``origin`` is the grid index of ``voxels[0, 0, 0]``; ``voxels`` is (slices, rows, columns) bool, read-only, and its
    box is tight unless the mask is empty.
    """

    grid: Grid
    origin: Index
    voxels: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of voxels inside."""
        return int(np.count_nonzero(self.voxels))


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball in patient space; LUNA16-style labels and sketches of a missed lesion."""

    centre_mm: PointMm
    diameter_mm: float


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in patient space: two opposite outer corners, (x, y, z) LPS millimetres.

    Its edges run along the slice, row and column axes of the image's grid. A box on one slice is as thick as the
    slice step. It says where a thing is and how far it reaches, never what its outline is.
    """

    corner_mm: PointMm
    opposite_corner_mm: PointMm


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


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which QA model spoke. ``bundle_sha256`` pins every file of the bundle."""

    name: str
    version: str
    bundle_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A place where the model sees a nodule. ``mask`` is its outline there, if any.

    ``probability`` is calibrated, unless the prediction states no validated sizes: then it is the confidence that an
    algorithm gave itself. ``diameter_mm`` is None where an imported candidate is a bare point.
    """

    centre_mm: PointMm
    diameter_mm: float | None
    probability: float
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityMap:
    """For each voxel of a box of ``grid``, the calibrated probability that it belongs to the lesion asked about.

    ``origin``: index of the box's first voxel; ``values``: (d, h, w) float32 in [0, 1], read-only; ``spread``: the same
    shape, standard deviation of the probability over the views that were averaged, None where there was one.
    """

    grid: Grid
    origin: Index
    values: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OutlineOpinion:
    """What the model would outline at a given place. ``mask`` is None where it sees nothing to outline.

    ``mean_probability`` is the mean voxel probability inside the outline: its own certainty of the outline.
    ``nodule_probability``: that the thing at this place is a nodule at all; None from a model that does not say.
    ``probability``: the outline voxel by voxel, with its uncertainty; None from a model that does not give it.
    """

    place_mm: PointMm
    mask: Mask | None
    mean_probability: float
    nodule_probability: float | None = None
    probability: ProbabilityMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One model's opinion on one volume, with what is needed to repeat it.

    ``validated_diameters_mm`` is the size range in which the model's silence means something; outside it checks
    abstain. None where nobody states one (predictions made elsewhere): what it reports then counts as one more
    reader's mark, and its silence as nothing. ``sensitivity_by_diameter`` maps a lower bound in mm to sensitivity at
    the operating point, from the model card; empty where none is stated. ``backend`` names what computed it, with
    precision, version and device; ``backend_refusals`` what should have and was refused, and why. ``weights_sha256``
    is of the file of weights; empty where it was never seen.
    """

    model: ModelIdentity
    input_sha256: str
    backend: str
    threshold: float
    candidates: tuple[Candidate, ...]
    outlines: tuple[OutlineOpinion, ...]
    validated_diameters_mm: tuple[float, float] | None
    sensitivity_by_diameter: tuple[tuple[float, float], ...]
    seconds: float
    backend_refusals: tuple[str, ...] = ()
    weights_sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Case:
    """What the checks look at: one volume, every annotation set on it, and the model's opinion if there is one.

    It can be weakly referred to, so that what several checks compute of it is kept exactly as long as it lives.
    """

    volume: Volume
    annotation_sets: tuple[AnnotationSet, ...]
    prediction: Prediction | None
    import_rejections: tuple[Rejection, ...] = ()


class Action(StrEnum):
    """What a proposed correction would do to the reference standard."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE_OUTLINE = "replace-outline"
    RECATEGORISE = "recategorise"


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A correction that a reviewer may accept. ``origin`` says in words where it comes from ("model outline").

    ADD and REPLACE_OUTLINE carry ``mask`` or ``sphere``; ADD and RECATEGORISE carry ``category``.
    """

    action: Action
    origin: str
    mask: Mask | None = None
    sphere: Sphere | None = None
    category: Category | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelIssue:
    """One reason to suspect one label (or its absence).

    ``annotation_set_id`` is the suspect's set; ``finding_id`` the suspect finding, None where a label is missing.
    ``implicated_set_ids`` are all sets whose readers have a stake in the answer. ``score`` is a probability in [0, 1]
    that the label is wrong. ``blind_reason`` gives no opinion away; ``reason`` tells what the model or the others say,
    what this label says, why it is suspect and what may be right. ``evidence`` is JSON-able.
    """

    check: str
    check_version: str
    annotation_set_id: str
    finding_id: str | None
    place_mm: PointMm
    radius_mm: float
    score: float
    blind_reason: str
    reason: str
    implicated_set_ids: tuple[str, ...] = ()
    evidence: Mapping[str, object] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """Findings of different readers that a stated rule holds to be one thing. Members: (set_id, finding_id)."""

    lesion_id: str
    centre_mm: PointMm
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """How one check ended on one case. ``status``: ``"ran"`` or ``"not-applicable"``; ``detail`` says why not."""

    check: str
    version: str
    status: str
    detail: str
    issue_count: int


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisOutcome:
    """Everything that one analysis of one case found, and what was looked at to find it."""

    issues: tuple[LabelIssue, ...]
    lesions: tuple[Lesion, ...]
    checks: tuple[CheckOutcome, ...]
