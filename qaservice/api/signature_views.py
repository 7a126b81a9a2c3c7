"""Electronic signatures: put before a person, signed, listed; and the second factor that signing takes.

A bearer token opens none of the acts here: it is a program's, and signing takes a person's own session.
"""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.accounts.models import User
from qaservice.api import serializers
from qaservice.api import signature_serializers as shapes
from qaservice.api.base import ApiView
from qaservice.common.errors import NotFound, NotPermitted
from qaservice.projects.selectors import require
from qaservice.reports.models import ValidationReport
from qaservice.reports.signature_pages import signature_page
from qaservice.signatures.enrolment import (
    ATTESTATION_TEXT,
    ATTESTATION_VERSION,
    attest,
    begin_enrolment,
    certify,
    confirm_enrolment,
    revoke_lost_factor,
)
from qaservice.signatures.readiness import steps_of
from qaservice.signatures.selectors import certification, confirmed_factor, signatures_in, signatures_on
from qaservice.signatures.services import needs_code, offers, prepare, sign
from qaservice.signatures.signables import load_record
from qaservice.signatures.standing import judge, judged


class PersonalView(ApiView):
    """A view of acts that a person does in their own session."""

    def person(self, request: Request) -> User:
        """Return the caller. Raises NotPermitted for a bearer token."""
        if request.auth is not None:
            raise NotPermitted("signing takes your own login session; a token never signs", code="token-signs")
        return self.caller(request)


class ProjectSignaturesView(ApiView):
    """A project's signatures, newest first, each with whether it stands now."""

    @extend_schema(responses=shapes.SignatureSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "export")
        return Response(shapes.SignatureSerializer(judged(signatures_in(project=project)), many=True).data)


class RecordSignaturesView(ApiView):
    """One record that can be signed, its signatures, and what the caller could sign."""

    @extend_schema(responses=shapes.RecordSignaturesSerializer)
    def get(self, request: Request, subject_type: str, subject_id: uuid.UUID) -> Response:
        record = load_record(subject_type=subject_type, subject_id=str(subject_id))
        user = self.caller(request)
        require(user=user, project=record.project, action="export")
        view: dict[str, object] = {
            "record": record,
            "signatures": judged(signatures_on(subject_type=subject_type, subject_id=str(subject_id))),
            "offers": offers(user=user, record=record),
        }
        return Response(shapes.RecordSignaturesSerializer(view).data)


class SigningIntentsView(PersonalView):
    """Put a record before the caller to be signed: single use, five minutes."""

    @extend_schema(request=shapes.NewIntentSerializer, responses={201: shapes.IntentSerializer})
    def post(self, request: Request) -> Response:
        user = self.person(request)
        asked = shapes.NewIntentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        intent = prepare(
            user=user,
            session=request.session,
            subject_type=values["subject_type"],
            subject_id=str(values["subject_id"]),
            meaning=values["meaning"],
        )
        factor = confirmed_factor(user=user)
        context = {"needs_code": factor is None or needs_code(session=request.session, factor=factor)}
        return Response(shapes.IntentSerializer(intent, context=context).data, status=status.HTTP_201_CREATED)


class SignView(PersonalView):
    """Sign what was put before the caller, with the password, and the second factor's code once a session."""

    @extend_schema(request=shapes.SignSerializer, responses={201: shapes.SignatureSerializer})
    def post(self, request: Request, intent_id: uuid.UUID) -> Response:
        user = self.person(request)
        given = shapes.SignSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        signature = sign(user=user, session=request.session, intent_id=intent_id, **given.validated_data)
        return Response(shapes.SignatureSerializer(judge(signature)).data, status=status.HTTP_201_CREATED)


class ReadinessView(ApiView):
    """What the caller has done towards signing."""

    @extend_schema(responses=shapes.ReadinessSerializer)
    def get(self, request: Request) -> Response:
        return Response(_readiness(self.caller(request)))


