"""Registering models and asking for runs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.db.models import Max

from compliance.recording import Actor, change
from imaging.checks.base import CHEST_CT_NODULES
from imaging.errors import BundleError
from imaging.inference.bundle import load_bundle
from qaservice.analysis.approvals import require_runnable
from qaservice.analysis.calibration import calibration_record
from qaservice.analysis.external import register_external
from qaservice.analysis.fitness import standing_of
from qaservice.analysis.models import AnalysisRun, Fitness, QAModel, RunStanding, RunState
from qaservice.analysis.selectors import registered_model
from qaservice.analysis.states import RUN
from qaservice.common.errors import Conflict, Unavailable
from qaservice.common.transitions import step
from qaservice.jobs.models import JobState
from qaservice.jobs.selectors import jobs_of
from qaservice.jobs.services import enqueue, request_cancel
from qaservice.labels.services import fix_dataset_version
from qaservice.projects.models import Project

START_KIND = "analysis.run"
RECORDED_PACKAGES = (
    "label-qa",
    "torch",
    "monai",
    "openvino",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "cleanlab",
    "SimpleITK",
    "pydicom",
    "highdicom",
    "django",
)


def register_model(*, bundle: Path, actor: Actor, reason: str) -> QAModel:
    """Register the MONAI bundle at ``bundle``, pinned by the digest over all its files; return a known one as it is.

    Raises Unavailable where the bundle is incomplete or altered.
    """
    try:
        identity = load_bundle(bundle, expected_sha256=None).identity
    except BundleError as error:
        raise Unavailable(f"the model bundle cannot be used: {error.message}", code=error.code) from error
    known = QAModel.objects.filter(bundle_sha256=identity.bundle_sha256).first()
    if known is not None:
        return known
    model = QAModel(
        name=identity.name,
        version=identity.version,
        bundle_sha256=identity.bundle_sha256,
        metadata=json.loads((bundle / "configs" / "metadata.json").read_text()),
        model_card=(bundle / "docs" / "README.md").read_text(),
    )
    with change(
        "model.registered",
        actor=actor,
        reason=reason,
        subject=("model", str(model.pk)),
        payload={"bundle_sha256": model.bundle_sha256, "name": model.name, "version": model.version},
    ):
        model.save()
    return model


def request_run(
    *, project: Project, actor: Actor, reason: str, predictions: str = "", model_name: str = ""
) -> AnalysisRun:
    """Fix the dataset as it stands, and queue a run of the shipped model and all checks over it.

    ``predictions`` names an algorithm whose imported predictions are to speak in the model's place, ``model_name`` a
    registered bundle (see ``registered_model``). Raises Conflict where another run of the project is still under way,
    there is nothing to analyse, no or several algorithms or bundles of that name are known here, both are named, or
    the bundle is other people's and this project has not approved it.
    """
    if predictions.strip() and model_name.strip():
        raise Conflict("name a model or imported predictions, not both", code="two-opinions-named")
    if model_name.strip():
        model = registered_model(name=model_name)
        require_runnable(project=project, model=model)
    elif predictions.strip():
        model = register_external(project=project, name=predictions, actor=actor, reason="needed by an analysis run")
    else:
        model = register_model(bundle=settings.MODEL_BUNDLE, actor=actor, reason="needed by an analysis run")
    under_way = AnalysisRun.objects.filter(project=project, state__in=[RunState.QUEUED, RunState.RUNNING]).first()
    if under_way is not None:
        raise Conflict(f"{under_way} of this project is still {under_way.state}", code="run-under-way")
    version = fix_dataset_version(project=project, note="as analysed", actor=actor, reason=reason)
    if version.series_count == 0:
        raise Conflict("there is no accepted series with labels to analyse", code="nothing-to-analyse")
    run = AnalysisRun(
        project=project,
        dataset_version=version,
        model=model,
        external_predictions=predictions.strip()[:200],
        parameters=asdict(CHEST_CT_NODULES),
        software=dict(software_versions()),
    )
    with change(
        "run.requested",
        actor=actor,
        reason=reason,
        subject=("run", str(run.pk)),
        project_key=project.key,
        payload={
            "dataset_version": version.number,
            "model": model.bundle_sha256,
            "external_predictions": run.external_predictions,
        },
    ) as running:
        # The project's row is the queue in which two requests get two numbers.
        Project.objects.select_for_update().get(pk=project.pk)
        last = AnalysisRun.objects.filter(project=project).aggregate(last=Max("number"))["last"]
        run.number = (last or 0) + 1
        run.save()
        standing = standing_of(project=project, model=model)
        RunStanding(
            run=run,
            fitness=standing.fitness,
            why=standing.why[:500],
            evaluation=standing.evaluation if standing.fitness != Fitness.UNPROVEN else None,
        ).save()
        running.payload["fitness"] = str(standing.fitness)
        calibration_record(run=run).save()
        enqueue(
            kind=START_KIND,
            subject_id=str(run.pk),
            project_key=project.key,
            dedupe_key=f"{START_KIND}:{run.pk}",
        )
    return run


def cancel_run(*, run: AnalysisRun, actor: Actor, reason: str) -> AnalysisRun:
    """Cancel a run: what was computed stays, what waits is taken back, what runs stops at its next report."""
    with change("run.cancelled", actor=actor, reason=reason, subject=("run", str(run.pk)), project_key=run.project.key):
        cancelled = step(run, machine=RUN, name="cancel", expected_revision=run.revision)
    waiting = jobs_of(run.project.key).filter(
        subject_id__startswith=str(run.pk), state__in=[JobState.QUEUED, JobState.RUNNING]
    )
    for job_id in list(waiting.values_list("pk", flat=True)):
        request_cancel(job_id=job_id)
    return cancelled


def software_versions() -> Mapping[str, str]:
    """Return the versions of what computes a result, read from the installation without importing it."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
