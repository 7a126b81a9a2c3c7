"""The demo's own patients: a small cohort of synthetic chest CTs, and the truth that only simulated readers see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tqdm import tqdm

from deploy.demo.readers import TrueNodule
from imaging.phantom.cohort import CaseTruth, write_cohort
from imaging.types import Category

CASES = 6
# The LIDC reading process outlines nodules from 3 mm of longest axis; smaller ones are a point.
OUTLINED_FROM_MM = 3.0


@dataclass(frozen=True)
class Truth:
    """What is really there, by Series Instance UID."""

    studies: Path
    annotations: Path
    by_series: dict[str, tuple[TrueNodule, ...]]

    def nodules(self, series_instance_uid: str) -> Sequence[TrueNodule]:
        """Return the true nodules of one series."""
        return self.by_series.get(series_instance_uid, ())


def make(directory: Path, *, seed: int) -> Truth:
    """Write the cohort below ``directory`` and return where it lies and what is true of it."""
    with tqdm(desc="cohort", unit="scan", total=CASES) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = write_cohort(directory, seed=seed, cases=CASES, progress=show)
    return Truth(
        studies=made.studies,
        annotations=made.annotations,
        by_series={case.series_instance_uid: _nodules(case) for case in made.cases},
    )


def _nodules(case: CaseTruth) -> tuple[TrueNodule, ...]:
    nodules = []
    for nodule in case.nodules:
        x, y, z = (float(value) for value in cast("list[float]", nodule["centre_mm"]))
        diameter = float(cast("float", nodule["diameter_mm"]))
        category = Category.NODULE_GE_3MM if diameter >= OUTLINED_FROM_MM else Category.NODULE_LT_3MM
        nodules.append(TrueNodule(centre_mm=(x, y, z), diameter_mm=diameter, category=category.value))
    return tuple(nodules)
