"""``manage.py ingest PATH --project P``: bring studies and labels into a project, and say what became of every file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from compliance.recording import OPERATOR
from qaservice.common.errors import ServiceError
from qaservice.jobs.runner import drain, wait_for_workers
from qaservice.jobs.selectors import ProjectProgress
from qaservice.projects.models import Project
from qaservice.projects.services import create_project
from qaservice.studies.models import Ingest, IngestState, Outcome, SeriesState
from qaservice.studies.rehearsal import RehearsedSeries, rehearse
from qaservice.studies.selectors import items_of, series_of
from qaservice.studies.services import announce_ingest, require_something_readable

TAKEN = (Outcome.STORED, Outcome.DUPLICATE)


class Command(BaseCommand):
    help = "Bring a directory, an archive or a file of studies and labels into a project."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--project", required=True, help="key of the project; it is opened if there is none")
        parser.add_argument("--title", default="", help="title of the project, where it is opened now")
        parser.add_argument("--reason", default="delivery handed in on the command line")
        parser.add_argument(
            "--simulated-labels", action="store_true", help="the labels were made by simulated readers; mark them so"
        )
        parser.add_argument(
            "--workers-only", action="store_true", help="leave the work to running workers and wait for them"
        )

        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would become of every file, series and label; store nothing",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["path"]
        if options["dry_run"]:
            self._rehearse(path, options["project"])
            return
        try:
            # Before a project is opened for it: a delivery that cannot be read leaves nothing behind.
            require_something_readable(path)
            project = self._project(options["project"], options["title"])
            ingest = announce_ingest(
                project=project,
                source_path=path,
                source_name=path.resolve().name,
                actor=OPERATOR,
                reason=options["reason"],
                simulated=options["simulated_labels"],
            )
        except ServiceError as error:
            raise CommandError(f"{path.name}: {error.message} [{error.code}]") from error
        self._work(project, workers_only=options["workers_only"])
        ingest.refresh_from_db()
        self._report(project, ingest)
        if ingest.state != IngestState.COMPLETED:
            raise CommandError(f"the delivery is {ingest.state}: {ingest.failure or 'see the jobs'}")
        if not any(ingest.summary.get(outcome, 0) for outcome in TAKEN):
            raise CommandError("nothing of the delivery could be taken; the reasons stand above")

    def _rehearse(self, path: Path, key: str) -> None:
        project = Project.objects.filter(key=key).first() or Project(key=key, title=key)
        try:
            with tqdm(desc="dry run", unit="file", dynamic_ncols=True, miniters=0) as bar:

                def show(done: int, total: int, note: str) -> None:
                    bar.total, bar.n = total, done
                    bar.set_postfix_str(note, refresh=False)
                    bar.update(0)

                found = rehearse(project=project, path=path, report=show)
        except ServiceError as error:
            raise CommandError(f"{path.name}: {error.message} [{error.code}]") from error
        self.stdout.write("Dry run: nothing was stored.")
        labels = dict(Outcome.choices)
        for outcome, count in found.summary.items():
            if count:
                self.stdout.write(f"  {count:>6}  {labels[outcome]}")
        for file in found.files:
            if file.outcome not in TAKEN or file.message:
                self.stdout.write(f"  {file.outcome:<12} {file.name}\n{'':15}{file.code or file.kind}: {file.message}")
        for series in found.series:
            self._show_series(series)

    def _show_series(self, series: RehearsedSeries) -> None:
        said = series.assessment
        if said is None:
            self.stdout.write(f"  series {series.series_instance_uid}: as it is held, nothing new")
            return
        shape = said.grid["shape"] if said.grid is not None else []
        size = " x ".join(str(length) for length in shape) if isinstance(shape, list) else ""
        label = SeriesState(said.state).label
        self.stdout.write(f"  series {series.series_instance_uid}: {label} {size}".rstrip())
        for finding in said.verdict:
            self.stdout.write(f"{'':15}{finding['severity']} {finding['code']}: {finding['message']}")

    def _project(self, key: str, title: str) -> Project:
        known = Project.objects.filter(key=key).first()
        if known is not None:
            return known
        return create_project(
            key=key, title=title or key, actor=OPERATOR, reason="the first delivery for it was handed in"
        )

    def _work(self, project: Project, *, workers_only: bool) -> None:
        with tqdm(desc="ingest", unit="file", dynamic_ncols=True, miniters=0) as bar:

            def show(progress: ProjectProgress) -> None:
                if progress.running:
                    first = progress.running[0]
                    bar.total, bar.n = first.total, first.done
                    bar.set_postfix_str(first.note, refresh=False)
                elif progress.open == 0 and bar.total:
                    bar.n = bar.total
                    bar.set_postfix_str("done", refresh=False)
                bar.update(0)

            if workers_only:
                wait_for_workers(project_key=project.key, on_progress=show)
            else:
                drain(project_key=project.key, on_progress=show)

    def _report(self, project: Project, ingest: Ingest) -> None:
        labels = dict(Outcome.choices)
        for outcome, count in ingest.summary.items():
            if count:
                self.stdout.write(f"  {count:>6}  {labels[outcome]}")
        for item in items_of(ingest).exclude(outcome__in=TAKEN):
            self.stdout.write(f"  {item.outcome:<12} {item.name}\n{'':15}{item.code}: {item.message}")
        for item in items_of(ingest).filter(outcome=Outcome.STORED).exclude(message=""):
            self.stdout.write(f"  {item.kind:<12} {item.name}\n{'':15}{item.message}")
        for series in series_of(project):
            shape = "" if series.grid is None else " x ".join(str(size) for size in series.grid["shape"])
            self.stdout.write(
                f"  series {series.series_instance_uid}: {SeriesState(series.state).label} {shape}".rstrip()
            )
