"""Several slices at one position: the same slice twice, a dynamic series, or several volumes in one series."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import finding_of
from imaging.geometry.verdict import GateFinding, GateTolerances

_TELLTALES: tuple[tuple[str, Callable[[SliceHeader], Hashable]], ...] = (
    ("temporal position", lambda item: item.temporal_position),
    ("acquisition number", lambda item: item.acquisition_number),
    ("acquisition time", lambda item: item.acquisition_time),
    ("reconstruction kernel", lambda item: item.acquisition.get("kernel", "")),
    ("tube voltage", lambda item: item.acquisition.get("kvp", "")),
    ("image type", lambda item: item.image_type),
    ("slice thickness", lambda item: item.slice_thickness_mm),
)
"""What tells the volumes of a series apart, the most telling first (PS3.3 C.7.6.16.2.2, C.7.6.1)."""

_NAMED_PLACES = 5


def repeat_findings(
    ordered: Sequence[SliceHeader], depths: NDArray[np.float64], tolerances: GateTolerances
) -> list[GateFinding]:
    """Return what is wrong with slices that share a position. ``depths``: millimetres along the normal, ascending.

    ``several-volumes`` where the series falls into stacks that each hold every position once; ``duplicate-positions``
    otherwise. No stack or slice is chosen.
    """
    places = np.concatenate([[0], np.cumsum(np.diff(depths) >= tolerances.duplicate_mm)])
    counts = Counter(int(place) for place in places)
    repeated = sorted(place for place, count in counts.items() if count > 1)
    if not repeated:
        return []
    touched = [item for item, place in zip(ordered, places, strict=True) if counts[int(place)] > 1]
    if len(counts) > 1:
        for name, telltale in _TELLTALES:
            parts = _parts(ordered, places, telltale)
            if parts is not None:
                message = (
                    f"{len(repeated)} of {len(counts)} positions are held by several slices: the series holds "
                    f"{len(parts)} volumes, told apart by their {name} ({_listed(parts)} slices). It has to be split; "
                    "none of them is chosen here."
                )
                return [finding_of("several-volumes", message, touched)]
        if len(repeated) == len(counts) and len(set(counts.values())) == 1:
            message = (
                f"Each of {len(counts)} positions is held by {counts[repeated[0]]} slices: a dynamic (4-D) series or "
                "several reconstructions. Nothing in the headers tells the volumes apart."
            )
            return [finding_of("several-volumes", message, touched)]
    first = {int(place): float(depth) for place, depth in zip(places[::-1], depths[::-1], strict=True)}
    listed = ", ".join(f"{first[place]:.2f}" for place in repeated[:_NAMED_PLACES])
    more = " ..." if len(repeated) > _NAMED_PLACES else ""
    message = f"{len(touched)} slices share a position with another one (at {listed}{more} mm)."
    if len(counts) == 1:
        message += " All lie at one place: copies of one image, or one place imaged again and again (bolus tracking)."
    return [finding_of("duplicate-positions", message, touched)]


def _parts(
    ordered: Sequence[SliceHeader], places: NDArray[np.int64], telltale: Callable[[SliceHeader], Hashable]
) -> list[int] | None:
    """Return the sizes of the stacks that a telltale makes, None if one of them is no stack or there is but one."""
    stacks: dict[Hashable, list[int]] = defaultdict(list)
    for item, place in zip(ordered, places, strict=True):
        stacks[telltale(item)].append(int(place))
    if len(stacks) < 2 or any(len(set(stack)) < len(stack) or len(stack) < 2 for stack in stacks.values()):
        return None
    return [len(stack) for stack in stacks.values()]


def _listed(sizes: Sequence[int]) -> str:
    shown = ", ".join(str(size) for size in sizes[:_NAMED_PLACES])
    return f"{shown} ..." if len(sizes) > _NAMED_PLACES else shown
