"""The geometry gate over stored instances: the verdict on a series, and what is needed to build its volume again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from compliance.ledger.merkle import root
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateFinding, GateStatus, Severity, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import GatePolicy, policy_from_words
from imaging.readers.limits import CT_READ_LIMITS
from imaging.types import Grid
from qaservice.projects.models import Project

HOUNSFIELD = "hounsfield"
HOUNSFIELD_VERSION = "1"
"""Grows whenever the reader would give other Hounsfield units for the same bytes."""

_NAMED_UIDS = 50
"""How many offending instances a stored finding names; the message says how many there are."""


@dataclass(frozen=True, slots=True)
class SeriesAssessment:
    """What the gate said. ``state`` is the series' state; ``grid`` is JSON, None where the series is refused."""

    state: str
    verdict: list[dict[str, object]]
    grid: dict[str, object] | None
    input_digest: str
    acquisition: dict[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> tuple[str, str] | None:
        """The first reason's code and all reasons' messages against the series, None where it was accepted."""
        against = [finding for finding in self.verdict if finding["severity"] == Severity.REFUSAL.value]
        if not against:
            return None
        return str(against[0]["code"]), " ".join(str(finding["message"]) for finding in against)


def input_digest(digests: Mapping[str, str]) -> str:
    """Return the Merkle root (RFC 9162, hex) over ``SOP Instance UID, space, SHA-256``, sorted by UID."""
    return root([f"{uid} {digests[uid]}".encode() for uid in sorted(digests)]).hex()


def gate_policy_of(project: Project) -> GatePolicy:
    """Return what the geometry gate's findings mean in a project."""
    return policy_from_words(project.gate_policy)


def assess_series(
    *,
    headers: Sequence[SliceHeader],
    digests: Mapping[str, str],
    pixel_faults: Mapping[str, tuple[str, str]],
    policy: GatePolicy,
) -> SeriesAssessment:
    """Judge one series from its headers, and from what was found when its pixels were tried.

    ``digests`` maps SOP Instance UID to the SHA-256 of the stored bytes, ``pixel_faults`` to (code, message) where
    the pixels cannot be decoded. A series with such a slice, or one larger than is read, is refused as one whose
    positions do not fit is.
    """
    digest = input_digest(digests)
    verdict = assess(headers, LUNG_CT_TOLERANCES, policy)
    findings = list(verdict.findings)
    if verdict.grid is not None:
        findings.extend(_pixel_findings(verdict.grid, verdict.sop_instance_uids, pixel_faults))
    stored = [_finding(finding) for finding in findings]
    if verdict.grid is None or len(findings) > len(verdict.findings):
        return SeriesAssessment(GateStatus.REFUSED.value, stored, None, digest, _technique(headers))
    by_uid = {header.sop_instance_uid: header for header in headers}
    ordered = [by_uid[uid] for uid in verdict.sop_instance_uids]
    grid = _grid_as_json(verdict.grid, ordered)
    return SeriesAssessment(verdict.status.value, stored, grid, digest, _technique(ordered))


def _pixel_findings(grid: Grid, uids: Sequence[str], faults: Mapping[str, tuple[str, str]]) -> list[GateFinding]:
    found: dict[tuple[str, str], list[str]] = {}
    for uid in uids:
        if uid in faults:
            found.setdefault(faults[uid], []).append(uid)
    findings = [GateFinding(code, Severity.REFUSAL, message, tuple(named)) for (code, message), named in found.items()]
    size = 2 * grid.shape[0] * grid.shape[1] * grid.shape[2]
    if size > CT_READ_LIMITS.volume_bytes:
        message = f"The volume has {size} bytes; at most {CT_READ_LIMITS.volume_bytes} fit."
        findings.append(GateFinding("volume-too-large", Severity.REFUSAL, message, ()))
    return findings


def _grid_as_json(grid: Grid, ordered: Sequence[SliceHeader]) -> dict[str, object]:
    """Return everything of a volume but its voxels. Floats are strings in their shortest exact form."""
    thicknesses = [header.slice_thickness_mm for header in ordered if header.slice_thickness_mm]
    return {
        "shape": list(grid.shape),
        "affine": [[repr(value) for value in row] for row in grid.affine],
        "frame_of_reference_uid": grid.frame_of_reference_uid,
        "sop_instance_uids": [header.sop_instance_uid for header in ordered],
        "instance_numbers": [header.instance_number for header in ordered],
        "slice_thickness_mm": repr(float(median(thicknesses))) if thicknesses else None,
    }


def grid_from_json(stored: Mapping[str, object]) -> Grid:
    """Return the grid that ``assess_series`` gave."""
    shape, affine = stored["shape"], stored["affine"]
    if not isinstance(shape, list) or not isinstance(affine, list):
        raise TypeError("a stored grid holds a shape and an affine")
    slices, rows, columns = (int(size) for size in shape)
    matrix = tuple((float(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in affine)
    return Grid((slices, rows, columns), matrix, str(stored["frame_of_reference_uid"]))


def printable(values: Mapping[str, str]) -> dict[str, str]:
    """Return header texts as a database takes them: control characters, NUL above all, become question marks."""
    return {name: printable_text(value) for name, value in values.items()}


def printable_text(value: str) -> str:
    """Return one header text without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in value)


def _finding(finding: GateFinding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "sop_instance_uids": list(finding.sop_instance_uids[:_NAMED_UIDS]),
    }


def _technique(headers: Sequence[SliceHeader]) -> dict[str, str]:
    return printable(headers[0].acquisition) if headers else {}
