"""``manage.py golden add|list|withdraw --project P``: the series on which models are measured."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.analysis.golden import add_golden_case, golden_cases, golden_digest, truth_set, withdraw_golden_case
from qaservice.common.errors import NotFound, ServiceError
from qaservice.labels.reference import REFERENCE_LABEL
from qaservice.projects.models import Project
from qaservice.projects.selectors import project_by_key
from qaservice.studies.models import Series
from qaservice.studies.selectors import series_of


class Command(BaseCommand):
    help = "Mark accepted series with known truth as golden cases, list them, or withdraw one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["add", "list", "withdraw"])
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--series", metavar="UID", help="Series Instance UID; add takes all series where left out")
        parser.add_argument(
            "--truth",
            metavar="READER",
            default=REFERENCE_LABEL,
            help=f"whose labels are the truth, as the series page names them (default: {REFERENCE_LABEL})",
        )
        parser.add_argument("--synthetic", action="store_true", help="the series is a phantom")
        parser.add_argument("--reason", default="", help="why; add and withdraw need one")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            if options["action"] != "list" and not options["reason"].strip():
                raise CommandError("say why with --reason: the record needs a reason for every change")
            if options["action"] == "add":
                self._add(project, options)
            elif options["action"] == "withdraw":
                self._withdraw(project, options)
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self._list(project)

    def _add(self, project: Project, options: dict[str, Any]) -> None:
        for series in _named(project, options["series"]):
            add_golden_case(
                series=series,
                annotation_set=truth_set(series=series, reader=options["truth"]),
                synthetic=options["synthetic"],
                actor=OPERATOR,
                reason=options["reason"],
            )

    def _withdraw(self, project: Project, options: dict[str, Any]) -> None:
        if not options["series"]:
            raise CommandError("name the series to withdraw with --series")
        case = golden_cases(project=project).filter(series__series_instance_uid=options["series"]).first()
        if case is None:
            raise NotFound("this series is no golden case", code="no-such-golden-case")
        withdraw_golden_case(case=case, actor=OPERATOR, reason=options["reason"])

    def _list(self, project: Project) -> None:
        cases = list(golden_cases(project=project))
        for case in cases:
            kind = "phantom" if case.synthetic else "patient"
            self.stdout.write(
                f"  {case.series.series_instance_uid}  {kind}  {case.nodules} nodules  "
                f"truth: {case.annotation_set.reader_label} in version {case.dataset_version.number}"
            )
        nodules = sum(case.nodules for case in cases)
        self.stdout.write(f"{len(cases)} golden cases, {nodules} nodules, digest {golden_digest(cases)[:16]}")


def _named(project: Project, uid: str | None) -> list[Series]:
    if uid is None:
        known = golden_cases(project=project).values("series")
        return [one for one in series_of(project).exclude(pk__in=known) if one.grid is not None]
    series = series_of(project).filter(series_instance_uid=uid).first()
    if series is None:
        raise NotFound("there is no series of that UID here", code="no-such-series")
    return [series]
