"""A training by steps gives the same weights every time, whatever interrupts it, and says how far it went."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from imaging.training import loop as module
from imaging.training.loop import Course, add_course, course_of, follow


def course(output: Path, **changes: object) -> Course:
    plain = Course(
        output=output,
        start_from=None,
        peak_rate=0.05,
        steps=8,
        minutes=None,
        resume=False,
        seed=3,
        threads=1,
        half_precision=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names of the fields above


def trained(wanted: Course, *, fails_at: int | None = None) -> dict[str, object]:
    """Train a network that drops out at random, on numbers that follow from the step."""
    torch.manual_seed(wanted.seed)
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 1))

    def batch_at(step: int) -> torch.Tensor:
        if step == fails_at:
            raise RuntimeError("the machine stopped")
        return torch.sin(torch.arange(8.0).reshape(2, 4) * (step + 1))

    def loss_of(batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return ((network(batch) - 1.0) ** 2).mean(), {"right": 0.5}

    path = follow(
        course=wanted, network=network, batch_at=batch_at, loss_of=loss_of, seen=lambda step: {"phantom_seeds": [step]}
    )
    state: dict[str, object] = torch.load(path, weights_only=True)
    return state


def same(one: object, other: object) -> bool:
    assert isinstance(one, dict) and isinstance(other, dict)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_number_of_steps_gives_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    first, second = trained(course(tmp_path / "a")), trained(course(tmp_path / "b"))
    assert first["step"] == second["step"] == 8
    assert same(first["network"], second["network"]) and same(first["averaged"], second["averaged"])
    other = trained(course(tmp_path / "c", seed=4))
    assert not same(first["network"], other["network"])


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(course(tmp_path / "whole"))
    # Saved at every step, so that something is there when it stops.
    monkeypatch.setattr(module, "SAVE_EVERY_S", -1.0)
    with pytest.raises(RuntimeError, match="the machine stopped"):
        trained(course(tmp_path / "parts"), fails_at=5)
    kept = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 5
    resumed = trained(course(tmp_path / "parts", resume=True))
    assert resumed["step"] == 8
    assert same(whole["network"], resumed["network"]) and same(whole["averaged"], resumed["averaged"])


def test_the_lineage_says_what_was_seen_and_what_it_went_on_from(tmp_path: Path) -> None:
    trained(course(tmp_path / "first", steps=3))
    before = (tmp_path / "first" / "lineage.json").read_text()
    trained(course(tmp_path / "second", steps=2, start_from=tmp_path / "first"))
    lineage = json.loads((tmp_path / "second" / "lineage.json").read_text())
    assert (lineage["steps"], lineage["planned_steps"], lineage["phantom_seeds"]) == (2, 2, [2])
    assert lineage["started_from"] == json.loads(before)
    assert lineage["right_last_100_steps"] == 0.5


def test_a_training_that_is_over_learns_nothing_more(tmp_path: Path) -> None:
    done = trained(course(tmp_path / "a", steps=3))
    again = trained(course(tmp_path / "a", steps=3, resume=True))
    assert again["step"] == 3
    assert same(done["network"], again["network"])
    # By time: none to spend is no training either.
    assert trained(course(tmp_path / "b", steps=None, minutes=0.0))["step"] == 0


def test_a_training_goes_by_steps_or_by_minutes_and_never_by_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of them"):
        course(tmp_path, minutes=1.0)
    parser = argparse.ArgumentParser()
    add_course(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--output", "x"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--output", "x", "--steps", "3", "--minutes", "4"])
    by_steps = course_of(parser.parse_args(["--output", "x", "--steps", "30"]))
    assert [by_steps.share(step=step, spent_s=1e6) for step in (0, 15, 30)] == [0.0, 0.5, 1.0]
    by_minutes = course_of(parser.parse_args(["--output", "x", "--minutes", "2"]))
    assert [by_minutes.share(step=10**6, spent_s=spent) for spent in (0.0, 60.0, 120.0)] == [0.0, 0.5, 1.0]
