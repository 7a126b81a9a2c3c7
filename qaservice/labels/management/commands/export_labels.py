"""``manage.py export_labels --project P --format dicom-seg --out FILE``: a dataset version's labels for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from compliance.recording import OPERATOR
from imaging.writers.names import WRITTEN_FORMATS
from qaservice.common.errors import ServiceError
from qaservice.labels.exporting import SETS, export_labels, version_numbered
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Write the labels of a dataset version to a zip, each file read back and compared before it goes in."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Every command of Django's has a --version that says which Django this is; here it is the dataset's.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument("--format", required=True, choices=WRITTEN_FORMATS, help="format of the labels")
        parser.add_argument("--out", required=True, help="zip to write; refused where the file exists")
        parser.add_argument("--version", type=int, metavar="N", help="number of the dataset version; else the newest")
        parser.add_argument("--sets", choices=sorted(SETS), default="reference", help="whose labels")
        parser.add_argument("--series", help="Series Instance UID, for one series alone")
        parser.add_argument("--reason", default="labels exported on the command line")

    def handle(self, *_args: Any, **options: Any) -> None:
        path = Path(options["out"])
        if path.exists():
            raise CommandError(f"{path} exists; nothing is overwritten")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            project = project_by_key(key=options["project"])
            version = version_numbered(project=project, number=options["version"])
            with tqdm(desc="labels", unit="series", dynamic_ncols=True) as bar:

                def show(done: int, total: int, note: str) -> None:
                    bar.total, bar.n = total, done
                    bar.set_postfix_str(note)
                    bar.refresh()

                export = export_labels(
                    version=version,
                    format_name=options["format"],
                    sets=options["sets"],
                    path=path,
                    actor=OPERATOR,
                    reason=options["reason"],
                    series_instance_uid=options["series"],
                    progress=show,
                )
        except ServiceError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from error
        self.stdout.write(
            f"{export.findings} findings of {export.series} series, dataset version {export.version}, "
            f"{export.files} files, each read back and compared"
        )
        for kind, count in export.losses.items():
            self.stdout.write(f"  not carried by the format: {kind}, {count} times")
        for refused in export.not_written:
            self.stdout.write(f"  not written: {refused['series_instance_uid']}: {refused['reason']}")
        self.stdout.write(f"  {path}")
        self.stdout.write(f"  SHA-256 {export.sha256}")
