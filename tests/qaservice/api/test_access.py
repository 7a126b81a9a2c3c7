"""Logging in by the API, one's own access, trainings, the register and alerts through it (REQ-07, REQ-18, REQ-29)."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from compliance.recording import SYSTEM
from qaservice.accounts.attempts import AttemptKind, attempt_failed
from qaservice.accounts.passwords import reset_password
from qaservice.accounts.services import issue_token
from qaservice.common.clock import now
from qaservice.projects.models import Membership, Project, Role
from qaservice.projects.selectors import roles_of
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, make_user

pytestmark = pytest.mark.django_db

NEW = "a-rather-different-phrase"


def post(client: Client, name: str, body: dict[str, object] | None = None, **arguments: object) -> tuple[int, str]:
    """Post JSON; return the status and the code of the problem, "" where there is none."""
    token = client.cookies["csrftoken"].value if "csrftoken" in client.cookies else ""
    answer = client.post(
        reverse(f"api:{name}", kwargs=arguments or None),
        body or {},
        content_type="application/json",
        headers={"X-CSRFToken": token},
    )
    problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    return answer.status_code, str(answer.json()["code"]) if problem else ""


def log_in(client: Client, username: str, password: str = PASSWORD) -> tuple[int, str]:
    return post(client, "session", {"username": username, "password": password})


@pytest.mark.requirement("REQ-07")
def test_the_api_logs_in_by_the_same_lock_as_the_portal_and_takes_json_alone(settings: Settings):
    settings.LOCKOUT_FAILURES = 3
    make_user("kim")
    client = Client(enforce_csrf_checks=True)
    assert log_in(client, "kim") == (200, "")
    assert client.get(reverse("api:me")).json()["username"] == "kim"
    assert post(client, "session-end") == (204, "")
    assert client.get(reverse("api:me")).status_code == 401
    form = Client().post(reverse("api:session"), {"username": "kim", "password": PASSWORD})
    assert form.status_code == 415
    for name in ("kim", "nobody"):
        assert [log_in(Client(), name, "wrong") for _ in range(2)] == [(403, "login-refused")] * 2
        assert log_in(Client(), name, "wrong") == (403, "locked-out")
        assert log_in(Client(), name) == (403, "locked-out")
    assert Client().post(reverse("portal:login"), {"username": "kim", "password": PASSWORD}).status_code == 200


@pytest.mark.requirement("REQ-28")
def test_a_temporary_password_opens_the_api_only_for_its_own_change():
    kim, boss = make_user("kim"), make_user("boss", is_administrator=True)
    password = reset_password(user=kim, by=boss, reason="forgot it").password
    client = Client(enforce_csrf_checks=True)
    assert log_in(client, "kim", password) == (200, "")
    assert client.get(reverse("api:projects")).json()["code"] == "password-must-change"
    assert post(client, "own-password", {"old": "wrong", "new": NEW}) == (400, "wrong-password")
    assert post(client, "own-password", {"old": password, "new": "short"}) == (400, "weak-password")
    assert post(client, "own-password", {"old": password, "new": NEW}) == (200, "")
    assert client.get(reverse("api:projects")).status_code == 200


def test_sessions_and_tokens_are_listed_and_ended_by_their_person_in_a_session_alone():
    kim = make_user("kim")
    client, elsewhere = Client(enforce_csrf_checks=True), Client()
    assert log_in(client, "kim") == log_in(elsewhere, "kim") == (200, "")
    rows = client.get(reverse("api:own-sessions")).json()
    assert len(rows) == 2 and str(elsewhere.session.session_key) not in repr(rows)
    oldest = min(rows, key=lambda row: row["opened_at"])["handle"]
    asked = {"label": "nightly", "days": 5, "reason": "needed"}
    answer = elsewhere.post(reverse("api:own-tokens"), asked, content_type="application/json")
    program = Client(headers={"Authorization": f"Bearer {answer.json()['token']}"})
    assert program.get(reverse("api:me")).status_code == 200
    # A token that leaked must not beget others, nor lock its person out.
    assert post(program, "own-tokens", asked) == (403, "session-needed")
    assert post(program, "own-password", {"old": PASSWORD, "new": NEW}) == (403, "session-needed")
    [row] = elsewhere.get(reverse("api:own-tokens")).json()
    assert row["label"] == "nightly" and row["last_used_at"]
    stranger = Client()
    make_user("lee")
    assert log_in(stranger, "lee") == (200, "")
    revoke = {"reason": "done"}
    assert post(stranger, "own-token-revoke", revoke, handle=row["handle"]) == (404, "no-such-token")
    assert post(stranger, "own-session-end", {}, handle=oldest) == (404, "no-such-session")
    assert post(elsewhere, "own-token-revoke", revoke, handle=row["handle"]) == (204, "")
    assert program.get(reverse("api:me")).status_code == 401
    assert post(elsewhere, "own-session-end", {}, handle=oldest) == (204, "")
    assert client.get(reverse("api:me")).status_code == 401
    assert kim.tokens.count() == 1


@pytest.mark.requirement("REQ-18")
def test_trainings_and_the_register_go_through_the_api(project: Project):
    lead, kim = make_user("lead"), make_user("kim")
    grant(project=project, user=lead, role=Role.QA_LEAD, actor=SYSTEM, reason="leads")
    grant(project=project, user=kim, role=Role.READER, actor=SYSTEM, reason="reads")
    token = issue_token(user=lead, label="test", actor=SYSTEM, reason="test")
    client = Client(headers={"Authorization": f"Bearer {token}"})
    key, today = project.key, now().date().isoformat()
    policies = {"training_policy": {"reader": ["reading"]}, "reason": "policy"}
    address = reverse("api:policies", kwargs={"key": key})
    assert client.patch(address, policies, content_type="application/json").status_code == 200
    needs = client.get(reverse("api:training-needs", kwargs={"key": key})).json()
    assert [(need["username"], need["state"]) for need in needs] == [("kim", "missing")]
    record = {
        "username": "kim",
        "training": "reading",
        "document": "How we read",
        "document_version": "1",
        "document_sha256": "ab" * 32,
        "completed_on": today,
        "valid_until": today,
        "reason": "took part",
    }
    assert post(client, "training-records", {**record, "username": "lead"}, key=key) == (403, "own-training")
    assert post(client, "training-records", {**record, "username": "nobody"}, key=key) == (400, "no-such-user")
    assert post(client, "training-records", record, key=key) == (201, "")
    [listed] = client.get(reverse("api:training-records", kwargs={"key": key})).json()
    project.refresh_from_db()
    assert roles_of(user=kim, project=project) == {"reader"}
    assert post(client, "training-withdraw", {"reason": "no"}, key=key, record_id=listed["id"]) == (200, "")
    assert roles_of(user=kim, project=project) == frozenset()
    members = {row["username"]: row for row in client.get(reverse("api:access-reviews", kwargs={"key": key})).json()}
    assert not members["kim"]["overdue"]
    for name, expected in (("lead", (403, "own-role")), ("kim", (204, ""))):
        body = {"keep": False, "reason": "looked at it"}
        assert post(client, "access-review", body, key=key, membership_id=members[name]["membership"]) == expected
    assert not Membership.objects.get(user=kim).active
    entries = client.get(reverse("api:access-register", kwargs={"key": key}), {"username": "kim"}).json()
    assert [entry["what"] for entry in entries] == ["withdrawn", "granted"]


@pytest.mark.requirement("REQ-29")
def test_alerts_are_read_and_acknowledged_by_administrators():
    kim, boss = make_user("kim"), make_user("boss", is_administrator=True)
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    client, plain = Client(), Client()
    client.force_login(boss)
    plain.force_login(kim)
    [alert] = client.get(reverse("api:alerts")).json()
    assert alert["kind"] == "signing-failed"
    assert plain.get(reverse("api:alerts")).status_code == 403
    assert post(plain, "alert-acknowledge", {"reason": "mine"}, alert_id=alert["id"]) == (403, "administrators-only")
    assert post(client, "alert-acknowledge", {"reason": "asked"}, alert_id=alert["id"]) == (200, "")
    assert client.get(reverse("api:alerts")).json() == []
