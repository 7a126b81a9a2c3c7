"""``manage.py evaluate_model --project P``: measure a model on the golden set, judge it by the threshold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from compliance.recording import OPERATOR
from qaservice.analysis.evaluations import request_evaluation
from qaservice.analysis.fitness import standing_of
from qaservice.analysis.models import FitnessEvaluation
from qaservice.analysis.selectors import registered_model
from qaservice.common.errors import ServiceError
from qaservice.jobs.runner import drain, wait_for_workers
from qaservice.jobs.selectors import ProjectProgress, progress_of
from qaservice.projects.selectors import project_by_key


class Command(BaseCommand):
    help = "Measure a model on the project's golden set: the shipped one, unless another is named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="key of the project")
        parser.add_argument(
            "--model", default="", metavar="NAME", help="a registered bundle, with its version if needed"
        )
        parser.add_argument(
            "--predictions", default="", metavar="NAME", help="an algorithm whose imported predictions are measured"
        )
        parser.add_argument("--reason", default="evaluation asked for on the command line")
        parser.add_argument(
            "--workers-only", action="store_true", help="leave the work to running workers and wait for them"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            project = project_by_key(key=options["project"])
            before = progress_of(project.key).ended
            job = request_evaluation(
                project=project,
                actor=OPERATOR,
                reason=options["reason"],
                predictions=options["predictions"],
                model=registered_model(name=options["model"]) if options["model"] else None,
            )
        except ServiceError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        with tqdm(desc="evaluate", unit="step", dynamic_ncols=True, miniters=0) as bar:

            def show(progress: ProjectProgress) -> None:
                bar.total = progress.total - before
                bar.n = round(progress.ended - before + progress.underway, 2)
                bar.set_postfix_str(progress.note, refresh=False)
                bar.update(0)

            if options["workers_only"]:
                wait_for_workers(project_key=project.key, on_progress=show)
            else:
                drain(project_key=project.key, on_progress=show)
        evaluation = FitnessEvaluation.objects.select_related("model").filter(request=job.subject_id).first()
        if evaluation is None:
            job.refresh_from_db()
            raise CommandError(f"the evaluation is {job.state}: {job.error or 'see the jobs'}")
        self._tell(evaluation)
        project.refresh_from_db()
        standing = standing_of(project=project, model=evaluation.model)
        self.stdout.write(f"{evaluation.model}: {standing.fitness} ({standing.why})")

    def _tell(self, evaluation: FitnessEvaluation) -> None:
        figures = evaluation.figures
        left_out = [one for one in evaluation.cases if one["left_out_because"]]
        if "not_measured" in figures:
            self.stdout.write(f"  not measured: {figures['not_measured']}")
        else:
            found, false = figures["sensitivity"], figures["false_positives_a_scan"]
            self.stdout.write(
                f"  sensitivity {found['estimate']:.3f} ({figures['found']}/{figures['nodules']}; 95 % "
                f"{found['lower']:.3f} to {found['upper']:.3f}), false positives a scan {false['estimate']:.2f} "
                f"({false['lower']:.2f} to {false['upper']:.2f}), mean of LUNA16's points {figures['froc']['cpm']:.3f}"
            )
            for row in figures["by_size"]:
                upper = "" if row["upper_mm"] is None else f" to {row['upper_mm']:g}"
                self.stdout.write(f"  {row['lower_mm']:g}{upper} mm: {row['found']}/{row['total']}")
        if left_out:
            self.stdout.write(f"  {len(left_out)} cases left out: {left_out[0]['left_out_because']}")
        self.stdout.write(f"{evaluation}: {evaluation.get_outcome_display()}; {evaluation.why}")
