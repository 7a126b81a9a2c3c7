"""Everything that a report rests on, read from the database in one consistent look.

The look and the ledger's head belong together: nothing in the evidence is later than the head, or the look is taken
again after sealing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count

from compliance.models import Event, LedgerEntry
from compliance.recording import registered_events
from compliance.sealing import head, seal
from qaservice.analysis.models import (
    AnalysisRun,
    FitnessEvaluation,
    Flag,
    FlagObservation,
    FlagRelease,
    ObservationStanding,
    RunStanding,
    RunState,
    SeriesResult,
    SeriesStanding,
)
from qaservice.common import clock
from qaservice.common.errors import Conflict
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision, Guideline, ReaderIdentity, SetKind
from qaservice.projects.models import Membership, Project
from qaservice.review.models import Consensus, Correction, Verdict
from qaservice.studies.models import Ingest, IngestItem, Outcome, Series, Study

Row = TypeVar("Row", FlagObservation, Verdict, Consensus)

LOOKS = 6
"""Tries to find a moment without unsealed events; each seals first, so a second one is rarely needed."""


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One sealed event about one subject. ``already_so``: a correction that found nothing to change."""

    index: int
    kind: str
    already_so: bool


@dataclass(frozen=True, slots=True)
class ActorCount:
    """How many events of the project one actor caused in one role."""

    name: str
    role: str
    simulated: bool
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One consistent look at a project. Lists are in the order in which the report prints them."""

    project: Project
    dataset_version: DatasetVersion
    guideline: Guideline
    taken_at: datetime
    deliveries: tuple[Ingest, ...]
    items_by_outcome: Mapping[str, int]
    items_set_apart: tuple[IngestItem, ...]
    studies: Mapping[UUID, Study]
    series: tuple[Series, ...]
    sets: tuple[AnnotationSet, ...]
    revisions: Mapping[UUID, FindingRevision]
    findings_of_set: Mapping[UUID, tuple[UUID, ...]]
    identities: Mapping[str, ReaderIdentity]
    memberships: tuple[Membership, ...]
    runs: tuple[AnalysisRun, ...]
    run: AnalysisRun | None
    results: tuple[SeriesResult, ...]
    flags: tuple[Flag, ...]
    observations: Mapping[UUID, tuple[FlagObservation, ...]]
    verdicts: Mapping[UUID, tuple[Verdict, ...]]
    consensuses: Mapping[UUID, tuple[Consensus, ...]]
    corrections: Mapping[UUID, Correction]
    run_standings: Mapping[UUID, RunStanding]
    series_standings: tuple[SeriesStanding, ...]
    observation_standings: Mapping[UUID, ObservationStanding]
    released_observations: frozenset[UUID]
    evaluations: tuple[FitnessEvaluation, ...]
    events_by_kind: tuple[tuple[str, bool, int], ...]
    events_by_actor: tuple[ActorCount, ...]
    trails: Mapping[str, tuple[TrailEntry, ...]]
    ledger_size: int
    ledger_head: str
    on_sqlite: bool

    @property
    def reader_sets(self) -> tuple[AnnotationSet, ...]:
        """The sets of readers who labelled, without algorithms and the derived reference standard."""
        return tuple(one for one in self.sets if one.kind == SetKind.READER)

    @property
    def simulated(self) -> bool:
        """Whether a simulated actor labelled, voted, or is among the people that this report names."""
        labelled = any(one.simulated for one in self.sets)
        member = any(one.user.is_simulated for one in self.memberships)
        return labelled or member or any(verdict.simulated for verdict in self.all_verdicts())

    def all_verdicts(self) -> list[Verdict]:
        """Return every verdict, by flag number and time."""
        return [verdict for flag in self.flags for verdict in self.verdicts.get(flag.pk, ())]

    def patient_of(self, series_id: UUID) -> str:
        """Return the key of the patient to whom a series belongs."""
        series = next(one for one in self.series if one.pk == series_id)
        return self.studies[series.study_id].patient_key


def gather(*, project: Project) -> Evidence:
    """Seal what waits, then return the project's evidence with the ledger's head of the same moment.

    Raises Conflict if the project has no dataset version, or is written to so fast that no quiet moment was found.
    """
    for _ in range(LOOKS):
        while seal():
            pass
        outermost = not connection.in_atomic_block
        with transaction.atomic():
            if outermost and connection.vendor == "postgresql":
                # One snapshot for all queries; within somebody's transaction that is no longer ours to choose.
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if not Event.objects.filter(project_key=project.key, entry=None).exists():
                return _read(project)
    raise Conflict("the project is being written to all the time; ask for the report again in a quieter moment")


def event_words() -> dict[str, str]:
    """Return what each registered kind of event means, in words."""
    return {event.kind: event.description for event in registered_events()}


def _read(project: Project) -> Evidence:
    project = Project.objects.get(pk=project.pk)
    version = (
        DatasetVersion.objects.filter(project=project)
        .select_related("guideline", "manifest")
        .order_by("-number")
        .first()
    )
    if version is None:
        raise Conflict("there is nothing to report: this project has no dataset version yet", code="nothing-to-report")
    runs = tuple(AnalysisRun.objects.filter(project=project).select_related("model", "dataset_version"))
    completed = [run for run in runs if run.state == RunState.COMPLETED]
    run = completed[-1] if completed else None
    flags = tuple(
        Flag.objects.filter(project=project)
        .select_related("series__study", "annotation_set", "finding")
        .order_by("number")
    )
    revisions = _current_revisions(project)
    findings_of_set: dict[UUID, list[UUID]] = defaultdict(list)
    for finding_id, revision in revisions.items():
        findings_of_set[revision.finding.annotation_set_id].append(finding_id)
    items = IngestItem.objects.filter(ingest__project=project)
    size, head_hash = head()
    return Evidence(
        project=project,
        dataset_version=version,
        guideline=version.guideline,
        taken_at=clock.now(),
        deliveries=tuple(Ingest.objects.filter(project=project).order_by("source_name", "id")),
        items_by_outcome=Counter(
            dict(items.values_list("outcome").annotate(number=Count("id")).order_by().values_list("outcome", "number"))
        ),
        items_set_apart=tuple(
            items.filter(outcome__in=[Outcome.QUARANTINED, Outcome.REFUSED]).order_by("outcome", "name", "id")
        ),
        studies={study.pk: study for study in Study.objects.filter(project=project)},
        series=tuple(Series.objects.filter(project=project).order_by("series_instance_uid")),
        sets=tuple(
            AnnotationSet.objects.filter(project=project).order_by("series__series_instance_uid", "reader_label", "id")
        ),
        revisions=revisions,
        findings_of_set={key: tuple(value) for key, value in findings_of_set.items()},
        identities={
            one.reader_label: one for one in ReaderIdentity.objects.filter(project=project).select_related("user")
        },
        memberships=tuple(
            Membership.objects.filter(project=project).select_related("user").order_by("user__display_name", "role")
        ),
        runs=runs,
        run=run,
        results=tuple(SeriesResult.objects.filter(run=run).order_by("series__series_instance_uid")) if run else (),
        flags=flags,
        observations=_grouped(
            FlagObservation.objects.filter(flag__project=project)
            .select_related("run__model")
            .order_by("run__number", "part")
        ),
        verdicts=_grouped(
            Verdict.objects.filter(flag__project=project).select_related("reader").order_by("round", "given_at", "id")
        ),
        consensuses=_grouped(Consensus.objects.filter(flag__project=project).order_by("round")),
        corrections={
            one.consensus_id: one
            for one in Correction.objects.filter(consensus__flag__project=project).select_related(
                "before__finding__annotation_set__series", "after__finding__annotation_set__series", "dataset_version"
            )
        },
        run_standings={one.run_id: one for one in RunStanding.objects.filter(run__project=project)},
        series_standings=tuple(SeriesStanding.objects.filter(run__project=project)),
        observation_standings={
            one.observation_id: one for one in ObservationStanding.objects.filter(observation__flag__project=project)
        },
        released_observations=frozenset(
            FlagRelease.objects.filter(flag__project=project).values_list("observation_id", flat=True)
        ),
        evaluations=tuple(FitnessEvaluation.objects.filter(project=project).order_by("number")),
        events_by_kind=_events_by_kind(project),
        events_by_actor=_events_by_actor(project),
        trails=_trails(project),
        ledger_size=size,
        ledger_head=head_hash,
        on_sqlite=connection.vendor == "sqlite",
    )


def _current_revisions(project: Project) -> dict[UUID, FindingRevision]:
    """Return the newest revision of every finding in the project, by finding."""
    newest: dict[UUID, FindingRevision] = {}
    rows = (
        FindingRevision.objects.filter(finding__annotation_set__project=project)
        .select_related("finding__annotation_set__series")
        .order_by("finding__tracking_uid", "number")
    )
    for row in rows:
        newest[row.finding_id] = row
    return newest


def _grouped(rows: Iterable[Row]) -> dict[UUID, tuple[Row, ...]]:
    groups: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.flag_id].append(row)
    return {key: tuple(value) for key, value in groups.items()}


def _events_by_kind(project: Project) -> tuple[tuple[str, bool, int], ...]:
    """Return (kind, whether the event found nothing to change, number of events) by kind."""
    events = Event.objects.filter(project_key=project.key)
    idle = Counter(events.filter(payload__already_so=True).values_list("kind", flat=True))
    every = Counter(events.values_list("kind", flat=True))
    rows = [(kind, False, every[kind] - idle[kind]) for kind in every] + [(kind, True, idle[kind]) for kind in idle]
    return tuple(sorted(row for row in rows if row[2]))


def _events_by_actor(project: Project) -> tuple[ActorCount, ...]:
    rows = (
        Event.objects.filter(project_key=project.key)
        .values_list("actor_name", "actor_role", "simulated")
        .annotate(number=Count("id"))
        .order_by("actor_name", "actor_role", "simulated")
    )
    return tuple(ActorCount(name, role, simulated, number) for name, role, simulated, number in rows)


def _trails(project: Project) -> dict[str, tuple[TrailEntry, ...]]:
    """Return the sealed events about each subject; a correction's event belongs to its flag too."""
    trails: dict[str, list[TrailEntry]] = defaultdict(list)
    rows = (
        LedgerEntry.objects.filter(event__project_key=project.key)
        .order_by("index")
        .values_list("index", "event__kind", "event__subject_id", "event__payload")
    )
    for index, kind, subject_id, payload in rows.iterator(chunk_size=2000):
        entry = TrailEntry(index=index, kind=kind, already_so=bool(payload.get("already_so")))
        trails[subject_id].append(entry)
        flag = payload.get("flag")
        if flag and flag != subject_id:
            trails[str(flag)].append(entry)
    return {subject: tuple(entries) for subject, entries in trails.items()}
