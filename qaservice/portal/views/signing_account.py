"""Becoming somebody who signs: second factor and attestation. For administrators: lost factors, the certification."""

from __future__ import annotations

import base64
import uuid
from datetime import date

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from compliance.rendering.qr import as_svg, qr_code
from qaservice.accounts.models import User
from qaservice.common.errors import InvalidInput, NotFound, ServiceError
from qaservice.portal.access import (
    administrator,
    carried_out,
    page,
    person,
    reason_of,
    sentence,
    show_site,
    status_of,
)
from qaservice.signatures.enrolment import (
    ATTESTATION_TEXT,
    ATTESTATION_VERSION,
    attest,
    begin_enrolment,
    certify,
    confirm_enrolment,
    revoke_lost_factor,
)
from qaservice.signatures.models import FactorState, SecondFactor
from qaservice.signatures.readiness import steps_of, valid_attestation
from qaservice.signatures.selectors import certification, living_factor

HOME = "portal:signing"


@require_GET
@page
def signing(request: HttpRequest) -> HttpResponse:
    """What one has done towards signing, and what is to be done next."""
    return render(request, "portal/signing.html", _context(person(request)))


@require_POST
@page
def enrol(request: HttpRequest) -> HttpResponseBase:
    """Hand out a second factor. Its secret is in this answer alone: the page cannot be opened again."""
    user = person(request)
    try:
        begun = begin_enrolment(user=user, password=request.POST.get("password", ""))
    except ServiceError as error:
        context = {**_context(user), "problem": sentence(error.message)}
        return render(request, "portal/signing.html", context, status=status_of(error))
    picture = base64.b64encode(as_svg(qr_code(begun.uri))).decode()
    return render(request, "portal/enrol.html", {"secret": begun.secret, "picture": picture})


@require_POST
@page
def confirm(request: HttpRequest) -> HttpResponseBase:
    """Put the second factor into force by a code of it."""
    user = person(request)

    def work() -> str:
        confirm_enrolment(user=user, password=request.POST.get("password", ""), code=request.POST.get("code", ""))
        return "Your second factor is confirmed."

    return carried_out(request, work=work, back=HOME)


@require_POST
@page
def attest_accountability(request: HttpRequest) -> HttpResponseBase:
    """Attest that one answers for one's signatures."""
    user = person(request)

    def work() -> str:
        if not request.POST.get("agreed"):
            raise InvalidInput("tick that you attest the text", code="not-attested")
        attest(
            user=user,
            password=request.POST.get("password", ""),
            code=request.POST.get("code", ""),
            version=request.POST.get("version", ""),
        )
        return "Your attestation is on record: you can sign."

    return carried_out(request, work=work, back=HOME)


@require_GET
@page
def factors(request: HttpRequest) -> HttpResponse:
    """Who has a second factor, and the site's certification to FDA; for administrators."""
    administrator(request)
    living = SecondFactor.objects.exclude(state=FactorState.REVOKED).select_related("user")
    context = {"factors": living.order_by("user__display_name"), "certification": certification()}
    return show_site(request, "factors.html", context)


@require_POST
@page
def revoke(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Revoke a lost second factor."""
    by = administrator(request)

    def work() -> str:
        user = User.objects.filter(pk=user_id).first()
        if user is None:
            raise NotFound("there is no such account", code="no-such-user")
        revoke_lost_factor(user=user, by=by, reason=reason_of(request))
        return (
            f"{user.display_name} can sign nothing until their identity was verified anew by another administrator "
            "and another factor is enrolled."
        )

    return carried_out(request, work=work, back="portal:factors")


@require_POST
@page
def note_certification(request: HttpRequest) -> HttpResponseBase:
    """Note the site's certification to FDA."""
    by = administrator(request)

    def work() -> str:
        try:
            sent_on = date.fromisoformat(request.POST.get("sent_on", ""))
        except ValueError as error:
            raise InvalidInput("write the day as YYYY-MM-DD", code="not-a-day") from error
        certify(
            reference=request.POST.get("reference", ""),
            sent_on=sent_on,
            actor=by.as_actor(role="administrator"),
            reason=reason_of(request),
        )
        return "The certification is on record."

    return carried_out(request, work=work, back="portal:factors")


def _context(user: User) -> dict[str, object]:
    steps = steps_of(user=user)
    factor = living_factor(user=user)
    return {
        "steps": steps,
        "done": {one.code: one.done for one in steps},
        "factor": factor,
        "attestation": valid_attestation(user=user),
        "text": ATTESTATION_TEXT,
        "version": ATTESTATION_VERSION,
    }
