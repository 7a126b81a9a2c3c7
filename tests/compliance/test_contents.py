"""Checks of stored contents are announced once, and each is heard."""

from __future__ import annotations

import pytest

from compliance import contents
from compliance.contents import register_contents, verify_contents
from compliance.problems import Problem


def test_every_announced_check_is_run_and_two_cannot_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_CHECKS", {})

    def blobs() -> list[Problem]:
        return [Problem("altered")]

    register_contents("blobs", blobs)
    register_contents("blobs", blobs)
    register_contents("an empty shelf", lambda: [])
    assert verify_contents() == [Problem("altered")]
    with pytest.raises(ValueError, match="'blobs' have a check already"):
        register_contents("blobs", lambda: [])
