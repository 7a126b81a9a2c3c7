"""What the API reads and says about logins, tokens, trainings and the access register."""

from __future__ import annotations

from rest_framework import serializers

from qaservice.accounts.models import Alert, ApiToken
from qaservice.api.serializers import ReasonSerializer
from qaservice.projects.models import Role, TrainingRecord


class LoginSerializer(serializers.Serializer[object]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, style={"input_type": "password"})


class LoggedInSerializer(serializers.Serializer[object]):
    username = serializers.CharField()
    display_name = serializers.CharField()
    password_must_change = serializers.BooleanField(help_text="nothing but me/password/ is open until it was changed")


class NewPasswordSerializer(serializers.Serializer[object]):
    old = serializers.CharField(max_length=4096, trim_whitespace=False)
    new = serializers.CharField(max_length=4096, trim_whitespace=False)


class EndedSerializer(serializers.Serializer[object]):
    sessions_ended = serializers.IntegerField()


class SessionSerializer(serializers.Serializer[object]):
    handle = serializers.CharField()
    browser = serializers.CharField()
    opened_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField()


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    handle = serializers.CharField(read_only=True)

    class Meta:
        model = ApiToken
        fields = ["handle", "label", "created_at", "expires_at", "last_used_at"]


class NewTokenSerializer(ReasonSerializer):
    label = serializers.CharField(max_length=100)  # type: ignore[assignment]  # the field's name, not the form's label
    days = serializers.IntegerField(min_value=1, max_value=36500, help_text="at most the site's longest")


class IssuedTokenSerializer(serializers.Serializer[object]):
    token = serializers.CharField(help_text="shown this once")


class TrainingRecordSerializer(serializers.ModelSerializer[TrainingRecord]):
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = TrainingRecord
        fields = [
            "id",
            "username",
            "training",
            "document",
            "document_version",
            "document_sha256",
            "completed_on",
            "valid_until",
            "recorded_at",
            "withdrawn_at",
        ]


class NewTrainingRecordSerializer(ReasonSerializer):
    username = serializers.CharField(max_length=150)
    training = serializers.CharField(max_length=100, help_text="as the project's training policy names it")
    document = serializers.CharField(max_length=200)
    document_version = serializers.CharField(max_length=40)
    document_sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$")
    completed_on = serializers.DateField()
    valid_until = serializers.DateField(help_text="the last day on which it holds")


class TrainingNeedSerializer(serializers.Serializer[object]):
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    training = serializers.CharField()
    until = serializers.DateField(allow_null=True)
    state = serializers.ChoiceField(choices=["missing", "ended", "ends-soon", "current"])


class RegisterEntrySerializer(serializers.Serializer[object]):
    at = serializers.CharField()
    project = serializers.CharField()
    person = serializers.CharField()
    username = serializers.CharField()
    role = serializers.CharField()
    what = serializers.CharField()
    by = serializers.CharField()
    by_role = serializers.CharField()
    reason = serializers.CharField()
    event = serializers.CharField()


class DueReviewSerializer(serializers.Serializer[object]):
    membership = serializers.UUIDField(source="membership.pk")
    username = serializers.CharField(source="membership.user.username")
    role = serializers.CharField(source="membership.role")
    looked_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    overdue = serializers.BooleanField()


class ReviewedSerializer(ReasonSerializer):
    keep = serializers.BooleanField(help_text="false takes the role away at once")


class AlertSerializer(serializers.ModelSerializer[Alert]):
    class Meta:
        model = Alert
        fields = ["id", "kind", "about_type", "about_id", "words", "times", "raised_at", "last_at", "acknowledged_at"]
