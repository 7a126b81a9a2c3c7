"""Who is trained for which role: a role sleeps without a current record of every training it needs (REQ-18).

Nothing switches a role off: whether it is awake is computed from the records each time somebody asks, so that a
training that ended at midnight holds nobody a minute longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import QuerySet

from compliance.recording import Actor, change
from qaservice.accounts.models import User, UserKind
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import amend
from qaservice.projects.models import Membership, Project, TrainingRecord

GENERAL = "project instructions"
"""What a regulated project asks of a role for which its policy names nothing."""

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Need:
    """One training that an active role of a person needs. ``until`` is None where there never was one."""

    user: User
    role: str
    training: str
    until: date | None
    state: str

    @property
    def awake(self) -> bool:
        """Return whether this training holds today."""
        return self.state in {"current", "ends-soon"}


def trainings_needed(*, project: Project, role: str) -> tuple[str, ...]:
    """Return the trainings without which ``role`` sleeps in a project."""
    named = project.training_policy.get(role, [])
    return tuple(named) if named or not project.regulated else (GENERAL,)


def missing_trainings(*, user: User, project: Project, roles: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each of these roles the trainings that ``user`` lacks today. Programs are not trained."""
    wanted = {role: trainings_needed(project=project, role=role) for role in roles}
    if user.kind != UserKind.PERSON or not any(wanted.values()):
        return dict.fromkeys(wanted, ())
    held = current_trainings(user=user, project=project)
    return {role: tuple(name for name in names if name not in held) for role, names in wanted.items()}


def current_trainings(*, user: User, project: Project) -> frozenset[str]:
    """Return the trainings of ``user`` for a project that hold today."""
    return frozenset(_current(project).filter(user=user).values_list("training", flat=True))


def awake(*, project: Project, members: Iterable[Membership]) -> list[Membership]:
    """Return those of these memberships of a project that have every training they need today."""
    given = list(members)
    held: dict[object, set[str]] = {}
    if any(trainings_needed(project=project, role=member.role) for member in given):
        for user, training in _current(project).values_list("user", "training"):
            held.setdefault(user, set()).add(training)
    return [
        member
        for member in given
        if member.user.kind != UserKind.PERSON
        or held.get(member.user_id, set()).issuperset(trainings_needed(project=project, role=member.role))
    ]


def needs_of(*, project: Project, soon_days: int) -> list[Need]:
    """Return every training that the project's people need, those that are missing or end first on top."""
    today = now().date()
    members = Membership.objects.filter(project=project, active=True, user__is_active=True).select_related("user")
    last: dict[tuple[object, str], date] = {}
    for record in TrainingRecord.objects.filter(project=project, withdrawn_at=None, completed_on__lte=today):
        key = (record.user_id, record.training)
        last[key] = max(record.valid_until, last.get(key, record.valid_until))
    needs = []
    for member in members:
        if member.user.kind != UserKind.PERSON:
            continue
        for training in trainings_needed(project=project, role=member.role):
            until = last.get((member.user_id, training))
            needs.append(Need(member.user, member.role, training, until, _state(until, today, soon_days)))
    return sorted(needs, key=lambda one: (one.until or date.min, one.user.username, one.role, one.training))


def records_of(*, project: Project) -> QuerySet[TrainingRecord]:
    """Return every record of training in a project, newest first."""
    return TrainingRecord.objects.filter(project=project).select_related("user").order_by("-recorded_at", "pk")


def record_training(
    *,
    project: Project,
    user: User,
    training: str,
    document: str,
    document_version: str,
    document_sha256: str,
    completed_on: date,
    valid_until: date,
    actor: Actor,
    reason: str,
) -> TrainingRecord:
    """Record that ``user`` was trained. The caller sees to the role of whoever records it.

    Raises NotPermitted for one's own training, InvalidInput for a training that ends before it began or lies ahead,
    and for a document that is not named, or has no SHA-256.
    """
    if actor.id == str(user.pk):
        raise NotPermitted("your own training is recorded by somebody else", code="own-training")
    if user.kind != UserKind.PERSON:
        raise InvalidInput("only a person is trained", code="not-a-person")
    for text, most in ((training, 100), (document, 200), (document_version, 40)):
        if not 0 < len(text.strip()) <= most:
            raise InvalidInput("name the training, its document and the document's version", code="training-incomplete")
    digest = document_sha256.strip().lower()
    if not SHA256.fullmatch(digest):
        raise InvalidInput("the document is bound by its SHA-256, 64 hexadecimal digits", code="training-incomplete")
    if not completed_on <= now().date() or valid_until < completed_on:
        raise InvalidInput("a training was completed in the past, and ends after that", code="impossible-date")
    record = TrainingRecord(
        project=project,
        user=user,
        training=training.strip(),
        document=document.strip(),
        document_version=document_version.strip(),
        document_sha256=digest,
        completed_on=completed_on,
        valid_until=valid_until,
        recorded_at=now(),
    )
    with change(
        "training.recorded",
        actor=actor,
        reason=reason,
        subject=("user", str(user.pk)),
        project_key=project.key,
        payload={"training": record.training, "document_sha256": digest, "valid_until": valid_until.isoformat()},
    ):
        record.save()
    return record


def withdraw_training(*, record: TrainingRecord, actor: Actor, reason: str) -> TrainingRecord:
    """Take a record of training back; a role that rested on it sleeps at once. Raises Conflict where it was before."""
    if record.withdrawn_at is not None:
        raise Conflict("this record was withdrawn before", code="already-withdrawn")
    with change(
        "training.withdrawn",
        actor=actor,
        reason=reason,
        subject=("user", str(record.user_id)),
        project_key=record.project.key,
        payload={"training": record.training, "record": str(record.pk)},
    ):
        return amend(record, expected_revision=record.revision, changes={"withdrawn_at": now()})


def _current(project: Project) -> QuerySet[TrainingRecord]:
    today = now().date()
    return TrainingRecord.objects.filter(
        project=project, withdrawn_at=None, completed_on__lte=today, valid_until__gte=today
    )


def _state(until: date | None, today: date, soon_days: int) -> str:
    if until is None:
        return "missing"
    if until < today:
        return "ended"
    return "ends-soon" if until <= today + timedelta(days=soon_days) else "current"
