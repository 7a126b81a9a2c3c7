"""Logging in by the portal, what a session lasts, and passwords that must be changed (REQ-07, REQ-28, REQ-29)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.accounts.attempts import unlock
from qaservice.accounts.logins import address_of
from qaservice.accounts.models import LoginSession, User
from qaservice.accounts.passwords import password_set_by_another, reset_password
from qaservice.accounts.services import deactivate_user, issue_token
from qaservice.accounts.sessions import sessions_of
from qaservice.common.clock import now
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.common.transitions import amend
from qaservice.projects.models import Role
from qaservice.projects.services import create_project, grant
from tests.factories.records import PASSWORD, make_user

pytestmark = pytest.mark.django_db

NEW = "a-rather-different-phrase"
LATER = "yet-one-more-of-these"


def log_in(client: Client, username: str, password: str) -> str:
    """Post the login form; return what the page says, "" where it let the person in."""
    answer = client.post(reverse("portal:login"), {"username": username, "password": password})
    return "" if answer.status_code == 302 else answer.content.decode()


def new_password(client: Client, old: str, new: str) -> int:
    form = {"old": old, "new": new, "again": new}
    return client.post(reverse("portal:password"), form).status_code


@pytest.mark.requirement("REQ-07")
def test_after_repeated_failures_the_right_password_is_refused_until_the_lock_is_lifted(settings: Settings):
    settings.LOCKOUT_FAILURES = 3
    kim, boss = make_user("kim"), make_user("boss", is_administrator=True)
    said = {}
    for name in ("kim", "nobody"):
        pages = [log_in(Client(), name, "wrong") for _ in range(3)]
        assert "name or the password is wrong" in pages[0] and "name or the password is wrong" in pages[1]
        assert "Too many failed tries" in pages[2]
        said[name] = log_in(Client(), name, PASSWORD)
        assert "Too many failed tries" in said[name]
    assert not Client().login(username="kim", password=PASSWORD)
    unlock(user=kim, by=boss, reason="called back")
    assert log_in(Client(), "kim", PASSWORD) == ""


def test_a_login_forgets_the_failures_before_it(settings: Settings):
    settings.LOCKOUT_FAILURES = 3
    make_user("kim")
    for _ in range(3):
        log_in(Client(), "kim", "wrong")
        log_in(Client(), "kim", "wrong")
        assert log_in(Client(), "kim", PASSWORD) == ""


def test_an_unknown_name_costs_a_hash_like_a_known_one(monkeypatch: pytest.MonkeyPatch):
    make_user("kim")
    hashed: list[str] = []
    hasher = "django.contrib.auth.hashers.MD5PasswordHasher.encode"
    original = __import__("django.contrib.auth.hashers", fromlist=["x"]).MD5PasswordHasher.encode

    def counting(self: object, password: str, salt: str) -> str:
        hashed.append(password)
        return str(original(self, password, salt))

    monkeypatch.setattr(hasher, counting)
    for name in ("kim", "nobody"):
        hashed.clear()
        log_in(Client(), name, "wrong")
        assert hashed == ["wrong"], name


def test_the_address_is_what_the_sites_own_proxy_saw(settings: Settings):
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9, 192.0.2.7"}
    settings.PROXIES = 0
    assert address_of(request) == "127.0.0.1"
    settings.PROXIES = 1
    assert address_of(request) == "192.0.2.7"
    settings.PROXIES = 3
    assert address_of(request) == ""
    assert address_of(None) == ""


@pytest.mark.requirement("REQ-07")
def test_a_session_ends_when_idle_when_old_and_a_page_that_fetches_keeps_none_alive(settings: Settings):
    settings.SESSION_COOKIE_AGE, settings.SESSION_LIFETIME_SECONDS = 900, 3600
    kim = make_user("kim")
    project = create_project(key="lung", title="L", actor=SYSTEM, reason="test")
    grant(project=project, user=kim, role=Role.QA_LEAD, actor=SYSTEM, reason="test")
    home, fetched = reverse("portal:home"), reverse("api:progress", kwargs={"key": "lung"})

    def aged(client: Client, *, idle: int, open_for: int) -> None:
        row = LoginSession.objects.get(pk=client.session.session_key)
        row.seen_at -= timedelta(seconds=idle)
        row.opened_at -= timedelta(seconds=open_for)
        row.save()

    client = Client()
    client.force_login(kim)
    aged(client, idle=800, open_for=800)
    assert client.get(fetched).status_code == 200
    aged(client, idle=200, open_for=200)
    assert client.get(fetched).status_code == 401
    assert client.get(home).status_code == 302

    client.force_login(kim)
    aged(client, idle=800, open_for=800)
    assert client.get(home).status_code == 200
    aged(client, idle=200, open_for=200)
    assert client.get(home).status_code == 200
    aged(client, idle=0, open_for=2700)
    assert client.get(home).status_code == 302
    reasons = (
        Event.objects.filter(kind="account.session-ended").order_by("occurred_at").values_list("reason", flat=True)
    )
    assert list(reasons) == ["nothing was done for the idle time", "the longest time of a session is over"]


@pytest.mark.requirement("REQ-29")
def test_closing_an_account_ends_its_sessions_and_tokens_at_once():
    kim = make_user("kim")
    browser = Client()
    assert log_in(browser, "kim", PASSWORD) == ""
    token = issue_token(user=kim, label="test", actor=SYSTEM, reason="test")
    program = Client(headers={"Authorization": f"Bearer {token}"})
    assert program.get(reverse("api:me")).status_code == browser.get(reverse("api:me")).status_code == 200
    deactivate_user(user=kim, actor=SYSTEM, reason="left")
    assert program.get(reverse("api:me")).status_code == 401
    assert browser.get(reverse("api:me")).status_code == 401
    assert browser.get(reverse("portal:home")).status_code == 302
    assert not LoginSession.objects.exists() and not Session.objects.exists()
    assert Event.objects.filter(kind="account.token-revoked").count() == 1


def test_a_person_sees_and_ends_their_own_sessions_and_nobody_elses():
    make_user("kim"), make_user("lee")
    here, there, other = Client(headers={"User-Agent": "Here"}), Client(headers={"User-Agent": "There"}), Client()
    for client, name in ((here, "kim"), (there, "kim"), (other, "lee")):
        assert log_in(client, name, PASSWORD) == ""
    page = here.get(reverse("portal:account")).content.decode()
    assert "There" in page and str(there.session.session_key) not in page
    kim, lee = User.objects.get(username="kim"), User.objects.get(username="lee")
    elsewhere = next(one for one in sessions_of(user=kim) if one.browser == "There")
    foreign = sessions_of(user=lee).get()
    for session in (elsewhere, foreign):
        here.post(reverse("portal:end-session", args=[session.handle]))
    assert there.get(reverse("portal:home")).status_code == 302
    assert here.get(reverse("portal:home")).status_code == other.get(reverse("portal:home")).status_code == 200
    here.post(reverse("portal:logout"))
    assert not sessions_of(user=kim).exists()
    assert Event.objects.filter(kind="account.logout", subject_id=str(kim.pk)).exists()


@pytest.mark.requirement("REQ-28")
def test_a_reset_password_opens_nothing_but_its_own_change_and_cannot_sign():
    kim, boss = make_user("kim"), make_user("boss", is_administrator=True)
    browser, elsewhere = Client(), Client()
    for client in (browser, elsewhere):
        assert log_in(client, "kim", PASSWORD) == ""
    assert new_password(browser, PASSWORD, NEW) == 302
    assert not password_set_by_another(kim)
    assert browser.get(reverse("portal:home")).status_code == 200
    assert elsewhere.get(reverse("portal:home")).status_code == 302
    for wrong in (kim, make_user("lee")):
        with pytest.raises(NotPermitted):
            reset_password(user=kim, by=wrong, reason="forgot it")
    reset = reset_password(user=kim, by=boss, reason="forgot it, called back")
    assert reset.sessions_ended == 1 and password_set_by_another(kim)
    assert browser.get(reverse("portal:home")).status_code == 302
    assert "wrong" in log_in(Client(), "kim", NEW)
    assert log_in(browser, "kim", reset.password) == ""
    assert browser.get(reverse("portal:home"))["Location"] == reverse("portal:password")
    refused = browser.get(reverse("api:me"))
    assert refused.status_code == 403 and refused.json()["code"] == "password-must-change"
    assert new_password(browser, reset.password, LATER) == 302
    assert browser.get(reverse("portal:home")).status_code == 200
    assert not password_set_by_another(kim)
    assert reset.password not in repr([*Event.objects.values(), *User.objects.values("password")])


@pytest.mark.requirement("REQ-29")
def test_a_password_is_long_not_common_not_ones_name_and_none_of_the_last(settings: Settings):
    settings.PASSWORD_HISTORY = 2
    make_user("kimberley")
    browser = Client()
    assert log_in(browser, "kimberley", PASSWORD) == ""
    for weak in ("short-one", "password1234", "my-name-is-kimberley", PASSWORD, "198403021984"):
        assert new_password(browser, PASSWORD, weak) == 400, weak
    names = [f"phrase-number-{number}-of-mine" for number in range(3)]
    present = PASSWORD
    for wanted in names:
        assert new_password(browser, present, wanted) == 302
        present = wanted
    assert new_password(browser, present, names[1]) == 400
    # Only the last two before the present one are kept.
    assert new_password(browser, present, PASSWORD) == 302


def test_guessing_the_present_password_from_an_open_session_locks_the_account(settings: Settings):
    settings.LOCKOUT_FAILURES = 3
    make_user("kim")
    browser = Client()
    assert log_in(browser, "kim", PASSWORD) == ""
    for _ in range(3):
        assert new_password(browser, "wrong", NEW) == 400
    assert new_password(browser, PASSWORD, NEW) == 400
    assert "Too many" in log_in(Client(), "kim", PASSWORD)


def test_an_old_password_must_be_changed_where_the_site_says_so(settings: Settings):
    kim = make_user("kim")
    browser = Client()
    assert log_in(browser, "kim", PASSWORD) == ""
    settings.PASSWORD_DAYS = 30
    assert browser.get(reverse("portal:home")).status_code == 200
    with change("account.changed", actor=SYSTEM, reason="a month goes by", subject=("user", str(kim.pk))):
        amend(kim, expected_revision=kim.revision, changes={"password_changed_at": now() - timedelta(days=31)})
    assert browser.get(reverse("portal:home"))["Location"] == reverse("portal:password")
    assert new_password(browser, PASSWORD, NEW) == 302
    assert browser.get(reverse("portal:home")).status_code == 200


@pytest.mark.requirement("REQ-29")
def test_a_token_ends_is_listed_with_its_last_use_and_can_be_revoked(settings: Settings):
    settings.TOKEN_MOST_DAYS = 30
    kim = make_user("kim")
    browser = Client()
    assert log_in(browser, "kim", PASSWORD) == ""
    form = {"label": "nightly import", "days": "10", "reason": "needed"}
    shown = browser.post(reverse("portal:issue-token"), form)
    token = shown.content.decode().split('class="secret"><code>')[1].split("</code>")[0]
    assert "no-store" in shown["Cache-Control"]
    row = kim.tokens.get()
    assert round((row.expires_at - row.created_at) / timedelta(days=10), 3) == 1 and row.last_used_at is None
    program = Client(headers={"Authorization": f"Bearer {token}"})
    assert program.get(reverse("api:me")).status_code == 200
    row.refresh_from_db()
    assert row.last_used_at is not None
    for days in ("31", "0", "-5", "soon"):
        assert browser.post(reverse("portal:issue-token"), {**form, "days": days}).status_code == 400
    with pytest.raises(InvalidInput):
        issue_token(user=kim, label=" ", actor=SYSTEM, reason="no label")
    browser.post(reverse("portal:revoke-token", args=[row.handle]), {"reason": "no longer needed"})
    assert program.get(reverse("api:me")).status_code == 401
    row.refresh_from_db()
    row.revoked_at, row.expires_at = None, row.created_at
    row.save()
    assert program.get(reverse("api:me")).status_code == 401
