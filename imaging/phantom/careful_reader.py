"""One careful reader: everything that is there is labelled, nothing else is, and outlines wander as a hand does."""

from __future__ import annotations

import numpy as np

from imaging.phantom.chest import PhantomCase
from imaging.phantom.simulated_readers import HABIT_MM, WANDER_MM, bright_place, redraw, renumber
from imaging.types import AnnotationSet, Category, Finding, SetKind

CARE = 0.7
"""Habit and wander of a careful reader, as a share of an ordinary reader's."""

MOST_MARKS = 2


def careful_reader(*, case: PhantomCase, seed: int) -> tuple[AnnotationSet, ...]:
    """Return the one label set of a phantom's careful reader, deterministic in ``case.seed`` and ``seed``.

    Every nodule is outlined, its texture rated rightly and the other characteristics within a point; up to two vessels
    are marked as non-nodules. Named as the LIDC importer would name it.
    """
    generator = np.random.default_rng([case.seed, seed, 61])
    habit = float(generator.normal(0.0, CARE * HABIT_MM))
    findings = []
    for nodule in case.nodules:
        mask = redraw(
            mask=nodule.mask,
            generator=generator,
            outward_mm=habit + float(generator.normal(0.0, 0.15)),
            wander_mm=CARE * WANDER_MM * min(1.0, nodule.diameter_mm / 8.0),
            shift_mm=(0.0, 0.0, 0.0),
            within=case.lungs,
        )
        ratings = {
            name: value if name == "texture" else int(np.clip(value + generator.integers(-1, 2), 1, 5))
            for name, value in nodule.finding.characteristics.items()
        }
        findings.append(Finding(nodule.nodule_id, Category.NODULE_GE_3MM, mask=mask, characteristics=ratings))
    known = tuple(item.centre_mm for item in case.nodules)
    for number in range(int(generator.integers(0, MOST_MARKS + 1))):
        place = bright_place(case=case, generator=generator, clear_of=known)
        if place is not None:
            findings.append(Finding(f"mark-{number}", Category.NON_NODULE, point_mm=place))
    only = AnnotationSet("", "careful reader", SetKind.READER, True, tuple(findings))
    return renumber(annotation_sets=(only,))[0]
