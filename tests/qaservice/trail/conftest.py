"""What tests of the trail share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from django.test import Client

from tests.factories.records import PASSWORD
from tests.qaservice.trail.scene import Scene, make_scene


@pytest.fixture
def scene(db: None) -> Scene:
    """A reviewed project with an auditor and a redrawn outline."""
    return make_scene()


@pytest.fixture
def at() -> Callable[[str], Client]:
    """Log somebody in."""

    def logged_in(username: str) -> Client:
        client = Client()
        assert client.login(username=username, password=PASSWORD)
        return client

    return logged_in


def body(response: Iterable[bytes]) -> bytes:
    """The bytes of a response that is sent in pieces."""
    return b"".join(response.streaming_content)  # type: ignore[attr-defined]  # a streaming response
