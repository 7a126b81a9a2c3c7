"""Whether a nodule that was put in can be seen at all: in a vessel as dense as itself it changes nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEEN_HU = 80.0
"""What a nodule has to add to its surroundings on average. Ground glass adds about 200 HU to lung."""
SEEN_SHARE = 0.6
"""The share of its voxels that have to rise by half of that: what is left of a nodule beside a vessel has a shape."""


def shows(*, raised: NDArray[np.floating]) -> bool:
    """Tell whether somebody could outline a nodule.

    ``raised``: how much denser each of its voxels became when it was put in, HU, any shape. A nodule that a vessel or
    the chest wall swallows is neither to be found nor a false finding, so no training may count it as either.
    """
    return bool(
        raised.size and float(raised.mean()) >= SEEN_HU and float((raised > 0.5 * SEEN_HU).mean()) >= SEEN_SHARE
    )
