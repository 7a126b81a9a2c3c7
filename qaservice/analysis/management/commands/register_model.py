"""``manage.py register_model PATH``: register a MONAI bundle, read as text and pinned; nothing of it is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.recording import OPERATOR
from qaservice.analysis.approvals import obstacles
from qaservice.analysis.foreign import register_foreign
from qaservice.common.errors import ServiceError


class Command(BaseCommand):
    help = "Register a MONAI bundle (a folder or a zip). It is read as text; it runs only where a project approves it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="folder or zip file of the bundle")
        parser.add_argument(
            "--output",
            default="{}",
            metavar="JSON",
            help="what its output means where the bundle does not say: task, labels, box_mode, frame, threshold, "
            "image_key, prediction_key, box_key, label_key, score_key",
        )
        parser.add_argument("--reason", default="registered on the command line")

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["path"]
        try:
            given = json.loads(options["output"])
        except ValueError as error:
            raise CommandError("--output is not JSON") from error
        if not isinstance(given, dict):
            raise CommandError("--output is not a JSON object")
        try:
            registered = register_foreign(
                source=path.absolute(),
                fallback_name=path.stem or "bundle",
                given=given,
                actor=OPERATOR,
                reason=options["reason"],
            )
        except ServiceError as error:
            raise CommandError(error.message) from error
        model = registered.model
        self.stdout.write(f"{model}{' was registered before' if registered.known else ' registered'}")
        self.stdout.write(f"  digest    {model.bundle_sha256}")
        if not model.foreign:
            return
        found = model.inspection
        described = found["described"]
        self.stdout.write(f"  licence   {', '.join(name for name, _ in described['licences']) or 'none in the bundle'}")
        self.stdout.write(f"  use       {described['intended_use'] or 'not stated'}")
        self.stdout.write(f"  files     {len(model.files)}")
        for kind in ("expression", "target", "macro"):
            places = [place for place in found["code"] if place["kind"] == kind]
            if places:
                warned = sum(1 for place in places if place["capabilities"])
                self.stdout.write(f"  {kind + 's':<10}{len(places)}, {warned} to look at")
        for remark in found["remarks"]:
            self.stdout.write(f"  note      {remark}")
        for problem in obstacles(model):
            self.stdout.write(f"  fault     {problem}")
        self.stdout.write(
            "Look at it with: manage.py list_models --show DIGEST; it runs only once a project approves it."
        )
