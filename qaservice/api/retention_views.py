"""Keeping and destroying: schedule, legal holds, uses of studies, withdrawal, disposition."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.api.base import ApiView
from qaservice.common.clock import iso
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.projects.models import Project
from qaservice.retention import selectors, services
from qaservice.retention.models import Destruction, Disposition, LegalHold, Purpose, RetentionSchedule
from qaservice.studies.models import Study
from qaservice.studies.withdrawn import removal_words

REASON: dict[str, serializers.Field[Any, Any, Any, Any]] = {"reason": serializers.CharField()}
SCHEDULE = inline_serializer(
    "ScheduleRequest",
    {**REASON, "entries": serializers.DictField(help_text="record class to {years, basis}; every class")},
)
HOLD = inline_serializer(
    "HoldRequest",
    {
        **REASON,
        "matter": serializers.CharField(),
        "study": serializers.UUIDField(required=False, help_text="the whole project where none is named"),
    },
)
USE = inline_serializer(
    "DataUseRequest",
    {
        **REASON,
        "purposes": serializers.ListField(child=serializers.ChoiceField(choices=Purpose.choices)),
        "basis": serializers.CharField(),
        "until": serializers.DateField(required=False, allow_null=True),
    },
)
PROPOSAL = inline_serializer(
    "DispositionRequest", {**REASON, "studies": serializers.ListField(child=serializers.UUIDField())}
)
ONLY_REASON = inline_serializer("RetentionReason", REASON)


class _Until(serializers.Serializer[object]):
    until = serializers.DateField(required=False, allow_null=True)


class RetentionView(ApiView):
    """The schedule, the holds that stand, dispositions, and what was destroyed."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "audit")
        schedule = selectors.current_schedule(project)
        return Response(
            {
                "schedule": None if schedule is None else _schedule(schedule),
                "holds": [_hold(one) for one in selectors.standing_holds(project)],
                "dispositions": [_disposition(one) for one in selectors.dispositions_of(project)],
                "destroyed": [_destruction(one) for one in selectors.destructions_of(project)],
            }
        )


