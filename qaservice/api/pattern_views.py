"""What a run's flags have in common: patterns with a likely cause, and checks that mostly fire on a rare group."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.analysis.models import AnalysisRun
from qaservice.analysis.patterns import newest_run, patterns_of
from qaservice.api.base import ApiView
from qaservice.common.errors import InvalidInput, NotFound


class PatternSerializer(serializers.Serializer[object]):
    """Alike flags as one thing."""

    grouping = serializers.CharField(source="pattern.grouping", help_text="reader, scanner, delivery, category or way")
    group = serializers.CharField(source="pattern.group")
    check_name = serializers.CharField(source="pattern.check")
    kind = serializers.CharField(source="pattern.kind")
    words = serializers.CharField(source="pattern.words", help_text="the pattern with its numbers and likely cause")
    cause = serializers.CharField(source="pattern.cause")
    p_value = serializers.FloatField(
        source="pattern.p_value", help_text="chance of so many, corrected for all that was compared"
    )
    flags = serializers.SerializerMethodField(help_text="ids of the flags, surest first")

    def get_flags(self, one: object) -> list[str]:
        return [str(flag.pk) for flag in getattr(one, "flags", ())]


class RareGroupSerializer(serializers.Serializer[object]):
    """A check that mostly fires on one small group of labels."""

    check_name = serializers.CharField(source="check")
    grouping = serializers.CharField()
    group = serializers.CharField()
    flagged_here = serializers.IntegerField()
    flagged = serializers.IntegerField()
    members_here = serializers.IntegerField()
    members = serializers.IntegerField()
    p_value = serializers.FloatField()
    words = serializers.CharField()


class PatternsSerializer(serializers.Serializer[object]):
    """What the flags of one run have in common; ``run`` is null where no run has been completed."""

    run = serializers.IntegerField(source="run.number", allow_null=True, default=None)
    patterns = PatternSerializer(many=True)
    rare_groups = RareGroupSerializer(many=True)


class PatternsView(ApiView):
    """Patterns among the flags of a run, the newest completed one unless another is named by its number."""

    @extend_schema(parameters=[OpenApiParameter("run", int)], responses=PatternsSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        number = request.query_params.get("run", "")
        run = newest_run(project=project)
        if number:
            if not number.isdecimal():
                raise InvalidInput("a run is named by its number", code="not-a-run-number")
            rows = AnalysisRun.objects.filter(project=project, number=int(number))
            run = rows.select_related("dataset_version", "project").first()
            if run is None:
                raise NotFound("there is no such run", code="no-such-run")
        return Response(PatternsSerializer(patterns_of(run=run)).data)
