"""A small synthetic cohort on disk: studies, readers' labels with known errors, and the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging.phantom.chest import PhantomCase, chest_phantom
from imaging.phantom.dicom import write_series
from imaging.phantom.displacement import displace_set
from imaging.phantom.label_errors import InjectedError
from imaging.phantom.label_errors_injected import inject_errors
from imaging.phantom.lidc_xml import write_lidc_xml
from imaging.phantom.simulated_readers import simulated_readers

SHAPE = (72, 288, 288)
SPACING_MM = (2.5, 1.2, 1.2)
NODULES_A_CASE = 5
ERRORS_A_CASE = 3
DISPLACED_SLICES = 3
"""How far all labels of one reader of the last case lie from where they belong: a file put together with a gap."""


@dataclass(frozen=True, slots=True)
class CaseTruth:
    """What is true of one study: its nodules as dictionaries, and the errors put into its labels."""

    name: str
    seed: int
    study_instance_uid: str
    series_instance_uid: str
    nodules: tuple[dict[str, object], ...]
    errors: tuple[InjectedError, ...]


@dataclass(frozen=True, slots=True)
class CohortTruth:
    """Where a cohort lies and what is true of it."""

    studies: Path
    annotations: Path
    truth: Path
    cases: tuple[CaseTruth, ...]


def write_cohort(
    directory: Path, *, seed: int, cases: int, progress: Callable[[int, int], None] | None = None
) -> CohortTruth:
    """Write ``cases`` studies and return what is true of them.

    ``directory/studies/NAME/*.dcm`` holds a series a case, ``directory/annotations/NAME.xml`` four simulated readers'
    labels of it, ``directory/truth.json`` everything that is true, which no importer should see. Series are 72 slices
    of 288 x 288 voxels, 2.5 x 1.2 x 1.2 mm. ``progress`` is told (cases done, cases in all). In the last case
    all labels of one reader lie some slices away from where they belong. Deterministic in ``seed``.
    """
    studies, annotations = directory / "studies", directory / "annotations"
    truths = []
    for number in range(cases):
        case = chest_phantom(seed=seed * 1000 + number, shape=SHAPE, spacing_mm=SPACING_MM, nodule_count=NODULES_A_CASE)
        name = f"synthetic-{number + 1:03d}"
        honest = simulated_readers(case=case, seed=seed)
        sets, errors = inject_errors(annotation_sets=honest, case=case, seed=seed, count=ERRORS_A_CASE)
        if number == cases - 1:
            sets, displaced = displace_set(
                annotation_sets=sets, grid=case.volume.grid, position=seed % len(sets), slices=DISPLACED_SLICES
            )
            errors = (*errors, displaced)
        write_series(case=case, directory=studies / name)
        write_lidc_xml(case=case, annotation_sets=sets, path=annotations / f"{name}.xml")
        truths.append(_truth(name, case, errors))
        if progress is not None:
            progress(number + 1, cases)
    path = directory / "truth.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": seed, "cases": [asdict(truth) for truth in truths]}, indent=2) + "\n")
    return CohortTruth(studies, annotations, path, tuple(truths))


def _truth(name: str, case: PhantomCase, errors: tuple[InjectedError, ...]) -> CaseTruth:
    nodules: tuple[dict[str, object], ...] = tuple(
        {
            "nodule_id": nodule.nodule_id,
            "centre_mm": [round(value, 3) for value in nodule.centre_mm],
            "diameter_mm": round(nodule.diameter_mm, 3),
            "attenuation": nodule.attenuation.value,
            "site": nodule.site.value,
            "subtlety": nodule.subtlety,
            "malignancy": nodule.malignancy,
            "voxels": nodule.mask.count,
        }
        for nodule in case.nodules
    )
    return CaseTruth(name, case.seed, case.volume.study_instance_uid, case.volume.series_instance_uid, nodules, errors)
