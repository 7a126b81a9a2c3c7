"""Models: what others' bundles say, are, and can do, and whether their code may run in this project."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from qaservice.analysis.approvals import approve_model, withdraw_approval
from qaservice.analysis.described_models import model_view, model_views
from qaservice.analysis.foreign import register_upload
from qaservice.analysis.models import QAModel
from qaservice.analysis.selectors import models_known
from qaservice.common.errors import InvalidInput, NotFound, ServiceError
from qaservice.portal.access import Visit, carried_out, page, reason_of, sentence, show, status_of, visit


@require_http_methods(["GET", "POST"])
@page
def model_list(request: HttpRequest, key: str) -> HttpResponseBase:
    """Every registered model with its state here, and a form by which the lead registers another."""
    here = visit(request, key=key, action="inspect")
    problem, status = "", 200
    if request.method == "POST":
        try:
            model, known = _registered(request, here)
        except ServiceError as error:
            problem, status = sentence(error.message), status_of(error)
        else:
            told = f"{model} was registered before." if known else f"{model} is registered; nothing of it was run."
            messages.success(request, told)
            return redirect(reverse("portal:model", args=[key, model.pk]))
    context = {
        "models": model_views(project=here.project, looking=here.actor("inspect")),
        "problem": problem,
        "typed_reason": request.POST.get("reason", ""),
        "typed_output": request.POST.get("output", ""),
    }
    return show(request, here, "models.html", context, status=status)


@require_GET
@page
def model_page(request: HttpRequest, key: str, model_id: uuid.UUID) -> HttpResponse:
    """One model: what it says of itself, all its code with warnings, its files, and the decisions made here."""
    here = visit(request, key=key, action="inspect")
    looking = here.actor("manage") if here.may["manage"] else here.actor("inspect")
    view = model_view(model=_model(model_id), project=here.project, looking=looking)
    return show(request, here, "model.html", {"model": view})


@require_POST
@page
def approve(request: HttpRequest, key: str, model_id: uuid.UUID) -> HttpResponseBase:
    """Let the model's code run in this project."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        if request.POST.get("read") != "yes":
            raise InvalidInput("Say that you have read the bundle's code before you approve it.", code="code-not-read")
        model = _model(model_id)
        approve_model(
            project=here.project,
            model=model,
            bundle_sha256=request.POST.get("bundle_sha256", ""),
            actor=here.actor("manage"),
            reason=reason_of(request),
        )
        return f"{model} may run in this project."

    return carried_out(request, work=work, back=reverse("portal:model", args=[key, model_id]))


@require_POST
@page
def withdraw(request: HttpRequest, key: str, model_id: uuid.UUID) -> HttpResponseBase:
    """Take the approval back."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        model = _model(model_id)
        withdraw_approval(project=here.project, model=model, actor=here.actor("manage"), reason=reason_of(request))
        return f"{model} no longer runs in this project."

    return carried_out(request, work=work, back=reverse("portal:model", args=[key, model_id]))


def _registered(request: HttpRequest, here: Visit) -> tuple[QAModel, bool]:
    actor = here.actor("manage")
    upload = request.FILES.get("file")
    if upload is None:
        raise InvalidInput("choose the zip of a bundle", code="file-missing")
    registered = register_upload(
        stream=upload,
        filename=upload.name or "bundle",
        given=_given(request.POST.get("output", "")),
        actor=actor,
        reason=reason_of(request),
    )
    return registered.model, registered.known


def _given(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput("what the output means is not JSON", code="output-not-json") from error
    if not isinstance(given, dict):
        raise InvalidInput("what the output means is not a JSON object", code="output-not-json")
    return given


def _model(model_id: uuid.UUID) -> QAModel:
    model = models_known().filter(pk=model_id).first()
    if model is None:
        raise NotFound("there is no such model", code="no-such-model")
    return model
