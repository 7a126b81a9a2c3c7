"""Every file of two collections of awkward deliveries gets the outcome that somebody looked at and found right.

The tables beside this test are its expectation. They are changed by hand: a failing test writes what came out beside
its other temporary files and names the place, so that the two can be compared line by line.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from compliance.verification import verify_live
from qaservice.common.errors import InvalidInput
from qaservice.jobs.models import Job, JobState
from qaservice.projects.models import Project
from qaservice.studies.models import IngestItem, Outcome, Series
from tests.imaging.readers import real
from tests.qaservice.studies.deliveries import ingest

TABLES = Path(__file__).parent / "outcomes"

pytestmark = [pytest.mark.django_db, pytest.mark.real_data, pytest.mark.slow]

Rows = list[tuple[str, ...]]


def expected(table: str) -> Rows:
    """The rows of a table of this folder, without its heading."""
    with (TABLES / table).open(encoding="utf-8", newline="") as stream:
        return [tuple(row) for row in csv.reader(stream, delimiter="\t")][1:]


def compare(found: Rows, table: str, heading: tuple[str, ...], folder: Path) -> None:
    """Fail with the rows that differ, and leave what came out in ``folder`` for a person to read."""
    written = folder / table
    with written.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows([heading, *found])
    wanted = expected(table)
    gone, come = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    assert not gone and not come, f"expected {gone}, came {come}; all rows that came out: {written}"
    assert found == wanted


def check_message(item: IngestItem) -> None:
    """What is not simply stored says why, in a sentence for a person."""
    if item.outcome == Outcome.STORED and not item.code:
        return
    assert item.code and item.code == item.code.lower(), item.name
    assert len(item.message.split()) >= 4, f"{item.name}: {item.message!r}"
    for foreign in ("Traceback", "Error(", "object at 0x", "None", "<class"):
        assert foreign not in item.message, f"{item.name}: {item.message!r}"


@pytest.mark.parametrize("name", ["awkward-dicom", "awkward-series"])
def test_every_file_and_series_gets_the_outcome_that_the_tables_give(
    name: str, project: Project, tmp_path: Path
) -> None:
    archive = real.folder() / f"{name}.zip"
    done = ingest(project, archive)
    assert done.state == "completed", done.failure
    assert not Job.objects.exclude(state=JobState.DONE).exists()
    with zipfile.ZipFile(archive) as opened:
        members = sorted(entry for entry in opened.namelist() if not entry.endswith("/"))
    items = {item.name: item for item in IngestItem.objects.filter(ingest=done)}
    assert sorted(items) == members, "a file was lost, or made up"
    for item in items.values():
        check_message(item)
    files = [(entry, items[entry].kind, items[entry].outcome, items[entry].code) for entry in members]
    compare(files, f"{name}.files.tsv", ("file", "kind", "outcome", "code"), tmp_path)
    rows = Series.objects.filter(project=project).order_by("series_instance_uid")
    series = [
        (
            row.series_instance_uid,
            str(row.instance_count),
            row.state,
            " ".join(f"{finding['code']}:{finding['severity']}" for finding in row.verdict),
        )
        for row in rows
    ]
    compare(series, f"{name}.series.tsv", ("series", "instances", "state", "findings"), tmp_path)
    assert verify_live().ok


def test_every_archive_inside_the_collection_is_taken_or_refused_by_name_when_it_is_sent_itself(
    project: Project, tmp_path: Path
) -> None:
    rows: Rows = []
    archives = {
        path: data for path, data in real.archive("awkward-series.zip").items() if path.endswith((".zip", ".tar"))
    }
    for path, data in sorted(archives.items()):
        name = path.rpartition("/")[2]
        place = tmp_path / name
        place.write_bytes(data)
        try:
            done = ingest(project, place)
        except InvalidInput as error:
            assert len(error.message.split()) >= 5
            rows.append((name, "", "refused as a whole", error.code))
            continue
        assert done.state == "completed", done.failure
        items = IngestItem.objects.filter(ingest=done).order_by("name")
        for item in items:
            check_message(item)
        rows.extend((name, item.name, item.outcome, item.code) for item in items)
    assert not Job.objects.exclude(state=JobState.DONE).exists()
    assert {row[0] for row in rows} == {path.rpartition("/")[2] for path in archives}
    compare(rows, "awkward-archives.tsv", ("archive", "file", "outcome", "code"), tmp_path)
