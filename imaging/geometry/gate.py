"""The geometry gate: may these instances become one volume, and if not, exactly why not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import DEFAULT_GATE_POLICY, GatePolicy, finding_of
from imaging.geometry.stack import stack_findings, stack_grid
from imaging.geometry.verdict import (
    LUNG_CT_TOLERANCES,
    GateFinding,
    GateStatus,
    GateTolerances,
    GeometryVerdict,
    Severity,
)

__all__ = ["LUNG_CT_TOLERANCES", "GateFinding", "GateStatus", "GateTolerances", "GeometryVerdict", "Severity", "assess"]

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage; its multi-frame kinds are numbered below it."""

_CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    }
)
_ALWAYS_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 52, 53, 54, 55, 56))
_PROJECTIONS = frozenset({"MIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION"})
_OTHER_QUANTITIES = frozenset(
    # Perfusion maps, and PS3.3 C.8.16.2.1.4's derived pixel contrasts whose result is no attenuation.
    {"PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "SUBTRACTION", "DIVISION", "MULTIPLICATION", "QUANTITY"}
)
_FARTHEST_MM = 100_000.0
"""Positions farther than 100 m from the frame's origin are damage; beyond, sums of them lose whole millimetres."""


def assess(
    slices: Sequence[SliceHeader], tolerances: GateTolerances, policy: GatePolicy = DEFAULT_GATE_POLICY
) -> GeometryVerdict:
    """Return whether these instances make one regular axial CT volume, with every reason found against it.

    ``slices`` may come in any order; InstanceNumber and file names are not used. All findings are reported, not only
    the first, and nothing is averaged away or repaired. ``policy.DEFAULTS`` lists every code with what it means where
    a project says nothing; ``policy`` may change that, within ``policy.RELAXABLE``. Never raises for what is in a
    header.
    """
    found = _instance_findings(slices, tolerances)
    placed = [item for item in slices if item.position_mm is not None and item.orientation is not None]
    stack = stack_findings([item for item in placed if not _is_far(item)], tolerances)
    found.extend(stack.findings)
    findings = tuple(replace(finding, severity=policy.disposition(finding.code).severity) for finding in found)
    severities = {finding.severity for finding in findings}
    if Severity.REFUSAL in severities:
        return GeometryVerdict(GateStatus.REFUSED, findings, (), None)
    grid = stack_grid(stack.ordered)
    status = GateStatus.ACCEPTED_WITH_WARNING if Severity.WARNING in severities else GateStatus.ACCEPTED
    return GeometryVerdict(status, findings, tuple(item.sop_instance_uid for item in stack.ordered), grid)


def _instance_findings(slices: Sequence[SliceHeader], tolerances: GateTolerances) -> list[GateFinding]:
    findings: list[GateFinding] = []
    seen = Counter(item.sop_instance_uid for item in slices)
    repeated = [item for item in slices if seen[item.sop_instance_uid] > 1]
    if repeated:
        message = "The same SOP Instance UID occurs more than once."
        findings.append(finding_of("duplicate-instances", message, repeated))
    for code, message, is_wrong in _SINGLE_CHECKS:
        offenders = [item for item in slices if is_wrong(item)]
        if offenders:
            findings.append(finding_of(code, f"{_of(offenders, slices)}: {message}", offenders))
    # After what is wrong with each: one object of many frames is not refused for being one.
    if len(slices) < tolerances.minimum_slices:
        message = (
            f"{len(slices)} slice{'' if len(slices) == 1 else 's'}; a volume needs at least "
            f"{tolerances.minimum_slices} to show that it is regular."
        )
        findings.append(finding_of("too-few-slices", message, slices))
    findings.extend(_mixed_owners(slices))
    findings.extend(_mixed_sampling(slices, tolerances))
    nameless = [item for item in slices if not item.frame_of_reference_uid]
    if nameless:
        message = (
            f"{len(nameless)} of {len(slices)} slices name no frame of reference, so a label's frame cannot be "
            "compared with theirs."
        )
        findings.append(finding_of("missing-frame-of-reference", message, nameless))
    return findings


def _of(offenders: Sequence[SliceHeader], slices: Sequence[SliceHeader]) -> str:
    return f"{len(offenders)} of {len(slices)} instances"


def _words_of(item: SliceHeader) -> frozenset[str]:
    return frozenset(re.split(r"[^A-Z0-9]+", " ".join(item.image_type).upper()))


def _is_far(item: SliceHeader) -> bool:
    return item.position_mm is not None and max(abs(value) for value in item.position_mm) > _FARTHEST_MM


def _is_lossy(item: SliceHeader) -> bool:
    return item.acquisition.get("lossy_compression") == "01" or item.transfer_syntax_uid in _ALWAYS_LOSSY


def _is_secondary_capture(item: SliceHeader) -> bool:
    return f"{item.sop_class_uid}.".startswith(f"{_SECONDARY_CAPTURE}.")


_SINGLE_CHECKS: tuple[tuple[str, str, Callable[[SliceHeader], bool]], ...] = (
    ("wrong-modality", "the modality is not CT.", lambda item: item.modality != "CT"),
    (
        "localizer",
        "a localizer (scout) image, not a slice of the volume.",
        lambda item: "LOCALIZER" in _words_of(item),
    ),
    (
        "secondary-capture",
        "a secondary capture (a screenshot or reformatted picture), not a slice as the scanner made it.",
        _is_secondary_capture,
    ),
    (
        "projection",
        "a projection through a slab (MIP or MinIP), so a voxel shows the slab's extreme and not its own density.",
        lambda item: not _PROJECTIONS.isdisjoint(_words_of(item)),
    ),
    (
        "other-quantity",
        "a map of another quantity than attenuation (perfusion, subtraction), so its values are no Hounsfield units.",
        lambda item: not _OTHER_QUANTITIES.isdisjoint(_words_of(item)),
    ),
    (
        "multi-frame",
        "several frames in one instance; labels name slices by SOP Instance UID, so one slice an instance is read.",
        lambda item: item.number_of_frames > 1,
    ),
    (
        "no-pixel-data",
        "no pixel data, or no size for them.",
        lambda item: not item.has_pixel_data or not item.rows or not item.columns,
    ),
    (
        "not-greyscale",
        "more than one sample a pixel; a CT slice has one.",
        lambda item: item.samples_per_pixel != 1,
    ),
    (
        "missing-rescale",
        "no rescale to Hounsfield units (slope or intercept is missing or zero, or the unit is not HU).",
        lambda item: (
            not item.rescale_slope or item.rescale_intercept is None or item.rescale_type.upper() not in {"", "HU"}
        ),
    ),
    (
        "missing-position",
        "position, orientation or pixel spacing is missing, so the slice has no place in the patient.",
        lambda item: item.position_mm is None or item.orientation is None or item.pixel_spacing_mm is None,
    ),
    (
        "bad-pixel-spacing",
        "the pixel spacing is not two positive lengths.",
        lambda item: item.pixel_spacing_mm is not None and min(item.pixel_spacing_mm) <= 0.0,
    ),
    (
        "implausible-position",
        f"the position lies more than {_FARTHEST_MM / 1000:.0f} m from the origin of its frame.",
        _is_far,
    ),
    ("lossy-compression", "the pixels were compressed with loss; densities and fine edges are altered.", _is_lossy),
    (
        "other-sop-class",
        "modality CT, but stored as another or a private kind of object than a CT image.",
        lambda item: (
            item.modality == "CT" and item.sop_class_uid not in _CT_CLASSES and not _is_secondary_capture(item)
        ),
    ),
)


def _mixed_owners(slices: Sequence[SliceHeader]) -> list[GateFinding]:
    findings: list[GateFinding] = []
    if len({item.series_instance_uid for item in slices}) > 1:
        findings.append(finding_of("mixed-series", "The instances belong to more than one series.", slices))
    if len({item.study_instance_uid for item in slices}) > 1:
        findings.append(finding_of("mixed-study", "The instances belong to more than one study.", slices))
    patients = Counter(item.patient_id for item in slices if item.patient_id)
    if len(patients) > 1:
        # Counted and never quoted: a patient's identifier belongs in no message.
        odd = [item for item in slices if item.patient_id not in {"", patients.most_common(1)[0][0]}]
        message = f"{_of(odd, slices)} name another patient; {len(patients)} patients are named in one series."
        findings.append(finding_of("mixed-patient", message, odd))
    frames = Counter(item.frame_of_reference_uid for item in slices if item.frame_of_reference_uid)
    if len(frames) > 1:
        usual = frames.most_common(1)[0][0]
        odd = [item for item in slices if item.frame_of_reference_uid not in {"", usual}]
        message = f"{_of(odd, slices)} lie in another frame of reference."
        findings.append(finding_of("mixed-frame-of-reference", message, odd))
    return findings


def _mixed_sampling(slices: Sequence[SliceHeader], tolerances: GateTolerances) -> list[GateFinding]:
    findings: list[GateFinding] = []
    sizes = Counter((item.rows, item.columns) for item in slices if item.rows and item.columns)
    if len(sizes) > 1:
        usual_size = sizes.most_common(1)[0][0]
        odd = [item for item in slices if (item.rows, item.columns) != usual_size]
        listed = ", ".join(f"{rows}x{columns}" for rows, columns in sorted(sizes, key=str))
        message = f"{_of(odd, slices)} differ in size from the others ({listed} pixels)."
        findings.append(finding_of("mixed-size", message, odd))
    spacings = Counter(item.pixel_spacing_mm for item in slices if item.pixel_spacing_mm is not None)
    if len(spacings) > 1:
        usual = spacings.most_common(1)[0][0]
        odd = [
            item
            for item in slices
            if item.pixel_spacing_mm is not None
            and max(abs(a - b) for a, b in zip(item.pixel_spacing_mm, usual, strict=True)) > tolerances.pixel_spacing_mm
        ]
        if odd:
            listed = ", ".join(f"{a:.4f}x{b:.4f}" for a, b in sorted(spacings))
            message = f"{_of(odd, slices)} differ in pixel spacing ({listed} mm)."
            findings.append(finding_of("mixed-pixel-spacing", message, odd))
    return findings
