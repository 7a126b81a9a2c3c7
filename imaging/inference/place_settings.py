"""What a bundle says about its second network, the one that looks at one place at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PLACE_SIZE = 48
"""Voxels along each side of a crop."""

FINE_MM, COARSE_MM = 0.7, 1.4
"""Voxels of the two crops that are looked at, fields of 34 and 67 mm."""


@dataclass(frozen=True, slots=True)
class PlaceShape:
    """Sizes of the place network.

    ``channels``: features at full size and after each halving. ``head``: features of the nodule head's hidden layer.
    """

    channels: tuple[int, int, int, int]
    head: int


PLACE_SHAPE = PlaceShape(channels=(8, 24, 48, 96), head=64)
"""The sizes that are trained here."""


@dataclass(frozen=True, slots=True)
class PlaceCalibration:
    """The probability of a nodule is the logistic function of ``intercept + first * a + place * b``.

    ``a``: logit of the first network's raw score there. ``b``: the place network's nodule logit.
    """

    intercept: float
    first: float
    place: float


@dataclass(frozen=True, slots=True)
class OutlineCalibration:
    """A voxel's probability is the logistic function of ``scale * logit + offset``."""

    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class PlaceSettings:
    """How the place network is to be run. ``voxel_mm``: of the fine and of the coarse crop."""

    network: PlaceShape
    voxel_mm: tuple[float, float]
    calibration: PlaceCalibration
    outline_calibration: OutlineCalibration


UNFITTED = PlaceCalibration(intercept=0.0, first=1.0, place=1.0)
"""As if what the two networks see were independent and neither over-confident: to be fitted (``training.evaluate``)."""

UNFITTED_OUTLINE = OutlineCalibration(scale=1.0, offset=0.0)


def read_place_settings(given: object) -> PlaceSettings | None:
    """Return ``qa_settings.places`` of a bundle's metadata, None where it has none.

    Raises KeyError, TypeError or ValueError where it does not say what has to be known.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise TypeError("places is no mapping")
    if int(given["crop"]) != PLACE_SIZE:
        raise ValueError(f"crops of {given['crop']} voxels, not {PLACE_SIZE}")
    full, half, quarter, eighth = (int(features) for features in given["network"]["channels"])
    fine, coarse = (float(size) for size in given["voxel_mm"])
    if not 0.0 < fine < coarse:
        raise ValueError("the fine voxel is not smaller than the coarse one")
    fitted, outline = given.get("calibration"), given.get("outline_calibration")
    return PlaceSettings(
        network=PlaceShape((full, half, quarter, eighth), int(given["network"]["head"])),
        voxel_mm=(fine, coarse),
        calibration=UNFITTED
        if fitted is None
        else PlaceCalibration(float(fitted["intercept"]), float(fitted["first"]), float(fitted["place"])),
        outline_calibration=UNFITTED_OUTLINE
        if outline is None
        else OutlineCalibration(float(outline["scale"]), float(outline["offset"])),
    )


def place_settings_json(
    *, shape: PlaceShape, calibration: Mapping[str, float] | None, outline_calibration: Mapping[str, float] | None
) -> dict[str, object]:
    """Return ``qa_settings.places`` as ``read_place_settings`` reads it."""
    return {
        "network": {"channels": list(shape.channels), "head": shape.head},
        "crop": PLACE_SIZE,
        "voxel_mm": [FINE_MM, COARSE_MM],
        "calibration": calibration,
        "outline_calibration": outline_calibration,
    }
