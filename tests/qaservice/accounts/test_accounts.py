"""Accounts: names are never issued again, weak passwords are refused, logins leave events (REQ-07, REQ-25)."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.accounts.models import ApiToken, User
from qaservice.accounts.selectors import user_by_token
from qaservice.accounts.services import create_user, deactivate_user, issue_token
from qaservice.common.errors import Conflict, InvalidInput
from qaservice.projects.models import Membership, Project
from qaservice.projects.services import grant, withdraw
from tests.factories.records import PASSWORD, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REQ-25")
def test_a_username_is_never_issued_again_even_after_the_account_was_closed():
    user = make_user("kim")
    deactivate_user(user=user, actor=SYSTEM, reason="left the hospital")
    for name in ("kim", "KIM"):
        with pytest.raises(Conflict, match="issued before"):
            make_user(name)
    assert not Client().login(username="kim", password=PASSWORD)


@pytest.mark.parametrize("password", ["short", "12345678901234", "password1234", ""])
def test_a_weak_password_is_refused(password: str):
    with pytest.raises(InvalidInput):
        create_user(username="kim", display_name="Kim", password=password, actor=SYSTEM, reason="new")
    assert not User.objects.exists()


def test_an_account_without_a_name_is_refused():
    with pytest.raises(InvalidInput, match="username and a name"):
        create_user(username=" ", display_name="Kim", password=PASSWORD, actor=SYSTEM, reason="new")


@pytest.mark.requirement("REQ-07")
def test_logins_and_refused_logins_are_recorded_without_what_was_typed():
    user = make_user("kim")
    assert Client().login(username="kim", password=PASSWORD)
    assert not Client().login(username="kim", password="wrong")
    assert not Client().login(username="my-secret-typed-here", password="wrong")
    kinds = Event.objects.filter(kind__startswith="account.login").order_by("occurred_at")
    assert [(event.kind, event.subject_id) for event in kinds] == [
        ("account.login", str(user.pk)),
        ("account.login-failed", str(user.pk)),
        ("account.login-failed", "unknown"),
    ]
    assert not Event.objects.filter(payload__icontains="my-secret").exists()


def test_only_the_digest_of_a_token_is_kept():
    user = make_user("kim")
    token = issue_token(user=user, label="test", actor=SYSTEM, reason="for a program")
    assert user_by_token(token) == user and user_by_token("other") is None
    assert token not in repr(list(ApiToken.objects.values()))


def test_a_role_is_granted_once_withdrawn_and_given_back():
    user = make_user("kim")
    call_command("grant_role", "kim", "reader", project="lung", create="Lung nodules")
    project = Project.objects.get(key="lung")
    membership = Membership.objects.get()
    assert grant(project=project, user=user, role="reader", actor=SYSTEM, reason="again").pk == membership.pk
    withdraw(membership=membership, actor=SYSTEM, reason="on leave")
    assert not Membership.objects.get().active
    grant(project=project, user=user, role="reader", actor=SYSTEM, reason="is back")
    history = Membership.objects.get().history.order_by("history_id")
    assert [(row.active, row.reason) for row in history] == [
        (True, "granted on the command line by the operator of the server"),
        (False, "on leave"),
        (True, "is back"),
    ]


def test_the_command_says_what_is_missing():
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("grant_role", "nobody", "reader", project="lung")
    make_user("kim")
    with pytest.raises(CommandError, match="no project 'lung'"):
        call_command("grant_role", "kim", "reader", project="lung")
