"""Models, runs and flags as others may read them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from imaging.scoring.subjects import speaks_of_set
from qaservice.analysis.identity import Evidence, Sighting
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, FlagState, QAModel
from qaservice.common.errors import Conflict, NotFound
from qaservice.projects.models import Project
from qaservice.studies.models import Series

FLAG_ORDERINGS = frozenset({"number", "-number", "score", "-score", "value", "-value", "check_name", "state"})
BY_VALUE = "-value"


def flags_of(*, project: Project, check: str = "", state: str = "", ordering: str = BY_VALUE) -> QuerySet[Flag]:
    """Return a project's flags with what a list needs, filtered; an unknown ordering means by expected value.

    By expected value, what is settled comes last: nobody's minute is well spent on it.

    ``value`` on each is the expected value of its newest observation (probability x severity x size); flags of before
    there was one count as if of full severity and size.
    """
    flags = valued(Flag.objects.filter(project=project)).select_related("series__study", "annotation_set", "finding")
    if check:
        flags = flags.filter(check_name=check)
    if state:
        flags = flags.filter(state=state)
    if ordering in FLAG_ORDERINGS and ordering != BY_VALUE:
        return flags.order_by(ordering, "number")
    return flags.annotate(done=Q(state=FlagState.SETTLED)).order_by("done", BY_VALUE, "number")


def valued(flags: QuerySet[Flag]) -> QuerySet[Flag]:
    """Return the flags with ``value``, by which experts' time is best spent."""
    newest = FlagObservation.objects.filter(flag=OuterRef("pk")).order_by("-run__number", "-part")
    return flags.annotate(value=Coalesce(Subquery(newest.values("expected_value")[:1]), F("score")))


def flags_with_observations(*, project: Project) -> QuerySet[Flag]:
    """Return a project's flags by number, each with its observations, oldest first."""
    observations = FlagObservation.objects.select_related("run__model").order_by("run__number", "part")
    return (
        Flag.objects.filter(project=project)
        .select_related("series__study", "annotation_set", "finding")
        .prefetch_related(Prefetch("observations", queryset=observations))
        .order_by("number")
    )


def latest_observation(*, flag: Flag) -> FlagObservation:
    """Return what the newest run said of ``flag``; every flag has at least one observation."""
    return flag.observations.select_related("run__model").order_by("-run__number", "-part")[0]


def sighting_of(flag: Flag, *, raised_with: FlagObservation | None) -> Sighting:
    """Return the identity of a flag in the terms of the rules; it is what it was when it was raised.

    ``raised_with``: the flag's first observation.
    """
    evidence = raised_with.evidence if raised_with is not None and isinstance(raised_with.evidence, dict) else {}
    return Sighting(
        annotation_set_id=str(flag.annotation_set_id),
        finding_id=str(flag.finding_id) if flag.finding_id else None,
        place_mm=(flag.x_mm, flag.y_mm, flag.z_mm),
        radius_mm=flag.radius_mm,
        whole_set=flag.finding_id is None and speaks_of_set(evidence),
        ambiguous=raised_with is not None and raised_with.ambiguous,
    )


def evidence_of(observation: FlagObservation) -> Evidence:
    """Return the part of an observation that decides about reopening."""
    return Evidence(model_sha256=observation.model_sha256, score=observation.score)


def known_flags(*, series: Series) -> Sequence[tuple[Sighting, Flag]]:
    """Return all flags on a series, whatever their state, each with its identity."""
    flags = list(Flag.objects.filter(series=series).order_by("number"))
    rows = FlagObservation.objects.filter(flag__in=flags).order_by("-run__number", "-part")
    first = {row.flag_id: row for row in rows}
    return [(sighting_of(flag, raised_with=first.get(flag.pk)), flag) for flag in flags]


def flag_counts(*, project: Project) -> dict[str, dict[str, int]]:
    """Return the number of flags by check name and, within it, by state."""
    counts: dict[str, dict[str, int]] = {}
    rows = Flag.objects.filter(project=project).values_list("check_name", "state").annotate(n=Count("id")).order_by()
    for check, state, number in rows:
        counts.setdefault(check, {})[state] = number
    return counts


def runs_of(*, project: Project) -> QuerySet[AnalysisRun]:
    """Return a project's runs, newest first."""
    return AnalysisRun.objects.filter(project=project).select_related("model", "dataset_version").order_by("-number")


LEAST_DIGITS = 8


def models_known() -> QuerySet[QAModel]:
    """Return every bundle that is registered at this site, by name, newest last; imported predictions are no bundle."""
    return (
        QAModel.objects.filter(external=False).select_related("event").order_by("name", "version", "event__occurred_at")
    )


def registered_model(*, name: str) -> QAModel:
    """Return the registered bundle of that name, name and version, or digest (its first eight digits or more).

    Raises NotFound ``no-such-model``, Conflict ``model-ambiguous`` where several fit.
    """
    wanted = name.strip()
    known = list(models_known())
    found = [model for model in known if wanted in {model.name, f"{model.name} {model.version}"}]
    if not found and len(wanted) >= LEAST_DIGITS:
        found = [model for model in known if model.bundle_sha256.startswith(wanted.lower())]
    if not found:
        names = "; ".join(dict.fromkeys(str(model) for model in known)) or "none"
        raise NotFound(f"no model of that name is registered; registered are: {names}", code="no-such-model")
    if len(found) > 1:
        names = "; ".join(f"{model} {model.bundle_sha256[:12]}" for model in found)
        raise Conflict(f"that name fits several models; name one by its digest: {names}", code="model-ambiguous")
    return found[0]
