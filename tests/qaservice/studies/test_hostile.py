"""Files that end their parser: refused by name, kept to be tried again, and all others are taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from imaging.sandbox import SandboxLimits
from qaservice.projects.models import Project
from qaservice.storage.files import path_of
from qaservice.storage.selectors import read_blob
from qaservice.studies import reading
from qaservice.studies.ingest import terms_of
from qaservice.studies.models import IngestItem, Series
from qaservice.studies.reading import judge_files
from qaservice.studies.sources import DELIVERY_LIMITS, open_source
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies import hostile
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to, zipped

ROOT = Path(__file__).resolve().parents[3]

BAD = {
    "kills.dcm": (hostile.KILLS, "parser-died"),
    "loops.dcm": (hostile.LOOPS, "parser-took-too-long"),
    "eats.dcm": (hostile.EATS, "parser-out-of-memory"),
}


@pytest.fixture
def vulnerable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children suffer what files say, within limits that tests can wait for."""
    monkeypatch.setattr(reading, "examine", hostile.examine)
    # A test's function answers with the service's classes, which only the service's own may.
    monkeypatch.setattr("imaging.sandbox.sandbox._packages", lambda function: frozenset({"imaging", "qaservice"}))
    monkeypatch.setattr(reading, "PARSER_LIMITS", SandboxLimits(seconds=5.0, memory_bytes=1 << 30))


def delivery() -> dict[str, bytes]:
    bad = {name: slice_file(number=1, series=SERIES + ".66") + mark for name, (mark, _) in BAD.items()}
    return {**series_files(), **bad}


@pytest.mark.requirement("REQ-17")
@pytest.mark.parametrize("kind", ["directory", "archive"])
def test_a_file_that_ends_its_parser_is_refused_by_name_and_all_others_are_taken(
    project: Project, tmp_path: Path, vulnerable: None, kind: str
) -> None:
    path = written_to(tmp_path / "in", delivery())
    if kind == "archive":
        path = tmp_path / "in.zip"
        path.write_bytes(zipped(delivery()))
    done = ingest(project, path)
    assert done.state == "completed", outcomes(done)
    assert [row.state for row in Series.objects.all()] == ["accepted"], outcomes(done)
    found = outcomes(done)
    assert {name: found[name] for name in BAD} == {name: ("refused", code) for name, (_, code) in BAD.items()}
    assert done.summary["stored"] == 5
    item = IngestItem.objects.get(name="kills.dcm")
    assert item.message and item.kept_id == item.sha256
    assert read_blob(item.sha256) == delivery()["kills.dcm"]


def test_a_full_disk_is_no_files_fault_and_ends_the_try(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_data_folder: Path
) -> None:
    folder = written_to(tmp_path / "in", series_files())
    monkeypatch.setattr("qaservice.studies.ingest.BlobWriter.folder", property(lambda self: Path("/proc/nowhere")))
    done = ingest(project, folder)
    assert done.state == "failed" and "cannot be written" in done.failure
    assert not IngestItem.objects.exists()


def test_what_has_become_a_link_since_it_was_listed_is_not_followed(project: Project, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", series_files(count=1))
    secret = tmp_path / "secret.dcm"
    secret.write_bytes(slice_file(number=3))
    [place] = folder.rglob("*.dcm")
    with open_source(folder, DELIVERY_LIMITS) as entries:
        place.unlink()
        place.symlink_to(secret)
        [judged] = judge_files(entries=entries, terms=terms_of(project, folder=None), writer=None)
    assert (judged.outcome, judged.code) == ("refused", "unreadable")


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_reads_leaves_nothing_half_done(tmp_path: Path, settings: Settings) -> None:
    """Kill -9 in the middle of reading and storing; the next worker ends it, and nothing is there twice."""
    folder = tmp_path / "in"
    for number in range(6):
        written_to(folder, series_files(series=f"{SERIES}.{number + 1}", count=40))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("QASERVICE_", "PYTEST"))},
        "QASERVICE_DATA_DIR": str(tmp_path / "site"),
        "DJANGO_SETTINGS_MODULE": "qaservice.settings",
    }

    def manage(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    assert manage("migrate", "--verbosity", "0").wait(120) == 0
    blobs = tmp_path / "site" / "blobs"
    first = manage("ingest", str(folder), "--project", "p")
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and sum(1 for _ in blobs.rglob("*")) < 60:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = manage("ingest", str(folder), "--project", "p")
    said, _ = second.communicate(timeout=240)
    assert second.returncode == 0, said
    assert said.count("accepted 40 x 8 x 12") == 6, said
    stored = [place for place in blobs.rglob("*") if place.is_file() and "incoming" not in place.parts]
    assert len({place.name for place in stored}) == 240
    assert {len(place.parent.name) for place in stored} == {2} == {len(path_of("ab" * 32).parent.name)}
