"""A bundle is written with the graph and the answer of torch that belong to its own weights, and with its figures."""

import json
from pathlib import Path

import pytest
import torch

from imaging.inference.applicability import validated_for
from imaging.inference.backends import BackendName, forget_backends, ready_backend, ready_place_backend
from imaging.inference.bundle import GRAPH, METADATA, PLACE_GRAPH, PLACE_WEIGHTS, REFERENCE, load_bundle
from imaging.inference.network import build_network
from imaging.inference.place_network import build_place_network
from imaging.inference.place_settings import PLACE_SHAPE, PlaceCalibration
from imaging.lineage import AS_THEY_ARE, is_trained_phantom, known_uids, lineage_of
from imaging.phantom.chest import synthetic_uid
from imaging.training import export as module
from imaging.training.export import UNMEASURED, export, places_of_bundle, places_of_training
from imaging.training.run import SHAPE

pytestmark = pytest.mark.slow

KNOWN = {
    **UNMEASURED,
    "applicability": {"slice_step_mm": [0.5, 2.5]},
    "detectability": {
        "source": "synthetic scans",
        "false_per_scan": 1.0,
        "cells": [{"diameter_mm": [4.0, 6.0], "kind": "solid", "slice_step_mm": 1.0, "found": 3, "of": 4}],
    },
}


def training(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    torch.save({"averaged": build_network(SHAPE).state_dict()}, folder / "checkpoint.pt")
    (folder / "lineage.json").write_text(json.dumps({"minutes": 1.0, "seed": seed}))
    return folder


def test_an_export_carries_a_graph_that_agrees_with_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A smaller tile says the same, sooner.
    monkeypatch.setattr(module, "TILE", 32)
    monkeypatch.setattr(module, "STRIDE", 24)
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps(KNOWN))
    first = export(
        training=training(tmp_path / "a", 1), bundle=tmp_path / "bundle", version="1", measured=measured, judged=None
    )
    before = {name: (tmp_path / "bundle" / name).read_bytes() for name in (*GRAPH, REFERENCE)}
    second = export(
        training=training(tmp_path / "b", 2), bundle=tmp_path / "bundle", version="2", measured=measured, judged=None
    )
    assert first != second
    bundle = load_bundle(tmp_path / "bundle", expected_sha256=second)
    assert bundle.graph is not None
    # Over the first export's files: none of theirs may speak for the new weights.
    assert bundle.graph.weights != before[GRAPH[1]]
    assert bundle.reference != before[REFERENCE]
    forget_backends()
    chosen = ready_backend(bundle=bundle, choice="openvino-f32", threads=1)
    assert (chosen.name, chosen.refused) == (BackendName.OPENVINO_F32, ())
    assert "0.5 to 2.5 mm" in validated_for(bundle.settings.applicability)
    assert bundle.settings.detectability is not None
    assert [(cell.found, cell.of) for cell in bundle.settings.detectability.cells] == [(3, 4)]
    # The graph must not tell where it was made.
    assert str(tmp_path).encode() not in bundle.graph.topology
    assert str(Path.cwd()).encode() not in bundle.graph.topology


def test_an_export_that_was_not_measured_states_no_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 32)
    monkeypatch.setattr(module, "STRIDE", 24)
    export(training=training(tmp_path / "a", 1), bundle=tmp_path / "bundle", version="1", measured=None, judged=None)
    content = json.loads((tmp_path / "bundle" / METADATA).read_text())
    assert (content["applicability"], content["detectability"]) == (None, None)
    settings = load_bundle(tmp_path / "bundle", expected_sha256=None).settings
    assert (settings.applicability, settings.detectability) == (None, None)


def test_an_export_with_a_place_network_carries_all_of_it_and_refuses_what_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TILE", 32)
    monkeypatch.setattr(module, "STRIDE", 24)
    places = tmp_path / "places"
    places.mkdir()
    torch.manual_seed(3)
    torch.save({"averaged": build_place_network(PLACE_SHAPE).state_dict()}, places / "checkpoint.pt")
    seen = {
        "phantom_seeds": [20_000_001, 20_000_004],
        "background_series_instance_uids": {"somewhere": "1.2.840.77.5"},
        "planned_steps": 40,
        "seed": 3,
        "without": ["elsewhere"],
    }
    (places / "lineage.json").write_text(json.dumps(seen))
    measured = tmp_path / "measured.json"
    fitted = {"place_calibration": {"intercept": -1.0, "first": 0.5, "place": 0.75}}
    measured.write_text(json.dumps({**KNOWN, **fitted, "outline_calibration": {"scale": 0.5, "offset": 0.1}}))
    first = training(tmp_path / "a", 1)
    folder = tmp_path / "bundle"
    export(
        training=first, bundle=folder, version="1", measured=measured, judged=None, places=places_of_training(places)
    )
    bundle = load_bundle(folder, expected_sha256=None)
    assert bundle.settings.places is not None
    assert bundle.settings.places.calibration == PlaceCalibration(-1.0, 0.5, 0.75)
    assert bundle.settings.places.outline_calibration.scale == 0.5
    assert bundle.places is not None
    assert bundle.places.graph is not None
    assert str(Path.cwd()).encode() not in bundle.places.graph.topology
    forget_backends()
    chosen = ready_place_backend(bundle=bundle, choice="openvino-f32", threads=1)
    assert chosen is not None
    assert (chosen.name, chosen.refused) == (BackendName.OPENVINO_F32, ())
    lineage = lineage_of(json.loads((folder / METADATA).read_text()))
    assert "1.2.840.77.5" in known_uids(lineage=lineage, names=[AS_THEY_ARE])
    shape, spacing = (20, 48, 48), (5.0, 7.0, 7.0)
    series = synthetic_uid(parts=("series", 20_000_003, shape, spacing))
    assert is_trained_phantom(
        lineage=lineage, series_instance_uid=series, shape=shape, spacing_mm=spacing, names=[AS_THEY_ARE]
    )
    told = json.loads((folder / "configs" / "train.json").read_text())
    assert "--steps 40 --seed 3 --backgrounds DIR --without elsewhere" in told["places"]["command"]
    assert "--minutes 1.0 --seed 1" in told["command"]
    # Taken over into another bundle, even over the bundle that it comes from: the same weights, the same lineage.
    second = training(tmp_path / "b", 2)
    for target in (tmp_path / "other", folder):
        taken = places_of_bundle(folder)
        export(training=second, bundle=target, version="2", measured=measured, judged=None, places=taken)
        again = load_bundle(target, expected_sha256=None)
        assert again.places is not None
        assert again.places.weights == bundle.places.weights
        assert again.weights != bundle.weights
        assert again.settings.places == bundle.settings.places
        lineage = lineage_of(json.loads((target / METADATA).read_text()))
        assert "1.2.840.77.5" in known_uids(lineage=lineage, names=[AS_THEY_ARE])
    # Without it over the same files: nothing of the place network may be left.
    export(training=first, bundle=folder, version="2", measured=measured, judged=None)
    assert load_bundle(folder, expected_sha256=None).places is None
    assert not any((folder / name).exists() for name in (PLACE_WEIGHTS, *PLACE_GRAPH))
    with pytest.raises(ValueError, match="no place network"):
        places_of_bundle(folder)
