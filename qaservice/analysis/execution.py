"""The steps of an analysis run as jobs: start, one for each series, then the dataset as a whole, and the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compliance.recording import SYSTEM, change
from imaging.checks.base import parameters_from_record
from imaging.masks.place import centre_of
from imaging.pipeline import AnalysisParameters, analyse
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import Case, Category, PointMm, Rejection
from qaservice.analysis import evaluating  # noqa: F401  # its executor is registered where jobs look for one
from qaservice.analysis.calibration import recalibration_of_run
from qaservice.analysis.dataset_pass import check_dataset
from qaservice.analysis.facts import keep_facts, measured_facts, written_facts
from qaservice.analysis.leakage import independence_of
from qaservice.analysis.models import AnalysisRun, Independence, RunState, SeriesResult, SeriesStanding
from qaservice.analysis.opinions import no_opinion, opinion_of
from qaservice.analysis.results import store_result
from qaservice.analysis.services import START_KIND
from qaservice.analysis.states import RUN
from qaservice.common.transitions import step
from qaservice.jobs.models import Job
from qaservice.jobs.registry import JobContext, executor
from qaservice.jobs.services import enqueue
from qaservice.labels.selectors import annotation_sets_of, series_of_version, standing_sets
from qaservice.projects.models import LeakagePolicy
from qaservice.studies.models import Series
from qaservice.studies.selectors import volume_of

SERIES_KIND = "analysis.series"
DATASET_KIND = "analysis.dataset"
FINISH_KIND = "analysis.finish"


def _run_stopped(job: Job) -> None:
    """A step of the run ended without a result: so does the run, saying why."""
    run = AnalysisRun.objects.select_related("project").get(pk=job.subject_id.split(":")[0])
    if run.state not in {RunState.QUEUED, RunState.RUNNING}:
        return
    why = job.error or "a step was cancelled"
    with change(
        "run.failed",
        actor=SYSTEM,
        reason=f"the step {job.kind} ended without a result",
        subject=("run", str(run.pk)),
        project_key=run.project.key,
        payload={"error": why, "code": job.error_code},
    ):
        step(run, machine=RUN, name="fail", expected_revision=run.revision, changes={"failure": why[:500]})


@executor(START_KIND, on_stopped=_run_stopped)
def start_run(context: JobContext) -> None:
    """Mark the run as running and queue one step for each series of its dataset version."""
    run = AnalysisRun.objects.select_related("project", "dataset_version").get(pk=context.subject_id)
    series = series_of_version(version=run.dataset_version)
    with change(
        "run.started",
        actor=SYSTEM,
        reason="a worker took the run",
        subject=("run", str(run.pk)),
        project_key=run.project.key,
        payload={"series": len(series)},
    ):
        step(run, machine=RUN, name="start", expected_revision=run.revision)
        for one in series:
            subject = f"{run.pk}:{one.pk}"
            enqueue(
                kind=SERIES_KIND,
                subject_id=subject,
                project_key=run.project.key,
                dedupe_key=f"{SERIES_KIND}:{subject}",
            )
        context.complete()


@executor(SERIES_KIND, on_stopped=_run_stopped)
def analyse_series(context: JobContext) -> None:
    """Predict, check, and store the result of one series; the last one queues the end of the run."""
    run_id, series_id = context.subject_id.split(":")
    run = AnalysisRun.objects.select_related("project", "model", "dataset_version").get(pk=run_id)
    series = Series.objects.select_related("study").get(pk=series_id)
    volume = volume_of(series)
    sets = annotation_sets_of(series=series)
    known = independence_of(model=run.model, series=series)
    refused = known.independence == Independence.NOT_INDEPENDENT and run.project.leakage_policy == LeakagePolicy.REFUSE
    if refused:
        opinion = no_opinion(model=run.model, volume=volume, because=f"it was not asked: {known.why}")
    else:
        opinion = opinion_of(
            model=run.model,
            predictions=run.external_predictions,
            project=run.project,
            series=series,
            volume=volume,
            places=_places(sets),
            progress=lambda done, total: context.progress(done, total, "QA model"),
        )
    parameters = AnalysisParameters(
        checks=parameters_from_record(record=run.parameters), recalibration=recalibration_of_run(run=run)
    )
    case = Case(
        volume=volume,
        annotation_sets=sets,
        prediction=opinion.prediction,
        import_rejections=_import_rejections(series),
    )
    outcome = analyse(case=case, parameters=parameters)
    # What the checks say without the model tells which flags rest on it.
    alone = outcome
    if opinion.prediction is not None and outcome.issues:
        alone = analyse(case=replace(case, prediction=None), parameters=parameters)
    facts = measured_facts(
        case=case, series=series, abstained_because="" if refused or opinion.prediction else opinion.abstained_because
    )
    written = written_facts(facts)

    def complete() -> None:
        keep_facts(run=run, series=series, written=written)
        _complete(context=context, run=run)

    store_result(
        run=run,
        series=series,
        opinion=opinion,
        outcome=outcome,
        without_model=alone.issues,
        independence=SeriesStanding(
            run=run, series=series, independence=known.independence, why=known.why[:500], refused=refused
        ),
        complete=complete,
    )


@executor(DATASET_KIND, on_stopped=_run_stopped)
def check_series_together(context: JobContext) -> None:
    """Check the dataset as a whole, once every series of it has its result, and queue the end of the run."""
    run = AnalysisRun.objects.select_related("project", "model", "dataset_version").get(pk=context.subject_id)

    def complete() -> None:
        context.complete()
        _queue(kind=FINISH_KIND, run=run)

    check_dataset(run=run, progress=context.progress, complete=complete)


@executor(FINISH_KIND, on_stopped=_run_stopped)
def finish_run(context: JobContext) -> None:
    """Close the run once every series of its dataset version has a result."""
    run = AnalysisRun.objects.select_related("project").get(pk=context.subject_id)
    with change(
        "run.completed",
        actor=SYSTEM,
        reason="every series has a result",
        subject=("run", str(run.pk)),
        project_key=run.project.key,
        payload={"series": SeriesResult.objects.filter(run=run).count()},
    ):
        step(run, machine=RUN, name="complete", expected_revision=run.revision)
        context.complete()


def _places(sets: Sequence[ImagingSet]) -> list[PointMm]:
    """Return where the model is asked for an outline: where somebody outlined a nodule."""
    return sorted(
        {
            centre_of(finding)
            for one in sets
            for finding in one.findings
            if finding.mask is not None and finding.category is not Category.STRUCTURE
        }
    )


def _complete(*, context: JobContext, run: AnalysisRun) -> None:
    """Mark the step done and, behind the barrier, queue the checks of the whole dataset; the project's row is locked
    by the caller."""
    context.complete()
    if SeriesResult.objects.filter(run=run).count() == run.dataset_version.series_count:
        _queue(kind=DATASET_KIND, run=run)


def _queue(*, kind: str, run: AnalysisRun) -> None:
    enqueue(kind=kind, subject_id=str(run.pk), project_key=run.project.key, dedupe_key=f"{kind}:{run.pk}")


def _import_rejections(series: Series) -> tuple[Rejection, ...]:
    """What the series' label sources said that could not be taken; the first subject is the set it was said in."""
    return tuple(
        Rejection(code=one["code"], message=one["message"], subjects=(str(row.pk), *one["subjects"]))
        for row in standing_sets(series=series)
        for one in row.rejections
    )
