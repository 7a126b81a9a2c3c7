"""Logging in by session, one's own password, sessions and tokens, trainings, the access register, alerts."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.accounts.alerts import acknowledge, open_alerts
from qaservice.accounts.logins import change_password, refuse_login
from qaservice.accounts.models import Alert, User
from qaservice.accounts.passwords import must_change
from qaservice.accounts.selectors import live_tokens, token_of, user_by_name
from qaservice.accounts.services import issue_token, revoke_token
from qaservice.accounts.sessions import end_session, session_of, sessions_of
from qaservice.api import access_serializers as serializers
from qaservice.api.base import ApiView
from qaservice.api.serializers import ReasonSerializer
from qaservice.common.clock import now
from qaservice.common.errors import InvalidInput, NotFound, NotPermitted
from qaservice.projects.models import Membership, TrainingRecord
from qaservice.projects.register import register, review_membership, reviews_due
from qaservice.projects.training import needs_of, record_training, records_of, withdraw_training

SOON_DAYS = 30


class SessionView(ApiView):
    """Log in by username and password; the answer sets the session's cookie and that of the CSRF token."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]
    # A form of another site cannot send JSON here, so nobody is logged in as somebody else without knowing.
    parser_classes = [JSONParser]

    @extend_schema(request=serializers.LoginSerializer, responses=serializers.LoggedInSerializer)
    def post(self, request: Request) -> Response:
        asked = serializers.LoginSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        username = asked.validated_data["username"]
        plain = _plain(request)
        user = authenticate(plain, username=username, password=asked.validated_data["password"])
        if not isinstance(user, User):
            refuse_login(username=username, request=plain)
            raise NotPermitted("the name or the password is wrong, or the account is closed", code="login-refused")
        login(plain, user)
        return Response(
            {
                "username": user.username,
                "display_name": user.display_name,
                "password_must_change": must_change(user),
            }
        )


class OwnView(ApiView):
    """What a person does about their own access; a token, which may have leaked, cannot."""

    def own(self, request: Request) -> User:
        """Return the caller. Raises NotPermitted for a program that acts by a token."""
        if request.auth is not None:
            raise NotPermitted("log in to do this: a token cannot", code="session-needed")
        return self.caller(request)


class EndSessionView(OwnView):
    """Log out."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        self.own(request)
        logout(_plain(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class OwnPasswordView(OwnView):
    """Change one's own password; all other sessions end."""

    @extend_schema(request=serializers.NewPasswordSerializer, responses=serializers.EndedSerializer)
    def post(self, request: Request) -> Response:
        user = self.own(request)
        asked = serializers.NewPasswordSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        ended = change_password(request=_plain(request), user=user, old=values["old"], new=values["new"])
        return Response({"sessions_ended": ended})


