"""A prediction is repeatable, survives being killed, and says nothing where there is nothing to look at."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imaging.errors import NotApplicable
from imaging.inference import predict as module
from imaging.inference.backends import Backend, ready_backend
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.network import Field
from imaging.inference.predict import input_digest, predict
from imaging.phantom.chest import PhantomCase
from imaging.types import Prediction, Volume


class Killed(BaseException):
    """Stands for kill -9."""


class CountingBackend:
    """The real backend, counting the tiles that it computes once it is ready."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tiles = 0
        monkeypatch.setattr(module, "ready_backend", self)

    def __call__(self, *, bundle: Bundle, choice: str, threads: int) -> Backend:
        backend = ready_backend(bundle=bundle, choice=choice, threads=threads)

        def counted(tile: Field) -> Field:
            self.tiles += 1
            return backend.run(tile)

        return replace(backend, run=counted)


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return load_bundle(bundle_folder, expected_sha256=None)


def once(
    volume: Volume,
    bundle: Bundle,
    folder: Path | None = None,
    stop_after: int | None = None,
    threads: int = 1,
    backend: str = "auto",
) -> Prediction:
    def progress(done: int, total: int) -> None:
        if done == stop_after:
            raise Killed

    return predict(
        volume,
        bundle,
        places=[(0.0, 0.0, 0.0)],
        progress=progress,
        checkpoint_dir=folder,
        threads=threads,
        backend=backend,
    )


def same(first: Prediction, second: Prediction) -> bool:
    def told(prediction: Prediction) -> list[object]:
        return [
            (one.centre_mm, one.diameter_mm, one.probability, None if one.mask is None else one.mask.voxels.tobytes())
            for one in prediction.candidates
        ]

    return told(first) == told(second) and first.input_sha256 == second.input_sha256


def test_the_same_scan_gives_the_same_prediction_twice(scan: PhantomCase, bundle: Bundle) -> None:
    first, second = once(scan.volume, bundle), once(scan.volume, bundle)
    assert first.candidates
    assert same(first, second)


def test_the_number_of_threads_changes_nothing(scan: PhantomCase, bundle: Bundle, tmp_path: Path) -> None:
    single = once(scan.volume, bundle)
    assert same(single, once(scan.volume, bundle, threads=3))
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=4, threads=3)
    assert same(single, once(scan.volume, bundle, tmp_path, threads=2))


def test_a_killed_prediction_computes_only_the_rest(
    scan: PhantomCase, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = once(scan.volume, bundle)
    counter = CountingBackend(monkeypatch)
    once(scan.volume, bundle)
    total = counter.tiles
    assert total > 3
    counter.tiles = 0
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=3)
    assert counter.tiles == 3
    resumed = once(scan.volume, bundle, tmp_path)
    assert counter.tiles == total
    assert same(whole, resumed)
    assert not list(tmp_path.glob("tiles-*")), "a finished scan leaves no tiles behind"


def test_a_tile_cut_short_by_a_crash_is_computed_again(
    scan: PhantomCase, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = once(scan.volume, bundle)
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=3)
    stored = sorted(tmp_path.rglob("tile-*.npy"))
    stored[1].write_bytes(stored[1].read_bytes()[:100])
    counter = CountingBackend(monkeypatch)
    resumed = once(scan.volume, bundle, tmp_path)
    assert same(whole, resumed)
    assert counter.tiles >= 2


def test_tiles_of_another_scan_are_not_taken(
    scan: PhantomCase, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=3)
    changed = scan.volume.hounsfield.copy()
    changed[20, 50, 50] += 1
    other = replace(scan.volume, hounsfield=changed)
    counter = CountingBackend(monkeypatch)
    once(other, bundle)
    total, counter.tiles = counter.tiles, 0
    once(other, bundle, tmp_path)
    assert counter.tiles == total


