"""What a bundle carries besides its weights so that it starts quickly: OpenVINO's graph, and torch's answer to a probe.

``python -m imaging.training.graph --bundle DIR`` adds both to a bundle that was written without them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from imaging.inference.bundle import (
    GRAPH,
    MANIFEST,
    PLACE_GRAPH,
    PLACE_REFERENCE,
    REFERENCE,
    Model,
    bundle_digest,
    file_digests,
    load_bundle,
)
from imaging.inference.openvino_runner import convert
from imaging.inference.probe import SIDE, probe_tile, reference_bytes
from imaging.inference.torch_runner import torch_runner


def add_graph(bundle: Path) -> None:
    """Write each network's graph and answer into the bundle in folder ``bundle``.

    Its manifest lists its other files, and is to be written anew (``pin``).
    """
    loaded = load_bundle(bundle, expected_sha256=None)
    _add(bundle, loaded.model, GRAPH, REFERENCE)
    if loaded.places is not None:
        _add(bundle, loaded.places, PLACE_GRAPH, PLACE_REFERENCE)


def _add(bundle: Path, model: Model, graph_names: tuple[str, str], reference_name: str) -> None:
    graph = convert(model=model)
    for name, content in zip(graph_names, (graph.topology, graph.weights), strict=True):
        (bundle / name).write_bytes(content)
    tile = probe_tile(min(SIDE, model.size))
    answer = torch_runner(model=model)(tile)
    (bundle / reference_name).write_bytes(reference_bytes(tile=tile, probability=answer))


def pin(bundle: Path, *, name: str, version: str) -> str:
    """Write the manifest over all files of the bundle and return the digest that pins it."""
    files = file_digests(bundle)
    digest = bundle_digest(files)
    content = {"name": name, "version": version, "bundle_sha256": digest, "files": files}
    (bundle / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
    return digest


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    given = parser.parse_args()
    identity = load_bundle(given.bundle, expected_sha256=None).identity
    add_graph(given.bundle)
    print(pin(given.bundle, name=identity.name, version=identity.version))  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
