"""Train the place network: ``python -m imaging.training.run_places --output DIR --detector BUNDLE --minutes N``.

Half of the samples are nodules, half are places that are none, as often as not one that the detector falsely reports.
Half come from phantoms, half from real scans (all phantoms where no backgrounds are given). A checkpoint is written
every few minutes; ``--resume`` goes on from it. Every sample follows from the seed and the step, so the same seed and
number of steps see the same data whatever the interruptions.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.place_network import PlaceNetwork, build_place_network
from imaging.inference.place_settings import PLACE_SHAPE
from imaging.training.place_grounds import PhantomPool, place_pool_seeds, real_place_grounds
from imaging.training.place_loss import place_loss
from imaging.training.places import PlaceSample, draw_place
from imaging.training.schedule import average_into, cosine_rate

BATCH = 8
PEAK_RATE = 2e-3
AVERAGING = 0.998
SAVE_EVERY_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train. ``minutes``: time to spend in all, resumed parts included.

    ``detector``: bundle of the first network. ``without``: backgrounds that are kept out, so that they can be judged
    on. ``start_from``: folder of an earlier training whose averaged weights are gone on from.
    """

    output: Path
    detector: Path
    backgrounds: Path | None
    without: tuple[str, ...]
    start_from: Path | None
    peak_rate: float
    minutes: float
    resume: bool
    seed: int
    threads: int
    half_precision: bool


class SampleStream:
    """Batches by step, made in a thread beside the training."""

    def __init__(self, *, plan: Plan, detector: Bundle, first_step: int) -> None:
        self._plan = plan
        self._real = (
            []
            if plan.backgrounds is None
            else real_place_grounds(folder=plan.backgrounds, without=plan.without, detector=detector)
        )
        self._pool = PhantomPool(seed=plan.seed, detector=detector)
        self._queue: queue.Queue[list[PlaceSample] | Exception] = queue.Queue(maxsize=6)
        self._first = first_step
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    @property
    def real_uids(self) -> dict[str, str]:
        """Name and Series Instance UID of every real background."""
        return {ground.name: ground.uid for ground, _ in self._real}

    def __iter__(self) -> Iterator[list[PlaceSample]]:
        while True:
            batch = self._queue.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def _fill(self) -> None:
        step = self._first
        try:
            while True:
                self._queue.put([self._sample(step, number) for number in range(BATCH)])
                step += 1
        except Exception as error:  # handed over to the training thread, which raises it
            self._queue.put(error)

    def _sample(self, step: int, number: int) -> PlaceSample:
        generator = np.random.default_rng([self._plan.seed, step, number, 2])
        nodule = number % 2 == 0
        if self._real and number % 4 < 2:
            weights = np.array([weight for _, weight in self._real])
            ground = self._real[int(generator.choice(len(self._real), p=weights / weights.sum()))][0]
        else:
            ground = self._pool.ground(step=step, generator=generator)
        return draw_place(ground=ground, generator=generator, nodule=nodule)


