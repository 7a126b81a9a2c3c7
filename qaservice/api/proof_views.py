"""Proofs to hand out and to take: the newest checkpoint, its continuation, witnesses' signatures, proof cards."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.checkpoint_files import kept_note, kept_sizes, require_place
from compliance.checkpoints import key_history
from compliance.errors import RecordError
from compliance.ledger.merkle import IncompleteTree
from compliance.ledger.note import Checkpoint
from compliance.proofs import consistency_proof
from compliance.recording import Actor
from compliance.witnesses import take_cosigned, witnesses
from qaservice.api.base import ApiView
from qaservice.common.errors import InvalidInput, NotFound, NotPermitted
from qaservice.projects.selectors import projects_of, roles_of
from qaservice.reports.proof_cards import export_proof_card

CHECKPOINT = inline_serializer(
    "LatestCheckpoint",
    {
        "note": serializers.CharField(help_text="the signed note, c2sp.org/tlog-checkpoint"),
        "size": serializers.IntegerField(),
        "root": serializers.CharField(),
        "key": serializers.CharField(help_text="the ledger's verifier key"),
        "witnesses": inline_serializer(
            "WitnessOfLedger",
            {"key": serializers.CharField(), "last": serializers.IntegerField(allow_null=True)},
            many=True,
        ),
    },
)
COSIGNED = inline_serializer(
    "Cosigned",
    {"note": serializers.CharField(help_text="the note as the witness signed it"), "reason": serializers.CharField()},
)
CARD = inline_serializer(
    "ProofCardRequest",
    {
        "flag": serializers.IntegerField(required=False, help_text="number of the flag"),
        "finding": serializers.CharField(required=False, help_text="tracking UID of the finding"),
        "show": serializers.ListField(child=serializers.CharField(), required=False),
        "form": serializers.ChoiceField(choices=["json", "pdf"], required=False),
        "reason": serializers.CharField(),
    },
)


class AuditView(ApiView):
    """A view for those who audit: an auditor or QA lead of any project, or an administrator of the site."""

    def auditor(self, request: Request) -> Actor:
        """Return the caller as the record names them. Raises NotPermitted."""
        user = self.caller(request)
        held = {role for project in projects_of(user=user) for role in roles_of(user=user, project=project)}
        for role in ("auditor", "qa_lead"):
            if role in held:
                return user.as_actor(role=role)
        if user.is_administrator:
            return user.as_actor(role="administrator")
        raise NotPermitted("this takes a QA lead, an auditor or an administrator", code="role-missing")


class CheckpointView(AuditView):
    """The newest checkpoint, as a witness takes it away to sign it."""

    @extend_schema(responses=CHECKPOINT)
    def get(self, request: Request) -> Response:
        self.auditor(request)
        place = require_place()
        sizes = kept_sizes(place)
        if not sizes:
            raise NotFound("no checkpoint was published yet", code="no-checkpoint")
        note = kept_note(place, sizes[-1])
        head = Checkpoint.parse(note.text)
        return Response(
            {
                "note": str(note),
                "size": head.size,
                "root": head.root.hex(),
                "key": str([key for _, key, fault in key_history() if not fault][-1]),
                "witnesses": [{"key": str(one.key), "last": one.last} for one in witnesses()],
            }
        )


class ConsistencyView(AuditView):
    """The proof that one size of the ledger continues another, as ``witness_checkpoint`` takes it."""

    @extend_schema(
        parameters=[
            OpenApiParameter("first", int, required=True, description="events at the earlier checkpoint"),
            OpenApiParameter("second", int, required=True, description="events at the later one"),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        self.auditor(request)
        try:
            first, second = (int(request.query_params.get(name, "")) for name in ("first", "second"))
            return Response(consistency_proof(first=first, second=second))
        except (IncompleteTree, ValueError) as error:
            raise InvalidInput(
                "first and second are sizes of the ledger, the smaller first", code="no-such-size"
            ) from error


class CosignaturesView(AuditView):
    """Take a checkpoint that a witness co-signed; refused unless it continues what that witness signed last."""

    @extend_schema(request=COSIGNED, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        actor, reason = self.auditor(request), self.reason(request)
        try:
            keys = take_cosigned(str(self.body(request).get("note", "")).encode(), actor=actor, reason=reason)
        except RecordError as error:
            raise InvalidInput(str(error), code="not-taken") from error
        return Response({"kept": [str(key) for key in keys]})


class ProofCardView(ApiView):
    """Make the proof card of one flag or finding; it shows nothing of any other patient."""

    @extend_schema(request=CARD, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, key: str) -> HttpResponse:
        project, actor = self.project(request, key, "export")
        data = self.body(request)
        show = data.get("show", [])
        flag, finding = data.get("flag"), str(data.get("finding") or "")
        if (flag is None) == (not finding) or not (flag is None or type(flag) is int) or not isinstance(show, list):
            raise InvalidInput("name one flag by its number, or one finding by its tracking UID", code="no-subject")
        card = export_proof_card(
            project=project,
            flag=flag,
            finding=finding,
            show=[str(name) for name in show],
            actor=actor,
            reason=self.reason(request),
        )
        if data.get("form") == "pdf":
            return HttpResponse(card.pdf, content_type="application/pdf")
        return HttpResponse(card.data, content_type="application/json")