def test_a_killed_prediction_resumes_only_with_the_backend_that_began_it(
    scan: PhantomCase, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch = once(scan.volume, bundle, backend="torch")
    counter = CountingBackend(monkeypatch)
    by_openvino = once(scan.volume, bundle, backend="openvino-f32")
    total, counter.tiles = counter.tiles, 0
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=3, backend="openvino-f32")
    assert counter.tiles == 3
    counter.tiles = 0
    assert same(by_torch, once(scan.volume, bundle, tmp_path / "apart", backend="torch"))
    with pytest.raises(Killed):
        once(scan.volume, bundle, tmp_path, stop_after=2, backend="torch")
    assert counter.tiles == total + 2, "no tile of one is taken for the other's"
    counter.tiles = 0
    assert same(by_openvino, once(scan.volume, bundle, tmp_path, backend="openvino-f32"))
    assert counter.tiles == total - 3
    assert not list(tmp_path.glob("tiles-*")), "what the other left behind is gone too"


def test_a_prediction_names_what_computed_it(scan: PhantomCase, bundle: Bundle) -> None:
    import openvino
    import torch

    by_torch = once(scan.volume, bundle, backend="torch")
    assert by_torch.backend.startswith(f"torch-f32 {torch.__version__} on ")
    by_openvino = once(scan.volume, bundle, backend="openvino-f32")
    assert by_openvino.backend.split(" on ")[0] == f"openvino-f32 {openvino.__version__.split('-')[0]}"
    assert by_openvino.backend_refusals == ()
    weights = (bundle.path / "models" / "model.pt").read_bytes()
    assert by_openvino.weights_sha256 == hashlib.sha256(weights).hexdigest()


def test_progress_is_told_from_the_first_tile_to_the_last(scan: PhantomCase, bundle: Bundle) -> None:
    told: list[tuple[int, int]] = []
    predict(
        scan.volume,
        bundle,
        places=(),
        progress=lambda done, total: told.append((done, total)),
        checkpoint_dir=None,
        threads=2,
    )
    total = told[0][1]
    assert told == [(done, total) for done in range(total + 1)]


def test_the_input_digest_follows_voxels_and_grid(scan: PhantomCase) -> None:
    digest = input_digest(scan.volume)
    changed = scan.volume.hounsfield.copy()
    changed[0, 0, 0] += 1
    assert input_digest(replace(scan.volume, hounsfield=changed)) != digest
    moved = replace(scan.volume.grid, frame_of_reference_uid="1.2.3")
    assert input_digest(replace(scan.volume, grid=moved)) != digest
    assert input_digest(replace(scan.volume, hounsfield=scan.volume.hounsfield.copy())) == digest


def test_a_scan_without_lungs_is_not_applicable(scan: PhantomCase, bundle: Bundle) -> None:
    solid = np.full_like(scan.volume.hounsfield, 40)
    with pytest.raises(NotApplicable) as caught:
        once(replace(scan.volume, hounsfield=solid), bundle)
    assert caught.value.code == "no-lung-region"
    assert caught.value.subjects == (scan.volume.series_instance_uid,)


def test_candidates_lie_in_the_lungs_most_probable_first(scan: PhantomCase, bundle: Bundle) -> None:
    prediction = once(scan.volume, bundle)
    probabilities = [candidate.probability for candidate in prediction.candidates]
    assert probabilities == sorted(probabilities, reverse=True)
    for candidate in prediction.candidates:
        index = np.linalg.solve(scan.volume.grid.matrix, np.array([*candidate.centre_mm, 1.0]))[:3]
        low = np.maximum(np.rint(index).astype(int) - 4, 0)
        near = scan.lungs[tuple(slice(start, start + 9) for start in low)]
        assert near.any()


def test_a_place_far_outside_the_scan_gets_no_outline(scan: PhantomCase, bundle: Bundle) -> None:
    prediction = predict(
        scan.volume,
        bundle,
        places=[(9999.0, 0.0, 0.0)],
        progress=lambda done, total: None,
        checkpoint_dir=None,
        threads=1,
    )
    assert [(one.place_mm, one.mask, one.mean_probability) for one in prediction.outlines] == [
        ((9999.0, 0.0, 0.0), None, 0.0)
    ]
