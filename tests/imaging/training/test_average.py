"""The average of trainings: their mean, their lineages together, and nothing that never belonged together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from imaging.lineage import lineage_of
from imaging.training.average import average


def _training(folder: Path, value: float, *, uid: str, origin: object) -> Path:
    folder.mkdir()
    torch.save({"averaged": {"weight": torch.full((2,), value), "count": torch.tensor(7)}}, folder / "checkpoint.pt")
    lineage = {"seed": 1, "minutes": 2.0, "background_series_instance_uids": {"a": uid}, "started_from": origin}
    (folder / "lineage.json").write_text(json.dumps(lineage))
    return folder


def test_weights_are_the_mean_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    origin = {"seed": 9, "phantom_seeds": [5, 6]}
    first = _training(tmp_path / "a", 1.0, uid="1.2.3.4.5.6", origin=origin)
    second = _training(tmp_path / "b", 3.0, uid="1.2.3.4.5.7", origin=origin)
    state = torch.load(average(trainings=[first, second], output=tmp_path / "c"), weights_only=True)["averaged"]
    assert state["weight"].tolist() == [2.0, 2.0]
    assert int(state["count"]) == 7


def test_the_average_has_seen_what_each_training_and_their_origin_saw(tmp_path: Path) -> None:
    origin = {"seed": 9, "phantom_seeds": [5, 6]}
    first = _training(tmp_path / "a", 1.0, uid="1.2.3.4.5.6", origin=origin)
    second = _training(tmp_path / "b", 3.0, uid="1.2.3.4.5.7", origin=origin)
    average(trainings=[first, second], output=tmp_path / "c")
    lineage = lineage_of({"lineage": json.loads((tmp_path / "c" / "lineage.json").read_text())})
    assert lineage.uids == {"1.2.3.4.5.6", "1.2.3.4.5.7"}
    assert lineage.phantom_seeds == (range(5, 7),)


def test_trainings_of_different_origins_are_not_averaged(tmp_path: Path) -> None:
    first = _training(tmp_path / "a", 1.0, uid="1.2.3.4.5.6", origin={"seed": 9})
    second = _training(tmp_path / "b", 3.0, uid="1.2.3.4.5.7", origin={"seed": 8})
    with pytest.raises(ValueError, match="same weights"):
        average(trainings=[first, second], output=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_one_training_is_no_average(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two"):
        average(trainings=[_training(tmp_path / "a", 1.0, uid="1.2.3.4.5.6", origin={})], output=tmp_path / "c")
