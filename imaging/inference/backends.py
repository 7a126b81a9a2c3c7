"""What runs the network: chosen at run time, held against torch before it is trusted, refused by name if it differs."""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

from imaging.errors import BundleError
from imaging.inference.bundle import Bundle, Model
from imaging.inference.network import TileRunner
from imaging.inference.openvino_runner import openvino_device, openvino_runner
from imaging.inference.probe import probe_side, probe_tile, sparse, stored_reference, worst_difference
from imaging.inference.torch_runner import cpu_capability, cuda_device, cuda_runner, torch_runner
from imaging.types import Rejection

logger = logging.getLogger(__name__)

AUTO = "auto"


class BackendName(StrEnum):
    """What can run the network. The second half of a name is the precision of its arithmetic; torch's is 32 bits."""

    CUDA = "cuda"
    OPENVINO_F32 = "openvino-f32"
    OPENVINO_BF16 = "openvino-bf16"
    TORCH = "torch"


CHOICES = (AUTO, *(name.value for name in BackendName))
"""What may be asked for. "auto" is CUDA where there is a device, then OpenVINO in 32 bits, then torch."""

TOLERANCE = {
    BackendName.CUDA: 1e-3,
    BackendName.OPENVINO_F32: 1e-3,
    # Eight bits of mantissa through thirty layers: a declared fast mode, not the reproducible default.
    BackendName.OPENVINO_BF16: 5e-2,
    BackendName.TORCH: 1e-3,
}
"""How far a probability may lie from torch's 32-bit answer, at the worst voxel of the probe."""

_FALLBACKS = {
    AUTO: (BackendName.CUDA, BackendName.OPENVINO_F32, BackendName.TORCH),
    BackendName.CUDA: (BackendName.CUDA, BackendName.OPENVINO_F32, BackendName.TORCH),
    BackendName.OPENVINO_F32: (BackendName.OPENVINO_F32, BackendName.TORCH),
    BackendName.OPENVINO_BF16: (BackendName.OPENVINO_BF16, BackendName.OPENVINO_F32, BackendName.TORCH),
    BackendName.TORCH: (BackendName.TORCH,),
}


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """A way of running one network of a bundle that was found to agree with torch.

    ``label`` names backend, precision, version and device: outputs under one label are the same to the bit.
    ``worst_difference``: from torch's probabilities, on the probe. ``refused``: what was to be taken before it, and why
    it was not.
    """

    name: BackendName
    label: str
    worst_difference: float
    refused: tuple[Rejection, ...]
    run: TileRunner


class _Absent(Exception):
    """This machine or installation has no such backend."""


_lock = threading.Lock()
_kept: dict[str, tuple[tuple[str, int, str, int], Backend]] = {}


def ready_backend(*, bundle: Bundle, choice: str, threads: int) -> Backend:
    """Return the backend that is to run the bundle's first network, compiled, and checked against torch's answer.

    ``choice``: one of ``CHOICES``. ``threads``: tiles computed at a time. The last one made is kept for the life of the
    process, so that loading and checking are paid once. Raises ValueError for another choice; BundleError
    ``bundle-unreadable`` if the weights do not fit, ``no-backend-agrees`` if nothing gives the answer that the bundle
    says torch gave.
    """
    return _ready("first", bundle.model, bundle, choice, threads)


def ready_place_backend(*, bundle: Bundle, choice: str, threads: int) -> Backend | None:
    """Return the backend that is to run the bundle's place network, None where it has none. Otherwise as above."""
    return None if bundle.places is None else _ready("places", bundle.places, bundle, choice, threads)


def _ready(kind: str, model: Model, bundle: Bundle, choice: str, threads: int) -> Backend:
    if choice not in CHOICES:
        raise ValueError(f"{choice!r} is no backend; there are {', '.join(CHOICES)}")
    key = (bundle.identity.bundle_sha256, model.size, choice, threads)
    with _lock:
        kept = _kept.get(kind)
        if kept is None or kept[0] != key:
            # One of each is held: a compiled network takes some hundred megabytes.
            _kept.pop(kind, None)
            kept = _kept[kind] = (key, _choose(model, choice, threads))
        return kept[1]


def forget_backends() -> None:
    """Drop what is kept, so that the next call loads and checks again."""
    with _lock:
        _kept.clear()


def cuda_is_present() -> bool:
    """Return whether torch could use a CUDA device, found out without loading torch where it could not."""
    if metadata.version("torch").endswith("+cpu"):
        return False
    library = ctypes.util.find_library("cuda") or "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _choose(model: Model, choice: str, threads: int) -> Backend:
    tile = probe_tile(probe_side(data=model.reference, size=model.size))
    reference = stored_reference(data=model.reference, tile=tile)
    refused: list[Rejection] = []
    for name in _FALLBACKS[choice]:
        if name is BackendName.CUDA and choice == AUTO and not cuda_is_present():
            continue
        try:
            label, run = _LOADERS[name](model, threads)
            answer = sparse(run(tile))
            if reference is None:
                reference = answer if name is BackendName.TORCH else sparse(torch_runner(model=model)(tile))
        except BundleError:
            raise
        except (_Absent, ImportError) as error:
            refused.append(_refusal("backend-absent", name, f"it is not here ({error})"))
            continue
        # Runtimes raise whatever their drivers and compilers do; none of it may stop the others.
        except Exception as error:
            refused.append(_refusal("backend-failed", name, f"it does not run ({type(error).__name__}: {error})"))
            continue
        worst = worst_difference(answer=answer, reference=reference)
        if worst <= TOLERANCE[name]:
            return Backend(name, label, worst, tuple(refused), run)
        why = f"its probabilities differ from torch's by up to {worst:.2g}, more than the {TOLERANCE[name]:g} allowed"
        refused.append(_refusal("backend-disagrees", name, why))
    told = " ".join(one.message for one in refused)
    raise BundleError(
        "no-backend-agrees", f"Nothing here runs the bundle as it says: {told}", subjects=(model.names[1],)
    )


def _refusal(code: str, name: BackendName, why: str) -> Rejection:
    refusal = Rejection(code, f"The backend {name.value} was refused: {' '.join(why.split())[:400]}.", (name.value,))
    logger.warning("%s", refusal.message)
    return refusal


def _cuda(model: Model, threads: int) -> tuple[str, TileRunner]:
    if not cuda_is_present():
        raise _Absent("no CUDA device, or a build of torch without CUDA")
    run = cuda_runner(model=model)
    return f"cuda-f32 torch {metadata.version('torch')} on {cuda_device()}", run


def _openvino(precision: str) -> Callable[[Model, int], tuple[str, TileRunner]]:
    def load(model: Model, threads: int) -> tuple[str, TileRunner]:
        run = openvino_runner(model=model, precision=precision, threads=threads)
        return f"openvino-{precision} {metadata.version('openvino')} on {openvino_device()}", run

    return load


def _torch(model: Model, threads: int) -> tuple[str, TileRunner]:
    run = torch_runner(model=model)
    return f"torch-f32 {metadata.version('torch')} on CPU {cpu_capability()}", run


_LOADERS: dict[BackendName, Callable[[Model, int], tuple[str, TileRunner]]] = {
    BackendName.CUDA: _cuda,
    BackendName.OPENVINO_F32: _openvino("f32"),
    BackendName.OPENVINO_BF16: _openvino("bf16"),
    BackendName.TORCH: _torch,
}
