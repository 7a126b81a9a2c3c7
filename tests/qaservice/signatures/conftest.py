"""The clock of these tests, and the site that signs by it."""

from __future__ import annotations

import pytest

from tests.qaservice.signatures.signing_site import Clock, SigningSite, make_signing_site


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which codes and intents pass."""
    made = Clock()
    monkeypatch.setattr("qaservice.common.clock.now", made.now)
    return made


@pytest.fixture
def site(db: None, time: Clock) -> SigningSite:
    """A project in which three people may sign."""
    return make_signing_site(time=time)
