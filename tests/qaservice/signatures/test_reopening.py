"""A closed account comes back for the same person alone, with nothing that it could do before (REQ-25, REQ-26)."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.accounts.models import User, UserKind
from qaservice.accounts.services import create_user, deactivate_user
from qaservice.common.errors import Conflict, NotPermitted
from qaservice.projects.register import register
from qaservice.projects.selectors import granted_roles
from qaservice.signatures.readiness import steps_of
from qaservice.signatures.reopening import reopen_account
from qaservice.signatures.standing import judge
from tests.factories.records import make_user
from tests.qaservice.signatures.signing_site import OWN_PASSWORD, SigningSite

pytestmark = [pytest.mark.requirement("REQ-25"), pytest.mark.requirement("REQ-26")]


def test_who_comes_back_finds_their_name_and_signatures_and_nothing_that_they_could_do(site: SigningSite):
    given = site.author.sign(site.subject, "responsible")
    person = User.objects.get(pk=site.author.user.pk)
    deactivate_user(user=person, actor=SYSTEM, reason="left")
    with pytest.raises(Conflict, match="issued before"):
        create_user(username=person.username, display_name="Other", password=None, actor=SYSTEM, reason="a try")
    person.refresh_from_db()
    reset = reopen_account(user=person, by=site.administrators[0], reason="returned, seen by personnel")
    person.refresh_from_db()
    assert person.is_active and person.password_must_change
    assert not person.check_password(OWN_PASSWORD) and person.check_password(reset.password)
    assert granted_roles(user=person, project=site.project) == {}
    assert {one.code for one in steps_of(user=person) if not one.done} >= {"password", "identity", "factor"}
    assert given.signer_id == person.pk and judge(given).valid, "what was signed stays that person's"
    told = Event.objects.filter(subject_type="user", subject_id=str(person.pk), reason__contains="seen by personnel")
    kinds = set(told.values_list("kind", flat=True))
    assert kinds >= {
        "account.reopened",
        "account.password-reset",
        "identity.withdrawn",
        "membership.withdrawn",
        "signature.factor-revoked",
    }
    assert {one.what for one in register(user=person)} >= {"account closed", "account reopened", "withdrawn"}


def test_an_account_is_opened_again_by_an_administrator_for_a_reason_and_only_a_closed_persons(site: SigningSite):
    boss, person = site.administrators[0], make_user("returns")
    with pytest.raises(Conflict, match="is open"):
        reopen_account(user=person, by=boss, reason="a try")
    closed = deactivate_user(user=person, actor=SYSTEM, reason="left")
    with pytest.raises(NotPermitted, match="administrator"):
        reopen_account(user=closed, by=site.author.user, reason="a try")
    machine = make_user("pacs", kind=UserKind.SERVICE)
    with pytest.raises(NotPermitted, match="person"):
        reopen_account(user=deactivate_user(user=machine, actor=SYSTEM, reason="gone"), by=boss, reason="a try")
    browser, page = Client(), reverse("portal:account-of", args=[person.pk])
    browser.force_login(boss)
    assert "Open it again" in browser.get(page).content.decode()
    address = reverse("portal:reopen-account", args=[person.pk])
    assert browser.post(address, {"reason": " "}).status_code == 400
    assert not User.objects.get(pk=person.pk).is_active
    shown = browser.post(address, {"reason": "returned"}).content.decode()
    password = shown.split('class="secret"><code>')[1].split("</code>")[0]
    assert Client().login(username="returns", password=password)
    assert "Open it again" not in browser.get(page).content.decode()
