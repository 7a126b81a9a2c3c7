"""The network that the bundle's weights belong to: MONAI's UNet with a mask head and a centre head.

Imports torch and MONAI when first called, so that nothing else pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

WINDOW_HU = (-1000.0, 400.0)

Field = NDArray[np.float32]
TileRunner = Callable[[Field], Field]
"""Takes a (d, h, w) window-scaled tile to (2, d, h, w) probabilities: mask, centre. Called from several threads."""


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Sizes of the UNet. ``features``: channels that the heads share."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    features: int


def build_network(shape: NetworkShape) -> torch.nn.Module:
    """Return an untrained network: (batch, 1, d, h, w) scaled HU to (batch, 2, d, h, w) logits (mask, centre)."""
    import torch
    from monai.networks.nets.unet import UNet

    body = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=shape.features,
        channels=shape.channels,
        strides=shape.strides,
        num_res_units=1,
        norm="BATCH",
    )
    # Two linear heads over shared features: a single normalised output channel would cap the logits.
    last = torch.nn.Conv3d(shape.features, 2, kernel_size=1)
    if last.bias is not None:
        torch.nn.init.constant_(last.bias, -3.0)
    heads = torch.nn.Sequential(torch.nn.PReLU(), last)
    network: torch.nn.Module = torch.nn.Sequential(body, heads)
    return network


def scale_window(hounsfield: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip to the bundle's window and scale to [-1, 1], float32 of the same shape."""
    low, high = WINDOW_HU
    return np.asarray((np.clip(hounsfield, low, high) - low) * np.float32(2.0 / (high - low)) - 1.0, dtype=np.float32)


def tile_starts(*, size: int, tile: int, stride: int) -> Sequence[int]:
    """Return where tiles begin along an axis so that they cover ``size``; the last is moved back to fit."""
    if size <= tile:
        return (0,)
    starts = list(range(0, size - tile, stride))
    return (*starts, size - tile)
