"""Asking for an evaluation of a model on the golden set, and storing what it measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from compliance.models import Event
from compliance.recording import Actor, change, record_event
from imaging.evaluation.froc import Detection, Scan
from qaservice.analysis.external import register_external
from qaservice.analysis.fitness import Judgement, judge, threshold_of
from qaservice.analysis.golden import golden_cases, golden_digest, truths_of
from qaservice.analysis.measuring import Measured, measure
from qaservice.analysis.models import FitnessEvaluation, FitnessOutcome, GoldenCase, GoldenResult, QAModel
from qaservice.analysis.services import register_model, software_versions
from qaservice.common import clock
from qaservice.common.errors import Conflict
from qaservice.jobs.models import Job
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.storage.services import store_blobs, write_bytes

EVALUATION_KIND = "analysis.evaluation"
PLOT_TYPE = "image/svg+xml"
LUNA16_SMALLEST_MM = 3.0
"""What is counted where the project has set no threshold that says so."""


def request_evaluation(
    *, project: Project, actor: Actor, reason: str, predictions: str = "", model: QAModel | None = None
) -> Job:
    """Queue an evaluation on the golden set as it stands: of ``model``, of the algorithm whose imported predictions
    ``predictions`` names, or of the shipped model.

    Raises Conflict ``no-golden-set`` where there is no case, and as registering a model does.
    """
    cases = list(golden_cases(project=project))
    if not cases:
        raise Conflict("the project has no golden set; add cases with known truth first", code="no-golden-set")
    why = "needed by an evaluation"
    if predictions.strip():
        model = register_external(project=project, name=predictions, actor=actor, reason=why)
    elif model is None:
        model = register_model(bundle=settings.MODEL_BUNDLE, actor=actor, reason=why)
    elif model.external:
        raise Conflict("name the predictions of a model that predicts elsewhere", code="predictions-not-named")
    with transaction.atomic():
        request = record_event(
            "fitness.requested",
            actor=actor,
            reason=reason,
            subject=("model", str(model.pk)),
            project_key=project.key,
            payload={
                "model": str(model.pk),
                "model_sha256": model.bundle_sha256,
                "predictions": predictions.strip()[:200],
                "golden_sha256": golden_digest(cases),
                "cases": [str(case.pk) for case in cases],
            },
        )
        return enqueue(
            kind=EVALUATION_KIND,
            subject_id=str(request),
            project_key=project.key,
            dedupe_key=f"{EVALUATION_KIND}:{request}",
        )


def store_evaluation(
    *,
    request: Event,
    project: Project,
    model: QAModel,
    cases: Sequence[GoldenCase],
    results: Mapping[UUID, GoldenResult],
    complete: Callable[[], None],
) -> FitnessEvaluation:
    """Measure what the model said of the cases, judge it by the project's threshold and store both.

    ``results`` by the case's key. Cases that were left out prove nothing and count nowhere; one on which the model was
    silent counts, and its nodules are missed. ``complete`` marks the job done in the storing transaction.
    """
    project.refresh_from_db()
    threshold = threshold_of(project.fitness_threshold)
    counted = [case for case in cases if not results[case.pk].left_out_because]
    points = [results[case.pk].threshold for case in counted if results[case.pk].threshold is not None]
    measured = measure(
        scans=[_scan(case, results[case.pk]) for case in counted],
        patients={str(case.pk): case.series.study.patient_key or str(case.series.study_id) for case in counted},
        threshold=points[0] if points else None,
        smallest_mm=threshold.smallest_mm if threshold else LUNA16_SMALLEST_MM,
    )
    if threshold is None:
        judged = Judgement(FitnessOutcome.NO_THRESHOLD, "the project had set no fitness threshold")
    else:
        judged = judge(point=measured.point, threshold=threshold)
    written = {name: write_bytes(data=data, media_type=PLOT_TYPE) for name, data in measured.plots.items()}
    evaluation = FitnessEvaluation(
        project=project,
        model=model,
        request=request.pk,
        golden_sha256=request.payload["golden_sha256"],
        cases=[_case_entry(case, results[case.pk]) for case in cases],
        threshold=project.fitness_threshold,
        figures=measured.figures,
        plots={name: item.sha256 for name, item in written.items()},
        outcome=judged.outcome,
        why=judged.why[:500],
        software=dict(software_versions()),
        created_at=clock.now(),
    )
    with change(
        "fitness.evaluated",
        actor=Actor(id=request.actor_id, name=request.actor_name, role=request.actor_role, simulated=request.simulated),
        reason=request.reason,
        subject=("model", str(model.pk)),
        project_key=project.key,
        payload=_told(evaluation, measured),
    ) as running:
        # The project's row is the queue in which two evaluations get two numbers.
        Project.objects.select_for_update().get(pk=project.pk)
        last = FitnessEvaluation.objects.filter(project=project).aggregate(last=Max("number"))["last"]
        evaluation.number = (last or 0) + 1
        running.payload["number"] = evaluation.number
        store_blobs(items=list(written.values()))
        evaluation.save()
        complete()
    return evaluation


def _scan(case: GoldenCase, result: GoldenResult) -> Scan:
    return Scan(
        scan_id=str(case.pk),
        truths=truths_of(case),
        detections=tuple(
            Detection(centre_mm=(one["centre_mm"][0], one["centre_mm"][1], one["centre_mm"][2]), confidence=one["p"])
            for one in result.candidates
        ),
    )


def _case_entry(case: GoldenCase, result: GoldenResult) -> dict[str, object]:
    return {
        "case": str(case.pk),
        "series_instance_uid": case.series.series_instance_uid,
        "truth_sha256": result.truth_sha256,
        "input_sha256": result.input_sha256,
        "nodules": case.nodules,
        "synthetic": case.synthetic,
        "silent_because": result.silent_because,
        "left_out_because": result.left_out_because,
    }


def _told(evaluation: FitnessEvaluation, measured: Measured) -> dict[str, object]:
    """Return what the record says of an evaluation; fractions as text."""
    point = measured.point
    return {
        "model_sha256": evaluation.model.bundle_sha256,
        "golden_sha256": evaluation.golden_sha256,
        "threshold": dict(evaluation.threshold),
        "outcome": str(evaluation.outcome),
        "why": evaluation.why,
        "found": None if point is None else f"{point.found}/{point.nodules}",
        "false_positives_a_scan": None if point is None else f"{point.false_positives.estimate:.4f}",
    }
