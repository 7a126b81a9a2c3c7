"""What a check is, and the parameters that all checks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from imaging.types import Case, LabelIssue, Rejection


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

    Weights and probabilities:

    ``model_weight_in_readers``: how many readers' opinion the model's is worth.
    ``small_mark_weight``: how much of a vote a mark under 3 mm counts; readers are not asked to find them all.
    ``prior_spurious``: share of labels held to be spurious before anything is known about one.
    ``reader_sensitivity``: chance that a reader marks a true nodule; ``reader_false_mark``: that one marks a place that
    is none.
    ``sole_mark_ceiling``: highest score against a mark which only one of several readers made: that is disagreement.
    ``shift_overlap``: IoU with the other outlines that a moved or mirrored label must reach to be called displaced.
    ``shift_gain``: how much better than the present place the displaced one must fit, as a difference of IoU.
    ``maximum_shift_slices``: farthest whole-slice shift that is tried.
    ``rating_gap``: difference to the other readers' median rating from which a rating is far apart.
    ``volume_ratio``: ratio of a reader's volume to the others' median from which volumes are far apart.
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
    model_weight_in_readers: float
    small_mark_weight: float
    prior_spurious: float
    reader_sensitivity: float
    reader_false_mark: float
    sole_mark_ceiling: float
    shift_overlap: float
    shift_gain: float
    maximum_shift_slices: int
    rating_gap: int
    volume_ratio: float
    candidate_floor: float
    report_from: float


CHEST_CT_NODULES = CheckParameters(
    # LUNA16 accepts a hit within the radius; 2.5 mm keeps a 3 mm nodule matchable on slices 2.5 mm apart.
    match_margin_mm=2.5,
    nodule_limit_mm=3.0,
    mass_limit_mm=30.0,
    # Readers' mean surface distances on LIDC nodules are near 1 mm; one voxel of a usual scan is 0.7 x 0.7 x 1.25-2.5.
    boundary_tolerance_mm=1.25,
    boundary_tolerance_share=0.05,
    reader_spread_mm=0.75,
    duplicate_margin_mm=2.5,
    lung_distance_mm=15.0,
    lung_closing_mm=12.0,
    body_threshold_hu=-400.0,
    midline_margin_mm=15.0,
    model_weight_in_readers=4.0,
    small_mark_weight=0.5,
    prior_spurious=0.08,
    # LIDC: of 2,669 lesions marked >= 3 mm by anyone 928 were marked by all four readers.
    reader_sensitivity=0.75,
    reader_false_mark=0.05,
    sole_mark_ceiling=0.5,
    shift_overlap=0.4,
    shift_gain=0.25,
    maximum_shift_slices=5,
    rating_gap=3,
    volume_ratio=3.0,
    candidate_floor=0.2,
    report_from=0.2,
)
"""The profile for nodules on chest CT. Its scores are reasoned, not calibrated: see ``imaging.checks.probability``."""


class Check(Protocol):
    """One reason to suspect a label.

    ``name`` is stable. ``version`` changes whenever scores may change. ``run`` is a pure function of its arguments.
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
