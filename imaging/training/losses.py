"""What the network is trained to lower: soft Dice and cross-entropy of the mask, focal loss of the centres."""

from __future__ import annotations

import torch
from torch import Tensor


def mask_loss(*, logits: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Mean cross-entropy plus soft Dice over all voxels with weight; all (batch, d, h, w)."""
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    probability = torch.sigmoid(logits) * weight
    truth = mask * weight
    dice = 1.0 - (2.0 * (probability * truth).sum() + 20.0) / (probability.sum() + truth.sum() + 20.0)
    # Nodules fill about a hundredth of a patch; without the factor the background's easy voxels drown them.
    return 8.0 * (cross * weight).sum() / weight.sum().clamp(min=1.0) + dice


def centre_loss(*, logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (Zhou et al. 2019, equation 1), alpha 2, beta 4, a centre."""
    probability = torch.sigmoid(logits).clamp(1e-4, 1.0 - 1e-4)
    centres = (heat > 0.999).float()
    hit = centres * (1.0 - probability) ** 2 * torch.log(probability)
    miss = (1.0 - centres) * (1.0 - heat) ** 4 * probability**2 * torch.log(1.0 - probability)
    return -((hit + miss) * weight).sum() / (centres * weight).sum().clamp(min=2.0)
