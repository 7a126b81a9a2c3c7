"""Signatures of a project: what is signed, what waits to be signed, and the page on which a person signs."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from qaservice.common.errors import Conflict, NotFound, ServiceError
from qaservice.labels.models import DatasetVersion
from qaservice.portal.access import Visit, page, sentence, show, status_of, visit
from qaservice.portal.paging import paged
from qaservice.reports.models import ValidationReport
from qaservice.reports.signing import DATASET_VERSION, REPORT, REPORTS, approval_of
from qaservice.signatures.readiness import steps_of
from qaservice.signatures.selectors import certification, confirmed_factor, intent_of, signatures_in, signatures_on
from qaservice.signatures.services import needs_code, offers, prepare, require_usable, sign
from qaservice.signatures.signables import SignableRecord, load_record, signable_of
from qaservice.signatures.standing import judged

NEWEST = 5


@require_GET
@page
def signatures(request: HttpRequest, key: str) -> HttpResponse:
    """The newest reports and dataset versions with where they stand, and every signature of the project."""
    here = visit(request, key=key, action="export")
    rows = paged(request, signatures_in(project=here.project))
    reports = ValidationReport.objects.filter(project=here.project).order_by("-number")[:NEWEST]
    versions = DatasetVersion.objects.filter(project=here.project).order_by("-number")[:NEWEST]
    return show(
        request,
        here,
        "signatures.html",
        {
            "rows": rows,
            "judged": judged(rows.page),
            "reports": [(report, approval_of(report)) for report in reports],
            "versions": [
                (version, judged(signatures_on(subject_type=DATASET_VERSION, subject_id=str(version.pk))))
                for version in versions
            ],
            "meanings": len(REPORTS.meanings),
            "steps": steps_of(user=here.user),
            "ready": all(one.done for one in steps_of(user=here.user)),
            "certification": certification(),
        },
    )


@require_GET
@page
def signed_record(request: HttpRequest, key: str, subject_type: str, subject_id: uuid.UUID) -> HttpResponse:
    """One record that can be signed: its content, its signatures, and what this person could sign."""
    here = visit(request, key=key, action="export")
    record = _record(here, subject_type, str(subject_id))
    on_it = judged(signatures_on(subject_type=subject_type, subject_id=str(subject_id)))
    report = ValidationReport.objects.filter(pk=subject_id).first() if subject_type == REPORT else None
    return show(
        request,
        here,
        "signed_record.html",
        {
            "record": record,
            "judged": on_it,
            "offers": offers(user=here.user, record=record),
            "ready": all(one.done for one in steps_of(user=here.user)),
            "report": report,
            "approval": approval_of(report) if report is not None else None,
        },
    )


@require_POST
@page
def prepare_signing(request: HttpRequest, key: str, subject_type: str, subject_id: uuid.UUID) -> HttpResponseBase:
    """Put a record before the person, and lead to the page on which it is signed."""
    here = visit(request, key=key, action="export")
    _record(here, subject_type, str(subject_id))
    try:
        intent = prepare(
            user=here.user,
            session=request.session,
            subject_type=subject_type,
            subject_id=str(subject_id),
            meaning=request.POST.get("meaning", ""),
        )
    except ServiceError as error:
        messages.error(request, sentence(error.message))
        return redirect("portal:signed-record", key, subject_type, subject_id)
    return redirect("portal:sign", key, intent.pk)


@require_http_methods(["GET", "POST"])
@page
def sign_page(request: HttpRequest, key: str, intent_id: uuid.UUID) -> HttpResponseBase:
    """What is about to be signed, in full, and the proof of who signs it."""
    here = visit(request, key=key, action="export")
    intent = intent_of(user=here.user, intent_id=intent_id)
    if intent is None or intent.project_id != here.project.pk:
        raise NotFound("there is nothing of that kind for you to sign", code="no-such-intent")
    back = reverse("portal:signed-record", args=[key, intent.subject_type, intent.subject_id])
    problem, status = "", 200
    try:
        require_usable(intent)
        if request.method == "POST":
            given = sign(
                user=here.user,
                session=request.session,
                intent_id=intent.pk,
                password=request.POST.get("password", ""),
                code=request.POST.get("code", ""),
            )
            messages.success(request, f"Signed: {given.meaning_words}, by {given.printed_name}.")
            return redirect(back)
    except Conflict as error:
        messages.error(request, sentence(error.message))
        return redirect(back)
    except ServiceError as error:
        problem, status = sentence(error.message), status_of(error)
    factor = confirmed_factor(user=here.user)
    context = {
        "intent": intent,
        "record": _record(here, intent.subject_type, intent.subject_id),
        "meaning": signable_of(intent.subject_type).meaning(intent.meaning),
        "asks_code": factor is None or needs_code(session=request.session, factor=factor),
        "problem": problem,
        "back": back,
    }
    return show(request, here, "sign.html", context, status=status)


def _record(here: Visit, subject_type: str, subject_id: str) -> SignableRecord:
    record = load_record(subject_type=subject_type, subject_id=subject_id)
    if record.project.pk != here.project.pk:
        raise NotFound("there is no such record in this project", code="no-such-record")
    return record
