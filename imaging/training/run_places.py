"""Train the place network: ``python -m imaging.training.run_places --output DIR --detector BUNDLE --steps N``.

Half of the samples are nodules, half are places that are none, as often as not one that the detector falsely reports.
Half come from phantoms, half from real scans (all phantoms where no backgrounds are given). A checkpoint is written
every few minutes; ``--resume`` goes on from it. Every sample follows from the seed and the step;
``imaging.training.loop`` says what repeats exactly.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.place_network import PlaceNetwork, build_place_network
from imaging.inference.place_settings import PLACE_SHAPE
from imaging.training.loop import Course, Told, add_course, course_of, follow
from imaging.training.place_grounds import PhantomPool, place_pool_seeds, real_place_grounds
from imaging.training.place_loss import place_loss
from imaging.training.places import PlaceSample, draw_place

BATCH = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train. ``detector``: bundle of the first network.

    ``without``: backgrounds that are kept out, so that they can be judged on.
    """

    course: Course
    detector: Path
    backgrounds: Path | None
    without: tuple[str, ...]


class SampleSource:
    """Samples by step, from phantoms and real scans."""

    def __init__(self, *, plan: Plan, detector: Bundle) -> None:
        self._seed = plan.course.seed
        self._real = (
            []
            if plan.backgrounds is None
            else real_place_grounds(folder=plan.backgrounds, without=plan.without, detector=detector)
        )
        self._pool = PhantomPool(seed=plan.course.seed, detector=detector)

    @property
    def real_uids(self) -> dict[str, str]:
        """Name and Series Instance UID of every real background."""
        return {ground.name: ground.uid for ground, _ in self._real}

    def batch_at(self, step: int) -> list[PlaceSample]:
        """Return the samples of a step."""
        return [self._sample(step, number) for number in range(BATCH)]

    def _sample(self, step: int, number: int) -> PlaceSample:
        generator = np.random.default_rng([self._seed, step, number, 2])
        nodule = number % 2 == 0
        if self._real and number % 4 < 2:
            weights = np.array([weight for _, weight in self._real])
            ground = self._real[int(generator.choice(len(self._real), p=weights / weights.sum()))][0]
        else:
            ground = self._pool.ground(step=step, generator=generator)
        return draw_place(ground=ground, generator=generator, nodule=nodule)


def train(plan: Plan) -> Path:
    """Train and return the path of the last checkpoint."""
    course = plan.course
    detector = load_bundle(plan.detector, expected_sha256=None)
    torch.manual_seed(course.seed)
    network = build_place_network(PLACE_SHAPE)
    source = SampleSource(plan=plan, detector=detector)

    def loss_of(batch: list[PlaceSample]) -> tuple[torch.Tensor, Told]:
        return _loss(network, batch, course.half_precision)

    def seen(step: int) -> dict[str, object]:
        return {
            "network": "places",
            "batch": BATCH,
            "background_series_instance_uids": source.real_uids,
            "phantom_seeds": [
                place_pool_seeds(seed=course.seed, step=0)[0],
                place_pool_seeds(seed=course.seed, step=step)[-1] + 1,
            ],
            "without": list(plan.without),
            # Its false reports were learnt from: which one it was is part of what these weights are.
            "detector_bundle_sha256": detector.identity.bundle_sha256,
        }

    return follow(course=course, network=network, batch_at=source.batch_at, loss_of=loss_of, seen=seen)


def _loss(network: PlaceNetwork, batch: list[PlaceSample], half_precision: bool) -> tuple[torch.Tensor, Told]:
    """Return a batch's loss, and the share of its places that were rightly told."""
    image = torch.from_numpy(np.stack([sample.image for sample in batch])[:, None])
    mask = torch.from_numpy(np.stack([sample.mask for sample in batch]))
    nodule = torch.tensor([float(sample.nodule) for sample in batch])
    with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
        mask_logits, nodule_logits = network.both(image.to(memory_format=torch.channels_last_3d))
    told = nodule_logits.float()[:, 0]
    loss = place_loss(mask_logits=mask_logits.float()[:, 0], nodule_logits=told, mask=mask, nodule=nodule)
    return loss, {"right": float(((told.detach() > 0.0).float() == nodule).float().mean())}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_course(parser)
    parser.add_argument("--detector", type=Path, required=True, help="bundle of the first network")
    parser.add_argument("--backgrounds", type=Path, help="folder of public chest CTs (see docs/guides/real-data.md)")
    parser.add_argument("--without", action="append", default=[], help="a background to keep out (may be repeated)")
    given = parser.parse_args()
    plan = Plan(
        course=course_of(given),
        detector=given.detector,
        backgrounds=given.backgrounds,
        without=tuple(given.without),
    )
    train(plan)


if __name__ == "__main__":
    main()
