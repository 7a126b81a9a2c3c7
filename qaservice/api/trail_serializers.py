"""The shapes of the trail's answers and requests, and the plain data that fills them."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from compliance.models import Event
from qaservice.common.clock import iso
from qaservice.trail.differences import FieldChange
from qaservice.trail.exporting import FORMAT_NAMES
from qaservice.trail.life import Life, State, Told
from qaservice.trail.looks import Look
from qaservice.trail.outlines import OutlineChange
from qaservice.trail.related import Related
from qaservice.trail.sealing import Seal, seal_of


class SealSerializer(serializers.Serializer[object]):
    index = serializers.IntegerField(allow_null=True, help_text="place in the ledger; null until it is sealed")
    leaf_hash = serializers.CharField(allow_blank=True)
    sealed_at = serializers.DateTimeField(allow_null=True)
    checkpoint = serializers.IntegerField(allow_null=True, help_text="size of the first signed checkpoint over it")
    fits = serializers.BooleanField(help_text="the stored event still has the leaf that was sealed")


class EventSerializer(serializers.Serializer[object]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    project = serializers.CharField()
    actor = serializers.CharField()
    actor_id = serializers.CharField()
    role = serializers.CharField()
    simulated = serializers.BooleanField()
    reason = serializers.CharField()
    subject = serializers.ListField(child=serializers.CharField(), help_text="type and id")
    payload = serializers.JSONField()
    redacted = serializers.ListField(child=serializers.CharField())
    rows = serializers.JSONField()
    seal = SealSerializer()


class EventPageSerializer(serializers.Serializer[object]):
    next = serializers.CharField(allow_null=True, help_text="cursor of the page after this one")
    previous = serializers.CharField(allow_null=True)
    results = EventSerializer(many=True)


class LookSerializer(serializers.Serializer[object]):
    event = serializers.UUIDField()
    kind = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    actor = serializers.CharField()
    actor_id = serializers.CharField()
    role = serializers.CharField()
    reason = serializers.CharField()
    subject = serializers.ListField(child=serializers.CharField())
    series = serializers.UUIDField(allow_null=True)
    series_instance_uid = serializers.CharField(allow_null=True)


class LookPageSerializer(serializers.Serializer[object]):
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = LookSerializer(many=True)


class ChangeSerializer(serializers.Serializer[object]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name, not the option
    before = serializers.CharField()
    after = serializers.CharField()


class StateSerializer(serializers.Serializer[object]):
    number = serializers.IntegerField()
    what = serializers.CharField()
    event = EventSerializer()
    fits = serializers.BooleanField(help_text="the row is what its event says")
    changes = ChangeSerializer(many=True)
    outline = serializers.JSONField(allow_null=True, help_text="voxels added and removed, volumes, Dice")


class LifeSerializer(serializers.Serializer[object]):
    table = serializers.CharField()
    id = serializers.CharField()
    kind = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    withheld = serializers.BooleanField()
    sound = serializers.BooleanField(help_text="all rows and events in this answer are what the ledger says")
    standing = serializers.JSONField(help_text="every field now, and what it was in the original entry")
    states = StateSerializer(many=True)
    corrections = serializers.JSONField(help_text="original, prompt and change of the reference standard")
    related = serializers.JSONField()
    events = EventSerializer(many=True)


class RecordExportSerializer(serializers.Serializer[object]):
    format = serializers.ChoiceField(choices=FORMAT_NAMES)
    reason = serializers.CharField(help_text="why; goes into the record", allow_blank=True)


class SiteTrailExportSerializer(RecordExportSerializer):
    since = serializers.CharField(default="", allow_blank=True)
    until = serializers.CharField(default="", allow_blank=True)
    actor = serializers.CharField(default="", allow_blank=True)
    role = serializers.CharField(default="", allow_blank=True)
    kind = serializers.ListField(child=serializers.CharField(), default=list)
    type = serializers.CharField(default="", allow_blank=True)
    subject = serializers.CharField(default="", allow_blank=True)
    text = serializers.CharField(default="", allow_blank=True)


class TrailExportSerializer(SiteTrailExportSerializer):
    register = serializers.BooleanField(default=False, help_text="the register of looks instead of the whole trail")
    looks = serializers.ChoiceField(choices=["", "viewed", "taken-out"], default="")
    series = serializers.CharField(default="", allow_blank=True)


def event_json(event: Event, *, checkpoints: Sequence[int]) -> dict[str, object]:
    """Return an event with its place in the ledger."""
    return _event(Told(event, seal_of(event, checkpoints=checkpoints)))


def look_json(look: Look) -> dict[str, object]:
    """Return one entry of the register of looks."""
    event = look.event
    return {
        "event": str(event.pk),
        "kind": event.kind,
        "occurred_at": iso(event.occurred_at),
        "actor": event.actor_name,
        "actor_id": event.actor_id,
        "role": event.actor_role,
        "reason": event.reason,
        "subject": [event.subject_type, event.subject_id],
        "series": None if look.series is None else str(look.series.pk),
        "series_instance_uid": None if look.series is None else look.series.series_instance_uid,
    }


def life_json(life: Life) -> dict[str, object]:
    """Return the life of one record."""
    return {
        "table": life.name.table,
        "id": life.name.key,
        "kind": life.name.kind,
        "title": life.name.title,
        "withheld": life.withheld,
        "sound": life.sound,
        "standing": [
            {
                "name": one.name,
                "label": one.label,
                "value": one.value,
                "original": one.original,
                "changed_since_original": one.changed,
            }
            for one in life.standing
        ],
        "states": [_state(state) for state in life.states],
        "corrections": [
            {
                "action": one.chain.action,
                "readers_own_entry": None if one.chain.judged is None else str(one.chain.judged.pk),
                "original": None if one.chain.original is None else str(one.chain.original.pk),
                "prompt": [list(part) for part in one.chain.prompt],
                "change": str(one.chain.change.pk),
                "changes": _changes(one.changes),
                "outline": _outline(one.outline),
                "event": _event(one.told),
            }
            for one in life.corrections
        ],
        "related": [
            {
                "kind": kind.kind,
                "table": kind.table,
                "left_out": kind.left_out,
                "rows": [_row(one) for one in kind.rows],
            }
            for kind in life.related
        ],
        "events": [_event(told) for told in life.events],
    }


def _event(told: Told) -> dict[str, object]:
    event = told.event
    return {
        "id": str(event.pk),
        "kind": event.kind,
        "occurred_at": iso(event.occurred_at),
        "project": event.project_key,
        "actor": event.actor_name,
        "actor_id": event.actor_id,
        "role": event.actor_role,
        "simulated": event.simulated,
        "reason": event.reason,
        "subject": [event.subject_type, event.subject_id],
        "payload": event.payload,
        "redacted": event.redacted,
        "rows": event.rows,
        "seal": _seal(told.seal),
    }


def _seal(seal: Seal) -> dict[str, object]:
    return {
        "index": seal.index,
        "leaf_hash": seal.leaf_hash,
        "sealed_at": None if seal.sealed_at is None else iso(seal.sealed_at),
        "checkpoint": seal.checkpoint,
        "fits": seal.fits,
    }


def _state(state: State) -> dict[str, object]:
    return {
        "number": state.number,
        "what": state.what,
        "event": _event(state.told),
        "fits": state.fits,
        "changes": _changes(state.changes),
        "outline": _outline(state.outline),
    }


def _changes(changes: Sequence[FieldChange]) -> list[dict[str, str]]:
    return [{"name": one.name, "label": one.label, "before": one.before, "after": one.after} for one in changes]


def _row(one: Related) -> dict[str, object]:
    return {
        "table": one.name.table,
        "id": one.name.key,
        "title": one.name.title,
        "event": str(one.event.pk),
        "occurred_at": iso(one.event.occurred_at),
        "actor": one.event.actor_name,
        "says": [list(part) for part in one.said],
    }


def _outline(outline: OutlineChange | None) -> dict[str, object] | None:
    if outline is None:
        return None
    one = outline.figures
    said: dict[str, object] = {"revision": outline.revision, "before": outline.before or None, "note": outline.why_not}
    if one is None:
        return said
    return said | {
        "voxels_added": one.added,
        "voxels_removed": one.removed,
        "voxels_kept": one.kept,
        "added_mm3": one.added_mm3,
        "removed_mm3": one.removed_mm3,
        "before_mm3": one.before_mm3,
        "after_mm3": one.after_mm3,
        "dice": one.dice,
        "image_number": outline.image_number,
    }
