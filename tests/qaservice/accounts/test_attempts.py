"""Repeated failures lock, for a time or until an administrator lifts the lock (REQ-07, REQ-29)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from pytest_django import Settings

from compliance.models import Event
from qaservice.accounts import attempts
from qaservice.accounts.alerts import open_alerts
from qaservice.accounts.attempts import (
    AttemptKind,
    LockedOut,
    attempt_failed,
    attempt_succeeded,
    login_failed,
    refuse_if_locked,
    refuse_login_if_locked,
    unlock,
)
from qaservice.accounts.models import AttemptCounter
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, NotPermitted
from tests.factories.records import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def lockout(settings: Settings) -> None:
    settings.LOCKOUT_FAILURES, settings.LOCKOUT_ADDRESS_FAILURES = 3, 6
    settings.LOCKOUT_WINDOW_SECONDS, settings.LOCKOUT_SECONDS = 600, 900


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the time that attempts are counted by, to so many seconds after the test began."""
    began = now()

    def move(seconds: int) -> None:
        def later() -> datetime:
            return began + timedelta(seconds=seconds)

        monkeypatch.setattr(attempts, "now", later)

    return move


@pytest.mark.requirement("REQ-07")
def test_so_many_failures_lock_one_kind_until_time_or_an_administrator_lifts_it(clock: Callable[[int], None]):
    kim, boss = make_user("kim"), make_user("boss", is_administrator=True)
    clock(0)
    for _ in range(2):
        attempt_failed(user=kim, kind=AttemptKind.SIGNING)
        refuse_if_locked(user=kim, kind=AttemptKind.SIGNING)
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    with pytest.raises(LockedOut, match="too many failed tries") as refused:
        refuse_if_locked(user=kim, kind=AttemptKind.SIGNING)
    assert str(refused.value.details["until"]).endswith("Z")
    refuse_if_locked(user=kim, kind=AttemptKind.LOGIN)
    clock(901)
    refuse_if_locked(user=kim, kind=AttemptKind.SIGNING)
    # The count began anew with the lock's end: one more failure does not lock again.
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    refuse_if_locked(user=kim, kind=AttemptKind.SIGNING)
    for _ in range(2):
        attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    for wrong in (kim, make_user("colleague")):
        with pytest.raises(NotPermitted):
            unlock(user=kim, by=wrong, reason="let me in")
    unlock(user=kim, by=boss, reason="called back on the number we have")
    refuse_if_locked(user=kim, kind=AttemptKind.SIGNING)
    with pytest.raises(Conflict):
        unlock(user=kim, by=boss, reason="again")
    assert Event.objects.get(kind="account.unlocked").reason == "called back on the number we have"
    assert Event.objects.filter(kind="account.signing-failed", subject_id=str(kim.pk)).count() == 6


def test_failures_far_apart_and_failures_before_a_success_do_not_add_up(clock: Callable[[int], None]):
    kim = make_user("kim")
    for seconds in (0, 601, 1202, 1803):
        clock(seconds)
        attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    attempt_succeeded(user=kim, kind=AttemptKind.LOGIN)
    attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    refuse_if_locked(user=kim, kind=AttemptKind.LOGIN)


def test_tries_against_a_locked_account_are_recorded_and_make_the_lock_no_longer(clock: Callable[[int], None]):
    kim = make_user("kim")
    clock(0)
    for _ in range(3):
        attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    until = AttemptCounter.objects.get(user=kim).locked_until
    clock(800)
    attempt_failed(user=kim, kind=AttemptKind.LOGIN)
    assert AttemptCounter.objects.get(user=kim).locked_until == until
    assert Event.objects.filter(kind="account.login-failed").count() == 4
    assert Event.objects.filter(kind="account.locked").count() == 1


@pytest.mark.requirement("REQ-29")
def test_a_failed_signing_raises_one_open_alert_that_counts_up():
    kim = make_user("kim")
    for _ in range(2):
        attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    alert = open_alerts().get()
    assert (alert.kind, alert.about_id, alert.times) == ("signing-failed", str(kim.pk), 2)
    assert Event.objects.filter(kind="alert.raised").count() == 2
    attempt_failed(user=kim, kind=AttemptKind.SIGNING)
    assert {one.kind for one in open_alerts()} == {"signing-failed", "signing-locked"}


@pytest.mark.requirement("REQ-07")
def test_a_name_that_is_no_account_is_locked_with_the_same_words_and_never_kept():
    kim = make_user("kim")
    said = []
    for user, name in ((kim, "kim"), (None, "my-password-in-the-wrong-field")):
        for _ in range(3):
            refuse_login_if_locked(username=name, known_user=user, address="")
            login_failed(username=name, known_user=user, address="")
        with pytest.raises(LockedOut) as refused:
            refuse_login_if_locked(username=name, known_user=user, address="")
        said.append(refused.value.message.split(" after ")[0])
    assert said[0] == said[1]
    assert "wrong-field" not in repr([*AttemptCounter.objects.values(), *Event.objects.values()])


@pytest.mark.requirement("REQ-07")
def test_an_address_that_tries_many_names_is_locked_for_all_of_them_and_kept_only_as_a_digest():
    kim = make_user("kim")
    for number in range(6):
        login_failed(username=f"guess-{number}", known_user=None, address="192.0.2.7")
    for name, user in (("kim", kim), ("guess-9", None)):
        with pytest.raises(LockedOut):
            refuse_login_if_locked(username=name, known_user=user, address="192.0.2.7")
    refuse_login_if_locked(username="kim", known_user=kim, address="192.0.2.8")
    recorded = Event.objects.filter(kind="account.login-failed").count()
    login_failed(username="kim", known_user=kim, address="192.0.2.7")
    assert Event.objects.filter(kind="account.login-failed").count() == recorded
    assert "192.0.2" not in repr([*AttemptCounter.objects.values(), *Event.objects.values()])


def test_a_failure_cannot_be_counted_inside_a_transaction_that_might_be_undone():
    kim = make_user("kim")
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        attempt_failed(user=kim, kind=AttemptKind.SIGNING)
