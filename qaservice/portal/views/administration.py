"""The site's own pages, for administrators: accounts, identities, locks, tokens, alerts. No project's data."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.models import Event
from qaservice.accounts.alerts import acknowledge, open_alerts
from qaservice.accounts.attempts import standing_locks, unlock
from qaservice.accounts.identity import current_identity, record_identity, withdraw_identity
from qaservice.accounts.models import Alert, DocumentKind, IdentityCheck, User, UserKind
from qaservice.accounts.passwords import reset_password, temporary_password
from qaservice.accounts.selectors import account_by_id, accounts, live_tokens, token_of
from qaservice.accounts.services import create_user, deactivate_user, issue_token, revoke_token
from qaservice.accounts.sessions import end_sessions, sessions_of
from qaservice.common.clock import now
from qaservice.common.errors import InvalidInput, NotFound, NotPermitted
from qaservice.portal.access import administrator, carried_out, page, reason_of, show_site
from qaservice.portal.paging import paged
from qaservice.portal.views.access import days_of
from qaservice.portal.views.registers import day_of, recorded_training
from qaservice.projects.models import Membership, Project
from qaservice.projects.register import register
from qaservice.signatures.reopening import reopen_account


@require_GET
@page
def people(request: HttpRequest) -> HttpResponse:
    """Every account, and a form to open one."""
    administrator(request)
    identified = set(IdentityCheck.objects.filter(withdrawn_at=None).values_list("user", flat=True))
    rows = paged(request, accounts())
    context = {"rows": rows, "identified": identified, "kinds": UserKind.choices}
    return show_site(request, "accounts.html", context)


@require_POST
@page
def open_account(request: HttpRequest) -> HttpResponseBase:
    """Open an account with a temporary password, which is shown this once."""
    boss = administrator(request)
    kind = request.POST.get("kind", UserKind.PERSON)
    if kind not in UserKind.values:
        raise InvalidInput(f"an account is one of: {', '.join(UserKind.values)}", code="no-such-kind")
    password = temporary_password() if kind == UserKind.PERSON else None
    user = create_user(
        username=request.POST.get("username", ""),
        display_name=request.POST.get("display_name", ""),
        email=request.POST.get("email", "").strip(),
        credentials=request.POST.get("credentials", "").strip(),
        kind=kind,
        password=password,
        is_administrator=request.POST.get("administrator") == "yes",
        password_is_temporary=True,
        actor=boss.as_actor(role="administrator"),
        reason=reason_of(request),
    )
    if password is None:
        return redirect("portal:account-of", user.pk)
    lines = (f"The account {user.username} is open. Its first login leads to a new password of the person's own.",)
    return _secret(request, user, what=f"Temporary password of {user.display_name}", secret=password, lines=lines)


@require_GET
@page
def account(request: HttpRequest, user_id: uuid.UUID) -> HttpResponse:
    """One account: what it may, where it is logged in, what became of it."""
    administrator(request)
    user = account_by_id(user_id=str(user_id))
    events = Event.objects.filter(subject_type="user", subject_id=str(user.pk), project_key="")
    context = {
        "who_is": user,
        "identity": current_identity(user=user),
        "checks": user.identity_checks.select_related("recorded_by").order_by("-recorded_at"),
        "locks": standing_locks(user=user),
        "sessions": sessions_of(user=user),
        "tokens": live_tokens(user=user),
        "memberships": Membership.objects.filter(user=user, active=True).select_related("project"),
        "entries": register(user=user),
        "events": events.order_by("-occurred_at", "-id")[:50],
        "document_kinds": DocumentKind.choices,
        "most_days": settings.TOKEN_MOST_DAYS,
        "today": now().date(),
    }
    return show_site(request, "account_of.html", context)


@require_POST
@page
def close(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Close an account at once."""

    def work(user: User, boss: User) -> str:
        if user.pk == boss.pk:
            raise NotPermitted("another administrator closes your account", code="own-account")
        if not user.is_active:
            raise InvalidInput("this account is closed already", code="account-closed")
        deactivate_user(user=user, actor=boss.as_actor(role="administrator"), reason=reason_of(request))
        return f"{user.username} is closed: its sessions and tokens have ended, and its name is never issued again."

    return _done(request, user_id, work)


@require_POST
@page
def reopen(request: HttpRequest, user_id: uuid.UUID) -> HttpResponse:
    """Open a closed account again, for the same person, with a temporary password that is shown this once."""
    boss, user = administrator(request), account_by_id(user_id=str(user_id))
    done = reopen_account(user=user, by=boss, reason=reason_of(request))
    lines = (
        "It opens nothing but the page on which it is changed, and signs nothing.",
        "The account has no role, no second factor and no verified identity any more: each is given anew.",
    )
    what = f"Temporary password of {user.display_name}"
    return _secret(request, user, what=what, secret=done.password, lines=lines)


@require_POST
@page
def reset(request: HttpRequest, user_id: uuid.UUID) -> HttpResponse:
    """Give somebody a temporary password, which is shown this once."""
    boss, user = administrator(request), account_by_id(user_id=str(user_id))
    done = reset_password(user=user, by=boss, reason=reason_of(request))
    lines = [
        "It opens nothing but the page on which it is changed, and signs nothing.",
        f"{done.sessions_ended} session{' was' if done.sessions_ended == 1 else 's were'} ended.",
    ]
    if done.tokens:
        lines.append(
            f"{done.tokens} token{' goes' if done.tokens == 1 else 's go'} on working; revoke what you do not trust."
        )
    return _secret(
        request, user, what=f"Temporary password of {user.display_name}", secret=done.password, lines=tuple(lines)
    )


