"""What a bundle says about its second network, the one that looks at one place at a time."""

from __future__ import annotations

from dataclasses import dataclass

PLACE_SIZE = 48
"""Voxels along each side of a crop."""


@dataclass(frozen=True, slots=True)
class PlaceShape:
    """Sizes of the place network. ``channels``: features at full size and after each halving. ``head``: of the nodule
    head's hidden layer."""

    channels: tuple[int, int, int, int]
    head: int


PLACE_SHAPE = PlaceShape(channels=(8, 24, 48, 96), head=64)
"""The sizes that are trained here."""
