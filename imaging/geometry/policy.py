"""Which findings of the geometry gate a project lets pass: accept, accept with a warning, or quarantine.

A policy may always be stricter than the default. It may be milder only where the volume is still built truthfully,
that is, where every voxel keeps its place in the patient and its Hounsfield units, and the axes stay at right angles:
``RELAXABLE`` lists those codes with the reason, and everything else that refuses a series refuses it in every project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from imaging.errors import ImagingError
from imaging.geometry.header import SliceHeader
from imaging.geometry.verdict import GateFinding, Severity


class Disposition(StrEnum):
    """What a finding of the gate means for the series it is about."""

    ACCEPT = "accept"
    WARN = "warn"
    QUARANTINE = "quarantine"

    @property
    def severity(self) -> Severity:
        """How a finding so disposed of is written down; what is accepted stays on record as a note."""
        return _SEVERITY[self]


_SEVERITY = {
    Disposition.ACCEPT: Severity.NOTE,
    Disposition.WARN: Severity.WARNING,
    Disposition.QUARANTINE: Severity.REFUSAL,
}

_MILDNESS = (Disposition.QUARANTINE, Disposition.WARN, Disposition.ACCEPT)

DEFAULTS: Mapping[str, Disposition] = {
    # No volume can be built, or it would be one of something else.
    "too-few-slices": Disposition.QUARANTINE,
    "mixed-series": Disposition.QUARANTINE,
    "mixed-study": Disposition.QUARANTINE,
    "mixed-patient": Disposition.QUARANTINE,
    "duplicate-instances": Disposition.QUARANTINE,
    "wrong-modality": Disposition.QUARANTINE,
    "localizer": Disposition.QUARANTINE,
    "multi-frame": Disposition.QUARANTINE,
    "no-pixel-data": Disposition.QUARANTINE,
    "not-greyscale": Disposition.QUARANTINE,
    "missing-rescale": Disposition.QUARANTINE,
    "other-quantity": Disposition.QUARANTINE,
    "missing-position": Disposition.QUARANTINE,
    "bad-pixel-spacing": Disposition.QUARANTINE,
    "mixed-frame-of-reference": Disposition.QUARANTINE,
    "mixed-size": Disposition.QUARANTINE,
    "mixed-pixel-spacing": Disposition.QUARANTINE,
    "not-orthonormal": Disposition.QUARANTINE,
    "mixed-orientation": Disposition.QUARANTINE,
    "gantry-tilt": Disposition.QUARANTINE,
    "shifted-slices": Disposition.QUARANTINE,
    "several-volumes": Disposition.QUARANTINE,
    "duplicate-positions": Disposition.QUARANTINE,
    "missing-slices": Disposition.QUARANTINE,
    "irregular-spacing": Disposition.QUARANTINE,
    "implausible-position": Disposition.QUARANTINE,
    # The volume would be true, but not what labels of lungs are read on.
    "non-axial": Disposition.QUARANTINE,
    "secondary-capture": Disposition.QUARANTINE,
    "projection": Disposition.QUARANTINE,
    # The volume is true; someone should know this about it.
    "slices-overlap": Disposition.WARN,
    "slices-apart": Disposition.WARN,
    "mixed-thickness": Disposition.WARN,
    "missing-frame-of-reference": Disposition.WARN,
    "tilt-disagrees": Disposition.WARN,
    "lossy-compression": Disposition.WARN,
    "other-sop-class": Disposition.WARN,
}
"""Every code that the gate can give, and what it means where a project says nothing."""

RELAXABLE: Mapping[str, tuple[Disposition, str]] = {
    "non-axial": (
        Disposition.WARN,
        "the affine carries any direction; only the plane of diameters and the models' training assume axial slices",
    ),
    "secondary-capture": (
        Disposition.WARN,
        "positions, spacing and rescale to Hounsfield units are still all demanded; only the object's class is unusual",
    ),
    "projection": (
        Disposition.WARN,
        "voxels keep their places; what is lost is that each shows one slice's density and not a slab's",
    ),
    "slices-overlap": (Disposition.ACCEPT, "the step is measured from positions; thickness only blurs along it"),
    "slices-apart": (Disposition.ACCEPT, "the step is measured from positions; what lies between was never imaged"),
    "mixed-thickness": (Disposition.ACCEPT, "the step is measured from positions; thickness only blurs along it"),
    "missing-frame-of-reference": (
        Disposition.ACCEPT,
        "voxels have places; only a label's claim to lie in the same frame cannot be compared",
    ),
    "tilt-disagrees": (Disposition.ACCEPT, "positions and orientations decide; the tilt element is not used"),
    "lossy-compression": (Disposition.ACCEPT, "places are exact; Hounsfield units are as near as the compression left"),
    "other-sop-class": (Disposition.ACCEPT, "all that a volume needs is demanded whatever the class is called"),
}
"""Code to the mildest disposition that a project may choose, and why the volume stays true.

