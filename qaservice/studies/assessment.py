"""The geometry gate over stored instances: the verdict on a series, and what is needed to build its volume again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compliance.ledger.merkle import root
from imaging.errors import ImagingError
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateFinding, GateStatus, Severity, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import MILDEST_GATE_POLICY, GatePolicy, policy_from_words
from imaging.readers.series import CT_READ_LIMITS, load_volume
from imaging.types import Grid, Volume
from qaservice.projects.models import Project
from qaservice.storage import derived
from qaservice.storage.selectors import read_blob

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
        """(code, message) of the first reason against the series, None where it was accepted."""
        for finding in self.verdict:
            if finding["severity"] == Severity.REFUSAL.value:
                return str(finding["code"]), str(finding["message"])
        return None


def input_digest(digests: Mapping[str, str]) -> str:
    """Return the Merkle root (RFC 9162, hex) over ``SOP Instance UID, space, SHA-256``, sorted by UID."""
    return root([f"{uid} {digests[uid]}".encode() for uid in sorted(digests)]).hex()


def gate_policy_of(project: Project) -> GatePolicy:
    """Return what the geometry gate's findings mean in a project."""
    return policy_from_words(project.gate_policy)


def assess_series(
    *, headers: Sequence[SliceHeader], digests: Mapping[str, str], policy: GatePolicy
) -> SeriesAssessment:
    """Judge one series from its headers; where the gate accepts, decode the pixels too and keep the volume cached.

    ``digests`` maps SOP Instance UID to the SHA-256 of the stored bytes. A series whose pixels cannot be decoded is
    refused as one whose positions do not fit is. Not for use inside a transaction: it reads every slice.
    """
    digest = input_digest(digests)
    verdict = assess(headers, LUNG_CT_TOLERANCES, policy)
    findings = [_finding(finding) for finding in verdict.findings]
    if verdict.grid is None:
        return SeriesAssessment(GateStatus.REFUSED.value, findings, None, digest, _technique(headers))
    try:
        volume = build_volume(headers=headers, digests=digests)
    except ImagingError as error:
        refusal = GateFinding(error.code, Severity.REFUSAL, error.message, error.subjects)
        findings.append(_finding(refusal))
        return SeriesAssessment(GateStatus.REFUSED.value, findings, None, digest, _technique(headers))
    derived.array(input_digest=digest, operation=HOUNSFIELD, version=HOUNSFIELD_VERSION, make=lambda: volume.hounsfield)
    return SeriesAssessment(
        verdict.status.value, findings, volume_as_json(volume), digest, printable(volume.acquisition)
    )


def build_volume(*, headers: Sequence[SliceHeader], digests: Mapping[str, str]) -> Volume:
    """Return the volume of an accepted series from stored bytes, each checked against its digest.

    Whatever a project may let pass passes here: the series was accepted under the policy of its day, and a stricter
    one that came later does not take its volume away.
    """
    return load_volume(
        slices=headers,
        open_bytes=lambda uid: read_blob(digests[uid]),
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
        policy=MILDEST_GATE_POLICY,
    )


def volume_as_json(volume: Volume) -> dict[str, object]:
    """Return everything of a volume but its voxels. Floats are strings in their shortest exact form."""
    grid = volume.grid
    thickness = volume.slice_thickness_mm
    return {
        "shape": list(grid.shape),
        "affine": [[repr(value) for value in row] for row in grid.affine],
        "frame_of_reference_uid": grid.frame_of_reference_uid,
        "sop_instance_uids": list(volume.sop_instance_uids),
        "instance_numbers": list(volume.instance_numbers),
        "slice_thickness_mm": None if thickness is None else repr(thickness),
    }


def grid_from_json(stored: Mapping[str, object]) -> Grid:
    """Return the grid that ``volume_as_json`` wrote."""
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