@require_POST
@page
def lift_lock(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Lift the locks that failed attempts closed."""

    def work(user: User, boss: User) -> str:
        unlock(user=user, by=boss, reason=reason_of(request))
        return f"{user.display_name} can try again."

    return _done(request, user_id, work)


@require_POST
@page
def end_all(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """End every session of somebody."""

    def work(user: User, boss: User) -> str:
        ended = end_sessions(user=user, actor=boss.as_actor(role="administrator"), reason=reason_of(request))
        return f"{ended} session{' was' if ended == 1 else 's were'} ended."

    return _done(request, user_id, work)


@require_POST
@page
def identity(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Record that somebody's identity was verified."""

    def work(user: User, boss: User) -> str:
        record_identity(
            user=user,
            verified_by=request.POST.get("verified_by", ""),
            document_kind=request.POST.get("document_kind", ""),
            document_reference=request.POST.get("document_reference", ""),
            verified_on=day_of(request, "verified_on"),
            valid_until=day_of(request, "valid_until") if request.POST.get("valid_until", "").strip() else None,
            certification=request.POST.get("certification", ""),
            by=boss,
            reason=reason_of(request),
        )
        return f"The identity of {user.display_name} is on record."

    return _done(request, user_id, work)


@require_POST
@page
def identity_withdrawn(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Take the verification of an identity back."""

    def work(user: User, boss: User) -> str:
        check = user.identity_checks.select_related("user").filter(withdrawn_at=None).first()
        if check is None:
            raise NotFound("no verification stands on this account", code="no-identity")
        withdraw_identity(check=check, by=boss, reason=reason_of(request))
        return f"{user.display_name} can sign nothing until the identity was verified anew."

    return _done(request, user_id, work)


@require_POST
@page
def give_token(request: HttpRequest, user_id: uuid.UUID) -> HttpResponse:
    """Issue a token for an integration or a simulated actor; a person issues their own."""
    boss, user = administrator(request), account_by_id(user_id=str(user_id))
    if user.kind == UserKind.PERSON:
        raise NotPermitted("a person issues their own tokens: nobody else acts as them", code="own-tokens-only")
    token = issue_token(
        user=user,
        label=request.POST.get("label", ""),
        actor=boss.as_actor(role="administrator"),
        reason=reason_of(request),
        expires_at=now() + timedelta(days=days_of(request)),
    )
    return _secret(request, user, what=f"Token of {user.display_name}", secret=token, lines=())


@require_POST
@page
def take_token(request: HttpRequest, user_id: uuid.UUID, handle: str) -> HttpResponseBase:
    """Make a token of somebody useless."""

    def work(user: User, boss: User) -> str:
        token = token_of(user=user, handle=handle)
        revoke_token(token=token, actor=boss.as_actor(role="administrator"), reason=reason_of(request))
        return f"The token “{token.label}” opens nothing any more."

    return _done(request, user_id, work)


@require_POST
@page
def trained(request: HttpRequest, user_id: uuid.UUID) -> HttpResponseBase:
    """Record a training for a project: the way in for its first QA lead."""

    def work(user: User, boss: User) -> str:
        project = Project.objects.filter(key=request.POST.get("project", "").strip()).first()
        if project is None:
            raise InvalidInput("there is no project of that key", code="no-such-project")
        return recorded_training(request, project=project, user=user, actor=boss.as_actor(role="administrator"))

    return _done(request, user_id, work)


@require_GET
@page
def alerts(request: HttpRequest) -> HttpResponse:
    """What an administrator has to look at, and what was looked at."""
    administrator(request)
    context = {
        "open": open_alerts(),
        "rows": paged(request, Alert.objects.exclude(acknowledged_at=None).order_by("-acknowledged_at", "pk")),
        "mailed": settings.MAIL_CONFIGURED,
    }
    return show_site(request, "alerts.html", context)


@require_POST
@page
def acknowledge_alert(request: HttpRequest, alert_id: uuid.UUID) -> HttpResponseBase:
    """Say what came of an alert."""
    boss = administrator(request)

    def work() -> str:
        alert = Alert.objects.filter(pk=alert_id).first()
        if alert is None:
            raise NotFound("there is no such alert", code="no-such-alert")
        acknowledge(alert=alert, by=boss, reason=reason_of(request))
        return "The alert is acknowledged, and what you said of it is on record."

    return carried_out(request, work=work, back="portal:alerts")


def _done(request: HttpRequest, user_id: uuid.UUID, work: Callable[[User, User], str]) -> HttpResponseBase:
    boss, user = administrator(request), account_by_id(user_id=str(user_id))
    return carried_out(request, work=lambda: work(user, boss), back=reverse("portal:account-of", args=[user.pk]))


def _secret(request: HttpRequest, user: User, *, what: str, secret: str, lines: tuple[str, ...]) -> HttpResponse:
    context = {
        "what": what,
        "secret": secret,
        "lines": lines,
        "address": reverse("portal:account-of", args=[user.pk]),
    }
    return render(request, "portal/secret.html", context)
