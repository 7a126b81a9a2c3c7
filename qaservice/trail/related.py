"""What belongs to a record: the rows that point at it, and for a flag the way from its prompt to its correction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models

from compliance.models import Event
from compliance.registry import TableClass, classes_of
from qaservice.analysis.models import Flag
from qaservice.labels.models import Finding, FindingRevision
from qaservice.review.models import Correction
from qaservice.signatures.models import Signature
from qaservice.trail.records import RecordName, is_versioned, kind_of, name_of, rows_of, subject_of
from qaservice.trail.words import field_label, field_words

MOST = 100
# What points at a record over one that points at it.
_FARTHER: dict[str, tuple[tuple[type[models.Model], str], ...]] = {
    "analysis_flag": ((Correction, "consensus__flag"),),
    "labels_finding": ((Correction, "after__finding"),),
}
# Their rows point at nearly everything; each is named on its own page.
_TOO_MANY = frozenset({"projects_project", "accounts_user", "storage_blob"})
_TOLD_ELSEWHERE = {("labels_finding", "labels_findingrevision")}


@dataclass(frozen=True, slots=True)
class Related:
    """One row that belongs to a record, with the event that wrote it first. ``said``: its telling fields in words."""

    name: RecordName
    event: Event
    said: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RelatedRows:
    """Rows of one kind that belong to a record, oldest first; ``left_out`` is how many more there are."""

    kind: str
    table: str
    rows: tuple[Related, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Correcting:
    """How a flag came to change the reference standard (REQ-11): the original, what prompted it, and the change."""

    original: FindingRevision | None
    judged: FindingRevision | None
    prompt: tuple[tuple[str, str], ...]
    change: FindingRevision
    action: str
    event: Event


_SAID = {
    "review_verdict": ("reader", "phase", "decision", "rationale", "correction"),
    "review_consensus": ("outcome", "rule"),
    "review_correction": ("action", "before", "after", "dataset_version"),
    "review_assignment": ("reader", "round", "state"),
    "signatures_signature": ("printed_name", "role", "meaning_words", "signed_at", "record_sha256"),
    "analysis_flagobservation": ("run", "check_name", "check_version", "score", "reason", "model_sha256"),
}


def related_rows(model: type[models.Model], key: str, *, most: int = MOST) -> tuple[RelatedRows, ...]:
    """Return the rows of other tables that belong to a record, by kind, at most so many of each."""
    found = [_gathered(models.QuerySet(other).filter(**{path: key}), most) for other, path in _pointing_at(model)]
    # A signature names what it signs by type and id, not by a key.
    signed = Signature.objects.filter(subject_type=subject_of(model._meta.db_table), subject_id=key)
    found.append(_gathered(signed, most))
    return tuple(sorted((one for one in found if one.rows), key=lambda one: (one.rows[0].event.occurred_at, one.kind)))


def corrections_of(flag: Flag) -> tuple[Correcting, ...]:
    """Return what a flag changed in the reference standard, in order."""
    rows = Correction.objects.filter(consensus__flag=flag).select_related("before", "after", "consensus", "event")
    observations = flag.observations.select_related("run__model").order_by("run__number", "part")
    judged = None if flag.finding is None else FindingRevision.objects.filter(finding=flag.finding).earliest("number")
    prompt: list[tuple[str, str]] = []
    for one in observations:
        model = one.run.model
        prompt += [
            ("Check", f"{(one.check_name or flag.check_name).replace('_', ' ')}, version {one.check_version}"),
            ("Run", f"number {one.run.number}, with {model}, SHA-256 {one.model_sha256}"),
            ("Score", repr(one.score)),
            ("Reason", one.reason),
        ]
    return tuple(
        Correcting(
            original=row.before,
            judged=judged,
            prompt=tuple(prompt),
            change=row.after,
            action=row.action,
            event=row.event,
        )
        for row in rows.order_by("consensus__round")
    )


def _pointing_at(model: type[models.Model]) -> Iterator[tuple[type[models.Model], str]]:
    table = model._meta.db_table
    if table in _TOO_MANY:
        return
    for relation in model._meta.get_fields(include_hidden=True):
        other: Any = relation.related_model
        if not relation.auto_created or relation.concrete or other is None or isinstance(other, str):
            continue
        recorded = {TableClass.VERSIONED, TableClass.WRITE_ONCE} & set(classes_of(other))
        if recorded and (table, other._meta.db_table) not in _TOLD_ELSEWHERE:
            yield other, relation.field.name  # type: ignore[union-attr]  # relations have the field that makes them
    yield from _FARTHER.get(table, ())


def _gathered(rows: models.QuerySet[Any], most: int) -> RelatedRows:
    # Keys say nothing of order: rows are put in that of their events, as far as they are shown.
    shown = [_related(row) for row in rows.order_by("pk")[:most]]
    shown.sort(key=lambda one: (one.event.occurred_at, one.name.title))
    left_out = rows.count() - most if len(shown) == most else 0
    return RelatedRows(kind=kind_of(rows.model), table=rows.model._meta.db_table, rows=tuple(shown), left_out=left_out)


def _related(row: models.Model) -> Related:
    model = type(row)
    first: Any = rows_of(model, str(row.pk))[0] if is_versioned(model) else row
    event = Event.objects.select_related("entry").get(pk=first.event_id)
    fields = [row._meta.get_field(name) for name in _SAID.get(model._meta.db_table, ())]
    said = tuple((field_label(field), field_words(field, row)) for field in fields)  # type: ignore[arg-type]  # concrete fields only
    return Related(name=name_of(row), event=event, said=said)


def succeeding(model: type[models.Model], key: str) -> list[FindingRevision]:
    """Return the rows that carry a record's states where it has none itself: the revisions of a finding."""
    return list(FindingRevision.objects.filter(finding=UUID(key)).order_by("number")) if model is Finding else []
