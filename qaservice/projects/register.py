"""Who had access, from when until when, given by whom and why: read from history, never kept apart (REQ-06, REQ-29)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max

from compliance.recording import Actor, change, record_event
from qaservice.accounts.models import User
from qaservice.common.clock import iso, now
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.projects.models import Membership, MembershipReview, Project, Role
from qaservice.projects.services import withdraw

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Entry:
    """One line of the register: what became of one person's access, when, by whom and why. ``at`` is ISO 8601, UTC."""

    at: str
    project: str
    person: str
    username: str
    role: str
    what: str
    by: str
    by_role: str
    reason: str
    event: str


@dataclass(frozen=True)
class Due:
    """One active role, when somebody last looked whether it is still needed, and by when that is to be done again."""

    membership: Membership
    looked_at: datetime
    due_at: datetime
    overdue: bool


def register(*, project: Project | None = None, user: User | None = None) -> list[Entry]:
    """Return the register, newest first: of a project, of a person, or of the whole site with its accounts."""
    entries = [*_memberships(project, user), *_reviews(project, user)]
    if project is None:
        entries += _accounts(user)
    return sorted(entries, key=lambda entry: (entry.at, entry.project, entry.username, entry.role), reverse=True)


def as_csv(entries: Sequence[Entry]) -> str:
    """Return the register as CSV (RFC 4180). A text that a spreadsheet would take for a formula is quoted."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([field.name for field in fields(Entry)])
    for entry in entries:
        writer.writerow([_harmless(text) for text in asdict(entry).values()])
    return stream.getvalue()


def as_jsonl(entries: Sequence[Entry]) -> str:
    """Return the register as JSON, one line an entry."""
    return "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries)


def note_export(*, actor: Actor, project: Project | None, entries: int, form: str) -> None:
    """Record that the register left the service."""
    record_event(
        "access.register-exported",
        actor=actor,
        reason="taken out as a file",
        subject=("project", str(project.pk)) if project is not None else ("site", "access"),
        project_key=project.key if project is not None else "",
        payload={"entries": entries, "form": form},
    )


def reviews_due(*, project: Project | None = None) -> list[Due]:
    """Return every active role with the day by which somebody has to look at it again, the longest overdue first."""
    members = Membership.objects.filter(active=True, user__is_active=True).select_related("user", "project")
    if project is not None:
        members = members.filter(project=project)
    keys = [member.pk for member in members]
    given = dict(
        Membership.history.filter(id__in=keys, active=True)
        .order_by()
        .values_list("id")
        .annotate(last=Max("history_date"))
    )
    looked = dict(
        MembershipReview.objects.filter(membership__in=keys, kept=True)
        .values_list("membership")
        .annotate(last=Max("reviewed_at"))
    )
    moment, every = now(), timedelta(days=settings.ACCESS_REVIEW_DAYS)
    due = []
    for member in members:
        last = max(given[member.pk], looked.get(member.pk, given[member.pk]))
        due.append(Due(member, last, last + every, last + every <= moment))
    return sorted(due, key=lambda one: (one.due_at, one.membership.user.username, one.membership.role))


def review_membership(*, membership: Membership, keep: bool, actor: Actor, reason: str) -> MembershipReview:
    """Record that somebody looked whether a role is still needed; one that is not is withdrawn at once.

    The caller sees to the role. Raises NotPermitted for one's own role, Conflict for one that was withdrawn before.
    """
    if actor.id == str(membership.user_id):
        raise NotPermitted("somebody else looks at your own role", code="own-role")
    if not membership.active:
        raise Conflict("this role was withdrawn before", code="already-withdrawn")
    made = MembershipReview(membership=membership, reviewed_at=now(), kept=keep)
    with change(
        "membership.reviewed",
        actor=actor,
        reason=reason,
        subject=("user", str(membership.user_id)),
        project_key=membership.project.key,
        payload={"role": membership.role, "kept": keep},
    ):
        made.save()
        if not keep:
            withdraw(membership=membership, actor=actor, reason=reason)
    return made


def _memberships(project: Project | None, user: User | None) -> Iterable[Entry]:
    rows = Membership.history.select_related("user", "project").order_by("id", "history_id")
    if project is not None:
        rows = rows.filter(project=project)
    if user is not None:
        rows = rows.filter(user=user)
    for row in rows:
        what = "withdrawn" if not row.active else "granted" if row.history_type == "+" else "given back"
        yield _entry(row, user=row.user, project=row.project.key, role=row.role, what=what)


def _reviews(project: Project | None, user: User | None) -> Iterable[Entry]:
    rows = MembershipReview.objects.filter(kept=True).select_related("membership__user", "membership__project", "event")
    if project is not None:
        rows = rows.filter(membership__project=project)
    if user is not None:
        rows = rows.filter(membership__user=user)
    for row in rows:
        member, event = row.membership, row.event
        yield Entry(
            at=iso(row.reviewed_at),
            project=member.project.key,
            person=member.user.display_name,
            username=member.user.username,
            role=Role(member.role).label,
            what="confirmed at review",
            by=event.actor_name,
            by_role=event.actor_role,
            reason=event.reason,
            event=str(event.pk),
        )


def _accounts(user: User | None) -> Iterable[Entry]:
    rows = User.history.order_by("id", "history_id")
    if user is not None:
        rows = rows.filter(id=user.pk)
    before: dict[object, bool] = {}
    for row in rows:
        was, before[row.id] = before.get(row.id), row.is_active
        if was != row.is_active:
            what = "account opened" if was is None else "account reopened" if row.is_active else "account closed"
            yield _entry(row, user=row, project="", role="administrator" if row.is_administrator else "", what=what)


def _entry(row: Any, *, user: User, project: str, role: str, what: str) -> Entry:
    """Return the line of one history row, whose model is made at run time."""
    return Entry(
        at=iso(row.history_date),
        project=project,
        person=user.display_name,
        username=user.username,
        role=str(Role(role).label) if role in Role.values else role,
        what=what,
        by=row.actor_name,
        by_role=row.actor_role,
        reason=row.reason,
        event=str(row.event_id),
    )


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
