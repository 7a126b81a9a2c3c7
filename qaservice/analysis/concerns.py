"""Concerns about a dataset: stored with the identity they already have, and settled by the QA lead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Max

from compliance.recording import OPERATOR, SYSTEM, Actor, change
from imaging.checks.dataset import Concern as FoundConcern
from qaservice.analysis.dataset_models import Concern, ConcernObservation, ConcernState
from qaservice.analysis.models import AnalysisRun
from qaservice.analysis.states import CONCERN
from qaservice.common.errors import InvalidInput, NotFound, NotPermitted
from qaservice.common.transitions import step
from qaservice.labels.models import AnnotationSet, ReaderIdentity
from qaservice.projects.models import Project

STEPS = {ConcernState.CONFIRMED: "confirm", ConcernState.DISMISSED: "dismiss"}

ABOUT_IMAGES = frozenset(
    {
        ("near_duplicate", "same-image-twice"),
        ("near_duplicate", "same-patient-in-two-splits"),
        ("out_of_distribution", "image-unlike-the-rest"),
        ("out_of_distribution", "rare-acquisition"),
        ("out_of_distribution", "outside-the-model"),
    }
)
"""Concerns in which nobody's labels are in question."""

_SUBJECT_CHARACTERS = 300


@dataclass(frozen=True)
class ConcernView:
    """One concern with what the newest run said of it."""

    concern: Concern
    observation: ConcernObservation


@dataclass(frozen=True)
class StoredConcerns:
    """How many concerns a run gave: newly raised and seen again."""

    raised: int
    observed: int


def concerns_of(*, project: Project, state: str = "") -> list[ConcernView]:
    """Return a project's concerns with their newest evidence: open ones first, then by score and number."""
    rows = Concern.objects.filter(project=project)
    if state:
        rows = rows.filter(state=state)
    observations = ConcernObservation.objects.filter(concern__in=rows).select_related("run").order_by("run__number")
    newest = {one.concern_id: one for one in observations}
    views = [ConcernView(row, newest[row.pk]) for row in rows.order_by("number")]
    return sorted(
        views,
        key=lambda view: (view.concern.state != ConcernState.OPEN, -view.observation.score, view.concern.number),
    )


def concern_for(*, project: Project, concern_id: UUID | str) -> Concern:
    """Return one of a project's concerns. Raises NotFound."""
    found = Concern.objects.filter(project=project, pk=concern_id).first()
    if found is None:
        raise NotFound("there is no such concern", code="no-such-concern")
    return found


def view_of(concern: Concern) -> ConcernView:
    """Return a concern with its newest evidence."""
    return ConcernView(concern, concern.observations.select_related("run").order_by("-run__number")[0])


def store_concerns(*, run: AnalysisRun, found: Iterable[FoundConcern]) -> StoredConcerns:
    """Store what the dataset checks of a run found; inside a running change that has locked the project's row.

    A concern is known by check, kind and subject. One that was settled stays settled: it gets the new evidence, and
    whoever settled it decides whether that changes anything.
    """
    known = {(row.check_name, row.kind, row.subject): row for row in Concern.objects.filter(project=run.project)}
    number = Concern.objects.filter(project=run.project).aggregate(last=Max("number"))["last"] or 0
    raised = observed = 0
    seen: set[UUID] = set()
    for one in found:
        identity = (one.check, one.kind, one.subject[:_SUBJECT_CHARACTERS])
        concern = known.get(identity)
        if concern is not None and concern.pk in seen:
            continue
        new = concern is None
        if concern is None:
            number += 1
            concern = Concern(
                project=run.project,
                number=number,
                check_name=identity[0],
                kind=identity[1],
                subject=identity[2],
                score=one.score,
            )
            known[identity] = concern
        seen.add(concern.pk)
        with change(
            "concern.raised" if new else "concern.observed",
            actor=SYSTEM,
            reason=f"check {one.check} {one.check_version} in run {run.number}",
            subject=("concern", str(concern.pk)),
            project_key=run.project.key,
            payload={"number": concern.number, "check": one.check, "kind": one.kind, "score": f"{one.score:.4f}"},
        ):
            if new:
                concern.save()
            ConcernObservation(
                concern=concern,
                run=run,
                check_version=one.check_version,
                score=one.score,
                reason=one.reason,
                series=list(one.series),
                evidence=dict(one.evidence),
            ).save()
        raised += new
        observed += not new
    return StoredConcerns(raised=raised, observed=observed)


def settle_concern(*, concern: Concern, decision: str, expected_revision: int, actor: Actor, reason: str) -> Concern:
    """Confirm or dismiss a concern; either may be revised later, with a reason of its own. The caller sees to the role.

    Raises InvalidInput for another decision or a blank reason, NotPermitted where this person must not
    (``may_not_settle``), Conflict where the concern is decided so already or somebody else was quicker.
    """
    if decision not in STEPS:
        raise InvalidInput(
            f"{decision[:40]!r} is no decision on a concern; there are {', '.join(STEPS)}", code="no-such-decision"
        )
    why_not = may_not_settle(concern=concern, actor=actor)
    if why_not:
        raise NotPermitted(why_not, code="settler-not-independent")
    with change(
        "concern.settled",
        actor=actor,
        reason=reason,
        subject=("concern", str(concern.pk)),
        project_key=concern.project.key,
        payload={"number": concern.number, "before": concern.state, "after": decision},
    ):
        return step(
            concern,
            machine=CONCERN,
            name=STEPS[ConcernState(decision)],
            expected_revision=expected_revision,
            changes={"settled_because": reason.strip()[:1000]},
        )


def may_not_settle(*, concern: Concern, actor: Actor) -> str:
    """Return why this person must not settle this concern, "" where they may.

    People decide, in a regulated project people who have logged in, and nobody about their own labels: neither where
    the concern names them as a reader, nor where it is about labels of series that they labelled.
    """
    if actor.simulated or actor.id == SYSTEM.id:
        return "concerns are settled by people, not by machines"
    if actor.id == OPERATOR.id:
        if concern.project.regulated:
            return "in a regulated project a person who has logged in settles; the server's operator has no name"
        return ""
    if (concern.check_name, concern.kind) in ABOUT_IMAGES:
        return ""
    identities = ReaderIdentity.objects.filter(project=concern.project, user__pk=UUID(actor.id))
    own = identities.values_list("reader_label", flat=True)
    newest = view_of(concern).observation
    named = newest.evidence.get("readers") if isinstance(newest.evidence, dict) else None
    if named:
        return "nobody settles a concern about their own labels" if set(own) & set(named) else ""
    labelled = AnnotationSet.objects.filter(
        project=concern.project, series__series_instance_uid__in=newest.series, reader_label__in=list(own)
    )
    return "nobody settles a concern about labels of series that they labelled" if labelled.exists() else ""
