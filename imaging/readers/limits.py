"""How much a reader may take from one file before it says no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds on one input, checked before memory is taken.

    ``file_bytes``: one file as it lies on disk. ``inflated_bytes``: a deflated data set once inflated.
    ``pixel_bytes``: the pixels that one instance claims. ``volume_bytes``: one series as int16. ``nesting``: depth of
    sequences within sequences.
    """

    file_bytes: int
    inflated_bytes: int
    pixel_bytes: int
    volume_bytes: int
    nesting: int


CT_READ_LIMITS = ReadLimits(
    # A 1024 x 1024 slice is 2 MB; segmentations of a whole chest reach some hundred.
    file_bytes=1 << 30,
    inflated_bytes=1 << 30,
    pixel_bytes=1 << 30,
    # 2000 slices of 1024 x 1024 voxels.
    volume_bytes=4 << 30,
    # Structured reports nest about ten deep; the interpreter gives out near a hundred.
    nesting=32,
)
"""Limits for CT series and their annotations; callers pass them on purpose."""
