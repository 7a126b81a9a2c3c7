"""The network run by torch: the answer that everything else is held against, and the last resort without OpenVINO."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import numpy as np

from imaging.errors import BundleError
from imaging.inference.bundle import Model
from imaging.inference.network import Field, TileRunner, build_network
from imaging.inference.place_settings import PlaceShape

if TYPE_CHECKING:
    import torch


def load_network(model: Model) -> torch.nn.Module:
    """Return a bundle's network with its weights and a sigmoid behind it, in evaluation, on the CPU.

    Raises BundleError ``bundle-unreadable`` if the weights do not fit the network that the metadata describes.
    """
    import torch

    network = _built(model)
    try:
        network.load_state_dict(torch.load(io.BytesIO(model.weights), map_location="cpu", weights_only=True))
    except Exception as error:
        message = f"{model.names[0]} does not hold the weights of the network that the metadata describes."
        raise BundleError("bundle-unreadable", message, subjects=(model.names[0],)) from error
    whole: torch.nn.Module = torch.nn.Sequential(network, torch.nn.Sigmoid()).eval()
    return whole


def _built(model: Model) -> torch.nn.Module:
    if not isinstance(model.shape, PlaceShape):
        return build_network(model.shape)
    # Loads torch, which only this module needs.
    from imaging.inference.place_network import build_place_network

    return build_place_network(model.shape)


def torch_runner(*, model: Model) -> TileRunner:
    """Return the network on the CPU in 32-bit floating point. Raises BundleError as ``load_network`` does."""
    import torch

    network = load_network(model)
    torch.nn.utils.convert_conv3d_weight_memory_format(network, torch.channels_last_3d)

    def run(tile: Field) -> Field:
        # One thread a tile, tiles side by side: two threads on one tile wait for each other at every layer.
        torch.set_num_threads(1)
        with torch.inference_mode():
            image = torch.from_numpy(tile)[None, None].contiguous(memory_format=torch.channels_last_3d)
            return np.asarray(network(image)[0].numpy(), dtype=np.float32)

    return run


def cuda_runner(*, model: Model) -> TileRunner:
    """Return the network on the first CUDA device, in true 32-bit floating point and repeatable algorithms.

    Raises RuntimeError where there is no such device, BundleError as ``load_network`` does.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device")
    # TF32 keeps ten bits of a product, and cuDNN's quickest algorithms add up in another order each time.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    network = load_network(model).to("cuda")
    one_at_a_time = threading.Lock()

    def run(tile: Field) -> Field:
        # Threads prepare tiles side by side; the device works on one, so that its memory is known beforehand.
        with one_at_a_time, torch.inference_mode():
            image = torch.from_numpy(tile)[None, None].to("cuda")
            return np.asarray(network(image)[0].cpu().numpy(), dtype=np.float32)

    return run


def cpu_capability() -> str:
    """Return the instruction set that torch computes with here ("AVX512"): results differ between two of them."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def cuda_device() -> str:
    """Return the name of the first CUDA device."""
    import torch

    return str(torch.cuda.get_device_name(0))
