"""The job that measures a model on the golden set, case by case; killed, it goes on after the last stored case."""

from __future__ import annotations

from uuid import UUID

from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.analysis.evaluations import EVALUATION_KIND, store_evaluation
from qaservice.analysis.leakage import independence_of
from qaservice.analysis.models import GoldenCase, GoldenResult, Independence, QAModel
from qaservice.analysis.opinions import opinion_of
from qaservice.jobs.registry import JobContext, executor
from qaservice.projects.models import Project
from qaservice.studies.selectors import volume_of

PARTS = 100
"""Parts of a case for the progress bar: a case takes seconds to minutes."""


@executor(EVALUATION_KIND)
def evaluate(context: JobContext) -> None:
    """Have the model look at every golden case that it was not trained on, then measure and judge it."""
    request = Event.objects.get(pk=context.subject_id)
    project = Project.objects.get(key=request.project_key)
    model = QAModel.objects.get(pk=request.payload["model"])
    # The set as it was when it was asked for: a case withdrawn since changes what the evaluation is good for, not it.
    cases = list(
        GoldenCase.objects.filter(pk__in=request.payload["cases"])
        .select_related("series__study", "series__project", "dataset_version", "annotation_set")
        .order_by("series__series_instance_uid")
    )
    results: dict[UUID, GoldenResult] = {one.case_id: one for one in GoldenResult.objects.filter(request=request.pk)}
    for number, case in enumerate(cases):
        if case.pk not in results:
            results[case.pk] = _look(context, request, project, model, case, number, len(cases))
    store_evaluation(
        request=request, project=project, model=model, cases=cases, results=results, complete=context.complete
    )


def _look(
    context: JobContext,
    request: Event,
    project: Project,
    model: QAModel,
    case: GoldenCase,
    number: int,
    total: int,
) -> GoldenResult:
    def report(done: int, parts: int) -> None:
        within = PARTS * done // max(1, parts)
        context.progress(number * PARTS + within, total * PARTS, f"golden case {number + 1} of {total}")

    report(0, 1)
    result = GoldenResult(request=request.pk, case=case, truth_sha256=case.truth_sha256, candidates=[])
    known = independence_of(model=model, series=case.series)
    if known.independence == Independence.NOT_INDEPENDENT:
        result.left_out_because = known.why
    else:
        opinion = opinion_of(
            model=model,
            predictions=request.payload["predictions"],
            project=project,
            series=case.series,
            volume=volume_of(case.series),
            places=(),
            progress=report,
        )
        result.input_sha256 = opinion.input_sha256
        result.silent_because = opinion.abstained_because[:500]
        result.threshold = opinion.threshold
        if opinion.prediction is not None:
            result.candidates = [
                {"centre_mm": list(one.centre_mm), "p": one.probability} for one in opinion.prediction.candidates
            ]
    with change(
        "golden.read",
        actor=SYSTEM,
        reason="a model is measured on the golden set",
        subject=("series", str(case.series_id)),
        project_key=project.key,
        payload={
            "request": str(request.pk),
            "model_sha256": model.bundle_sha256,
            "left_out": known.why if result.left_out_because else "",
        },
    ):
        context.fence()
        result.save()
    return result
