"""The shapes of rules, their rehearsals, and concerns."""

from __future__ import annotations

from rest_framework import serializers

from qaservice.api.serializers import ReasonSerializer
from qaservice.projects.models import LabelRules


class LabelRulesSerializer(serializers.ModelSerializer[LabelRules]):
    set_at = serializers.DateTimeField(source="event.occurred_at")
    set_by = serializers.CharField(source="event.actor_name")
    reason = serializers.CharField(source="event.reason")

    class Meta:
        model = LabelRules
        fields = ["number", "text", "document", "sha256", "rule_count", "set_at", "set_by", "reason"]


class NewRulesSerializer(ReasonSerializer):
    text = serializers.CharField(
        trim_whitespace=False, help_text="the whole document, JSON or YAML; without rules it takes them all back"
    )


class RehearseSerializer(serializers.Serializer[object]):
    text = serializers.CharField(
        required=False, trim_whitespace=False, help_text="the document to try; the standing rules where left out"
    )


class RuleRehearsalSerializer(serializers.Serializer[object]):
    rule_id = serializers.CharField()
    version = serializers.CharField()
    asked = serializers.IntegerField(help_text="findings, sets, series or pairs to which the rule applies")
    broken = serializers.IntegerField(help_text="where it would speak")
    untold = serializers.IntegerField(help_text="where a value that it needs is not known")
    by_group = serializers.DictField(
        child=serializers.DictField(child=serializers.ListField(child=serializers.IntegerField())),
        help_text="grouping to group to (broken, findings there)",
    )
    examples = serializers.ListField(child=serializers.DictField())
    note = serializers.CharField(allow_blank=True, help_text="whether it mostly fires on one small subgroup")


class RehearsalSerializer(serializers.Serializer[object]):
    series = serializers.IntegerField()
    findings = serializers.IntegerField()
    rules = RuleRehearsalSerializer(many=True)


class ConcernSerializer(serializers.Serializer[object]):
    """A concern with what the newest run said of it."""

    id = serializers.UUIDField(source="concern.pk")
    name = serializers.CharField(source="concern", help_text="C-number")
    revision = serializers.IntegerField(source="concern.revision")
    check_name = serializers.CharField(source="concern.check_name")
    kind = serializers.CharField(source="concern.kind")
    state = serializers.CharField(source="concern.state", help_text="open, confirmed or dismissed")
    settled_because = serializers.CharField(source="concern.settled_because", allow_blank=True)
    run = serializers.IntegerField(source="observation.run.number")
    score = serializers.FloatField(source="observation.score")
    reason = serializers.CharField(source="observation.reason")
    series = serializers.ListField(child=serializers.CharField(), source="observation.series")
    evidence = serializers.DictField(source="observation.evidence")


class SettleConcernSerializer(ReasonSerializer):
    decision = serializers.CharField(help_text="confirmed or dismissed")
    revision = serializers.IntegerField(min_value=1, help_text="the revision of the concern that was looked at")
