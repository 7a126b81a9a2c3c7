"""A served site with known scans, and Chromium to look at it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.acceptance.service import PASSWORD, ROOT, Person, Service
from tests.browser.scans import SCANS
from tests.browser.seeding import LEAD, PROJECT, READERS

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Portal:
    """The address of a served site and the people in it."""

    address: str
    lead: Person
    readers: dict[str, Person]

    def worklist(self, reader: str) -> dict[str, str]:
        """A reader's assignments, by flag."""
        answer = self.readers[reader].get(f"projects/{PROJECT}/worklist/")
        return {row["flag"]: row["id"] for row in answer.body}

    def case_address(self, reader: str, flag: str) -> str:
        return f"{self.address}/projects/{PROJECT}/cases/{self.worklist(reader)[flag]}/"


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A data folder with two scans, two annotators, four flags and four people, and the people's tokens."""
    folder = tmp_path_factory.mktemp("site")
    service = Service(folder / "data")
    service.run("migrate")
    for scan in SCANS:
        scan.write(folder / "studies" / scan.name)
    service.run("ingest", folder / "studies", "--project", PROJECT)
    told = subprocess.run(
        [sys.executable, "-m", "tests.browser.seeding"],
        cwd=ROOT,
        env=service.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return folder / "data", json.loads(told.stdout)


@pytest.fixture(scope="module")
def portal(seeded: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A served copy of the seeded site, this module's own: what its tests vote stays among them."""
    data, tokens = seeded
    copy = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(data, copy)
    with Service(copy).serving() as address:
        people = {name: Person(address=address, token=token) for name, token in tokens.items()}
        yield Portal(address, people[LEAD], {name: people[name] for name in READERS})


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(chromium), args=ARGUMENTS)
        yield running
        running.close()


class Visitor:
    """One person at the portal in a browser window of their own; complaints of the browser are kept."""

    def __init__(self, browser: Browser, portal: Portal, *, width: int = 1366, height: int = 768) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page: Page = self.context.new_page()
        self.portal = portal
        self.complaints: list[str] = []
        self.answers: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.page.on("response", self._keep)

    def _keep(self, response: object) -> None:
        url = getattr(response, "url", "")
        if "/assignments/" in url:
            try:
                self.answers.append(response.text())  # type: ignore[attr-defined]  # a playwright Response
            except Exception:  # the page moved on before the body was read
                self.answers.append("")

    def log_in(self, name: str) -> Visitor:
        self.page.goto(f"{self.portal.address}/login/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile(r"/$"))
        return self

    def open_case(self, reader: str, flag: str) -> Page:
        self.page.goto(self.portal.case_address(reader, flag))
        self.wait_for_image()
        return self.page

    def wait_for_image(self) -> None:
        self.page.wait_for_selector("canvas[data-ready='true']")
        # One more frame: the flag is set before the last line is drawn.
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def slice_index(self) -> int:
        return int(self.page.locator("canvas.slice").get_attribute("data-slice") or -1)


@pytest.fixture
def visitor(browser: Browser, portal: Portal) -> Iterator[Visitor]:
    one = Visitor(browser, portal)
    yield one
    one.context.close()
