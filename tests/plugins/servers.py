"""Servers and data that some tests need, and the one place that says why such a test cannot run here.

``make test`` starts or installs what is missing and names it in the environment; a bare ``pytest`` uses what is named
there already, and the chromium of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.services import find_chromium

ROOT = Path(__file__).resolve().parents[2]
REAL_DATA = Path(os.environ.get("QASERVICE_REAL_DATA", ROOT.parent / "shared" / "data"))


def missing(marker: str) -> str:
    """Return why tests with this marker cannot run here, or an empty string where they can."""
    if marker == "broker" and not os.environ.get("QASERVICE_TEST_BROKER_URL"):
        return "no message broker: run `make test`, or set QASERVICE_TEST_BROKER_URL"
    if marker == "browser" and find_chromium() is None:
        return "no Chromium: run `make test`, install chromium, or set QASERVICE_CHROMIUM"
    if marker == "browser" and not (ROOT / "qaservice/portal/static/portal/dist").is_dir():
        return "the portal's scripts are not built: run `make frontend`"
    if marker == "real_data" and not REAL_DATA.is_dir():
        return "no real scans: set QASERVICE_REAL_DATA to the folder that docs/guides/real-data.md describes"
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in ("broker", "browser", "real_data"):
        if item.get_closest_marker(marker) and (reason := missing(marker)):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The URL of a real message broker."""
    return os.environ["QASERVICE_TEST_BROKER_URL"]


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium to drive; test tools may not download one."""
    found = find_chromium()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public scans that nobody on this project made."""
    return REAL_DATA
