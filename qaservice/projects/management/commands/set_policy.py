"""``manage.py set_policy --project P --gate CODE=WORD ...``: say what a project lets pass and asks of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.common.errors import InvalidInput, ServiceError
from qaservice.projects.policies import FITNESS_TERMS, POLICIES
from qaservice.projects.selectors import project_by_key
from qaservice.projects.services import set_policies

DEFAULT = "default"


class Command(BaseCommand):
    help = "Say what a project lets pass at intake and asks of its models; without a policy, print what holds now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument(
            "--gate",
            action="append",
            metavar="FINDING=WORD",
            help="a geometry finding is to mean accept, warn, quarantine or default again (repeatable)",
        )
        parser.add_argument(
            "--label",
            action="append",
            metavar="NAME=CATEGORY",
            help="a label of this name is to be understood as this category, or default again (repeatable)",
        )
        parser.add_argument(
            "--identity", metavar="POLICY", help="keep, de-identify or refuse: what is done with identities"
        )
        parser.add_argument("--crosswalk", metavar="POLICY", help="kept or not-kept: what stands behind pseudonyms")
        parser.add_argument(
            "--fitness",
            action="append",
            metavar="TERM=VALUE",
            help="a term of the fitness threshold (repeatable; the first time all are needed): "
            + "; ".join(f"{name}: {meaning}" for name, meaning in FITNESS_TERMS.items()).replace("%", "%%"),
        )
        parser.add_argument(
            "--leakage", metavar="POLICY", help="refuse or mark: what becomes of data that a QA model was trained on"
        )
        parser.add_argument(
            "--training",
            action="append",
            metavar="ROLE=NAME[,NAME]",
            help="the trainings without which a role sleeps, or default again (repeatable)",
        )
        parser.add_argument("--reason", default="set on the command line by the operator of the server")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            wanted: dict[str, object] = {}
            if options["gate"]:
                wanted["gate_policy"] = _changed(project.gate_policy, options["gate"], "FINDING=WORD")
            if options["label"]:
                wanted["label_terms"] = _changed(project.label_terms, options["label"], "NAME=CATEGORY")
            if options["identity"]:
                wanted["identity_policy"] = options["identity"]
            if options["crosswalk"]:
                wanted["crosswalk_policy"] = options["crosswalk"]
            if options["fitness"]:
                wanted["fitness_threshold"] = _changed(project.fitness_threshold, options["fitness"], "TERM=VALUE")
            if options["leakage"]:
                wanted["leakage_policy"] = options["leakage"]
            if options["training"]:
                present = {role: ",".join(names) for role, names in project.training_policy.items()}
                asked = _changed(present, options["training"], "ROLE=NAME[,NAME]")
                wanted["training_policy"] = {role: names.split(",") for role, names in asked.items()}
            if wanted:
                project = set_policies(project=project, policies=wanted, actor=OPERATOR, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(error.message) from error
        for name in POLICIES:
            self.stdout.write(f"{project.key} {name}: {_printed(getattr(project, name))}")


def _changed(present: Mapping[str, str], pairs: list[str], form: str) -> dict[str, str]:
    policy = dict(present)
    for pair in pairs:
        code, sign, word = pair.partition("=")
        if not sign:
            raise InvalidInput(f"write {form}, not {pair!r}", code="unusable-policy")
        if word == DEFAULT:
            policy.pop(code, None)
        else:
            policy[code] = word
    return policy


def _printed(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    texts = {code: ",".join(word) if isinstance(word, list) else word for code, word in value.items()}
    return ", ".join(f"{code}={word}" for code, word in sorted(texts.items())) or DEFAULT
