"""A tiny untrained bundle, enough to test everything but how good the model is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.inference.backends import forget_backends
from imaging.inference.bundle import MANIFEST, METADATA, PLACE_WEIGHTS, WEIGHTS, bundle_digest, file_digests
from imaging.phantom.chest import PhantomCase, chest_phantom


def write_manifest(path: Path) -> str:
    files = file_digests(path)
    (path / MANIFEST).write_text(json.dumps({"files": files}))
    return bundle_digest(files)


def with_graph(path: Path) -> Path:
    """Give a bundle its graph and torch's answer, as the export does."""
    from imaging.training.graph import add_graph, pin

    add_graph(path)
    pin(path, name="tiny", version="1")
    return path


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Backends are kept for the life of a process: no test may be handed another's."""
    forget_backends()
    yield
    forget_backends()


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def make_bundle(folder: Path) -> Path:
    """An untrained network with all that a bundle holds, in a new folder of ``folder``."""
    import torch

    from imaging.inference.network import NetworkShape, build_network

    torch.manual_seed(0)
    path = folder / "bundle"
    for part in ("configs", "models"):
        (path / part).mkdir(parents=True)
    shape = NetworkShape(channels=(4, 8), strides=(2,), features=4)
    torch.save(build_network(shape).state_dict(), path / WEIGHTS)
    settings = {
        "network": {"channels": [4, 8], "strides": [2], "features": 4},
        "spacing_mm": 3.0,
        "tile": 32,
        "stride": 24,
        "calibration": [[0.0, 0.0], [1.0, 1.0]],
        "threshold": 0.5,
        "validated_diameters_mm": [4.0, 30.0],
        "sensitivity_by_diameter": [[4.0, 0.5]],
    }
    (path / METADATA).write_text(json.dumps({"name": "tiny", "version": "1", "qa_settings": settings}))
    write_manifest(path)
    return path


def with_places(path: Path) -> Path:
    """Give a bundle an untrained place network."""
    import torch

    from imaging.inference.place_network import build_place_network
    from imaging.inference.place_settings import PlaceShape, place_settings_json

    torch.manual_seed(1)
    shape = PlaceShape(channels=(4, 4, 8, 8), head=4)
    torch.save(build_place_network(shape).state_dict(), path / PLACE_WEIGHTS)
    content = json.loads((path / METADATA).read_text())
    content["qa_settings"]["places"] = place_settings_json(shape=shape, calibration=None, outline_calibration=None)
    (path / METADATA).write_text(json.dumps(content))
    write_manifest(path)
    return path


@pytest.fixture(scope="session")
def scan() -> PhantomCase:
    return chest_phantom(seed=21, shape=(40, 112, 112), spacing_mm=(4.0, 3.0, 3.0), nodule_count=6)
