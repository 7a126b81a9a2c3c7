"""What a check is, and the parameters that all checks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from imaging.types import Case, Grid, LabelIssue, Rejection


class Contour(StrEnum):
    """Where a guideline has readers draw the line, and whether the labels as read still hold the voxels under it.

    LIDC's readers drew along the first voxels outside the nodule, and the reader of its XML leaves those out:
    ``OUTSIDE_LEFT_OUT``. The same contours as they come out of a tool that fills its polygons: ``OUTSIDE_KEPT``.
    """

    INSIDE = "the line belongs to the lesion"
    OUTSIDE_LEFT_OUT = "the line lies outside the lesion; its voxels are not in the labels as read"
    OUTSIDE_KEPT = "the line lies outside the lesion; its voxels are in the labels as read"


@dataclass(frozen=True, slots=True)
class BoundaryConvention:
    """How far outside the lesion a label's surface lies where its guideline was followed to the letter.

    ``margin_mm``: what the guideline asks to be drawn beyond the visible edge, negative for a line drawn within it.
    """

    margin_mm: float
    contour: Contour

    def offset_mm(self, *, grid: Grid) -> float:
        """Return the distance from the lesion's surface to a faithful label's, in mm, positive outwards."""
        line = max(grid.spacing_mm[1:]) if self.contour is Contour.OUTSIDE_KEPT else 0.0
        return self.margin_mm + line


LIDC_CONVENTION = BoundaryConvention(margin_mm=0.0, contour=Contour.OUTSIDE_LEFT_OUT)
"""Armato 2011: no margin, the contour along the first voxels outside, which the reader of the XML leaves out."""


@dataclass(frozen=True, slots=True)
class CheckParameters:
    """Everything that decides what the checks report. All of it is recorded with an analysis run.

    Physical quantities (millimetres, Hounsfield units):

    ``match_margin_mm``: two places closer than this, or closer than half the larger diameter, are one place.
    ``nodule_limit_mm``: border between the two LIDC size classes, on the longest axis in the slice plane.
    ``mass_limit_mm``: above it a lesion is a mass and no nodule check speaks about it.
    ``boundary_tolerance_mm``: how far two careful outlines may lie apart on average without either being wrong, to
    which ``boundary_tolerance_share`` of the lesion's diameter is added: larger lesions are outlined more loosely.
    ``reader_spread_mm``: standard deviation of careful readers' surfaces around their mean.
    ``duplicate_margin_mm``: two point marks of one reader closer than this are one mark made twice.
    ``lung_distance_mm``: farther than this from the lungs a lung nodule is not to be expected.
    ``lung_closing_mm``: how wide vessels and nodules on the pleura may be to count as inside the lungs.
    ``body_threshold_hu``: what is denser than this belongs to the body or what it lies on.
    ``midline_margin_mm``: nearer than this to the middle of the body no side is named.
    ``boundary_convention``: where the project's guideline has outlines drawn; subtracted before outlines are compared.
    ``least_contrast_hu``: a label whose inside is no more than this denser than the lung around it shows nothing there.
    ``calcified_hu``: denser than this on the whole is calcified; ``aerated_hu``: thinner than this is not solid.

    Weights and probabilities:

    ``model_weight_in_readers``: how many readers' opinion the model's is worth.
    ``small_mark_weight``: how much of a vote a mark under 3 mm counts; readers are not asked to find them all.
    ``prior_spurious``: share of labels held to be spurious before anything is known about one.
    ``reader_sensitivity``: chance that a reader marks a true nodule; ``reader_false_mark``: that one marks a place that
    is none.
    ``prior_merged``: share of outlines held to join two lesions before anything is known about one.
    ``prior_elsewhere``: share of label sets held to belong to another image.
    ``reader_share_spread``: sum of the parameters of the beta distribution of the share of readers who mark a true
    nodule, with ``reader_sensitivity`` as its mean: the smaller, the more alike readers are in what they overlook.
    ``nothing_there_odds``: how many times likelier a label without any contrast is where there is no nodule.
    ``sole_mark_ceiling``: highest score against a mark which only one of several readers made, as long as nothing but
    silence speaks against it: that is disagreement.
    ``shift_overlap``: IoU with the other outlines that a moved or mirrored label must reach to be called displaced.
    ``shift_gain``: how much better than the present place the displaced one must fit, as a difference of IoU.
    ``maximum_shift_slices``: farthest whole-slice shift that is tried.
    ``rating_gap``: difference to the other readers' median rating from which a rating is far apart.
    ``volume_ratio``: ratio of a reader's volume to the others' median from which volumes are far apart.
    ``neck_share``: an outline narrower than this part of the smaller of its two bodies between them has a neck.
    ``candidate_floor``: candidates of the model below this probability are not looked at.
    ``report_from``: issues with a smaller score are not reported.
    """

    match_margin_mm: float
    nodule_limit_mm: float
    mass_limit_mm: float
    boundary_tolerance_mm: float
    boundary_tolerance_share: float
    reader_spread_mm: float
    duplicate_margin_mm: float
    lung_distance_mm: float
    lung_closing_mm: float
    body_threshold_hu: float
    midline_margin_mm: float
    boundary_convention: BoundaryConvention
    least_contrast_hu: float
    calcified_hu: float
    aerated_hu: float
    model_weight_in_readers: float
    small_mark_weight: float
    prior_spurious: float
    prior_merged: float
    prior_elsewhere: float
    reader_sensitivity: float
    reader_share_spread: float
    reader_false_mark: float
    nothing_there_odds: float
    sole_mark_ceiling: float
    shift_overlap: float
    shift_gain: float
    maximum_shift_slices: int
    rating_gap: int
    volume_ratio: float
    neck_share: float
    candidate_floor: float
    report_from: float


CHEST_CT_NODULES = CheckParameters(
    # LUNA16 accepts a hit within the radius; 2.5 mm keeps a 3 mm nodule matchable on slices 2.5 mm apart.
    match_margin_mm=2.5,
    nodule_limit_mm=3.0,
    mass_limit_mm=30.0,
    # Readers' mean surface distances on LIDC nodules are near 1 mm; one voxel of a usual scan is 0.7 x 0.7 x 1.25-2.5.
    boundary_tolerance_mm=1.25,
    boundary_tolerance_share=0.03,
    reader_spread_mm=0.75,
    duplicate_margin_mm=2.5,
    lung_distance_mm=15.0,
    lung_closing_mm=12.0,
    body_threshold_hu=-400.0,
    midline_margin_mm=15.0,
    boundary_convention=LIDC_CONVENTION,
    # Noise of a mean over 20 voxels of a thin slice stays below 20 HU; the faintest ground glass is some 150 denser.
    least_contrast_hu=75.0,
    calcified_hu=300.0,
    aerated_hu=-500.0,
    model_weight_in_readers=4.0,
    small_mark_weight=0.5,
    prior_spurious=0.08,
    prior_merged=0.05,
    prior_elsewhere=0.02,
    # LIDC: of 2,669 lesions marked >= 3 mm by anyone 928 were marked by all four readers.
    reader_sensitivity=0.75,
    # Beta(1.5, 0.5): of the nodules that one reader found, a quarter by none of one other, a twelfth by none of three.
    reader_share_spread=2.0,
    reader_false_mark=0.05,
    nothing_there_odds=6.0,
    sole_mark_ceiling=0.5,
    shift_overlap=0.4,
    shift_gain=0.25,
    maximum_shift_slices=5,
    rating_gap=3,
    volume_ratio=3.0,
    neck_share=0.75,
    candidate_floor=0.05,
    report_from=0.2,
)
"""The profile for nodules on chest CT. Its scores are reasoned, not calibrated: see ``imaging.checks.probability``."""


def parameters_from_record(*, record: Mapping[str, Any]) -> CheckParameters:
    """Return the parameters that ``dataclasses.asdict`` wrote, as a run keeps them.

    Raises ValueError naming the parameters that the record lacks or that are not known: it was then written by another
    version of the checks, and none is made up.
    """
    known = {field.name for field in fields(CheckParameters)}
    astray = sorted(known.symmetric_difference(record))
    if astray:
        raise ValueError(f"the recorded parameters are of another version of the checks; they differ in {astray}")
    convention = record["boundary_convention"]
    return CheckParameters(
        **{
            **record,
            "boundary_convention": BoundaryConvention(
                margin_mm=float(convention["margin_mm"]), contour=Contour(convention["contour"])
            ),
        }
    )


class Check(Protocol):
    """One reason to suspect a label.

    ``name`` is stable. ``version`` changes whenever scores may change. ``run`` is a pure function of its arguments.
    Every issue carries ``evidence["features"]``: the numbers that its score rests on, by the names that the check's
    module documents in ``FEATURES`` (``imaging.checks.registry.FEATURES`` has them all). What is not known is left out;
    ``kind_...`` are 1 for the kinds that an issue is of and 0 for the others.
    """

    @property
    def name(self) -> str:
        """Stable name, as stored with every issue."""

    @property
    def version(self) -> str:
        """Version of the rule and its score formula."""

    def run(self, *, case: Case, parameters: CheckParameters) -> tuple[LabelIssue, ...]:
        """Return the issues of this kind, in no promised order.

        Raises NotApplicable, with the reason, when the question does not make sense for this case.
        """

    def abstentions(self, *, case: Case, parameters: CheckParameters) -> tuple[Rejection, ...]:
        """Return what the check passed over although it ran, and why; subjects are finding ids or set ids."""
