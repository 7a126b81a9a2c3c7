"""The loop that both networks are trained in: batches by step, a schedule, checkpoints, and what was seen beside each.

By ``--steps`` a training is exactly repeatable: every batch, rate and random draw follows from seed and step, whatever
the interruptions (the same torch, number of threads and kind of processor given). By ``--minutes`` it ends in time, and
another machine makes other steps of it.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from imaging.training.schedule import average_into, cosine_rate

AVERAGING = 0.998
PEAK_RATE = 2e-3
SAVE_EVERY_S = 120.0
AHEAD = 6
"""Batches that wait for the training."""

Batch = TypeVar("Batch")
Told = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Course:
    """How a training runs, whichever network it trains.

    ``steps`` or else ``minutes``: how far it goes in all, resumed parts included. ``start_from``: folder of an earlier
    training whose averaged weights are gone on from.
    """

    output: Path
    start_from: Path | None
    peak_rate: float
    steps: int | None
    minutes: float | None
    resume: bool
    seed: int
    threads: int
    half_precision: bool

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of steps and minutes says how far it goes."""
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a training goes by steps or by minutes: give one of them")

    def share(self, *, step: int, spent_s: float) -> float:
        """Return how much of the training lies behind, 1 and more at its end."""
        if self.steps is not None:
            return step / self.steps if self.steps else 1.0
        return spent_s / (60.0 * self.minutes) if self.minutes else 1.0


@dataclass(slots=True)
class _Progress:
    network: torch.nn.Module
    optimiser: torch.optim.Optimizer
    averaged: dict[str, torch.Tensor]
    step: int
    spent_s: float
    history: list[Told]


class BatchStream(Generic[Batch]):
    """Batches by step, made in a thread beside the training."""

    def __init__(self, *, batch_at: Callable[[int], Batch], first_step: int) -> None:
        self._batch_at = batch_at
        self._first = first_step
        self._queue: queue.Queue[Batch | Exception] = queue.Queue(maxsize=AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            batch = self._queue.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def close(self) -> None:
        """Make no more batches."""
        self._ended.set()
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break

    def _fill(self) -> None:
        step = self._first
        try:
            while not self._ended.is_set():
                self._queue.put(self._batch_at(step))
                step += 1
        except Exception as error:  # handed over to the training thread, which raises it
            self._queue.put(error)


def follow(
    *,
    course: Course,
    network: torch.nn.Module,
    batch_at: Callable[[int], Batch],
    loss_of: Callable[[Batch], tuple[torch.Tensor, Told]],
    seen: Callable[[int], Mapping[str, object]],
) -> Path:
    """Train ``network`` and return the path of the last checkpoint; ``lineage.json`` lies beside it.

    ``batch_at``: the batch of a step, made in another thread. ``loss_of``: a batch's loss, and what is told of it.
    ``seen``: what the training has seen up to a step, for its lineage.
    """
    torch.set_num_threads(course.threads)
    torch.nn.utils.convert_conv3d_weight_memory_format(network, torch.channels_last_3d)
    now = _started(course, network)
    course.output.mkdir(parents=True, exist_ok=True)
    stream = BatchStream(batch_at=batch_at, first_step=now.step)
    try:
        _learn(course, now, iter(stream), loss_of, seen)
    finally:
        stream.close()
    return _save(course, now, seen)


def _started(course: Course, network: torch.nn.Module) -> _Progress:
    if course.start_from is not None:
        network.load_state_dict(torch.load(course.start_from / "checkpoint.pt", weights_only=True)["averaged"])
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.peak_rate, weight_decay=1e-4)
    now = _Progress(network, optimiser, averaged, 0, 0.0, [])
    checkpoint = course.output / "checkpoint.pt"
    if course.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        now.averaged, now.step, now.spent_s = state["averaged"], int(state["step"]), float(state["spent"])
    return now