class SecondFactorView(PersonalView):
    """Enrol a second factor: its secret is shown this once, and it counts when it was confirmed."""

    @extend_schema(request=shapes.PasswordSerializer, responses={201: shapes.EnrolmentSerializer})
    def post(self, request: Request) -> Response:
        user = self.person(request)
        given = shapes.PasswordSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        begun = begin_enrolment(user=user, **given.validated_data)
        return Response(shapes.EnrolmentSerializer(begun).data, status=status.HTTP_201_CREATED)


class ConfirmSecondFactorView(PersonalView):
    """Confirm the second factor by a code of it."""

    @extend_schema(request=shapes.CodeSerializer, responses=shapes.SecondFactorSerializer)
    def post(self, request: Request) -> Response:
        user = self.person(request)
        given = shapes.CodeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        factor = confirm_enrolment(user=user, **given.validated_data)
        return Response(shapes.SecondFactorSerializer(factor).data)


class AttestationView(PersonalView):
    """Attest that one answers for one's signatures."""

    @extend_schema(request=shapes.AttestSerializer, responses={201: shapes.ReadinessSerializer})
    def post(self, request: Request) -> Response:
        user = self.person(request)
        given = shapes.AttestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        attest(user=user, **given.validated_data)
        return Response(_readiness(user), status=status.HTTP_201_CREATED)


class RevokeSecondFactorView(PersonalView):
    """Revoke somebody's lost second factor; for administrators."""

    @extend_schema(request=serializers.ReasonSerializer, responses=shapes.SecondFactorSerializer)
    def post(self, request: Request, user_id: uuid.UUID) -> Response:
        by = self.person(request)
        if not by.is_administrator:
            raise NotPermitted("a second factor is revoked by an administrator", code="administrators-only")
        reason = self.reason(request)
        user = User.objects.filter(pk=user_id).first()
        if user is None:
            raise NotFound("there is no such account", code="no-such-user")
        return Response(shapes.SecondFactorSerializer(revoke_lost_factor(user=user, by=by, reason=reason)).data)


class CertificationView(PersonalView):
    """The site's certification to FDA of its electronic signatures; noted by administrators."""

    @extend_schema(responses=shapes.CertificationSerializer)
    def get(self, _request: Request) -> Response:
        noted = certification()
        if noted is None:
            raise NotFound("no certification to FDA is on record", code="not-certified")
        return Response(shapes.CertificationSerializer(noted).data)

    @extend_schema(request=shapes.NewCertificationSerializer, responses={201: shapes.CertificationSerializer})
    def post(self, request: Request) -> Response:
        by = self.person(request)
        if not by.is_administrator:
            raise NotPermitted("the certification is noted by an administrator", code="administrators-only")
        asked = shapes.NewCertificationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        noted = certify(
            reference=values["reference"],
            sent_on=values["sent_on"],
            actor=by.as_actor(role="administrator"),
            reason=values["reason"],
        )
        return Response(shapes.CertificationSerializer(noted).data, status=status.HTTP_201_CREATED)


class SignaturePageView(ApiView):
    """The signatures on a report, to be printed: a page of its own that names the report's SHA-256."""

    @extend_schema(responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, report_id: uuid.UUID) -> HttpResponse:
        report = ValidationReport.objects.select_related("project").filter(pk=report_id).first()
        if report is None:
            raise NotFound("there is no such report", code="no-such-report")
        require(user=self.caller(request), project=report.project, action="export")
        response = HttpResponse(signature_page(report), content_type="application/pdf")
        name = f"{report.project.key}-report-{report.number}-signatures.pdf"
        response["Content-Disposition"] = f'inline; filename="{name}"'
        return response


def _readiness(user: User) -> object:
    """Return what ``user`` has done towards signing, and the text to be attested."""
    view: dict[str, object] = {
        "steps": steps_of(user=user),
        "attestation_version": ATTESTATION_VERSION,
        "attestation_text": ATTESTATION_TEXT,
    }
    return shapes.ReadinessSerializer(view).data
