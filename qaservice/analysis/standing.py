"""What a flag's evidence is worth, in plain words, and whether readers may be asked about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, OuterRef, QuerySet

from imaging.scoring.subjects import subject_of
from imaging.types import LabelIssue
from qaservice.analysis.identity import Sighting, is_same
from qaservice.analysis.models import (
    AnalysisRun,
    Fitness,
    Flag,
    FlagObservation,
    FlagRelease,
    FlagState,
    Independence,
    ModelPart,
    ObservationStanding,
    SeriesStanding,
)
from qaservice.projects.models import Project
from qaservice.studies.models import Series

HELD = "held back: it rests on a model that is not proven"
RELEASED = "released to readers by the QA lead"


@dataclass(frozen=True)
class Worth:
    """What the model behind one observation was worth when it spoke. ``marks``: what every place that shows the flag
    says of it, in plain words; none where the evidence rests on the readers alone."""

    model_part: str
    fitness: str
    independence: str
    held: bool
    released: bool
    marks: tuple[str, ...]

    @property
    def short_marks(self) -> tuple[str, ...]:
        """The marks up to their explanations, for a list that has little room."""
        return tuple(mark.partition(":")[0] for mark in self.marks)


def worth_of(observation: FlagObservation) -> Worth:
    """Return what an observation is worth.

    One of before models were held to a golden set was never held back; where its model spoke, it is unproven.
    """
    try:
        standing = observation.standing
    except ObjectDoesNotExist:
        part = ModelPart.NONE if observation.threshold is None else ModelPart.HEARD
        standing = ObservationStanding(model_part=part, fitness=Fitness.UNPROVEN, independence=Independence.NOT_STATED)
    released = hasattr(observation, "release")
    return Worth(
        model_part=standing.model_part,
        fitness=standing.fitness,
        independence=standing.independence,
        held=holds_back(standing) and not released,
        released=released,
        marks=_marks(standing),
    )


def held_flags(*, project: Project) -> QuerySet[Flag]:
    """Return the open flags about which readers are not asked: their newest evidence rests on a model that was not
    proven when it spoke, and nobody has released it."""
    return Flag.objects.filter(pk__in=_held_keys(project), state=FlagState.OPEN).order_by("number")


def is_held(flag: Flag) -> bool:
    """Return whether readers are not asked about a flag until it is released."""
    newest = flag.observations.order_by("-run__number", "-part").first()
    return newest is not None and worth_of(newest).held


def worth_of_flags(flags: Iterable[Flag]) -> dict[UUID, Worth]:
    """Return what the newest evidence of each flag is worth, for a page of a list; one query, however long it is."""
    rows = FlagObservation.objects.filter(flag__in=[flag.pk for flag in flags])
    ordered = rows.select_related("standing", "release").order_by("run__number", "part")
    newest = {observation.flag_id: observation for observation in ordered}
    return {key: worth_of(observation) for key, observation in newest.items()}


def part_of_model(*, issue: LabelIssue, without_model: Sequence[LabelIssue], spoke: bool) -> ModelPart:
    """Return how far an issue rests on the model, by what the checks raise without it.

    None where the same issue comes with the same score and words, heard where it comes with others, needed where it
    does not come at all. ``spoke``: whether there was a model's opinion to hear.
    """
    if not spoke:
        return ModelPart.NONE
    place = sighting_of_issue(issue)
    found = [one for one in without_model if is_same(sighting_of_issue(one), place)]
    if not found:
        return ModelPart.NEEDED
    same = any(one.score == issue.score and one.reason == issue.reason for one in found)
    return ModelPart.NONE if same else ModelPart.HEARD


def sighting_of_issue(issue: LabelIssue) -> Sighting:
    """Return what an issue is about, in the terms of the rules."""
    subject = subject_of(issue)
    return Sighting(
        annotation_set_id=subject.set_id,
        finding_id=subject.finding_id,
        place_mm=subject.place_mm,
        radius_mm=subject.radius_mm,
        whole_set=subject.whole_set,
        ambiguous=subject.ambiguous,
    )


def holds_back(standing: ObservationStanding) -> bool:
    """Return whether evidence is held back from readers: it rests on a model that was not proven when it spoke."""
    return standing.model_part == ModelPart.NEEDED and standing.fitness != Fitness.PROVEN


def last_free(flag: Flag) -> FlagObservation:
    """Return the newest observation of a flag that was not held back, the newest at all where every one was."""
    newest = list(flag.observations.select_related("run__model").order_by("-run__number", "-part"))
    return next((one for one in newest if not worth_of(one).held), newest[0])


def run_fitness(run: AnalysisRun) -> tuple[Fitness, str]:
    """Return whether a run's model was fit when the run was asked for, and why."""
    try:
        return Fitness(run.standing.fitness), run.standing.why
    except ObjectDoesNotExist:
        return Fitness.UNPROVEN, "the run is older than the golden set"


def series_standings(*, series: Series) -> list[SeriesStanding]:
    """Return what is known of each completed run's model on a series, newest run first."""
    return list(
        SeriesStanding.objects.filter(series=series)
        .select_related("run__model", "run__standing")
        .order_by("-run__number")
    )


def _marks(standing: ObservationStanding) -> tuple[str, ...]:
    if standing.model_part == ModelPart.NONE:
        return ()
    marks = [] if standing.fitness == Fitness.PROVEN else [str(Fitness(standing.fitness).label)]
    if standing.independence != Independence.INDEPENDENT:
        marks.append(str(Independence(standing.independence).label))
    return tuple(marks)


def _held_keys(project: Project) -> list[UUID]:
    """Return the open flags whose newest observation is held, in one query whatever their number."""
    rows = (
        FlagObservation.objects.filter(flag__project=project, flag__state=FlagState.OPEN)
        .annotate(freed=Exists(FlagRelease.objects.filter(observation=OuterRef("pk"))))
        .order_by("flag_id", "run__number", "part")
        .values_list("flag_id", "standing__model_part", "standing__fitness", "freed")
    )
    newest = {flag: (part, fitness, freed) for flag, part, fitness, freed in rows}
    return [
        flag
        for flag, (part, fitness, freed) in newest.items()
        if part == ModelPart.NEEDED and fitness != Fitness.PROVEN and not freed
    ]
