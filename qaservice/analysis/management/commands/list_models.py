"""``manage.py list_models``: the bundles registered at this site, and where each may run."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from qaservice.analysis.approvals import obstacles, standing_approval
from qaservice.analysis.models import QAModel
from qaservice.analysis.selectors import models_known, registered_model
from qaservice.common.errors import ServiceError
from qaservice.projects.models import Project


class Command(BaseCommand):
    help = "List registered models with digest, origin and the projects that approved them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--show", default="", metavar="NAME", help="everything that was read of one, as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["show"]:
            try:
                model = registered_model(name=options["show"])
            except ServiceError as error:
                raise CommandError(error.message) from error
            content = {
                "name": model.name,
                "version": model.version,
                "bundle_sha256": model.bundle_sha256,
                "metadata": model.metadata,
                "files": model.files,
                "inspection": model.inspection,
            }
            self.stdout.write(json.dumps(content, indent=2, sort_keys=True))
            return
        projects = list(Project.objects.order_by("key"))
        for model in models_known():
            self.stdout.write(f"{model.bundle_sha256[:12]}  {model!s:<44} {_where(model, projects)}")


def _where(model: QAModel, projects: list[Project]) -> str:
    if not model.foreign:
        return "shipped"
    if obstacles(model):
        return "cannot be approved"
    keys = [project.key for project in projects if standing_approval(project=project, model=model) is not None]
    return f"approved in {', '.join(keys)}" if keys else "not approved anywhere"
