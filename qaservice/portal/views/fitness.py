"""Model fitness: what a project asks of its models, what each was measured to do, and the golden set behind it."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from qaservice.analysis.evaluations import request_evaluation
from qaservice.analysis.fitness import evaluations_of, models_of, standings
from qaservice.analysis.golden import add_golden_case, golden_case, golden_cases, golden_digest, withdraw_golden_case
from qaservice.analysis.models import FitnessEvaluation, QAModel
from qaservice.analysis.releases import release_flags
from qaservice.analysis.standing import held_flags
from qaservice.common.errors import NotFound
from qaservice.jobs.selectors import progress_of
from qaservice.labels.models import AnnotationSet
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.projects.models import LeakagePolicy
from qaservice.projects.policies import FITNESS_TERMS
from qaservice.projects.services import set_policies
from qaservice.storage.selectors import read_blob

PLOTS = (
    ("froc", "Sensitivity against false positives a scan"),
    ("calibration", "Probability given against the share that were nodules"),
    ("by-size", "Sensitivity by size"),
)
# A picture is a document of its own: it may style itself, and fetch nothing.
PLOT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@require_GET
@page
def fitness(request: HttpRequest, key: str) -> HttpResponse:
    """Threshold, models with their standing, the newest evaluation or the one asked for, and the golden set."""
    here = visit(request, key=key, action="inspect")
    cases = list(golden_cases(project=here.project))
    evaluations = list(evaluations_of(project=here.project))
    number = request.GET.get("evaluation", "")
    shown = next((one for one in evaluations if number and str(one.number) == number), None)
    if number and shown is None:
        raise NotFound("there is no such evaluation", code="no-such-evaluation")
    shown = shown or (evaluations[0] if evaluations else None)
    threshold = here.project.fitness_threshold
    context = {
        "terms": [(name, meaning, threshold.get(name, "")) for name, meaning in FITNESS_TERMS.items()],
        "threshold": threshold,
        "leakage_choices": LeakagePolicy.choices,
        "models": standings(project=here.project, models=models_of(project=here.project)),
        "held": held_flags(project=here.project).count(),
        "cases": cases,
        "nodules": sum(case.nodules for case in cases),
        "synthetic": sum(case.synthetic for case in cases),
        "digest": golden_digest(cases) if cases else "",
        "evaluations": evaluations,
        "shown": shown,
        "plots": [(name, words) for name, words in PLOTS if shown is not None and name in shown.plots],
    }
    if here.may["analyse"]:
        context["progress"] = progress_of(here.project.key)
    return show(request, here, "fitness.html", context)


@require_GET
@page
def plot(request: HttpRequest, key: str, evaluation_id: uuid.UUID, name: str) -> HttpResponse:
    """One chart of an evaluation, as it was stored."""
    here = visit(request, key=key, action="inspect")
    evaluation = FitnessEvaluation.objects.filter(pk=evaluation_id, project=here.project).first()
    if evaluation is None or name not in evaluation.plots:
        raise NotFound("there is no such chart", code="no-such-chart")
    response = HttpResponse(read_blob(evaluation.plots[name]), content_type="image/svg+xml")
    response.headers["Content-Security-Policy"] = PLOT_POLICY
    return response


@require_POST
@page
def evaluate(request: HttpRequest, key: str) -> HttpResponseBase:
    """Have a model measured on the golden set."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        model = _wanted(request)
        predictions = f"{model.name} {model.version}".strip() if model is not None and model.external else ""
        request_evaluation(
            project=here.project,
            actor=here.actor("manage"),
            reason=reason_of(request),
            predictions=predictions,
            model=None if predictions else model,
        )
        return "The evaluation is queued; its figures appear here when every golden case has been looked at."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def set_threshold(request: HttpRequest, key: str) -> HttpResponseBase:
    """Say what a model must reach, and what becomes of data that it was trained on."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        given = {name: request.POST.get(name, "").strip() for name in FITNESS_TERMS}
        wanted: dict[str, object] = {"leakage_policy": request.POST.get("leakage_policy", here.project.leakage_policy)}
        wanted["fitness_threshold"] = given if any(given.values()) else {}
        set_policies(project=here.project, policies=wanted, actor=here.actor("manage"), reason=reason_of(request))
        return "This is what the project asks of its models now. Evaluations under another threshold no longer count."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def add_case(request: HttpRequest, key: str, set_id: uuid.UUID) -> HttpResponseBase:
    """Take a series into the golden set with one of its annotation sets as the truth."""
    here = visit(request, key=key, action="manage")
    truth = AnnotationSet.objects.select_related("series__project").filter(pk=set_id, project=here.project).first()
    if truth is None:
        raise NotFound("there is no such annotation set", code="no-such-set")
    row = truth

    def work() -> str:
        case = add_golden_case(
            series=row.series,
            annotation_set=row,
            synthetic=bool(request.POST.get("synthetic")),
            actor=here.actor("manage"),
            reason=reason_of(request),
        )
        return f"The series is a golden case; {row.reader_label} is its truth, with {case.nodules} nodules to be found."

    return carried_out(request, work=work, back=reverse("portal:series", args=[key, row.series_id]))


@require_POST
@page
def withdraw_case(request: HttpRequest, key: str, case_id: uuid.UUID) -> HttpResponseBase:
    """Take a case out of the golden set."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        case = golden_case(project=here.project, case_id=case_id)
        withdraw_golden_case(case=case, actor=here.actor("manage"), reason=reason_of(request))
        return "The case is no longer in the golden set; models have to be measured anew."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def release(request: HttpRequest, key: str) -> HttpResponseBase:
    """Let readers be asked about every flag that is held back."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        made = release_flags(project=here.project, actor=here.actor("manage"), reason=reason_of(request))
        return f"{len(made)} flag{'' if len(made) == 1 else 's'} released; assign open flags to ask readers about them."

    return carried_out(request, work=work, back=_back(key))


def _wanted(request: HttpRequest) -> QAModel | None:
    """Return the model of the form, None for the shipped one."""
    wanted = request.POST.get("model", "")
    if not wanted:
        return None
    model = QAModel.objects.filter(pk=wanted).first()
    if model is None:
        raise NotFound("there is no such model", code="no-such-model")
    return model


def _back(key: str) -> str:
    return reverse("portal:fitness", args=[key])
