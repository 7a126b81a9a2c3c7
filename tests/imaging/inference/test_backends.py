"""Whatever runs the network is held against torch first; what differs is refused by name, and the next takes over."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imaging.errors import BundleError
from imaging.inference import backends
from imaging.inference.backends import CHOICES, TOLERANCE, BackendName, ready_backend
from imaging.inference.bundle import GRAPH, REFERENCE, Bundle, Model, load_bundle
from imaging.inference.network import Field, TileRunner
from imaging.inference.openvino_runner import import_openvino, openvino_runner
from imaging.inference.predict import predict
from imaging.inference.probe import (
    SIDE,
    probe_side,
    probe_tile,
    reference_bytes,
    sparse,
    stored_reference,
    worst_difference,
)
from imaging.phantom.chest import PhantomCase
from imaging.types import Prediction
from tests.imaging.inference.conftest import with_graph


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return load_bundle(bundle_folder, expected_sha256=None)


def has_bfloat16() -> bool:
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def off_by(amount: float):
    def runner(*, model: Model, precision: str, threads: int) -> TileRunner:
        true = openvino_runner(model=model, precision="f32", threads=threads)
        return lambda tile: true(tile) + np.float32(amount)

    return runner


def opinion(scan: PhantomCase, bundle: Bundle, backend: str) -> Prediction:
    return predict(
        scan.volume,
        bundle,
        places=(),
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=1,
        backend=backend,
    )


@pytest.mark.parametrize("choice", ["openvino-f32", "openvino-bf16", "torch"])
@pytest.mark.parametrize("carries_graph", [False, True])
def test_every_backend_agrees_with_torch_within_what_it_states(
    bundle_folder: Path, choice: str, carries_graph: bool
) -> None:
    if choice == "openvino-bf16" and not has_bfloat16():
        pytest.skip("this processor has no bfloat16 arithmetic")
    bundle = load_bundle(with_graph(bundle_folder) if carries_graph else bundle_folder, expected_sha256=None)
    chosen = ready_backend(bundle=bundle, choice=choice, threads=2)
    assert (chosen.name, chosen.refused) == (choice, ())
    assert chosen.worst_difference <= TOLERANCE[chosen.name]
    # Against torch itself, on another tile than the one that loading looks at.
    tile = np.random.default_rng(3).normal(-0.5, 0.4, (bundle.settings.tile,) * 3).astype(np.float32)
    truth = ready_backend(bundle=bundle, choice="torch", threads=1).run(tile)
    assert worst_difference(answer=chosen.run(tile), reference=truth) <= TOLERANCE[chosen.name]


def test_thirty_two_bits_are_the_default_and_bfloat16_is_only_taken_on_request(bundle: Bundle) -> None:
    if backends.cuda_is_present():
        pytest.skip("there is a CUDA device, which comes first")
    assert ready_backend(bundle=bundle, choice="auto", threads=1).name is BackendName.OPENVINO_F32
    assert TOLERANCE[BackendName.OPENVINO_F32] == 1e-3 < TOLERANCE[BackendName.OPENVINO_BF16]


def test_a_backend_that_differs_from_torch_is_refused_by_name_and_torch_takes_its_place(
    scan: PhantomCase, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = opinion(scan, bundle, "torch")
    monkeypatch.setattr(backends, "openvino_runner", off_by(0.01))
    told = opinion(scan, bundle, "auto")
    assert told.backend.startswith("torch-f32 ")
    [refusal] = told.backend_refusals
    assert "openvino-f32" in refusal
    assert "0.01" in refusal
    assert [one.probability for one in told.candidates] == [one.probability for one in truth.candidates]


def test_what_bfloat16_may_differ_by_thirty_two_bits_may_not(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "openvino_runner", off_by(0.01))
    assert ready_backend(bundle=bundle, choice="openvino-bf16", threads=1).name is BackendName.OPENVINO_BF16
    assert ready_backend(bundle=bundle, choice="openvino-f32", threads=1).name is BackendName.TORCH
    monkeypatch.setattr(backends, "openvino_runner", off_by(0.2))
    chosen = ready_backend(bundle=bundle, choice="openvino-bf16", threads=2)
    assert [one.subjects for one in chosen.refused] == [("openvino-bf16",), ("openvino-f32",)]


@pytest.mark.parametrize(
    ("fault", "code"),
    [(ImportError("no openvino"), "backend-absent"), (RuntimeError("cannot compile"), "backend-failed")],
)
def test_a_backend_that_is_absent_or_fails_is_refused_and_the_next_taken(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    def broken(**_asked: object) -> TileRunner:
        raise fault

    monkeypatch.setattr(backends, "openvino_runner", broken)
    chosen = ready_backend(bundle=bundle, choice="openvino-f32", threads=1)
    assert chosen.name is BackendName.TORCH
    assert [(one.code, one.subjects) for one in chosen.refused] == [(code, ("openvino-f32",))]


def test_asking_for_cuda_without_a_device_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "cuda_is_present", lambda: False)
    chosen = ready_backend(bundle=bundle, choice="cuda", threads=1)
    assert chosen.name is BackendName.OPENVINO_F32
    assert [one.code for one in chosen.refused] == ["backend-absent"]


def test_an_answer_that_is_not_a_number_is_a_disagreement(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "openvino_runner", off_by(float("nan")))
    chosen = ready_backend(bundle=bundle, choice="openvino-bf16", threads=1)
    assert {one.code for one in chosen.refused} == {"backend-disagrees"}
    assert chosen.name is BackendName.TORCH


def test_weights_and_stored_answer_that_do_not_belong_together_are_refused(bundle_folder: Path) -> None:
    bundle = load_bundle(with_graph(bundle_folder), expected_sha256=None)
    tile = probe_tile(bundle.settings.tile)
    wrong = np.full((2, *tile.shape), 0.9, dtype=np.float32)
    with pytest.raises(BundleError) as caught:
        ready_backend(
            bundle=replace(bundle, reference=reference_bytes(tile=tile, probability=wrong)), choice="auto", threads=1
        )
    assert (caught.value.code, caught.value.subjects) == ("no-backend-agrees", (REFERENCE,))
    assert "openvino-f32" in caught.value.message
    assert "torch" in caught.value.message


def test_a_stored_answer_counts_only_for_the_very_tile_that_it_was_given_to() -> None:
    tile = probe_tile(32)
    answer = np.random.default_rng(0).random((2, 32, 32, 32)).astype(np.float32)
    data = reference_bytes(tile=tile, probability=answer)
    kept = stored_reference(data=data, tile=tile)
    assert kept is not None
    assert np.array_equal(kept, sparse(answer))
    assert stored_reference(data=data, tile=tile + np.float32(1e-6)) is None
    assert stored_reference(data=data[:200], tile=tile) is None
    assert stored_reference(data=None, tile=tile) is None


def test_a_backend_that_does_not_exist_is_not_guessed(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="openvino-f32"):
        ready_backend(bundle=bundle, choice="openvino", threads=1)
    assert set(CHOICES) == {"auto", *BackendName}


@pytest.mark.parametrize("name", [*GRAPH, REFERENCE])
def test_an_altered_graph_or_answer_is_refused_by_name(bundle_folder: Path, name: str) -> None:
    path = with_graph(bundle_folder) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert (caught.value.code, caught.value.subjects) == ("bundle-altered", (name,))


def test_a_bundle_with_its_graph_runs_without_torch_and_without_telemetry(bundle_folder: Path) -> None:
    program = (
        "import json, sys, numpy\n"
        "from pathlib import Path\n"
        "from imaging.inference.bundle import load_bundle\n"
        "from imaging.inference.backends import ready_backend\n"
        "bundle = load_bundle(Path(sys.argv[1]), expected_sha256=None)\n"
        "chosen = ready_backend(bundle=bundle, choice='openvino-f32', threads=1)\n"
        "known = sys.modules\n"
        "print(json.dumps([chosen.name, 'torch' in known, 'monai' in known, known.get('openvino_telemetry', 0)]))\n"
    )
    folder = with_graph(bundle_folder)
    answer = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(answer.splitlines()[-1]) == ["openvino-f32", False, False, None]


@pytest.mark.parametrize("choice", ["openvino-f32", "openvino-bf16", "torch"])
def test_the_number_of_threads_changes_no_bit_of_any_backend(bundle: Bundle, choice: str) -> None:
    tile = probe_tile(bundle.settings.tile)
    answers: list[Field] = [ready_backend(bundle=bundle, choice=choice, threads=n).run(tile) for n in (1, 2, 3)]
    assert all(np.array_equal(answers[0], other) for other in answers[1:])


def test_loading_and_checking_are_paid_once_for_a_bundle(bundle: Bundle) -> None:
    first = ready_backend(bundle=bundle, choice="openvino-f32", threads=1)
    assert ready_backend(bundle=bundle, choice="openvino-f32", threads=1) is first
    assert ready_backend(bundle=bundle, choice="openvino-f32", threads=2) is not first


def test_tiles_of_another_shape_get_the_answer_that_torch_gives(bundle: Bundle) -> None:
    generator = np.random.default_rng(5)
    run = ready_backend(bundle=bundle, choice="openvino-f32", threads=2).run
    truth = ready_backend(bundle=bundle, choice="torch", threads=1).run
    for shape in ((16, 40, 24), (32, 32, 32), (16, 40, 24)):
        tile = generator.normal(-0.5, 0.4, shape).astype(np.float32)
        assert float(np.abs(run(tile) - truth(tile)).max()) <= TOLERANCE[BackendName.OPENVINO_F32]


def test_a_kept_answer_says_how_large_its_probe_was_and_an_older_one_was_as_large_as_a_tile() -> None:
    tile = probe_tile(16)
    data = reference_bytes(tile=tile, probability=np.zeros((2, 16, 16, 16), dtype=np.float32))
    assert probe_side(data=data, size=32) == 16
    with np.load(io.BytesIO(data)) as kept:
        older = io.BytesIO()
        np.savez(older, input_sha256=kept["input_sha256"], probability=kept["probability"])
    assert probe_side(data=older.getvalue(), size=128) == 128
    assert probe_side(data=None, size=128) == SIDE
    assert probe_side(data=b"no archive", size=48) == 48
