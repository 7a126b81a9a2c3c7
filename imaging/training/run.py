"""Train the bundle's network: ``python -m imaging.training.run --output DIR --backgrounds DIR --minutes N``.

Half of the patches come from phantoms, half from nodules put into real scans (all phantoms where no backgrounds are
given). A checkpoint is written every few minutes; ``--resume`` goes on from it. Every patch follows from the seed and
the step, so the same seed and number of steps see the same data whatever the interruptions.
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

from imaging.inference.network import NetworkShape, build_network
from imaging.training.backgrounds import Ground, load_grounds
from imaging.training.losses import centre_loss, mask_loss
from imaging.training.patches import Patch, draw_patch
from imaging.training.pool import phantom_ground, pool_seeds
from imaging.training.schedule import average_into, cosine_rate

SHAPE = NetworkShape(channels=(16, 32, 64, 128, 160), strides=(2, 2, 2, 2), features=8)
BATCH = 4
PEAK_RATE = 2e-3
AVERAGING = 0.998


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train. ``minutes``: time to spend in all, resumed parts included.

    ``start_from``: folder of an earlier training whose averaged weights are gone on from. ``without``: backgrounds that
    are kept out, so that they can be judged on.
    """

    output: Path
    backgrounds: Path | None
    without: tuple[str, ...]
    start_from: Path | None
    peak_rate: float
    minutes: float
    resume: bool
    seed: int
    threads: int
    half_precision: bool


class PatchStream:
    """Batches by step, made in a thread beside the training."""

    def __init__(self, *, plan: Plan, first_step: int) -> None:
        self._plan = plan
        self._real = [] if plan.backgrounds is None else load_grounds(plan.backgrounds, without=plan.without)
        self._phantoms: dict[int, Ground] = {}
        self._queue: queue.Queue[list[Patch] | Exception] = queue.Queue(maxsize=6)
        self._first = first_step
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    @property
    def real_uids(self) -> dict[str, str]:
        """Name and Series Instance UID of every real background."""
        return {ground.name: ground.uid for ground, _ in self._real}

    def __iter__(self) -> Iterator[list[Patch]]:
        while True:
            batch = self._queue.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def _fill(self) -> None:
        step = self._first
        try:
            while True:
                self._queue.put([self._patch(step, number) for number in range(BATCH)])
                step += 1
        except Exception as error:  # handed over to the training thread, which raises it
            self._queue.put(error)

    def _patch(self, step: int, number: int) -> Patch:
        generator = np.random.default_rng([self._plan.seed, step, number])
        if self._real and number % 2 == 0:
            weights = np.array([weight for _, weight in self._real])
            chosen = int(generator.choice(len(self._real), p=weights / weights.sum()))
            return draw_patch(ground=self._real[chosen][0], generator=generator)
        seeds = pool_seeds(seed=self._plan.seed, step=step)
        for gone in set(self._phantoms) - set(seeds):
            del self._phantoms[gone]
        # The pool fills as it is drawn from, so that the first step does not wait for all of it.
        seed = int(generator.choice(seeds[: max(2, min(len(seeds), step // 20))]))
        if seed not in self._phantoms:
            self._phantoms[seed] = phantom_ground(seed=seed)
        return draw_patch(ground=self._phantoms[seed], generator=generator)


def train(plan: Plan) -> Path:
    """Train and return the path of the last checkpoint."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    network = build_network(SHAPE)
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
    stream = PatchStream(plan=plan, first_step=step)
    began, saved = time.monotonic() - spent, time.monotonic()
    history: list[float] = []
    with tqdm(total=int(plan.minutes * 60), initial=int(spent), unit="s", file=sys.stderr, mininterval=5.0) as bar:
        for batch in stream:
            spent = time.monotonic() - began
            if spent > 60.0 * plan.minutes:
                break
            rate = cosine_rate(peak=plan.peak_rate, step=step, share=spent / (60.0 * plan.minutes))
            for group in optimiser.param_groups:
                group["lr"] = rate
            history.append(_step(network, optimiser, batch, plan.half_precision))
            step += 1
            average_into(averaged=averaged, network=network, keep=min(AVERAGING, step / (step + 20.0)))
            bar.n = int(spent)
            bar.set_postfix(step=step, loss=f"{np.mean(history[-100:]):.3f}", refresh=False)
            bar.update(0)
            if time.monotonic() - saved > 120.0:
                saved = time.monotonic()
                _save(checkpoint, network, optimiser, averaged, step, spent, plan, stream, history)
    _save(checkpoint, network, optimiser, averaged, step, spent, plan, stream, history)
    return checkpoint


def _step(
    network: torch.nn.Module, optimiser: torch.optim.Optimizer, batch: list[Patch], half_precision: bool
) -> float:
    image = torch.from_numpy(np.stack([patch.image for patch in batch])[:, None])
    mask = torch.from_numpy(np.stack([patch.mask for patch in batch]))
    heat = torch.from_numpy(np.stack([patch.heat for patch in batch]))
    weight = torch.from_numpy(np.stack([patch.weight for patch in batch]))
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
        logits = network(image.to(memory_format=torch.channels_last_3d))
    logits = logits.float()
    loss = mask_loss(logits=logits[:, 0], mask=mask, weight=weight)
    loss = loss + 0.5 * centre_loss(logits=logits[:, 1], heat=heat, weight=weight)
    optimiser.zero_grad()
    torch.autograd.backward([loss])
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _save(
    path: Path,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: dict[str, torch.Tensor],
    step: int,
    spent: float,
    plan: Plan,
    stream: PatchStream,
    history: list[float],
) -> None:
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
    lineage = {
        "seed": plan.seed,
        "steps": step,
        "batch": BATCH,
        "minutes": round(spent / 60.0, 1),
        "threads": plan.threads,
        "bfloat16": plan.half_precision,
        "torch": torch.__version__,
        "background_series_instance_uids": stream.real_uids,
        "phantom_seeds": [
            pool_seeds(seed=plan.seed, step=0)[0],
            pool_seeds(seed=plan.seed, step=step)[-1],
        ],
        "without": list(plan.without),
        "peak_rate": plan.peak_rate,
        "started_from": None if plan.start_from is None else json.loads((plan.start_from / "lineage.json").read_text()),
        "loss_last_100_steps": round(float(np.mean(history[-100:])) if history else math.nan, 4),
    }
    path.with_name("lineage.json").write_text(json.dumps(lineage, indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint.pt and lineage.json")
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
