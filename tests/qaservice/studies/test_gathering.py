"""Files gathered by series while a delivery is read, and things that run ahead of one another."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from qaservice.projects.models import Project
from qaservice.studies import ingest as module
from qaservice.studies.ahead import MOST_WAITING, run_ahead
from qaservice.studies.gathering import likely_series
from qaservice.studies.models import Instance, Series
from qaservice.studies.sources import DELIVERY_LIMITS, open_source
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to

OTHER = SERIES + ".8"


def test_a_series_is_stored_while_later_ones_are_still_read(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    for number in range(60):
        written_to(folder, series_files(series=f"{SERIES}.{number + 101}", count=12))
    # Hands over one file at a time, so that reading cannot run far ahead.
    monkeypatch.setattr("qaservice.studies.ahead.MOST_WAITING", 1)
    judged: list[int] = []
    when_stored: list[int] = []
    really = module.store_series

    def noted(**values: object) -> object:
        when_stored.append(len(judged))
        return really(**values)  # type: ignore[arg-type]  # handed through as it came

    def counted(**values: object) -> Generator[object, None, None]:
        for file in judge_files(**values):  # type: ignore[arg-type]  # handed through as it came
            judged.append(1)
            yield file

    judge_files = module.judge_files
    monkeypatch.setattr(module, "store_series", noted)
    monkeypatch.setattr(module, "judge_files", counted)
    done = ingest(project, folder)
    assert done.summary["stored"] == 720 and Series.objects.filter(state="accepted").count() == 60
    assert when_stored[0] < 100, "the first series waited for no other"


def test_series_scattered_over_folders_are_stored_whole(project: Project, tmp_path: Path) -> None:
    files = {
        f"{number % 3}/{name.replace('/', '-')}": data for number, (name, data) in enumerate(series_files().items())
    }
    files |= {
        f"{number % 2}/x-{name.replace('/', '-')}": data
        for number, (name, data) in enumerate(series_files(series=OTHER).items())
    }
    done = ingest(project, written_to(tmp_path / "in", files))
    assert {found[0] for found in outcomes(done).values()} == {"stored"}
    assert list(Series.objects.values_list("state", "revision")) == [("accepted", 1)] * 2


def test_files_whose_first_bytes_name_another_series_are_stored_with_their_own(
    project: Project, tmp_path: Path
) -> None:
    def referring(number: int) -> bytes:
        named = Dataset()
        named.SeriesInstanceUID = OTHER
        return slice_file(number=number, ReferencedSeriesSequence=Sequence([named]))

    files = {f"a/{number}.dcm": referring(number) for number in range(5)}
    files |= {f"b/{name.replace('/', '-')}": data for name, data in series_files(series=OTHER).items()}
    folder = written_to(tmp_path / "in", files)
    with open_source(folder, DELIVERY_LIMITS) as entries:
        assert {likely_series(entry) for entry in entries if entry.name.startswith("a/")} == {""}
        assert {likely_series(entry) for entry in entries if entry.name.startswith("b/")} == {OTHER}
    ingest(project, folder)
    assert sorted(Series.objects.values_list("state", "instance_count", "revision")) == [("accepted", 5, 1)] * 2
    assert Instance.objects.count() == 10


def test_what_runs_ahead_gives_everything_in_order_and_passes_errors_on() -> None:
    def source() -> Generator[int, None, None]:
        yield from range(3 * MOST_WAITING)
        raise KeyError("the end")

    given: list[int] = []
    with pytest.raises(KeyError, match="the end"):
        for number in run_ahead(source()):
            given.append(number)
    assert given == list(range(3 * MOST_WAITING))


def test_leaving_early_closes_the_source_in_its_own_thread() -> None:
    closed: list[str] = []

    def source() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    ahead = run_ahead(source())
    assert next(ahead) == 1
    ahead.close()
    assert closed == ["run-ahead"]
    assert all(thread.name != "run-ahead" for thread in threading.enumerate())
