"""The geometry gate: may these instances become one volume, and if not, exactly why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from imaging.geometry.header import SliceHeader
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


def assess(slices: Sequence[SliceHeader], tolerances: GateTolerances) -> GeometryVerdict:
    """Return whether these instances make one regular axial CT volume, with every reason found against it.

    ``slices`` may come in any order; InstanceNumber and file names are not used. All findings are reported, not only
    the first, and nothing is averaged away or repaired. Codes that refuse: ``too-few-slices``, ``mixed-series``,
    ``duplicate-instances``, ``wrong-modality``, ``localizer``, ``multi-frame``, ``no-pixel-data``, ``not-greyscale``,
    ``missing-rescale``, ``missing-position``, ``mixed-frame-of-reference``, ``mixed-size``, ``mixed-pixel-spacing``,
    ``not-orthonormal``, ``mixed-orientation``, ``non-axial``, ``gantry-tilt``, ``shifted-slices``,
    ``duplicate-positions``, ``missing-slices``, ``irregular-spacing``. Codes that warn: ``slices-overlap``,
    ``slices-apart``, ``missing-frame-of-reference``. Never raises for what is in a header.
    """
    findings = _instance_findings(slices, tolerances)
    placed = [item for item in slices if item.position_mm is not None and item.orientation is not None]
    stack = stack_findings(placed, tolerances)
    findings.extend(stack.findings)
    if any(finding.severity is Severity.REFUSAL for finding in findings):
        return GeometryVerdict(GateStatus.REFUSED, tuple(findings), (), None)
    grid = stack_grid(stack.ordered)
    status = GateStatus.ACCEPTED_WITH_WARNING if findings else GateStatus.ACCEPTED
    return GeometryVerdict(status, tuple(findings), tuple(item.sop_instance_uid for item in stack.ordered), grid)


def _instance_findings(slices: Sequence[SliceHeader], tolerances: GateTolerances) -> list[GateFinding]:
    findings: list[GateFinding] = []

    def refuse(code: str, message: str, offenders: Sequence[SliceHeader]) -> None:
        uids = tuple(item.sop_instance_uid for item in offenders)
        findings.append(GateFinding(code, Severity.REFUSAL, message, uids))

    if len(slices) < tolerances.minimum_slices:
        refuse(
            "too-few-slices",
            f"{len(slices)} slices; a volume needs at least {tolerances.minimum_slices} to show that it is regular.",
            slices,
        )
    if len({item.series_instance_uid for item in slices}) > 1:
        refuse("mixed-series", "The instances belong to more than one series.", slices)
    seen = Counter(item.sop_instance_uid for item in slices)
    repeated = [item for item in slices if seen[item.sop_instance_uid] > 1]
    if repeated:
        refuse("duplicate-instances", "The same SOP Instance UID occurs more than once.", repeated)
    for code, message, is_wrong in _SINGLE_CHECKS:
        offenders = [item for item in slices if is_wrong(item)]
        if offenders:
            refuse(code, f"{_of(offenders, slices)}: {message}", offenders)
    _mixed_findings(slices, tolerances, refuse)
    nameless = [item.sop_instance_uid for item in slices if not item.frame_of_reference_uid]
    if nameless:
        message = (
            f"{len(nameless)} of {len(slices)} slices name no frame of reference, so a label's frame cannot be "
            "compared with theirs."
        )
        findings.append(GateFinding("missing-frame-of-reference", Severity.WARNING, message, tuple(nameless)))
    return findings


def _of(offenders: Sequence[SliceHeader], slices: Sequence[SliceHeader]) -> str:
    return f"{len(offenders)} of {len(slices)} instances"


_SINGLE_CHECKS: tuple[tuple[str, str, Callable[[SliceHeader], bool]], ...] = (
    ("wrong-modality", "the modality is not CT.", lambda item: item.modality != "CT"),
    (
        "localizer",
        "a localizer (scout) image, not a slice of the volume.",
        lambda item: "LOCALIZER" in {value.upper() for value in item.image_type},
    ),
    (
        "multi-frame",
        "several frames in one instance; only one slice an instance is supported.",
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
)


def _mixed_findings(
    slices: Sequence[SliceHeader],
    tolerances: GateTolerances,
    refuse: Callable[[str, str, Sequence[SliceHeader]], None],
) -> None:
    frames = Counter(item.frame_of_reference_uid for item in slices if item.frame_of_reference_uid)
    if len(frames) > 1:
        usual_frame = frames.most_common(1)[0][0]
        odd = [item for item in slices if item.frame_of_reference_uid not in {"", usual_frame}]
        refuse("mixed-frame-of-reference", f"{_of(odd, slices)} lie in another frame of reference.", odd)
    sizes = Counter((item.rows, item.columns) for item in slices if item.rows and item.columns)
    if len(sizes) > 1:
        usual_size = sizes.most_common(1)[0][0]
        odd = [item for item in slices if (item.rows, item.columns) != usual_size]
        listed = ", ".join(f"{rows}x{columns}" for rows, columns in sorted(sizes, key=str))
        refuse("mixed-size", f"{_of(odd, slices)} differ in size from the others ({listed} pixels).", odd)
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
            refuse("mixed-pixel-spacing", f"{_of(odd, slices)} differ in pixel spacing ({listed} mm).", odd)
