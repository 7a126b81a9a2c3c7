"""How the slices of one series lie to one another: order along the normal, steps, tilt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError
from imaging.geometry.affine import as_affine, direction_cosines, voxel_to_patient
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import finding_of
from imaging.geometry.repeats import repeat_findings
from imaging.geometry.verdict import GateFinding, GateTolerances
from imaging.types import Grid


@dataclass(frozen=True, slots=True)
class StackAssessment:
    """The slices in order along row x column, ascending, and what is wrong with how they lie."""

    ordered: tuple[SliceHeader, ...]
    findings: tuple[GateFinding, ...]


def stack_findings(slices: Sequence[SliceHeader], tolerances: GateTolerances) -> StackAssessment:
    """Return the slices sorted along their normal, with every irregularity of direction and position.

    Every slice given has a position and an orientation. Distances in messages are millimetres along the normal
    (row x column), zero at the patient frame's origin.
    """
    crooked = [item for item in slices if not _is_orthonormal(item)]
    if crooked:
        message = f"{len(crooked)} of {len(slices)} slices have row and column directions that are not at right angles."
        return StackAssessment((), (finding_of("not-orthonormal", message, crooked),))
    if not slices:
        return StackAssessment((), ())
    usual = _usual_orientation(slices)
    odd = [item for item in slices if _degrees_apart(item, usual) > tolerances.direction_degrees]
    if odd:
        worst = max(_degrees_apart(item, usual) for item in odd)
        message = f"{len(odd)} of {len(slices)} slices are turned against the others, by up to {worst:.1f} degrees."
        return StackAssessment((), (finding_of("mixed-orientation", message, odd),))
    normal = _normal(usual)
    findings: list[GateFinding] = []
    positions = np.array([item.position_mm for item in slices], dtype=np.float64)
    depths = positions @ normal
    order = sorted(range(len(slices)), key=lambda index: (depths[index], slices[index].sop_instance_uid))
    ordered = [slices[index] for index in order]
    findings.extend(_sideways_findings(ordered, positions[order], normal, tolerances))
    lean = _degrees_from_axial(normal)
    along = positions[order][-1] - positions[order][0]
    tilted = any(finding.code == "gantry-tilt" for finding in findings)
    # The lean of a tilted gantry's slices is the tilt: their stack still runs along the patient.
    explained = tilted and _degrees_from_axial(along / np.linalg.norm(along)) <= tolerances.axial_degrees
    if lean > tolerances.axial_degrees and not explained:
        message = f"The slices lean {lean:.1f} degrees from axial; {tolerances.axial_degrees:.0f} are allowed."
        findings.append(finding_of("non-axial", message, slices))
    findings.extend(_step_findings(ordered, depths[order], tolerances))
    return StackAssessment(tuple(ordered), tuple(findings))


def stack_grid(ordered: Sequence[SliceHeader]) -> Grid:
    """Return the sampling of slices that the gate accepted, in slice order.

    The step is measured from the first and last position; a lean below the gate's tolerance stays in the affine.
    Raises GeometryError if a slice lacks a position, a size or a spacing.
    """
    first, last = ordered[0], ordered[-1]
    if (
        first.position_mm is None
        or last.position_mm is None
        or first.orientation is None
        or first.pixel_spacing_mm is None
        or first.rows is None
        or first.columns is None
    ):
        raise GeometryError("missing-position", "A slice without a place or a size cannot be put into a volume.")
    travel = (np.array(last.position_mm) - np.array(first.position_mm)) / (len(ordered) - 1)
    matrix = voxel_to_patient(
        position_mm=first.position_mm,
        orientation=first.orientation,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_step_mm=float(travel @ _normal(first.orientation)),
    )
    matrix[:3, 0] = travel
    return Grid((len(ordered), first.rows, first.columns), as_affine(matrix), first.frame_of_reference_uid)


def _degrees_from_axial(direction: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(abs(direction[2]), 0.0, 1.0))))


def _is_orthonormal(item: SliceHeader) -> bool:
    try:
        direction_cosines(item.orientation or ())
    except GeometryError:
        return False
    return True


def _usual_orientation(slices: Sequence[SliceHeader]) -> tuple[float, ...]:
    rounded = [tuple(round(value, 3) for value in item.orientation or ()) for item in slices]
    commonest = Counter(rounded).most_common(1)[0][0]
    return slices[rounded.index(commonest)].orientation or ()


def _normal(orientation: Sequence[float]) -> NDArray[np.float64]:
    along_row, along_column = direction_cosines(orientation)
    normal = np.cross(along_row, along_column)
    return normal / np.linalg.norm(normal)


def _degrees_apart(item: SliceHeader, orientation: Sequence[float]) -> float:
    # Half-angle form: the arc cosine of a dot product loses everything below a hundredth of a degree.
    ours = direction_cosines(item.orientation or ())
    theirs = direction_cosines(orientation)
    chords = [float(np.linalg.norm(a - b)) for a, b in zip(ours, theirs, strict=True)]
    return float(np.degrees(2.0 * np.arcsin(min(1.0, max(chords) / 2.0))))


def _sideways_findings(
    ordered: Sequence[SliceHeader],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
    tolerances: GateTolerances,
) -> list[GateFinding]:
    travel = positions - positions[0]
    depth = travel @ normal
    if len(ordered) < 2 or depth[-1] < tolerances.duplicate_mm:
        return []
    sideways = travel - np.outer(depth, normal)
    slope, *_ = np.linalg.lstsq(np.column_stack([depth, np.ones_like(depth)]), sideways, rcond=None)
    lean = float(np.degrees(np.arctan(np.linalg.norm(slope[0]))))
    findings: list[GateFinding] = []
    if lean > tolerances.tilt_degrees:
        step = float(np.linalg.norm(slope[0]) * depth[-1] / (len(ordered) - 1))
        message = (
            f"The gantry was tilted by {lean:.1f} degrees: each slice lies {step:.2f} mm beside the one before, so the "
            "slices do not stack into a box."
        )
        findings.append(finding_of("gantry-tilt", message, ordered))
    else:
        findings.extend(_tilt_findings(ordered, lean, tolerances))
    astray = np.linalg.norm(sideways - np.outer(depth, slope[0]) - slope[1], axis=1)
    shifted = [item for item, distance in zip(ordered, astray, strict=True) if distance > tolerances.position_mm]
    if shifted:
        message = f"{len(shifted)} slices lie up to {float(astray.max()):.2f} mm beside the line of the others."
        findings.append(finding_of("shifted-slices", message, shifted))
    return findings


def _tilt_findings(
    ordered: Sequence[SliceHeader], lean_degrees: float, tolerances: GateTolerances
) -> list[GateFinding]:
    told = [item for item in ordered if abs(item.gantry_tilt_degrees or 0.0) > lean_degrees + tolerances.tilt_degrees]
    if not told:
        return []
    most = max(abs(item.gantry_tilt_degrees or 0.0) for item in told)
    message = (
        f"The scanner says that the gantry was tilted by up to {most:.1f} degrees, but the slices stack upright: they "
        "were straightened since, or their positions leave the tilt out."
    )
    return [finding_of("tilt-disagrees", message, told)]


def _step_findings(
    ordered: Sequence[SliceHeader], depths: NDArray[np.float64], tolerances: GateTolerances
) -> list[GateFinding]:
    findings = repeat_findings(ordered, depths, tolerances)
    gaps = np.diff(depths)
    keep = np.concatenate([[True], gaps >= tolerances.duplicate_mm])
    distinct = [item for item, kept in zip(ordered, keep, strict=True) if kept]
    places = depths[keep]
    if len(distinct) < 2:
        return findings
    steps = np.diff(places)
    usual = float(np.median(steps))
    counts = np.maximum(1, np.round(steps / usual))
    wide = steps >= tolerances.missing_ratio * usual
    # A gap that is not near a whole number of steps is unevenness, not loss; a fifth of a step leaves room for both.
    whole = np.abs(steps - counts * usual) <= max(2 * tolerances.position_mm, 0.2 * usual)
    for index in np.flatnonzero(wide & whole):
        missing = int(counts[index]) - 1
        message = (
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing between {places[index]:.2f} and "
            f"{places[index + 1]:.2f} mm: a gap of {steps[index]:.2f} mm where the step is {usual:.2f} mm."
        )
        findings.append(finding_of("missing-slices", message, [distinct[index], distinct[index + 1]]))
    ladder = np.concatenate([[0.0], np.cumsum(counts)])
    expected = places[0] + ladder * (places[-1] - places[0]) / ladder[-1]
    astray = np.abs(places - expected)
    uneven = [item for item, distance in zip(distinct, astray, strict=True) if distance > tolerances.position_mm]
    if uneven:
        message = (
            f"Steps between slices vary from {steps.min():.2f} to {steps.max():.2f} mm; slices lie up to "
            f"{float(astray.max()):.2f} mm from where even steps would put them."
        )
        findings.append(finding_of("irregular-spacing", message, uneven))
    findings.extend(_thickness_findings(distinct, usual, tolerances))
    return findings


def _thickness_findings(
    ordered: Sequence[SliceHeader], step_mm: float, tolerances: GateTolerances
) -> list[GateFinding]:
    thicknesses = [item.slice_thickness_mm for item in ordered if item.slice_thickness_mm]
    if not thicknesses:
        return []
    findings: list[GateFinding] = []
    if max(thicknesses) - min(thicknesses) > tolerances.thickness_mm:
        message = f"Slices of {min(thicknesses):.2f} to {max(thicknesses):.2f} mm thickness are mixed in one series."
        findings.append(finding_of("mixed-thickness", message, ordered))
    thickness = float(np.median(thicknesses))
    if thickness > step_mm + tolerances.thickness_mm:
        message = f"Slices are {thickness:.2f} mm thick and {step_mm:.2f} mm apart: neighbours overlap."
        findings.append(finding_of("slices-overlap", message, ordered))
    elif thickness < step_mm - tolerances.thickness_mm:
        message = f"Slices are {thickness:.2f} mm thick and {step_mm:.2f} mm apart: what lies between was not imaged."
        findings.append(finding_of("slices-apart", message, ordered))
    return findings
