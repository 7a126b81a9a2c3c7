"""Files that were not taken: which still wait for somebody, and trying them again from their kept bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from compliance.recording import Actor, change
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.storage.services import store_blobs
from qaservice.studies.kept import place_of, write_list
from qaservice.studies.models import Ingest, IngestItem, IngestState, Instance, Outcome, Series, SeriesState
from qaservice.studies.reading import TROUBLE
from qaservice.studies.services import INGEST_JOB

QuarantineState = Literal["open", "resolved"]

UNDER_WAY = (IngestState.RECEIVED, IngestState.RUNNING)


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """The files in quarantine for one reason. ``retryable``: how many have kept bytes; ``example`` is one message."""

    code: str
    files: int
    retryable: int
    example: str


def quarantined(*, project: Project, state: QuarantineState, code: str = "") -> QuerySet[IngestItem]:
    """Return a project's files that were refused or kept apart, by reason and name; only ``code`` where it is given.

    ``resolved``: the same bytes were stored since, or are held as an instance of a series that the geometry gate now
    accepts, or a later try ended well. ``open``: the others. Each file stands there once, by its latest failed try.
    """
    items = IngestItem.objects.filter(ingest__project=project, outcome__in=TROUBLE).select_related("ingest", "kept")
    if code:
        items = items.filter(code=code)
    items = items.filter(~Exists(IngestItem.objects.filter(retry_of=OuterRef("pk"), outcome__in=TROUBLE)))
    resolved = _taken_since() | _held_well() | _tried_well()
    return items.filter(resolved if state == "resolved" else ~resolved).order_by("code", "name", "pk")


def reason_groups(*, project: Project, state: QuarantineState) -> list[ReasonGroup]:
    """Return the reasons for which files are in quarantine, the commonest first."""
    rows = quarantined(project=project, state=state)
    counts = (
        rows.order_by()
        .values("code")
        .annotate(files=Count("pk", distinct=True), retryable=Count("kept_id", distinct=False))
        .order_by("-files", "code")
    )
    examples = {item.code: item.message for item in rows.order_by("code", "-name")}
    return [ReasonGroup(row["code"], row["files"], row["retryable"], examples[row["code"]]) for row in counts]


def open_count(project: Project) -> int:
    """Return how many files wait in quarantine."""
    return quarantined(project=project, state="open").count()


def chosen(
    *, project: Project, item_ids: Iterable[str] = (), code: str = "", ingest: Ingest | None = None
) -> list[IngestItem]:
    """Return the open files of a project that were asked for: by id, by reason, by delivery; all where none is given.

    Raises InvalidInput ``not-in-quarantine`` for an id that is not one of an open file here.
    """
    wanted = {str(one) for one in item_ids}
    rows = quarantined(project=project, state="open", code=code)
    if ingest is not None:
        rows = rows.filter(ingest=ingest)
    found = [item for item in rows if not wanted or str(item.pk) in wanted]
    if wanted and len(found) < len(wanted):
        raise InvalidInput(
            f"{len(wanted) - len(found)} of the files asked for are not waiting in quarantine", code="not-in-quarantine"
        )
    return found


def retry(*, project: Project, items: Sequence[IngestItem], actor: Actor, reason: str) -> list[Ingest]:
    """Try kept files again: one new ingest for each delivery that they came in, queued; return them.

    Files whose bytes were not kept are left where they are. Raises InvalidInput ``nothing-to-retry`` for no file,
    ``nothing-kept`` where none has its bytes, Conflict ``retry-under-way`` where one is being tried already.
    """
    if not items:
        raise InvalidInput("no file waits in quarantine for that", code="nothing-to-retry")
    with_bytes = sorted((item for item in items if item.kept_id), key=lambda item: (str(item.ingest_id), item.name))
    if not with_bytes:
        raise InvalidInput("the bytes of these files were not kept; send the files again", code="nothing-kept")
    made = []
    for _, group in groupby(with_bytes, key=lambda item: item.ingest_id):
        together = list(group)
        made.append(_announce(project, together[0].ingest, together, actor, reason))
    return made


def _announce(project: Project, before: Ingest, items: Sequence[IngestItem], actor: Actor, reason: str) -> Ingest:
    listed = write_list(items)
    ingest = Ingest(
        project=project,
        source_name=before.source_name,
        source_path=place_of(listed),
        simulated=before.simulated,
        retry_of=before,
    )
    with change(
        "ingest.retried",
        actor=actor,
        reason=reason,
        subject=("ingest", str(ingest.pk)),
        project_key=project.key,
        payload={"retry_of": str(before.pk), "files": len(items), "list_sha256": listed.sha256},
    ):
        # The project's row is the queue in which two people who press the button get one retry.
        Project.objects.select_for_update().get(pk=project.pk)
        if Ingest.objects.filter(retry_of=before, state__in=UNDER_WAY).exists():
            raise Conflict("files of this delivery are being tried again already", code="retry-under-way")
        store_blobs(items=[listed])
        ingest.save()
        enqueue(
            kind=INGEST_JOB,
            subject_id=str(ingest.pk),
            project_key=project.key,
            dedupe_key=f"{INGEST_JOB}:{ingest.pk}",
        )
    return ingest


def _taken_since() -> Q:
    """The same bytes became part of the project in another delivery."""
    rows = IngestItem.objects.filter(
        ingest__project=OuterRef("ingest__project"), sha256=OuterRef("sha256"), outcome=Outcome.STORED
    ).exclude(sha256="")
    return Q(Exists(rows))


def _held_well() -> Q:
    """The same bytes are held as an instance, and the gate refuses its series no longer."""
    refused = Series.objects.filter(
        project=OuterRef("project"), series_instance_uid=OuterRef("series_instance_uid"), state=SeriesState.REFUSED
    )
    rows = Instance.objects.filter(
        ~Exists(refused),
        project=OuterRef("ingest__project"),
        sop_instance_uid=OuterRef("uid"),
        blob_id=OuterRef("sha256"),
    )
    return Q(Exists(rows))


def _tried_well() -> Q:
    rows = IngestItem.objects.filter(retry_of=OuterRef("pk")).exclude(outcome__in=TROUBLE)
    return Q(Exists(rows))
