"""``manage.py export_report --project P``: make the validation report and write it out with its evidence kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.projects.selectors import project_by_key
from qaservice.reports.services import export_kit, export_report
from qaservice.storage.selectors import read_blob


class Command(BaseCommand):
    help = "Make a project's validation report and write report.pdf and evidence-kit.zip."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--output", default=".", help="folder to write to; made where it is missing")
        parser.add_argument("--reason", default="report asked for on the command line")

    def handle(self, *_args: Any, **options: Any) -> None:
        folder = Path(options["output"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            project = project_by_key(key=options["project"])
            with tqdm(desc="report", unit="flag", dynamic_ncols=True) as bar:

                def show(done: int, total: int, note: str) -> None:
                    bar.total, bar.n = total, done
                    bar.set_postfix_str(note)
                    bar.refresh()

                report = export_report(project=project, actor=OPERATOR, reason=options["reason"], progress=show)
            document, kit = folder / "report.pdf", folder / "evidence-kit.zip"
            document.write_bytes(read_blob(report.document_id))
            export_kit(report=report, path=kit, actor=OPERATOR, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{folder} cannot be written to: {error.strerror}") from error
        self.stdout.write(f"report {report.number} of dataset version {report.dataset_version.number}")
        self.stdout.write("a draft until it is signed as approved, in the portal")
        self.stdout.write(f"  {document}")
        self.stdout.write(f"  {kit}")
        self.stdout.write(f"ledger: {report.ledger_size} events, head {report.ledger_head}")
        self.stdout.write(f"verify offline: python -I verify.py {kit.name}, then python -I recompute.py {kit.name}")
