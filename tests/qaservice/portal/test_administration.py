"""The administrators' pages, training and the access register, as people use them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.accounts.attempts import AttemptKind, attempt_failed, standing_locks
from qaservice.accounts.identity import current_identity
from qaservice.accounts.models import User, UserKind
from qaservice.common.clock import now
from qaservice.projects import register as registers
from qaservice.projects.models import Membership, MembershipReview, Project, Role, TrainingRecord
from qaservice.projects.selectors import roles_of
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, make_user

pytestmark = pytest.mark.django_db

TODAY = now().date()


@pytest.fixture
def boss(db: None) -> Client:
    return client_of(make_user("boss", is_administrator=True))


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def secret(answer: object) -> str:
    return answer.content.decode().split('class="secret"><code>')[1].split("</code>")[0]  # type: ignore[attr-defined]


def told(client: Client, address: str, **form: object) -> str:
    """Post a form and return what the page to which it leads says."""
    answer = client.post(address, form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_only_administrators_see_the_administration_and_are_led_there(boss: Client):
    plain = client_of(make_user("plain"))
    for name in ("administration", "alerts", "site-access"):
        assert boss.get(reverse(f"portal:{name}")).status_code == 200
        assert plain.get(reverse(f"portal:{name}")).status_code == 403
    assert 'href="/administration/"' in boss.get(reverse("portal:home")).content.decode()
    assert 'href="/administration/"' not in plain.get(reverse("portal:home")).content.decode()


@pytest.mark.requirement("REQ-29")
def test_an_account_is_opened_reset_unlocked_and_closed_by_pages(boss: Client):
    opened = boss.post(
        reverse("portal:open-account"),
        {"username": "kim", "display_name": "Dr Kim", "kind": "person", "reason": "joins the readers"},
    )
    kim = User.objects.get(username="kim")
    browser = Client()
    assert browser.login(username="kim", password=secret(opened))
    assert browser.get(reverse("portal:home"))["Location"] == reverse("portal:password")
    page = reverse("portal:account-of", args=[kim.pk])
    for _ in range(5):
        attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    assert "locked until" in boss.get(page).content.decode()
    assert "can try again" in told(boss, reverse("portal:unlock", args=[kim.pk]), reason="called back")
    assert not standing_locks(user=kim).exists()
    password = secret(boss.post(reverse("portal:reset-password", args=[kim.pk]), {"reason": "forgot it"}))
    assert browser.login(username="kim", password=password)
    assert "1 session was ended" in told(boss, reverse("portal:end-sessions", args=[kim.pk]), reason="lost laptop")
    assert "Give a reason" in told(boss, reverse("portal:close-account", args=[kim.pk]), reason=" ")
    assert "never issued again" in told(boss, reverse("portal:close-account", args=[kim.pk]), reason="left")
    assert not User.objects.get(pk=kim.pk).is_active
    assert "closed" in boss.get(page).content.decode()
    me = User.objects.get(username="boss")
    assert "another administrator" in told(boss, reverse("portal:close-account", args=[me.pk]), reason="tired")


@pytest.mark.requirement("REQ-26")
def test_an_identity_is_recorded_renewed_and_withdrawn_and_never_ones_own_or_a_number(boss: Client):
    kim, me = make_user("kim"), User.objects.get(username="boss")
    form = {
        "verified_by": "Personnel office",
        "document_kind": "passport",
        "document_reference": "personnel file, folder 12",
        "verified_on": TODAY.isoformat(),
        "certification": "letter of 3 March, archive 7",
        "reason": "before the first signature",
    }
    address = reverse("portal:record-identity", args=[kim.pk])
    assert current_identity(user=kim) is None
    for wrong in (
        {"document_reference": "C01X00T478219"},
        {"document_reference": "12 34 56 78"},
        {"verified_on": (TODAY + timedelta(days=1)).isoformat()},
        {"verified_on": "last week"},
        {"valid_until": (TODAY - timedelta(days=1)).isoformat()},
        {"certification": ""},
        {"document_kind": "library card"},
    ):
        told(boss, address, **{**form, **wrong})
        assert current_identity(user=kim) is None, wrong
    assert "is on record" in told(boss, address, **form)
    first = current_identity(user=kim)
    assert first is not None and first.verified_by == "Personnel office" and first.recorded_by == me
    told(boss, address, **{**form, "valid_until": TODAY.isoformat()})
    second = current_identity(user=kim)
    assert second is not None and second.pk != first.pk and kim.identity_checks.count() == 2
    told(boss, reverse("portal:withdraw-identity", args=[kim.pk]), reason="the office was deceived")
    assert current_identity(user=kim) is None
    told(boss, reverse("portal:record-identity", args=[me.pk]), **form)
    assert current_identity(user=me) is None
    kinds = Event.objects.filter(kind__startswith="identity.").order_by("occurred_at").values_list("kind", flat=True)
    assert list(kinds) == ["identity.recorded", "identity.recorded", "identity.withdrawn"]


def test_an_administrator_gives_tokens_to_programs_and_to_no_person(boss: Client):
    machine, kim = make_user("pacs", kind=UserKind.SERVICE), make_user("kim")
    form = {"label": "deliveries", "days": "30", "reason": "new integration"}
    token = secret(boss.post(reverse("portal:give-token", args=[machine.pk]), form))
    assert boss.post(reverse("portal:give-token", args=[kim.pk]), form).status_code == 403
    program = Client(headers={"Authorization": f"Bearer {token}"})
    assert program.get(reverse("api:me")).status_code == 200
    handle = machine.tokens.get().handle
    told(boss, reverse("portal:take-token", args=[machine.pk, handle]), reason="replaced")
    assert program.get(reverse("api:me")).status_code == 401


@pytest.mark.requirement("REQ-29")
def test_an_alert_is_shown_until_an_administrator_says_what_came_of_it(boss: Client):
    kim = make_user("kim")
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    assert "1 alert" in boss.get(reverse("portal:home")).content.decode()
    page = boss.get(reverse("portal:alerts")).content.decode()
    assert "2 times" in page and "kim" not in page.lower()
    alert = re.search(r"/administration/alerts/([0-9a-f-]{36})/", page)
    assert alert is not None
    address = reverse("portal:acknowledge", args=[alert[1]])
    assert "Give a reason" in told(boss, address, reason="")
    assert "No alert is open" in told(boss, address, reason="Kim mistyped; asked by telephone")
    assert "acknowledged before" in told(boss, address, reason="again")
    assert client_of(kim).post(address, {"reason": "mine"}).status_code == 403


@pytest.mark.requirement("REQ-18")
def test_a_lead_sets_what_roles_need_records_a_training_and_takes_it_back(project: Project):
    lead, kim = make_user("lead"), make_user("kim")
    grant(project=project, user=lead, role=Role.QA_LEAD, actor=SYSTEM, reason="leads")
    grant(project=project, user=kim, role=Role.READER, actor=SYSTEM, reason="reads")
    browser, reader = client_of(lead), client_of(kim)
    told(browser, reverse("portal:training-policy", args=[project.key]), reader="reading; tool ", reason="policy")
    project.refresh_from_db()
    assert project.training_policy == {"reader": ["reading", "tool"]}
    refused = reader.get(reverse("portal:worklist", args=[project.key]))
    assert refused.status_code == 403 and "sleeps until a current training" in refused.content.decode()
    assert reader.get(reverse("portal:home")).status_code == reader.get(reverse("portal:account")).status_code == 200
    form = {
        "username": "kim",
        "document": "How we read",
        "version": "3",
        "completed_on": TODAY.isoformat(),
        "valid_until": TODAY.isoformat(),
        "reason": "took part",
    }
    for name in ("reading", "tool"):
        form["training"] = name
        form["file"] = SimpleUploadedFile("how-we-read.pdf", b"how we read")  # type: ignore[assignment]  # a file
        assert "is trained until" in told(browser, reverse("portal:record-training", args=[project.key]), **form)
    record = TrainingRecord.objects.get(training="tool")
    assert record.document_sha256 == hashlib.sha256(b"how we read").hexdigest()
    assert reader.get(reverse("portal:worklist", args=[project.key])).status_code == 200
    page = browser.get(reverse("portal:training", args=[project.key])).content.decode()
    assert "2 end within 30 days" in page and "How we read, version 3" in page
    told(browser, reverse("portal:withdraw-training", args=[project.key, record.pk]), reason="was not there")
    assert roles_of(user=kim, project=project) == frozenset()
    assert "1 missing" in browser.get(reverse("portal:training", args=[project.key])).content.decode()


@pytest.mark.requirement("REQ-06")
@pytest.mark.requirement("REQ-29")
def test_the_register_dates_each_grant_confirmation_and_withdrawal_and_leaves_as_csv_and_json_lines(
    project: Project, boss: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    settings.ACCESS_REVIEW_DAYS = 90
    lead, kim, ann = make_user("lead"), make_user("kim"), make_user("ann")
    for user, role in ((lead, Role.QA_LEAD), (kim, Role.READER), (ann, Role.AUDITOR)):
        grant(project=project, user=user, role=role, actor=SYSTEM, reason="=1+1 is no formula")
    browser = client_of(lead)
    page = reverse("portal:access", args=[project.key])
    assert "none overdue" in browser.get(page).content.decode()
    monkeypatch.setattr(registers, "now", lambda: now() + timedelta(days=91))
    assert "3 overdue" in browser.get(page).content.decode()

    def decide(client: Client, user: User, decision: str, route: str = "access-review") -> str:
        member = Membership.objects.get(user=user)
        arguments = [project.key, member.pk] if route == "access-review" else [member.pk]
        return told(client, reverse(f"portal:{route}", args=arguments), decision=decision, reason="looked at it")

    assert "still needs" in decide(browser, kim, "keep")
    assert "no longer" in decide(browser, ann, "withdraw")
    assert "looks at your own role" in decide(browser, lead, "keep")
    assert "withdrawn before" in decide(browser, ann, "keep")
    assert "1 overdue" in browser.get(page).content.decode()
    assert "still needs" in decide(boss, lead, "keep", "site-access-review")
    assert "none overdue" in browser.get(page).content.decode()
    assert MembershipReview.objects.count() == 3

    text = browser.get(reverse("portal:access-register", args=[project.key, "csv"])).content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted((row["username"], row["what"]) for row in rows) == [
        ("ann", "granted"),
        ("ann", "withdrawn"),
        ("kim", "confirmed at review"),
        ("kim", "granted"),
        ("lead", "confirmed at review"),
        ("lead", "granted"),
    ]
    assert {row["reason"] for row in rows} == {"'=1+1 is no formula", "looked at it"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["at"]) for row in rows)
    lines = boss.get(reverse("portal:site-register", args=["jsonl"])).content.decode().splitlines()
    whole = [json.loads(line) for line in lines]
    assert {"account opened", "granted"} <= {one["what"] for one in whole}
    assert {one["by"] for one in whole if one["what"] == "confirmed at review"} == {"Boss", "Lead"}
    assert browser.get(reverse("portal:access-register", args=[project.key, "pdf"])).status_code == 404
    assert Event.objects.filter(kind="access.register-exported").count() == 2
    assert client_of(kim).get(page).status_code == 403


def test_a_password_that_was_set_for_somebody_does_not_reach_the_page_of_another(boss: Client):
    kim = make_user("kim")
    shown = boss.post(reverse("portal:reset-password", args=[kim.pk]), {"reason": "forgot it"})
    assert secret(shown) not in boss.get(reverse("portal:account-of", args=[kim.pk])).content.decode()
    assert PASSWORD not in shown.content.decode() and "no-store" in shown["Cache-Control"]
