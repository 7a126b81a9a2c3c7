"""Alerts go out by mail where a server is named, once, and say nothing personal (REQ-29)."""

from __future__ import annotations

import os
from smtplib import SMTPServerDisconnected
from typing import Never

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from compliance.recording import SYSTEM
from qaservice.accounts import alerts
from qaservice.accounts.alerts import mail_waiting, raise_alert
from qaservice.accounts.models import Alert, User
from qaservice.accounts.services import create_user, deactivate_user
from qaservice.settings import environment
from tests.factories.records import make_user

pytestmark = pytest.mark.django_db

ADDRESS = "QASERVICE_MAIL_URL"


@pytest.fixture
def boss() -> User:
    return create_user(
        username="boss",
        display_name="Dana Boss",
        password=None,
        email="boss@example.org",
        is_administrator=True,
        actor=SYSTEM,
        reason="for a test",
    )


def raise_one(times: int = 1) -> None:
    kim = User.objects.filter(username="kim").first() or make_user("kim")
    for _ in range(times):
        raise_alert(kind="signing-failed", about=("user", str(kim.pk)), words="An attempt to sign failed.")


@pytest.mark.requirement("REQ-29")
def test_an_alert_is_mailed_once_to_the_administrators_and_names_nobody(boss: User, settings: Settings):
    make_user("plain-boss", is_administrator=True)
    raise_one(times=3)
    assert mail_waiting() == 0 and mail.outbox == []
    settings.MAIL_CONFIGURED = True
    assert mail_waiting() == 1
    assert mail_waiting() == 0
    [sent] = mail.outbox
    assert sent.to == ["boss@example.org"]
    assert "An attempt to sign failed." in sent.body and "kim" not in (sent.subject + sent.body).lower()
    raise_one()
    assert mail_waiting() == 0
    deactivate_user(user=boss, actor=SYSTEM, reason="left")
    raise_alert(kind="login-locked", about=("login", "unknown"), words="Locked.")
    assert mail_waiting() == 0 and len(mail.outbox) == 1


def test_a_mail_that_fails_is_tried_again_later_and_stops_nothing(
    boss: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    settings.MAIL_CONFIGURED = True
    raise_one()

    def refuse(*_mail: object) -> Never:
        raise SMTPServerDisconnected("gone")

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "send_mail", refuse)
        assert mail_waiting() == 0
    # Not at the next tick already: a server that is down is not asked every two seconds.
    assert mail_waiting() == 0
    alert = Alert.objects.get()
    assert alert.mailed_at is None and alert.mail_tried_at is not None
    alert.mail_tried_at -= alerts.MAIL_AGAIN * 2
    alert.save(update_fields=["mail_tried_at"])
    assert mail_waiting() == 1


def test_a_mail_server_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    assert environment.mail(ADDRESS)[0] is False
    monkeypatch.setitem(os.environ, ADDRESS, "smtp://qa:s%40cret@mail.example.org?from=qa@example.org")
    named, server = environment.mail(ADDRESS)
    assert named and (server.host, server.port, server.user, server.password) == (
        "mail.example.org",
        587,
        "qa",
        "s@cret",
    )
    assert server.tls and not server.ssl and server.sender == "qa@example.org"
    monkeypatch.setitem(os.environ, ADDRESS, "smtps://mail.example.org?from=qa@example.org")
    server = environment.mail(ADDRESS)[1]
    assert (server.port, server.tls, server.ssl) == (465, False, True)
    for wrong in ("mail.example.org", "http://x?from=a@b", "smtp://x", "smtp://x:port?from=a@b", "smtp://?from=a@b"):
        monkeypatch.setitem(os.environ, ADDRESS, wrong)
        with pytest.raises(ImproperlyConfigured, match=ADDRESS):
            environment.mail(ADDRESS)
