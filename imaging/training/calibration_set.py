"""Phantoms on which probabilities are fitted, and others on which they are checked: the held-out ones, but smaller.

A probability is checked on a thousand candidates or it is not checked. The held-out phantoms give some hundreds, so
these stand beside them: the same strata, kinds and sites twice over, in a smaller field and with the coarser of the
slice steps, so that a phantom costs a few seconds. Fitting and checking draw from different seeds, and neither from
those of the training (``imaging.training.pool``) or of the judgement (``imaging.training.held_out``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imaging.phantom.chest import WantedNodule
from imaging.phantom.nodules import Site
from imaging.training.held_out import KINDS, STRATA_MM, HeldOut

FIT_FIRST_SEED, FIT_COUNT = 9_100_000, 24
CHECK_FIRST_SEED, CHECK_COUNT = 71_000_000, 60

SLICE_STEPS_MM = (1.25, 1.5, 2.0, 2.5, 2.5)
IN_PLANE_MM = 0.85
FIELD_MM = (220.0, 290.0, 350.0)
"""Along slices, rows and columns."""


def fit_phantoms() -> Iterator[HeldOut]:
    """Return the phantoms on which the shipped probabilities are fitted."""
    return _phantoms(FIT_FIRST_SEED, FIT_COUNT)


def check_phantoms() -> Iterator[HeldOut]:
    """Return the phantoms on which nothing is fitted: they tell how far the probabilities can be believed."""
    return _phantoms(CHECK_FIRST_SEED, CHECK_COUNT)


def _phantoms(first_seed: int, count: int) -> Iterator[HeldOut]:
    sites = tuple(Site)
    for number in range(count):
        seed = first_seed + number
        generator = np.random.default_rng([seed, 103])
        step = SLICE_STEPS_MM[number % len(SLICE_STEPS_MM)]
        wanted = []
        for place, (low, high) in enumerate((*STRATA_MM, *STRATA_MM[:5], STRATA_MM[1], STRATA_MM[2])):
            diameter = float(np.exp(generator.uniform(np.log(low), np.log(high))))
            kind = KINDS[(number + 2 * place) % len(KINDS)]
            wanted.append(WantedNodule(diameter, kind, sites[(number + place) % len(sites)]))
        spacing = (step, IN_PLANE_MM, IN_PLANE_MM)
        shape = (round(FIELD_MM[0] / step), round(FIELD_MM[1] / IN_PLANE_MM), round(FIELD_MM[2] / IN_PLANE_MM))
        yield HeldOut(seed, shape, spacing, tuple(wanted))
