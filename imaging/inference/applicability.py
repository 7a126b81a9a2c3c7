"""Which scans a bundle was validated for; on any other it abstains, and says why.

A bundle says so in its metadata under ``applicability``. One that does not is not held back, and "not stated" is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from imaging.errors import NotApplicable
from imaging.types import Volume

NOT_STATED = "The model's bundle does not state what scans it was validated for."
_WITHIN_MM = 0.01
"""Positions are written with so few digits that a step of 2.5 mm may come out as 2.5003."""

_KNOWN = frozenset(
    {"slice_step_mm", "slice_thickness_mm", "kernels", "unstated_kernel", "least_lung_ml", "least_lung_length_mm"}
)


@dataclass(frozen=True, slots=True)
class Applicability:
    """The scans that a bundle was validated for. None, or no kernels: not restricted.

    ``slice_step_mm``: between slice positions. ``slice_thickness_mm``: as the scanner states it, judged where it does.
    ``kernels``: patterns (``*``, ``?``) of Convolution Kernel (0018,1210), in any case of letters; ``unstated_kernel``:
    whether a scan that names none is taken. ``least_lung_ml``, ``least_lung_length_mm``: lung within the scan, and how
    far it reaches along the slices.
    """

    slice_step_mm: tuple[float, float] | None
    slice_thickness_mm: tuple[float, float] | None
    kernels: tuple[str, ...]
    unstated_kernel: bool
    least_lung_ml: float | None
    least_lung_length_mm: float | None


def read_applicability(content: object) -> Applicability | None:
    """Return what a bundle's metadata state, None where they state nothing.

    Raises ValueError for anything that is not understood: a limit that is misspelt must not be a limit that is lifted.
    """
    if content is None:
        return None
    if not isinstance(content, Mapping):
        raise ValueError("applicability is not an object")
    unknown = sorted(set(map(str, content)) - _KNOWN)
    if unknown:
        raise ValueError(f"applicability knows no {', '.join(unknown)}")
    kernels = content.get("kernels", ())
    if isinstance(kernels, str) or not all(isinstance(one, str) for one in kernels):
        raise ValueError("applicability: kernels is not a list of names")
    unstated = content.get("unstated_kernel", True)
    if not isinstance(unstated, bool):
        raise ValueError("applicability: unstated_kernel is neither true nor false")
    return Applicability(
        slice_step_mm=_range(content.get("slice_step_mm")),
        slice_thickness_mm=_range(content.get("slice_thickness_mm")),
        kernels=tuple(kernels),
        unstated_kernel=unstated,
        least_lung_ml=_least(content.get("least_lung_ml")),
        least_lung_length_mm=_least(content.get("least_lung_length_mm")),
    )


def check_scan(*, volume: Volume, applicability: Applicability | None) -> None:
    """Raise NotApplicable where a scan's sampling or kernel is not what the bundle was validated for.

    Codes: ``outside-slice-step``, ``outside-slice-thickness``, ``outside-kernel``.
    """
    if applicability is None:
        return
    step, thickness = volume.grid.spacing_mm[0], volume.slice_thickness_mm
    if not _inside(step, applicability.slice_step_mm):
        raise _outside(volume, "outside-slice-step", f"a slice step of {step:.4g} mm", applicability)
    if thickness is not None and not _inside(thickness, applicability.slice_thickness_mm):
        raise _outside(volume, "outside-slice-thickness", f"slices {thickness:.4g} mm thick", applicability)
    kernel = volume.acquisition.get("kernel", "").strip()
    if kernel and applicability.kernels and not _matches(kernel, applicability.kernels):
        raise _outside(volume, "outside-kernel", f"the reconstruction kernel {kernel[:40]}", applicability)
    if not kernel and not applicability.unstated_kernel:
        raise _outside(volume, "outside-kernel", "no reconstruction kernel stated", applicability)


def check_lungs(*, volume: Volume, lung_ml: float, length_mm: float, applicability: Applicability | None) -> None:
    """Raise NotApplicable ``outside-coverage`` where a scan holds less lung than the bundle was validated with.

    ``lung_ml``: of the lungs and what lies inside them. ``length_mm``: from the first slice with lung to the last.
    """
    if applicability is None:
        return
    if applicability.least_lung_ml is not None and lung_ml < applicability.least_lung_ml:
        raise _outside(volume, "outside-coverage", f"only {lung_ml:.0f} ml of lung", applicability)
    if applicability.least_lung_length_mm is not None and length_mm < applicability.least_lung_length_mm:
        raise _outside(volume, "outside-coverage", f"only {length_mm:.0f} mm of lung along the slices", applicability)


def validated_for(applicability: Applicability | None) -> str:
    """Return in one sentence which scans a bundle was validated for, or that it does not say."""
    if applicability is None:
        return NOT_STATED
    parts = []
    if applicability.slice_step_mm is not None:
        parts.append(f"slice steps of {_words(applicability.slice_step_mm)}")
    if applicability.slice_thickness_mm is not None:
        parts.append(f"slices {_words(applicability.slice_thickness_mm)} thick")
    if applicability.kernels:
        unstated = ", or none stated" if applicability.unstated_kernel else ""
        parts.append(f"the kernels {', '.join(applicability.kernels)}{unstated}")
    if applicability.least_lung_ml is not None:
        parts.append(f"at least {applicability.least_lung_ml:g} ml of lung")
    if applicability.least_lung_length_mm is not None:
        parts.append(f"at least {applicability.least_lung_length_mm:g} mm of lung along the slices")
    return f"The model was validated for {'; '.join(parts)}." if parts else NOT_STATED


def _outside(volume: Volume, code: str, found: str, applicability: Applicability) -> NotApplicable:
    message = f"The scan has {found}. {validated_for(applicability)}"
    return NotApplicable(code, message, subjects=(volume.series_instance_uid,))


def _inside(value: float, limits: tuple[float, float] | None) -> bool:
    return limits is None or limits[0] - _WITHIN_MM <= value <= limits[1] + _WITHIN_MM


def _matches(kernel: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(kernel.upper(), pattern.upper()) for pattern in patterns)


def _range(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("applicability: a range has two ends")
    low, high = float(value[0]), float(value[1])
    if not 0.0 <= low <= high:
        raise ValueError("applicability: a range runs from its lower end to its higher")
    return low, high


def _least(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0.0:
        raise ValueError("applicability: a least amount is a number")
    return float(value)


def _words(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g} mm"