Left out on purpose: ``gantry-tilt``. The affine could carry the shear, but everything that measures takes the grid's
axes to be at right angles (spacing, volumes, diameters across slices, the model's input), so a volume of slices tilted
by 15 degrees would be 3.5 % too large without anybody seeing it. ``missing-slices``, ``irregular-spacing`` and
``duplicate-positions`` would need interpolation or a choice between slices; both are repairs.
"""


class UnusablePolicy(ImagingError):
    """A gate policy names a code that does not exist, or lets pass what no volume can be built from truthfully."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a project lets pass: ``overrides`` maps a finding's code to its disposition, where not the default.

    Raises UnusablePolicy (``unknown-finding``, ``not-relaxable``) when made; ``subjects`` names the code.
    """

    overrides: Mapping[str, Disposition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for code, wanted in self.overrides.items():
            _check(code, wanted)

    def disposition(self, code: str) -> Disposition:
        """Return what a finding of this code means. Raises KeyError for a code that the gate does not give."""
        return self.overrides.get(code, DEFAULTS[code])


DEFAULT_GATE_POLICY = GatePolicy()
"""The defaults, unchanged."""


def finding_of(code: str, message: str, offenders: Sequence[SliceHeader]) -> GateFinding:
    """Return a finding about some slices, as severe as it is where a project says nothing."""
    return GateFinding(code, DEFAULTS[code].severity, message, tuple(item.sop_instance_uid for item in offenders))


def policy_from_words(words: Mapping[str, object]) -> GatePolicy:
    """Return the policy that ``code: word`` pairs describe, each word one of accept, warn and quarantine.

    Raises UnusablePolicy (``unknown-finding``, ``unknown-disposition``, ``not-relaxable``).
    """
    overrides: dict[str, Disposition] = {}
    for code, word in words.items():
        if word not in set(Disposition):
            raise UnusablePolicy(
                "unknown-disposition",
                f"{code}: a finding can be set to {', '.join(Disposition)}, and to nothing else.",
                subjects=(code,),
            )
        overrides[code] = Disposition(str(word))
    return GatePolicy(overrides)


def _check(code: str, wanted: Disposition) -> None:
    if code not in DEFAULTS:
        raise UnusablePolicy(
            "unknown-finding",
            f"The geometry gate has no finding {code[:60]!r}; it has {', '.join(sorted(DEFAULTS))}.",
            subjects=(code[:60],),
        )
    mildest, _ = RELAXABLE.get(code, (DEFAULTS[code], ""))
    if _MILDNESS.index(wanted) > _MILDNESS.index(mildest):
        allowed = ", ".join(item for item in _MILDNESS if _MILDNESS.index(item) <= _MILDNESS.index(mildest))
        raise UnusablePolicy(
            "not-relaxable",
            f"{code} cannot be set to {wanted}: no truthful volume could be built. It can be: {allowed}.",
            subjects=(code,),
        )


MILDEST_GATE_POLICY = GatePolicy({code: mildest for code, (mildest, _) in RELAXABLE.items()})
"""Whatever any project may let pass: for building again the volume of a series that was accepted under its policy."""
