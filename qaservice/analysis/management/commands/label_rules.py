"""``manage.py label_rules show|set|rehearse --project P``: a project's own rules for its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.analysis.rehearsing import rehearse_rules
from qaservice.common.errors import ServiceError
from qaservice.projects.label_rules import current_rules, set_rules
from qaservice.projects.models import Project
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Show a project's own rules, try a document of rules over what it holds, or set them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["show", "set", "rehearse"])
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument(
            "--file", metavar="PATH", help="JSON or YAML; set needs one, rehearse takes the standing rules without"
        )
        parser.add_argument("--reason", default="", help="why; set needs one")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            text = _text(options["file"])
            if options["action"] == "set":
                self._set(project, text, options["reason"])
            elif options["action"] == "rehearse":
                self._rehearse(project, text)
            else:
                self._show(project)
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error

    def _set(self, project: Project, text: str | None, reason: str) -> None:
        if text is None:
            raise CommandError("name the document with --file")
        if not reason.strip():
            raise CommandError("say why with --reason: the record needs a reason for every change")
        made = set_rules(project=project, text=text, actor=OPERATOR, reason=reason)
        self.stdout.write(f"{made}: {made.rule_count} rules, from the next run on")

    def _rehearse(self, project: Project, text: str | None) -> None:
        told = rehearse_rules(project=project, text=text)
        self.stdout.write(f"tried over {told.series} series with {told.findings} findings")
        for rule in told.rules:
            self.stdout.write(
                f"  {rule.rule_id} {rule.version}: would speak {rule.broken} times of {rule.asked}, "
                f"cannot tell {rule.untold} times"
            )
            if rule.note:
                self.stdout.write(f"    {rule.note}")
            for example in rule.examples:
                self.stdout.write(f"    {example['series']} {example['finding']}: {example['values']}")

    def _show(self, project: Project) -> None:
        standing = current_rules(project=project)
        if standing is None:
            self.stdout.write("this project has no rules of its own")
            return
        self.stdout.write(f"{standing}, {standing.rule_count} rules, SHA-256 {standing.sha256[:16]}")
        self.stdout.write(standing.text)


def _text(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the document cannot be read: {type(error).__name__}") from error
