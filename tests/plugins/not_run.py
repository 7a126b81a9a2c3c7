"""Name every test that did not run, and why; in continuous integration a missing server is a failure, not a skip."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

SERVERS = frozenset({"postgres", "broker", "browser"})
SHOWN = 8


class NotRun:
    """Collects what was skipped during one session."""

    def __init__(self) -> None:
        self.by_reason: dict[str, list[str]] = defaultdict(list)
        self.for_want_of_a_server: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.by_reason[text.removeprefix("Skipped: ")].append(report.nodeid)
        if SERVERS & set(report.keywords):
            self.for_want_of_a_server.append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        absent = [line for line in os.environ.get("QASERVICE_TEST_ABSENT", "").splitlines() if line]
        if not self.by_reason and not absent:
            return
        terminalreporter.section("Not run", sep="=")
        for line in absent:
            terminalreporter.write_line(line)
        for reason, names in sorted(self.by_reason.items()):
            terminalreporter.write_line(f"{len(names)} not run: {reason}")
            for name in names[:SHOWN]:
                terminalreporter.write_line(f"    {name}")
            if len(names) > SHOWN:
                terminalreporter.write_line(f"    and {len(names) - SHOWN} more")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if os.environ.get("CI") and self.for_want_of_a_server and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NotRun(), "not-run")
