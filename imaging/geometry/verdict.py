"""What the geometry gate says: named findings, and the volume that they allow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imaging.types import Grid


class GateStatus(StrEnum):
    """Whether a series may become a volume."""

    ACCEPTED = "accepted"
    ACCEPTED_WITH_WARNING = "accepted-with-warning"
    REFUSED = "refused"


class Severity(StrEnum):
    """What one finding means for the series. A note is what the project accepts: kept on record, and no warning."""

    NOTE = "note"
    WARNING = "warning"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class GateFinding:
    """One thing wrong with a series. ``message`` is for people, with millimetres; ``code`` is stable."""

    code: str
    severity: Severity
    message: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GeometryVerdict:
    """The gate's answer on one series.

    ``sop_instance_uids`` are in slice order (position along row x column, ascending) and ``grid`` is the sampling of
    the volume; both are empty or None where the series is refused.
    """

    status: GateStatus
    findings: tuple[GateFinding, ...]
    sop_instance_uids: tuple[str, ...]
    grid: Grid | None

    @property
    def codes(self) -> tuple[str, ...]:
        """The findings' codes, in order."""
        return tuple(finding.code for finding in self.findings)

    @property
    def accepted(self) -> bool:
        """Whether a volume may be built, with or without warnings."""
        return self.status is not GateStatus.REFUSED


@dataclass(frozen=True, slots=True)
class GateTolerances:
    """How much irregularity a series may show. Every field is stated by the caller; lengths are millimetres.

    ``position_mm``: how far a slice may lie from where a regular volume puts it, along the normal or sideways.
    ``duplicate_mm``: slices closer than this claim the same place.
    ``missing_ratio``: a gap of at least this many usual steps means that slices are missing.
    ``direction_degrees``: how far orientations may differ within a series.
    ``tilt_degrees``: how far the line of the slices may lean from their normal.
    ``axial_degrees``: how far the normal may lean from the patient's long axis.
    ``pixel_spacing_mm``: how far pixel spacings may differ within a series.
    ``thickness_mm``: how far SliceThickness may differ from the step before overlap or a gap is remarked on.
    ``minimum_slices``: fewer cannot be judged, or are no volume.
    """

    position_mm: float
    duplicate_mm: float
    missing_ratio: float
    direction_degrees: float
    tilt_degrees: float
    axial_degrees: float
    pixel_spacing_mm: float
    thickness_mm: float
    minimum_slices: int


LUNG_CT_TOLERANCES = GateTolerances(
    # Axes are reported to 0.1 mm, so a slice may not be misplaced by more; positions stored to 0.1 mm still pass.
    position_mm=0.1,
    # Scanners do not step less than a tenth of a millimetre; closer is the same place written twice.
    duplicate_mm=0.05,
    # One slice lost makes a gap of two steps; halfway between one and two tells a loss from an uneven step.
    missing_ratio=1.5,
    # A quarter degree moves the far edge of a 500 mm field by 2 mm; cosines rounded to three decimals stay below 0.1.
    direction_degrees=0.25,
    # Half a degree shears neighbouring slices by under 0.03 mm at 3 mm, and the affine carries it; real gantry tilts
    # are whole degrees.
    tilt_degrees=0.5,
    # Chest protocols are axial; beyond this the slice view's letters, the plane of diameters and the models' training
    # no longer describe what is shown.
    axial_degrees=10.0,
    # 0.001 mm over 512 pixels is half a millimetre: above rounding of one reconstruction, below another field of view.
    pixel_spacing_mm=0.001,
    # Thickness is nominal and often rounded to 0.1 mm.
    thickness_mm=0.1,
    # Two slices have one gap, which agrees with itself; regularity needs three.
    minimum_slices=3,
)
"""Tolerances for axial chest CT; a caller passes them on purpose, nothing assumes them."""
