"""Made-up facts of whole datasets: clean cohorts with the spread of real ones, into which tests plant faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from imaging.facts.appearance import EMBEDDING_NAMES, EMBEDDING_VERSION
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.types import Category

KERNELS = ("B30f", "B50f", "STANDARD")
MAKERS = ("SIEMENS", "GE MEDICAL SYSTEMS")
READERS = ("Reader 1", "Reader 2", "Reader 3", "Reader 4")


def cohort(*, seed: int, series: int = 40, lesions: int = 4, readers: int = 3, slices: int = 40) -> DatasetFacts:
    """A clean dataset: one series a patient, each lesion marked by every reader with small differences."""
    return DatasetFacts(
        tuple(
            one_series(seed=seed, number=number, lesions=lesions, readers=readers, slices=slices)
            for number in range(series)
        )
    )


def one_series(*, seed: int, number: int, lesions: int, readers: int, slices: int) -> SeriesFacts:
    """One series of a clean dataset; deterministic in seed and number."""
    rng = np.random.default_rng([seed, number])
    mixing = np.random.default_rng(5).normal(size=(6, len(EMBEDDING_NAMES)))
    embedding = rng.normal(size=6) @ mixing * 0.05 + rng.normal(size=len(EMBEDDING_NAMES)) * 0.05
    findings = []
    for lesion in range(lesions):
        small = rng.random() < 0.3
        size = 2.2 if small else max(4.0, float(np.exp(rng.normal(2.0, 0.4))))
        place = rng.uniform(-100, 100, 3)
        malignancy = int(np.clip(round(np.log(size) * 1.6 + rng.normal(0, 0.5)), 1, 5))
        density = float(rng.normal(-100, 120))
        for reader in range(readers):
            findings.append(
                _finding(
                    rng=rng,
                    names=(f"set-{number}-{reader}", READERS[reader], f"f-{number}-{lesion}-{reader}"),
                    category=Category.NODULE_LT_3MM if small else Category.NODULE_GE_3MM,
                    place=place,
                    size=size,
                    density=density,
                    malignancy=malignancy,
                    day=f"2026-0{1 + number % 9}-10",
                )
            )
    return SeriesFacts(
        series_instance_uid=f"2.25.1{number:04d}",
        study_instance_uid=f"2.25.2{number:04d}",
        patient=f"patient-{number:04d}",
        split="train" if number % 4 else "test",
        acquisition={
            "manufacturer": MAKERS[int(rng.random() < 0.4)],
            "kernel": KERNELS[int(rng.choice(3, p=[0.5, 0.3, 0.2]))],
            "kvp": "120" if rng.random() < 0.8 else "140",
            "slice_spacing_mm": float(rng.choice([1.25, 2.5])),
        },
        embedding_version=EMBEDDING_VERSION,
        embedding=tuple(float(value) for value in embedding),
        slice_hashes=tuple(f"{rng.integers(1, 2**63):016x}" for _ in range(slices)),
        findings=tuple(findings),
    )


def with_series(facts: DatasetFacts, *changed: SeriesFacts) -> DatasetFacts:
    """The facts with these series in the place of those of the same UID, or added, in order of their UID."""
    known = {one.series_instance_uid: one for one in facts.series} | {one.series_instance_uid: one for one in changed}
    return DatasetFacts(tuple(known[uid] for uid in sorted(known)))


def with_findings(series: SeriesFacts, *changed: FindingFacts) -> SeriesFacts:
    """The series with these findings in the place of those of the same id."""
    new = {one.finding_id: one for one in changed}
    return replace(series, findings=tuple(new.get(one.finding_id, one) for one in series.findings))


def copied_hashes(hashes: Iterable[str], *, bits: int, seed: int) -> tuple[str, ...]:
    """Hashes of the same slices after re-encoding: ``bits`` random bits of each differ."""
    rng = np.random.default_rng(seed)
    found = []
    for one in hashes:
        word = int(one, 16)
        for bit in rng.choice(64, bits, replace=False):
            word ^= 1 << int(bit)
        found.append(f"{word:016x}")
    return tuple(found)


def _finding(
    *,
    rng: np.random.Generator,
    names: tuple[str, str, str],
    category: Category,
    place: np.ndarray[tuple[int], np.dtype[np.float64]],
    size: float,
    density: float,
    malignancy: int,
    day: str,
) -> FindingFacts:
    drawn = size * float(np.exp(rng.normal(0, 0.05)))
    x, y, z = (float(value) for value in place + rng.normal(0, 0.3, 3))
    return FindingFacts(
        set_id=names[0],
        reader_label=names[1],
        finding_id=names[2],
        category=category,
        place_mm=(x, y, z),
        diameter_mm=drawn,
        features={
            "volume_mm3": float(np.pi / 6 * drawn**3),
            "long_axis_mm": drawn * float(rng.uniform(1.0, 1.3)),
            "mean_hu": density + float(rng.normal(0, 15)),
            "sd_hu": float(rng.normal(120, 15)),
            "contrast_hu": density + 700 + float(rng.normal(0, 30)),
            "sphericity": float(np.clip(rng.normal(0.8, 0.06), 0.3, 1.0)),
            "missing_slices_count": 0.0,
        },
        characteristics={"malignancy": int(np.clip(malignancy + rng.choice([-1, 0, 0, 0, 1]), 1, 5))},
        guideline="1",
        marked_on=day,
    )
