"""How fast a training learns at each step, and the running average of what it has learnt."""

from __future__ import annotations

import math

import torch

LOWEST_RATE = 1e-5
WARM_STEPS = 150.0


def cosine_rate(*, peak: float, step: int, share: float) -> float:
    """Return the learning rate: up to ``peak`` over 150 steps, then down by a cosine over the time.

    ``share``: of the time that is spent.
    """
    warm = min(1.0, (step + 1) / WARM_STEPS)
    return warm * (LOWEST_RATE + 0.5 * (peak - LOWEST_RATE) * (1.0 + math.cos(math.pi * min(1.0, share))))


def average_into(*, averaged: dict[str, torch.Tensor], network: torch.nn.Module, keep: float) -> None:
    """Move the running average towards the network's weights in place; whole numbers are copied."""
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            averaged[name].mul_(keep).add_(value, alpha=1.0 - keep)
        else:
            averaged[name].copy_(value)