class RetentionScheduleView(ApiView):
    """Set the schedule, as its next version."""

    @extend_schema(request=SCHEDULE, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        entries = self.body(request).get("entries")
        if not isinstance(entries, Mapping) or not all(isinstance(one, Mapping) for one in entries.values()):
            raise InvalidInput("entries map a record class to years and basis", code="entries")
        made = services.set_schedule(project=project, entries=entries, actor=actor, reason=self.reason(request))
        return Response(_schedule(made), status=status.HTTP_201_CREATED)


class HoldsView(ApiView):
    """Place a legal hold."""

    @extend_schema(request=HOLD, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        named = self.body(request).get("study")
        made = services.place_hold(
            project=project,
            study=_study(project, named) if named else None,
            matter=str(self.body(request).get("matter", "")),
            actor=actor,
            reason=self.reason(request),
        )
        return Response(_hold(made), status=status.HTTP_201_CREATED)


class LiftHoldView(ApiView):
    """Lift a legal hold."""

    @extend_schema(request=ONLY_REASON, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, key: str, hold_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        hold = LegalHold.objects.filter(pk=hold_id, project=project).first()
        if hold is None:
            raise NotFound("there is no such hold", code="no-such-hold")
        return Response(_hold(services.lift_hold(hold=hold, actor=actor, reason=self.reason(request))))


class StudyUseView(ApiView):
    """What a study may be used for."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, key: str, study_id: uuid.UUID) -> Response:
        project, _actor = self.project(request, key, "audit")
        return Response(_use(_study(project, study_id)))

    @extend_schema(request=USE, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, key: str, study_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        study = _study(project, study_id)
        asked = _Until(data=request.data)
        asked.is_valid(raise_exception=True)
        purposes = self.body(request).get("purposes", [])
        services.record_use(
            study=study,
            purposes=[str(one) for one in purposes] if isinstance(purposes, list) else [],
            basis=str(self.body(request).get("basis", "")),
            until=asked.validated_data.get("until"),
            actor=actor,
            reason=self.reason(request),
        )
        return Response(_use(study))


class WithdrawalView(ApiView):
    """Withdraw the consent to a study's use: its pixel data are destroyed."""

    @extend_schema(request=ONLY_REASON, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, key: str, study_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        study = _study(project, study_id)
        done = services.withdraw_consent(study=study, actor=actor, reason=self.reason(request))
        return Response({**_use(study), "destroyed": None if done is None else _destruction(done)})


class DispositionsView(ApiView):
    """Propose to destroy the images of studies that need not be kept any more."""

    @extend_schema(request=PROPOSAL, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        named = self.body(request).get("studies", [])
        made = services.propose(
            project=project,
            studies=[_study(project, one) for one in (named if isinstance(named, list) else [])],
            by=self.caller(request),
            actor=actor,
            reason=self.reason(request),
        )
        return Response(_disposition(made), status=status.HTTP_201_CREATED)


class DispositionStepView(ApiView):
    """Approve, drop or carry out a disposition."""

    @extend_schema(
        operation_id="projects_retention_dispositions_step_create",
        request=ONLY_REASON,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, key: str, disposition_id: uuid.UUID, step: str) -> Response:
        project, actor = self.project(request, key, "manage")
        found = selectors.dispositions_of(project).filter(pk=disposition_id).first()
        if found is None:
            raise NotFound("there is no such disposition", code="no-such-disposition")
        reason = self.reason(request)
        if step == "approve":
            found = services.approve(disposition=found, by=self.caller(request), actor=actor, reason=reason)
        elif step == "drop":
            found = services.drop(disposition=found, actor=actor, reason=reason)
        elif step == "carry-out":
            found = services.carry_out(disposition=found, actor=actor, reason=reason)
        else:
            raise NotFound("a disposition is approved, dropped or carried out", code="no-such-step")
        return Response(_disposition(found))


def _study(project: Project, named: object) -> Study:
    try:
        return selectors.study_for(project=project, study_id=uuid.UUID(str(named)))
    except ValueError as error:
        raise NotFound("there is no such study in this project", code="no-such-study") from error


def _schedule(schedule: RetentionSchedule) -> dict[str, object]:
    return {"number": schedule.number, "entries": schedule.entries}


def _hold(hold: LegalHold) -> dict[str, object]:
    lifted = hold.lifted_at
    return {
        "id": str(hold.pk),
        "matter": hold.matter,
        "study": None if hold.study_id is None else str(hold.study_id),
        "lifted_at": None if lifted is None else iso(lifted),
    }


def _use(study: Study) -> dict[str, object]:
    use = selectors.use_of(study)
    return {
        "study": str(study.pk),
        "purposes": [] if use is None else use.purposes,
        "basis": "" if use is None else use.basis,
        "until": None if use is None or use.until is None else use.until.isoformat(),
        "withdrawn_at": None if use is None or use.withdrawn_at is None else iso(use.withdrawn_at),
        "images": removal_words(study) or "held",
    }


def _disposition(disposition: Disposition) -> dict[str, object]:
    return {
        "id": str(disposition.pk),
        "state": disposition.state,
        "schedule": disposition.schedule.number,
        "proposed_by": disposition.proposed_by.display_name,
        "approved_by": None if disposition.approved_by is None else disposition.approved_by.display_name,
        "studies": [str(row.study_id) for row in disposition.studies.all()],
    }


def _destruction(done: Destruction) -> dict[str, object]:
    return {
        "study": str(done.study_id),
        "cause": done.cause,
        "state": done.state,
        "files": done.blobs,
        "bytes": done.size,
        "root": done.root,
        "kept_for_others": done.shared,
        "done_at": None if done.done_at is None else iso(done.done_at),
    }
