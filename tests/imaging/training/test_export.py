"""A bundle is written with the graph and the answer of torch that belong to its own weights, and with its figures."""

import json
from pathlib import Path

import pytest
import torch

from imaging.inference.applicability import validated_for
from imaging.inference.backends import BackendName, forget_backends, ready_backend
from imaging.inference.bundle import GRAPH, METADATA, REFERENCE, load_bundle
from imaging.inference.network import build_network
from imaging.training import export as module
from imaging.training.export import UNMEASURED, export
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
    first = export(training=training(tmp_path / "a", 1), bundle=tmp_path / "bundle", version="1", measured=measured)
    before = {name: (tmp_path / "bundle" / name).read_bytes() for name in (*GRAPH, REFERENCE)}
    second = export(training=training(tmp_path / "b", 2), bundle=tmp_path / "bundle", version="2", measured=measured)
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
    export(training=training(tmp_path / "a", 1), bundle=tmp_path / "bundle", version="1", measured=None)
    content = json.loads((tmp_path / "bundle" / METADATA).read_text())
    assert (content["applicability"], content["detectability"]) == (None, None)
    settings = load_bundle(tmp_path / "bundle", expected_sha256=None).settings
    assert (settings.applicability, settings.detectability) == (None, None)
