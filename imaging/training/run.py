"""Train the bundle's network: ``python -m imaging.training.run --output DIR --backgrounds DIR --steps N``.

Half of the patches come from phantoms, half from nodules put into real scans (all phantoms where no backgrounds are
given). A checkpoint is written every few minutes; ``--resume`` goes on from it. Every patch follows from the seed and
the step; ``imaging.training.loop`` says what repeats exactly.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from imaging.inference.network import NetworkShape, build_network
from imaging.training.backgrounds import Ground, load_grounds
from imaging.training.loop import Course, Told, add_course, course_of, follow
from imaging.training.losses import centre_loss, mask_loss
from imaging.training.patches import Patch, draw_patch
from imaging.training.pool import phantom_ground, pool_seeds

SHAPE = NetworkShape(channels=(16, 32, 64, 128, 160), strides=(2, 2, 2, 2), features=8)
BATCH = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train. ``without``: backgrounds that are kept out, so that they can be judged on."""

    course: Course
    backgrounds: Path | None
    without: tuple[str, ...]


class PatchSource:
    """Patches by step, from phantoms and real scans."""

    def __init__(self, plan: Plan) -> None:
        self._seed = plan.course.seed
        self._real = [] if plan.backgrounds is None else load_grounds(plan.backgrounds, without=plan.without)
        self._phantoms: dict[int, Ground] = {}

    @property
    def real_uids(self) -> dict[str, str]:
        """Name and Series Instance UID of every real background."""
        return {ground.name: ground.uid for ground, _ in self._real}

    def batch_at(self, step: int) -> list[Patch]:
        """Return the patches of a step."""
        return [self._patch(step, number) for number in range(BATCH)]

    def _patch(self, step: int, number: int) -> Patch:
        generator = np.random.default_rng([self._seed, step, number])
        if self._real and number % 2 == 0:
            weights = np.array([weight for _, weight in self._real])
            chosen = int(generator.choice(len(self._real), p=weights / weights.sum()))
            return draw_patch(ground=self._real[chosen][0], generator=generator)
        seeds = pool_seeds(seed=self._seed, step=step)
        for gone in set(self._phantoms) - set(seeds):
            del self._phantoms[gone]
        # The pool fills as it is drawn from, so that the first step does not wait for all of it.
        seed = int(generator.choice(seeds[: max(2, min(len(seeds), step // 20))]))
        if seed not in self._phantoms:
            self._phantoms[seed] = phantom_ground(seed=seed)
        return draw_patch(ground=self._phantoms[seed], generator=generator)


def train(plan: Plan) -> Path:
    """Train and return the path of the last checkpoint."""
    course = plan.course
    torch.manual_seed(course.seed)
    network = build_network(SHAPE)
    source = PatchSource(plan)

    def loss_of(batch: list[Patch]) -> tuple[torch.Tensor, Told]:
        return _loss(network, batch, course.half_precision), {}

    def seen(step: int) -> dict[str, object]:
        return {
            "batch": BATCH,
            "background_series_instance_uids": source.real_uids,
            "phantom_seeds": [pool_seeds(seed=course.seed, step=0)[0], pool_seeds(seed=course.seed, step=step)[-1]],
            "without": list(plan.without),
        }

    return follow(course=course, network=network, batch_at=source.batch_at, loss_of=loss_of, seen=seen)


def _loss(network: torch.nn.Module, batch: list[Patch], half_precision: bool) -> torch.Tensor:
    image = torch.from_numpy(np.stack([patch.image for patch in batch])[:, None])
    mask = torch.from_numpy(np.stack([patch.mask for patch in batch]))
    heat = torch.from_numpy(np.stack([patch.heat for patch in batch]))
    weight = torch.from_numpy(np.stack([patch.weight for patch in batch]))
    with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
        logits = network(image.to(memory_format=torch.channels_last_3d))
    logits = logits.float()
    loss = mask_loss(logits=logits[:, 0], mask=mask, weight=weight)
    return loss + 0.5 * centre_loss(logits=logits[:, 1], heat=heat, weight=weight)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_course(parser)
    parser.add_argument("--backgrounds", type=Path, help="folder of public chest CTs (see docs/guides/real-data.md)")
    parser.add_argument("--without", action="append", default=[], help="a background to keep out (may be repeated)")
    given = parser.parse_args()
    train(Plan(course=course_of(given), backgrounds=given.backgrounds, without=tuple(given.without)))


if __name__ == "__main__":
    main()
