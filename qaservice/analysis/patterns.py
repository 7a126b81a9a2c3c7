"""What a run's flags have in common: patterns with their likely cause, and checks that mostly fire on a rare group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imaging.scoring.patterns import LabelPlace, Pattern, Sighting, direction_of, patterns
from imaging.scoring.subgroups import Member, SubgroupNote, subgroup_notes
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, RunState
from qaservice.labels.models import AnnotationSet, FindingRevision, ReaderIdentity, SetKind
from qaservice.labels.selectors import newest_revisions, series_of_version
from qaservice.projects.models import Project
from qaservice.studies.models import IngestItem, Series

ANONYMOUS_READERS = frozenset({"lidc-xml"})
"""Formats in which "reader 1" is another person on every scan: no habit of a reader shows there."""

SET_CHECKS = frozenset({"missing_nodule", "geometry_mismatch"})
"""What is missing from a set, or moves all of it, is counted by sets; anything else by labels."""


@dataclass(frozen=True)
class FlagPattern:
    """One pattern with its flags, surest first."""

    pattern: Pattern
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class RunSummary:
    """What the flags of one run have in common. ``run`` is None where no run has been completed."""

    run: AnalysisRun | None
    patterns: tuple[FlagPattern, ...]
    rare_groups: tuple[SubgroupNote, ...]


def newest_run(*, project: Project) -> AnalysisRun | None:
    """Return the newest completed run of a project."""
    runs = AnalysisRun.objects.filter(project=project, state=RunState.COMPLETED)
    return runs.select_related("dataset_version", "project").order_by("-number").first()


def patterns_of(*, run: AnalysisRun | None) -> RunSummary:
    """Return what the flags that a run raised or saw again have in common.

    Flags that readers have settled as "label is right" are left out: what was no error is no habit. What is compared,
    and what counts as more than chance, is said in ``imaging.scoring.patterns`` and ``imaging.scoring.subgroups``.
    """
    if run is None:
        return RunSummary(None, (), ())
    series = series_of_version(version=run.dataset_version)
    sets = list(
        AnnotationSet.objects.filter(series__in=series, read=True).exclude(kind=SetKind.REFERENCE).order_by("pk")
    )
    revisions = [one for one in newest_revisions(set_ids=[one.pk for one in sets]) if one.present]
    groups = _groups(run.project, series, sets)
    rows = (
        FlagObservation.objects.filter(run=run, ambiguous=False)
        .exclude(flag__outcome="label-right")
        .select_related("flag__annotation_set", "flag__series__study")
        .order_by("flag__number", "part")
    )
    # Of what the run said twice of a flag, the later holds all.
    observed = list({row.flag_id: row for row in rows}.values())
    places = [LabelPlace(str(one.pk), "set", groups[one.pk]) for one in sets]
    places += [
        LabelPlace(str(one.finding_id), "label", {**groups[one.finding.annotation_set_id], "category": one.category})
        for one in revisions
    ]
    flags = {str(one.flag_id): one.flag for one in observed}
    found = patterns(labels=places, sightings=[_sighting(one) for one in observed])
    return RunSummary(
        run=run,
        patterns=tuple(FlagPattern(one, _surest(flags[key] for key in one.flags)) for one in found),
        rare_groups=subgroup_notes(members=_members(revisions, groups), flagged=_flagged(observed)),
    )


def _surest(flags: Iterable[Flag]) -> tuple[Flag, ...]:
    return tuple(sorted(flags, key=lambda flag: (-flag.score, flag.number)))


def _groups(project: Project, series: Sequence[Series], sets: Sequence[AnnotationSet]) -> dict[UUID, dict[str, str]]:
    known = dict(ReaderIdentity.objects.filter(project=project).values_list("reader_label", "user__display_name"))
    scanners = {one.pk: _scanner(one.acquisition) for one in series}
    deliveries = _deliveries(project, sets)
    found = {}
    for one in sets:
        anonymous = one.source_format in ANONYMOUS_READERS
        reader = known.get(one.reader_label) or ("" if anonymous else one.reader_label)
        delivery = deliveries.get(str(one.source_id), "")
        found[one.pk] = {"reader": reader, "scanner": scanners.get(one.series_id, ""), "delivery": delivery}
    return found


def _scanner(acquisition: object) -> str:
    if not isinstance(acquisition, dict):
        return ""
    parts = [str(acquisition.get(name) or "").strip() for name in ("manufacturer", "model")]
    return " ".join(part for part in parts if part)


def _deliveries(project: Project, sets: Sequence[AnnotationSet]) -> dict[str, str]:
    """Return in which delivery each label file came first, by the digest of the file."""
    digests = {one.source_id for one in sets if one.source_id}
    rows = IngestItem.objects.filter(ingest__project=project, sha256__in=digests).select_related("ingest")
    first: dict[str, str] = {}
    for row in rows.order_by("event__occurred_at", "name"):
        first.setdefault(row.sha256, row.ingest.source_name)
    return first


def _sighting(observation: FlagObservation) -> Sighting:
    flag = observation.flag
    check = observation.check_name or flag.check_name
    evidence: Mapping[str, object] = observation.evidence if isinstance(observation.evidence, dict) else {}
    deviation = _deviation(evidence) if check == "boundary" else None
    of_set = check in SET_CHECKS or flag.finding_id is None
    return Sighting(
        key=str(flag.pk),
        label=str(flag.annotation_set_id if of_set else flag.finding_id),
        set_key=str(flag.annotation_set_id),
        check=check,
        kind=direction_of(check=check, deviation_mm=deviation),
        deviation_mm=deviation,
        way_mm=_way(evidence) if check == "geometry_mismatch" else None,
    )


def _deviation(evidence: Mapping[str, object]) -> float | None:
    features = evidence.get("features")
    if not isinstance(features, dict):
        return None
    found = [features.get(name) for name in ("others_bias_mm", "model_bias_mm")]
    return next((float(one) for one in found if isinstance(one, int | float) and math.isfinite(one)), None)


def _way(evidence: Mapping[str, object]) -> tuple[float, float, float] | None:
    """Return by which shift the set would fit, LPS mm; whole slices count along the stack, taken as the z axis."""
    stated = evidence.get("suggested_shift_mm")
    if isinstance(stated, list) and len(stated) == 3 and all(isinstance(one, int | float) for one in stated):
        return (float(stated[0]), float(stated[1]), float(stated[2]))
    slices, features = evidence.get("suggested_shift_slices"), evidence.get("features")
    step = features.get("slice_step_mm") if isinstance(features, dict) else None
    if isinstance(slices, int) and isinstance(step, int | float):
        return (0.0, 0.0, slices * float(step))
    return None


def _members(revisions: Sequence[FindingRevision], groups: Mapping[UUID, Mapping[str, str]]) -> list[Member]:
    members = []
    for one in revisions:
        own = {"category": one.category}
        ratings = one.characteristics if isinstance(one.characteristics, dict) else {}
        own |= {f"{name} rated": str(value) for name, value in ratings.items()}
        of_set = groups[one.finding.annotation_set_id]
        members.append(Member(str(one.finding_id), own | {"reader": of_set["reader"], "scanner": of_set["scanner"]}))
    return members


def _flagged(observed: Sequence[FlagObservation]) -> list[tuple[str, str]]:
    return [
        (one.check_name or one.flag.check_name, str(one.flag.finding_id)) for one in observed if one.flag.finding_id
    ]
