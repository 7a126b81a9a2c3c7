"""The network run by OpenVINO on the CPU, from the graph that a bundle carries or one converted on the spot.

The package asks a server of its maker for telemetry when it converts a model; here it never learns how to, and models
are converted through the front end beneath that tool.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from imaging.inference.bundle import Graph, Model
from imaging.inference.network import Field, TileRunner
from imaging.inference.place_settings import PlaceShape


def import_openvino() -> ModuleType:
    """Return the package, its telemetry out of reach. Raises ImportError where it is not installed."""
    # A module of None makes its import fail, for which the package has a stub that sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python bars a module
    return import_module("openvino")


def convert(*, model: Model) -> Graph:
    """Return a bundle's network, with the sigmoid behind it, as an OpenVINO graph for tiles of the network's size.

    Loads torch and MONAI. Weights keep 32 bits. Raises BundleError where the weights do not fit.
    """
    import torch

    from imaging.inference.torch_runner import load_network

    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    size = model.size
    # The first network's graph is the same for every size; a small example is traced sooner, and the true size set
    # afterwards. The place network's maps of where the place is have one size.
    traced_size = size if isinstance(model.shape, PlaceShape) else min(32, size)
    example = torch.zeros(1, 1, traced_size, traced_size, traced_size)
    with torch.inference_mode():
        traced = torch.jit.trace(load_network(model), example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's own
    front_end = FrontEndManager().load_by_framework("pytorch")
    # Both are used by ``convert`` but not kept alive by it.
    decoder = TorchScriptPythonDecoder(traced)
    loaded = front_end.load(decoder)
    converted = front_end.convert(loaded)
    converted.reshape([1, 1, size, size, size])
    converted.validate_nodes_and_infer_types()
    with tempfile.TemporaryDirectory(prefix="graph-") as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(converted, path, compress_to_fp16=False)
        return Graph(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def openvino_device() -> str:
    """Return the name of the processor as OpenVINO tells it."""
    return str(import_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()


def openvino_runner(*, model: Model, precision: str, threads: int) -> TileRunner:
    """Return the network for ``threads`` tiles at a time, each on one thread, compiled for their shape when first met.

    A network compiled for one shape is half again as quick as one for any, so that of the last shape is kept.
    ``precision``: "f32" or "bf16", of the arithmetic; what goes in and comes out is float32. The output does not
    depend on ``threads``. Raises ImportError where OpenVINO is not installed, RuntimeError where it cannot compile the
    graph (a tile's run does), BundleError as ``convert`` does.
    """
    openvino = import_openvino()
    graph = model.graph or convert(model=model)
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("this processor has no bfloat16 arithmetic")
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        # Workers share the machine: a stream pinned to a busy core would wait there.
        "ENABLE_CPU_PINNING": False,
    }
    kept: dict[tuple[int, ...], Any] = {}
    compiling = threading.Lock()
    own = threading.local()

    def compiled(shape: tuple[int, ...]) -> Any:
        with compiling:
            if shape not in kept:
                kept.clear()
                read = core.read_model(graph.topology, graph.weights)
                read.reshape([1, 1, *shape])
                kept[shape] = core.compile_model(read, "CPU", options)
            return kept[shape]

    def run(tile: Field) -> Field:
        if getattr(own, "shape", None) != tile.shape:
            own.request, own.shape = compiled(tile.shape).create_infer_request(), tile.shape
        answer = own.request.infer({0: tile[None, None]}, share_inputs=True)
        return np.array(answer[0][0], dtype=np.float32)

    return run
