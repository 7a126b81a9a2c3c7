"""The phantoms and inserted nodules on which a bundle is judged, fixed before any training that they judge.

Nothing here may be changed to suit a result. Seeds lie outside every range that training and calibration draw from
(``imaging.training.pool``, ``imaging.training.evaluate``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imaging.phantom.chest import PhantomCase, WantedNodule, chest_phantom
from imaging.phantom.nodules import Attenuation, Site

FIRST_SEED = 70_000_000
COUNT = 40

SLICE_STEPS_MM = (1.0, 1.25, 1.5, 2.0, 2.5)
"""Taken in turn over the phantoms; thicker slices are outside the bundle's range."""

IN_PLANE_MM = (0.62, 0.70, 0.78)
"""Taken in turn; fields of view of 317 to 400 mm at 512 pixels."""

STRATA_MM = ((3.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 12.0), (12.0, 20.0), (20.0, 30.0))
"""Bounds of the equal-volume diameter, mm; each phantom holds one nodule of each stratum, two of 4 to 6 mm."""

KINDS = (Attenuation.SOLID, Attenuation.SOLID, Attenuation.PART_SOLID, Attenuation.GROUND_GLASS, Attenuation.CALCIFIED)
"""Taken in turn, shifted from stratum to stratum, so that every kind meets every size."""

FOLDS = ("lungfcp", "4dlung", "acrin-chest")
"""Real backgrounds of trainings. Each is judged by a network that was trained without it."""

INSERTED_MM = (4.5, 5.5, 6.5, 8.0, 10.0, 13.0, 17.0, 22.0, 27.0)
"""Diameters put in by the other renderer; those below max(4 mm, twice the slice step) are not counted."""

INSERTED_REPEATS = 4
FOLD_FIRST_SEED = 500
"""Of the nodules put into the backgrounds of ``FOLDS``, one seed a repeat."""

UNSEEN = ("lungdx-a0002", "lidc-0001")
"""Real backgrounds that no training ever saw: the bundle that ships is itself judged there."""

UNSEEN_FIRST_SEED = 900
"""Of the nodules put into the backgrounds of ``UNSEEN``, one seed a repeat: 900 to 903, used for nothing before."""

FALSE_POSITIVES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Operating points of LUNA16's competition performance metric, false positives a scan."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One phantom to be judged on: what it is asked to hold and how it is sampled."""

    seed: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    wanted: tuple[WantedNodule, ...]

    def make(self) -> PhantomCase:
        """Return the phantom; a wanted nodule without a free place is left out, and is then not counted."""
        return chest_phantom(seed=self.seed, shape=self.shape, spacing_mm=self.spacing_mm, wanted=self.wanted)


def held_out() -> Iterator[HeldOut]:
    """Return the phantoms in order. Sites, kinds and diameters follow from the seed and the number alone."""
    sites = tuple(Site)
    for number in range(COUNT):
        seed = FIRST_SEED + number
        generator = np.random.default_rng([seed, 101])
        step, in_plane = SLICE_STEPS_MM[number % 5], IN_PLANE_MM[number % 3]
        # About 300 mm of chest, as a scan covers; 512 pixels would only add the air around the patient.
        shape = (round(300.0 / step), 440, 512)
        wanted = []
        for place, (low, high) in enumerate((*STRATA_MM, STRATA_MM[1])):
            diameter = float(np.exp(generator.uniform(np.log(low), np.log(high))))
            kind = KINDS[(number + 2 * place) % len(KINDS)]
            wanted.append(WantedNodule(diameter, kind, sites[(number + place) % len(sites)]))
        yield HeldOut(seed, shape, (step, in_plane, in_plane), tuple(wanted))
