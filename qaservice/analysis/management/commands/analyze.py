"""``manage.py analyze --project P``: run the QA model and all checks over the project's labels."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from compliance.recording import OPERATOR
from qaservice.analysis.models import RunState
from qaservice.analysis.selectors import flag_counts
from qaservice.analysis.services import request_run
from qaservice.common.errors import ServiceError
from qaservice.jobs.runner import drain, wait_for_workers
from qaservice.jobs.selectors import ProjectProgress, progress_of
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Analyse a project: QA model and all checks over its dataset as it stands."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument(
            "--predictions",
            default="",
            metavar="NAME",
            help="let the imported predictions of this algorithm speak in the place of the QA model",
        )
        parser.add_argument(
            "--model",
            default="",
            metavar="NAME",
            help="a registered model by name, name and version, or digest, in the place of the one that ships",
        )
        parser.add_argument("--reason", default="analysis asked for on the command line")
        parser.add_argument(
            "--workers-only", action="store_true", help="leave the work to running workers and wait for them"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            before = progress_of(project.key).ended
            run = request_run(
                project=project,
                actor=OPERATOR,
                reason=options["reason"],
                predictions=options["predictions"],
                model_name=options["model"],
            )
        except ServiceError as error:
            raise CommandError(error.message) from error
        with tqdm(desc="analyse", unit="step", dynamic_ncols=True, miniters=0) as bar:

            def show(progress: ProjectProgress) -> None:
                # Steps that ended before are an earlier day's work; a running one counts for what is done of it.
                bar.total = progress.total - before
                bar.n = round(progress.ended - before + progress.underway, 1)
                bar.set_postfix_str(progress.note, refresh=False)
                bar.update(0)

            if options["workers_only"]:
                wait_for_workers(project_key=project.key, on_progress=show)
            else:
                drain(project_key=project.key, on_progress=show)
        run.refresh_from_db()
        if run.state != RunState.COMPLETED:
            raise CommandError(f"{run} is {run.state}: {run.failure or 'see the jobs'}")
        counts = flag_counts(project=project)
        for check in sorted(counts):
            states = ", ".join(f"{number} {state}" for state, number in sorted(counts[check].items()))
            self.stdout.write(f"  {check:<22} {states}")
        self.stdout.write(f"{run} completed; model {run.model}")
