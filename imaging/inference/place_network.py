"""The place network: one crop around a place in, the lesion's outline there and whether it is a nodule out.

Imports torch and MONAI, so whoever may do without imports it when it is needed.
"""

from __future__ import annotations

import torch
from monai.networks.blocks.convolutions import Convolution, ResidualUnit
from monai.networks.blocks.upsample import UpSample
from torch import Tensor, nn

from imaging.inference.place_settings import PLACE_SIZE, PlaceShape


class PlaceNetwork(nn.Module):
    """(batch, 1, s, s, s) scaled HU to (batch, 2, s, s, s) logits.

    Channel 0: the voxel belongs to the lesion at the crop's middle. Channel 1: that there is a nodule at all, the same
    at every voxel, so that whatever runs the first network runs this one too.
    """

    where: Tensor

    def __init__(self, shape: PlaceShape) -> None:
        """Untrained, with the running statistics of batch normalisation at rest."""
        super().__init__()
        full, half, quarter, eighth = shape.channels
        # Convolutions cannot tell which of two lesions is meant: the place is given to them as two maps.
        self.register_buffer("where", _where(PLACE_SIZE), persistent=False)
        self.stem = _convolution(3, full)
        self.to_half = _residual(full, half, 2)
        self.to_quarter = _residual(half, quarter, 2)
        self.to_eighth = _residual(quarter, eighth, 2)
        self.up_quarter = _up(eighth, quarter)
        self.join_quarter = _convolution(2 * quarter, 3 * quarter // 4)
        self.up_half = _up(3 * quarter // 4, half)
        self.join_half = _convolution(2 * half, half)
        self.up_full = _up(half, full)
        self.join_full = _convolution(2 * full, full)
        self.outline = nn.Conv3d(full, 1, kernel_size=1)
        pooled = 2 * (eighth + 3 * quarter // 4 + half)
        self.nodule = nn.Sequential(
            nn.Linear(pooled, shape.head), nn.LeakyReLU(), nn.Dropout(0.2), nn.Linear(shape.head, 1)
        )
        if self.outline.bias is not None:
            nn.init.constant_(self.outline.bias, -3.0)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        mask, nodule = self.both(image)
        return torch.cat([mask, nodule[:, :, None, None, None].expand_as(mask)], dim=1)

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (batch, 1, s, s, s) mask logits and (batch, 1) nodule logits."""
        where = self.where.to(image.dtype).expand(image.shape[0], -1, -1, -1, -1)
        full = self.stem(torch.cat([image, where], dim=1))
        half = self.to_half(full)
        quarter = self.to_quarter(half)
        eighth = self.to_eighth(quarter)
        quarter = self.join_quarter(torch.cat([self.up_quarter(eighth), quarter], dim=1))
        half = self.join_half(torch.cat([self.up_half(quarter), half], dim=1))
        full = self.join_full(torch.cat([self.up_full(half), full], dim=1))
        # The whole crop says where in the lung it is; the middle, ever finer, what lies there.
        pooled = [_pooled(eighth), _pooled(_middle(quarter, 6)), _pooled(_middle(half, 8))]
        return self.outline(full), self.nodule(torch.cat(pooled, dim=1))


def build_place_network(shape: PlaceShape) -> PlaceNetwork:
    """Return an untrained place network."""
    return PlaceNetwork(shape)


def _convolution(features: int, out: int) -> nn.Module:
    return Convolution(3, features, out, kernel_size=3, adn_ordering="NA", act="LEAKYRELU", norm="BATCH", bias=False)


def _residual(features: int, out: int, stride: int) -> nn.Module:
    return ResidualUnit(
        3, features, out, strides=stride, kernel_size=3, subunits=2, adn_ordering="NA", act="LEAKYRELU", norm="BATCH"
    )


def _up(features: int, out: int) -> nn.Module:
    return UpSample(3, features, out, scale_factor=2, mode="deconv")


def _pooled(features: Tensor) -> Tensor:
    flat = features.flatten(2).float()
    return torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)


def _middle(features: Tensor, size: int) -> Tensor:
    first = (features.shape[-1] - size) // 2
    inner = slice(first, first + size)
    return features[:, :, inner, inner, inner]


def _where(size: int) -> Tensor:
    """Two maps (1, 2, s, s, s): a bell over the middle, and the distance from it in half sides."""
    axis = torch.arange(size, dtype=torch.float32) - 0.5 * (size - 1)
    distance = torch.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    return torch.stack([torch.exp(-0.5 * (distance / 3.0) ** 2), distance / (0.5 * size)])[None]
