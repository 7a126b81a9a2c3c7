"""What the place network is trained to lower: outline of the lesion at the place, and whether there is one."""

from __future__ import annotations

import torch
from torch import Tensor

EMPTY_WEIGHT = 0.1
"""An outline where there is no nodule costs little: the nodule head says so, the outline need not."""


def place_loss(*, mask_logits: Tensor, nodule_logits: Tensor, mask: Tensor, nodule: Tensor) -> Tensor:
    """Return cross-entropy plus soft Dice of the outlines, and cross-entropy of the nodule head.

    ``mask_logits``, ``mask``: (batch, d, h, w). ``nodule_logits``, ``nodule``: (batch).
    """
    functional = torch.nn.functional
    cross = functional.binary_cross_entropy_with_logits(mask_logits, mask, reduction="none").mean(dim=(1, 2, 3))
    probability = torch.sigmoid(mask_logits)
    # Sample by sample: over a whole batch the small ones would hardly count.
    both = (probability * mask).sum(dim=(1, 2, 3))
    dice = 1.0 - (2.0 * both + 5.0) / (probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3)) + 5.0)
    # A small nodule fills a thousandth of its crop: without the factor its surroundings drown its cross-entropy.
    filled = mask.mean(dim=(1, 2, 3)).clamp(min=2e-4)
    outline = (0.5 / filled.sqrt()).clamp(max=20.0) * cross + dice
    weighted = (nodule * outline + EMPTY_WEIGHT * (1.0 - nodule) * 8.0 * cross).sum() / nodule.sum().clamp(min=1.0)
    return weighted + functional.binary_cross_entropy_with_logits(nodule_logits, nodule)