class OwnSessionsView(OwnView):
    """Where one is logged in."""

    @extend_schema(responses=serializers.SessionSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(serializers.SessionSerializer(sessions_of(user=self.own(request)), many=True).data)


class EndOwnSessionView(OwnView):
    """Log out somewhere else."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, handle: str) -> Response:
        user = self.own(request)
        session = session_of(user=user, handle=handle)
        end_session(session=session, actor=user.as_actor(role="user"), reason="ended by the person elsewhere")
        return Response(status=status.HTTP_204_NO_CONTENT)


class OwnTokensView(OwnView):
    """One's own bearer tokens that are still live."""

    @extend_schema(responses=serializers.TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(serializers.TokenSerializer(live_tokens(user=self.own(request)), many=True).data)

    @extend_schema(request=serializers.NewTokenSerializer, responses={201: serializers.IssuedTokenSerializer})
    def post(self, request: Request) -> Response:
        user = self.own(request)
        reason = self.reason(request)
        asked = serializers.NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token = issue_token(
            user=user,
            label=asked.validated_data["label"],
            actor=user.as_actor(role="user"),
            reason=reason,
            expires_at=now() + timedelta(days=asked.validated_data["days"]),
        )
        return Response({"token": token}, status=status.HTTP_201_CREATED)


class RevokeOwnTokenView(OwnView):
    """Make one of one's own tokens useless."""

    @extend_schema(request=ReasonSerializer, responses={204: None})
    def post(self, request: Request, handle: str) -> Response:
        user = self.own(request)
        token = token_of(user=user, handle=handle)
        revoke_token(token=token, actor=user.as_actor(role="user"), reason=self.reason(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TrainingRecordsView(ApiView):
    """A project's records of training."""

    @extend_schema(responses=serializers.TrainingRecordSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(serializers.TrainingRecordSerializer(records_of(project=project), many=True).data)

    @extend_schema(
        request=serializers.NewTrainingRecordSerializer, responses={201: serializers.TrainingRecordSerializer}
    )
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = serializers.NewTrainingRecordSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        user = user_by_name(values["username"])
        if user is None or not user.is_active:
            raise InvalidInput("there is no active account of that name", code="no-such-user")
        made = record_training(
            project=project,
            user=user,
            training=values["training"],
            document=values["document"],
            document_version=values["document_version"],
            document_sha256=values["document_sha256"],
            completed_on=values["completed_on"],
            valid_until=values["valid_until"],
            actor=actor,
            reason=reason,
        )
        return Response(serializers.TrainingRecordSerializer(made).data, status=status.HTTP_201_CREATED)


class WithdrawTrainingView(ApiView):
    """Take a record of training back."""

    @extend_schema(request=ReasonSerializer, responses=serializers.TrainingRecordSerializer)
    def post(self, request: Request, key: str, record_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        rows = TrainingRecord.objects.select_related("project", "user")
        record = rows.filter(pk=record_id, project=project).first()
        if record is None:
            raise NotFound("there is no such record of training here", code="no-such-training")
        done = withdraw_training(record=record, actor=actor, reason=self.reason(request))
        return Response(serializers.TrainingRecordSerializer(done).data)


class TrainingNeedsView(ApiView):
    """Which trainings the project's people need, those that are missing or end first on top."""

    @extend_schema(responses=serializers.TrainingNeedSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        needs = needs_of(project=project, soon_days=SOON_DAYS)
        return Response(serializers.TrainingNeedSerializer(needs, many=True).data)


class AccessRegisterView(ApiView):
    """Every grant, confirmation and withdrawal of access in a project, newest first."""

    @extend_schema(
        parameters=[OpenApiParameter("username", str, description="of one person")],
        responses=serializers.RegisterEntrySerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        name = request.query_params.get("username", "")
        entries = [one for one in register(project=project) if not name or one.username == name]
        return Response(serializers.RegisterEntrySerializer(entries, many=True).data)


class AccessReviewsView(ApiView):
    """The project's active roles with the day by which somebody looks again whether they are needed."""

    @extend_schema(responses=serializers.DueReviewSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(serializers.DueReviewSerializer(reviews_due(project=project), many=True).data)


class AccessReviewView(ApiView):
    """Confirm that somebody still needs a role, or take it away."""

    @extend_schema(request=serializers.ReviewedSerializer, responses={204: None})
    def post(self, request: Request, key: str, membership_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = serializers.ReviewedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        membership = Membership.objects.select_related("project").filter(pk=membership_id, project=project).first()
        if membership is None:
            raise NotFound("there is no such role here", code="no-such-membership")
        review_membership(membership=membership, keep=asked.validated_data["keep"], actor=actor, reason=reason)
        return Response(status=status.HTTP_204_NO_CONTENT)


class AlertsView(ApiView):
    """The alerts that no administrator has acknowledged yet."""

    @extend_schema(responses=serializers.AlertSerializer(many=True))
    def get(self, request: Request) -> Response:
        _administrator(self.caller(request))
        return Response(serializers.AlertSerializer(open_alerts(), many=True).data)


class AcknowledgeAlertView(OwnView):
    """Say what came of an alert."""

    @extend_schema(request=ReasonSerializer, responses=serializers.AlertSerializer)
    def post(self, request: Request, alert_id: uuid.UUID) -> Response:
        boss = _administrator(self.own(request))
        alert = Alert.objects.filter(pk=alert_id).first()
        if alert is None:
            raise NotFound("there is no such alert", code="no-such-alert")
        done = acknowledge(alert=alert, by=boss, reason=self.reason(request))
        return Response(serializers.AlertSerializer(done).data)


def _administrator(user: User) -> User:
    if not user.is_administrator:
        raise NotPermitted("alerts are for administrators of the site", code="administrators-only")
    return user


def _plain(request: Request) -> HttpRequest:
    """Return Django's own request, which carries the session."""
    return request._request