def train(plan: Plan) -> Path:
    """Train and return the path of the last checkpoint."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    detector = load_bundle(plan.detector, expected_sha256=None)
    network = build_place_network(PLACE_SHAPE)
    torch.nn.utils.convert_conv3d_weight_memory_format(network, torch.channels_last_3d)
    if plan.start_from is not None:
        network.load_state_dict(torch.load(plan.start_from / "checkpoint.pt", weights_only=True)["averaged"])
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.peak_rate, weight_decay=1e-4)
    checkpoint = plan.output / "checkpoint.pt"
    step, spent = 0, 0.0
    if plan.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        averaged, step, spent = state["averaged"], int(state["step"]), float(state["spent"])
    plan.output.mkdir(parents=True, exist_ok=True)
    stream = SampleStream(plan=plan, detector=detector, first_step=step)
    keeper = _Keeper(plan, detector, stream.real_uids)
    batches = iter(stream)
    # The first grounds take half a minute to make, which is no training.
    batch = next(batches)
    began, saved = time.monotonic() - spent, time.monotonic()
    history: list[tuple[float, float]] = []
    with tqdm(total=int(plan.minutes * 60), initial=int(spent), unit="s", file=sys.stderr, mininterval=5.0) as bar:
        while spent <= 60.0 * plan.minutes:
            rate = cosine_rate(peak=plan.peak_rate, step=step, share=spent / (60.0 * plan.minutes))
            for group in optimiser.param_groups:
                group["lr"] = rate
            history.append(_step(network, optimiser, batch, plan.half_precision))
            step += 1
            average_into(averaged=averaged, network=network, keep=min(AVERAGING, step / (step + 20.0)))
            bar.n = int(spent)
            loss, right = np.mean(history[-100:], axis=0)
            bar.set_postfix(step=step, loss=f"{loss:.3f}", right=f"{right:.3f}", refresh=False)
            bar.update(0)
            if time.monotonic() - saved > SAVE_EVERY_S:
                saved = time.monotonic()
                keeper.save(network, optimiser, averaged, step, spent, history)
            batch = next(batches)
            spent = time.monotonic() - began
    keeper.save(network, optimiser, averaged, step, spent, history)
    return checkpoint


def _step(
    network: PlaceNetwork, optimiser: torch.optim.Optimizer, batch: list[PlaceSample], half_precision: bool
) -> tuple[float, float]:
    """Train on one batch and return its loss, and the share of places that were rightly told before."""
    image = torch.from_numpy(np.stack([sample.image for sample in batch])[:, None])
    mask = torch.from_numpy(np.stack([sample.mask for sample in batch]))
    nodule = torch.tensor([float(sample.nodule) for sample in batch])
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
        mask_logits, nodule_logits = network.both(image.to(memory_format=torch.channels_last_3d))
    told = nodule_logits.float()[:, 0]
    loss = place_loss(mask_logits=mask_logits.float()[:, 0], nodule_logits=told, mask=mask, nodule=nodule)
    optimiser.zero_grad()
    torch.autograd.backward([loss])
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach()), float(((told.detach() > 0.0).float() == nodule).float().mean())


class _Keeper:
    """Writes checkpoint.pt and, beside it, lineage.json: what the weights have seen."""

    def __init__(self, plan: Plan, detector: Bundle, real_uids: dict[str, str]) -> None:
        self._plan = plan
        self._detector = detector
        self._real_uids = real_uids

    def save(
        self,
        network: PlaceNetwork,
        optimiser: torch.optim.Optimizer,
        averaged: dict[str, torch.Tensor],
        step: int,
        spent: float,
        history: list[tuple[float, float]],
    ) -> None:
        plan = self._plan
        path = plan.output / "checkpoint.pt"
        half = path.with_suffix(".partial")
        state = {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "averaged": averaged,
            "step": step,
            "spent": spent,
        }
        torch.save(state, half)
        half.replace(path)
        loss, right = np.mean(history[-100:], axis=0) if history else (math.nan, math.nan)
        before = None if plan.start_from is None else json.loads((plan.start_from / "lineage.json").read_text())
        lineage = {
            "network": "places",
            "seed": plan.seed,
            "steps": step,
            "batch": BATCH,
            "minutes": round(spent / 60.0, 1),
            "threads": plan.threads,
            "bfloat16": plan.half_precision,
            "torch": torch.__version__,
            "background_series_instance_uids": self._real_uids,
            "phantom_seeds": [
                place_pool_seeds(seed=plan.seed, step=0)[0],
                place_pool_seeds(seed=plan.seed, step=step)[-1] + 1,
            ],
            "without": list(plan.without),
            "peak_rate": plan.peak_rate,
            "started_from": before,
            # Its false reports were learnt from: which one it was is part of what these weights are.
            "detector_bundle_sha256": self._detector.identity.bundle_sha256,
            "loss_last_100_steps": round(float(loss), 4),
            "right_last_100_steps": round(float(right), 4),
        }
        path.with_name("lineage.json").write_text(json.dumps(lineage, indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint.pt and lineage.json")
    parser.add_argument("--detector", type=Path, required=True, help="bundle of the first network")
    parser.add_argument("--backgrounds", type=Path, help="folder of public chest CTs (see docs/guides/real-data.md)")
    parser.add_argument("--without", action="append", default=[], help="a background to keep out (may be repeated)")
    parser.add_argument("--start-from", type=Path, help="folder of a training to go on from with a fresh schedule")
    parser.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="highest learning rate")
    parser.add_argument("--minutes", type=float, default=45.0, help="time to spend, resumed parts included")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full-precision", action="store_true", help="float32 instead of bfloat16")
    given = parser.parse_args()
    plan = Plan(
        output=given.output,
        detector=given.detector,
        backgrounds=given.backgrounds,
        without=tuple(given.without),
        start_from=given.start_from,
        peak_rate=given.peak_rate,
        minutes=given.minutes,
        resume=given.resume,
        seed=given.seed,
        threads=given.threads,
        half_precision=not given.full_precision,
    )
    train(plan)


if __name__ == "__main__":
    main()
