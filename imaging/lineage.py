"""What a model was trained on, as its bundle states it, and whether given data are among it.

A lineage is read from a bundle's metadata: every UID in it, the ids of patients, and the seeds of phantoms, whose
identities follow from the seed (``phantom.chest.synthetic_uid``). Data may have been de-identified since they were
trained on, so whoever asks brings the mapping under which they would be called now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from imaging.phantom.chest import synthetic_uid
from imaging.phantom.dicom import synthetic_patient_id

LINEAGE = "lineage"
SEEDS = "phantom_seeds"
PATIENTS = "patient_ids"

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){4,}")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model saw: UIDs of series, studies or images, ids of patients, and ranges of phantom seeds."""

    uids: frozenset[str]
    patient_ids: frozenset[str]
    phantom_seeds: tuple[range, ...]

    @property
    def stated(self) -> bool:
        """Whether anything is stated that data could be compared with."""
        return bool(self.uids or self.patient_ids or self.phantom_seeds)


@dataclass(frozen=True, slots=True)
class Names:
    """How de-identification called things anew: one function for UIDs, one for a patient's id."""

    uid: Callable[[str], str]
    patient: Callable[[str], str]


AS_THEY_ARE = Names(uid=str, patient=str)


def lineage_of(metadata: Mapping[str, object]) -> Lineage:
    """Return the training lineage that a bundle's metadata state; one that states nothing where there is none.

    Read at any depth below ``lineage``: every text that is a UID (PS3.5 section 9.1), whatever it is called;
    ``patient_ids``, a list; ``phantom_seeds``, the first and the last of a range, or a list. A training that went on
    from another carries the other's lineage within its own.
    """
    uids: set[str] = set()
    patients: set[str] = set()
    seeds: list[range] = []
    for name, value in _walked(LINEAGE, metadata.get(LINEAGE)):
        if name == PATIENTS:
            patients.update(str(one) for one in _texts(value))
        elif name == SEEDS:
            seeds.extend(_ranges(value))
        else:
            uids.update(one for one in _texts(value) if len(one) <= _LONGEST_UID and _UID.fullmatch(one))
    return Lineage(frozenset(uids), frozenset(patients), tuple(dict.fromkeys(seeds)))


def known_uids(*, lineage: Lineage, names: Iterable[Names]) -> frozenset[str]:
    """Return every UID by which the lineage's data may be known, under each way of calling them."""
    return frozenset(name.uid(uid) for name in names for uid in lineage.uids)


def known_patients(*, lineage: Lineage, names: Iterable[Names]) -> frozenset[str]:
    """Return every id by which the lineage's patients may be known, its phantoms among them."""
    phantoms = [synthetic_patient_id(seed) for seeds in lineage.phantom_seeds for seed in seeds]
    return frozenset(name.patient(one) for name in names for one in (*lineage.patient_ids, *phantoms))


def is_trained_phantom(
    *,
    lineage: Lineage,
    series_instance_uid: str,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    names: Iterable[Names],
) -> bool:
    """Return whether a series is a phantom of one of the lineage's seeds, of that shape and spacing.

    ``shape`` (slices, rows, columns) and ``spacing_mm`` (slice, row, column) are the series' own: a phantom's UID
    follows from them and its seed. Spacings come from positions written as decimal text, so they are tried as given
    and rounded to a micrometre.
    """
    rounded = (round(spacing_mm[0], 3), round(spacing_mm[1], 3), round(spacing_mm[2], 3))
    spacings = dict.fromkeys([spacing_mm, rounded])
    called = tuple(names)
    return any(
        name.uid(synthetic_uid(parts=("series", seed, shape, spacing))) == series_instance_uid
        for seeds in lineage.phantom_seeds
        for seed in seeds
        for spacing in spacings
        for name in called
    )


def _walked(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the named values of a document, with lists of texts and numbers as one value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walked(str(key), inner)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for inner in value:
            yield from _walked(name, inner)
    elif value is not None:
        yield name, value


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one.strip() for one in values if isinstance(one, str)]


def _ranges(value: object) -> list[range]:
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if isinstance(one, int) and not isinstance(one, bool)]
    if len(numbers) == 2 and numbers[0] <= numbers[1]:
        return [range(numbers[0], numbers[1] + 1)]
    return [range(one, one + 1) for one in numbers]
