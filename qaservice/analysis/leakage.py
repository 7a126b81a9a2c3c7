"""Whether a model was trained on what it is asked about: its lineage against the data that a project holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from imaging.deidentification.keys import ProjectKeys
from imaging.lineage import AS_THEY_ARE, Lineage, Names, is_trained_phantom, known_patients, known_uids, lineage_of
from qaservice.analysis.models import Independence, QAModel
from qaservice.projects.models import Project
from qaservice.studies.identity import keys_of
from qaservice.studies.models import IdentityKey, Series
from qaservice.studies.selectors import grid_of

_KEPT = 8
"""Lineages whose known names are kept in a process: a few models, each under a project's secret."""


@dataclass(frozen=True, slots=True)
class Known:
    """Whether a series is independent of a model's training, and how that is known, in words."""

    independence: Independence
    why: str


def independence_of(*, model: QAModel, series: Series) -> Known:
    """Return whether ``series`` is independent of what ``model`` was trained on.

    A series that the lineage names is not, nor is another series of the same study or patient. Data that the project
    de-identified are compared under the names that it gave them. A model that states no lineage is not shown to be
    independent of anything.
    """
    lineage = lineage_of(model.metadata)
    if not lineage.stated:
        return Known(Independence.NOT_STATED, "the model does not state which data it was trained on")
    names = _names(series.project)
    uids, patients = _known(lineage, names)
    study = series.study
    if series.series_instance_uid in uids:
        return _not("the model was trained on this series")
    if study.study_instance_uid in uids:
        return _not("the model was trained on this study")
    if _is_phantom(series, lineage, names):
        return _not("the model was trained on the phantom of this seed")
    if study.patient_key and study.patient_key in patients:
        return _not("the model was trained on this patient's data")
    held = Series.objects.filter(project=series.project, series_instance_uid__in=uids)
    if held.filter(study=study).exists():
        return _not("the model was trained on another series of this study")
    if study.patient_key and held.filter(study__patient_key=study.patient_key).exists():
        return _not("the model was trained on another series of this patient")
    return Known(Independence.INDEPENDENT, "nothing of this patient is in the lineage that the model states")


def _not(why: str) -> Known:
    return Known(Independence.NOT_INDEPENDENT, why)


def _is_phantom(series: Series, lineage: Lineage, names: tuple[Names, ...]) -> bool:
    # Only UIDs made from a UUID can be a phantom's, under whatever name.
    if series.grid is None or not lineage.phantom_seeds or not series.series_instance_uid.startswith("2.25."):
        return False
    grid = grid_of(series)
    return is_trained_phantom(
        lineage=lineage,
        series_instance_uid=series.series_instance_uid,
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        names=names,
    )


def _names(project: Project) -> tuple[Names, ...]:
    """Return under which names data may be held: as they arrived and, where the project ever de-identified, its own."""
    if not IdentityKey.objects.filter(project=project).exists():
        return (AS_THEY_ARE,)
    keys = keys_of(project)
    return (AS_THEY_ARE, _mapped(keys))


@lru_cache(maxsize=_KEPT)
def _mapped(keys: ProjectKeys) -> Names:
    return Names(uid=keys.uid, patient=keys.patient)


@lru_cache(maxsize=_KEPT)
def _known(lineage: Lineage, names: tuple[Names, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the UIDs and patients by which a lineage may be known here; a run asks it again for every series."""
    return known_uids(lineage=lineage, names=names), known_patients(lineage=lineage, names=names)