def _learn(
    course: Course,
    now: _Progress,
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], tuple[torch.Tensor, Told]],
    seen: Callable[[int], Mapping[str, object]],
) -> None:
    if course.share(step=now.step, spent_s=now.spent_s) >= 1.0:
        return
    # The first grounds take half a minute to make, which is no training.
    batch = next(batches)
    began, saved = time.monotonic() - now.spent_s, time.monotonic()
    with _bar(course, now) as bar:
        while (share := course.share(step=now.step, spent_s=now.spent_s)) < 1.0:
            rate = cosine_rate(peak=course.peak_rate, step=now.step, share=share)
            for group in now.optimiser.param_groups:
                group["lr"] = rate
            # Anew at each step, so that a resumed training draws what an uninterrupted one would have drawn.
            torch.manual_seed(course.seed * 1_000_003 + now.step)
            now.history.append(_step(now, loss_of, batch))
            now.step += 1
            average_into(averaged=now.averaged, network=now.network, keep=min(AVERAGING, now.step / (now.step + 20.0)))
            now.spent_s = time.monotonic() - began
            bar.n = int(now.spent_s) if course.steps is None else now.step
            told = {name: f"{value:.3f}" for name, value in _lately(now.history).items()}
            bar.set_postfix({"step": now.step, **told}, refresh=False)
            bar.update(0)
            if time.monotonic() - saved > SAVE_EVERY_S:
                saved = time.monotonic()
                _save(course, now, seen)
            if course.share(step=now.step, spent_s=now.spent_s) < 1.0:
                batch = next(batches)


def _bar(course: Course, now: _Progress) -> tqdm[None]:
    if course.steps is not None:
        return tqdm(total=course.steps, initial=now.step, unit="step", file=sys.stderr, mininterval=5.0)
    total = int(60.0 * (course.minutes or 0.0))
    return tqdm(total=total, initial=int(now.spent_s), unit="s", file=sys.stderr, mininterval=5.0)


def _step(now: _Progress, loss_of: Callable[[Batch], tuple[torch.Tensor, Told]], batch: Batch) -> Told:
    now.network.train()
    loss, told = loss_of(batch)
    now.optimiser.zero_grad()
    torch.autograd.backward([loss])
    torch.nn.utils.clip_grad_norm_(now.network.parameters(), 5.0)
    now.optimiser.step()
    return {"loss": float(loss.detach()), **told}


def _lately(history: list[Told]) -> dict[str, float]:
    """Means of the last hundred steps. The loss stands there even before the first."""
    last = history[-100:]
    return {name: float(np.mean([told[name] for told in last])) for name in last[0]} if last else {"loss": math.nan}


def _save(course: Course, now: _Progress, seen: Callable[[int], Mapping[str, object]]) -> Path:
    path = course.output / "checkpoint.pt"
    half = path.with_suffix(".partial")
    state = {
        "network": now.network.state_dict(),
        "optimiser": now.optimiser.state_dict(),
        "averaged": now.averaged,
        "step": now.step,
        "spent": now.spent_s,
    }
    torch.save(state, half)
    half.replace(path)
    before = None if course.start_from is None else json.loads((course.start_from / "lineage.json").read_text())
    lineage = {
        **seen(now.step),
        "seed": course.seed,
        "steps": now.step,
        "planned_steps": course.steps,
        "minutes": round(now.spent_s / 60.0, 1),
        "threads": course.threads,
        "bfloat16": course.half_precision,
        "torch": torch.__version__,
        "peak_rate": course.peak_rate,
        "started_from": before,
        **{f"{name}_last_100_steps": round(value, 4) for name, value in _lately(now.history).items()},
    }
    path.with_name("lineage.json").write_text(json.dumps(lineage, indent=2) + "\n")
    return path


def add_course(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``course_of`` reads."""
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint.pt and lineage.json")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="how many steps in all: exactly repeatable")
    length.add_argument("--minutes", type=float, help="time to spend, resumed parts included, instead of steps")
    parser.add_argument("--start-from", type=Path, help="folder of a training to go on from with a fresh schedule")
    parser.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="highest learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full-precision", action="store_true", help="float32 instead of bfloat16")


def course_of(given: argparse.Namespace) -> Course:
    """Return the course that a command line asks for."""
    return Course(
        output=given.output,
        start_from=given.start_from,
        peak_rate=given.peak_rate,
        steps=given.steps,
        minutes=given.minutes,
        resume=given.resume,
        seed=given.seed,
        threads=given.threads,
        half_precision=not given.full_precision,
    )
