"""A project's gate policy decides what becomes of a series, and never takes back what was accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance.recording import SYSTEM
from qaservice.projects.models import Project
from qaservice.projects.services import set_gate_policy
from qaservice.storage.derived import clear
from qaservice.studies.models import Series
from qaservice.studies.selectors import volume_of
from tests.imaging.readers.made import SERIES
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, written_to

OBLIQUE = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


def coronal_files(series: str = SERIES) -> dict[str, bytes]:
    """A regular series of coronal slices."""
    files: dict[str, bytes] = {}
    for number in range(5):
        one = series_files(series=series, count=5, **OBLIQUE, ImagePositionPatient=[-4.0, 1.5 * number, 10.0])
        name = sorted(one)[number]
        files[name] = one[name]
    return files


def test_a_series_that_is_refused_elsewhere_is_taken_with_a_warning_where_the_project_says_so(
    project: Project, tmp_path: Path
) -> None:
    set_gate_policy(project=project, policy={"non-axial": "warn"}, actor=SYSTEM, reason="coronal CT is wanted here")
    project.refresh_from_db()
    done = ingest(project, written_to(tmp_path / "in", coronal_files()))
    assert done.summary["stored"] == 5
    series = Series.objects.get()
    assert series.state == "accepted-with-warning"
    assert [(finding["code"], finding["severity"]) for finding in series.verdict] == [("non-axial", "warning")]
    assert volume_of(series).grid.spacing_mm == pytest.approx((1.5, 0.5, 0.5))


def test_without_a_policy_the_same_series_is_kept_apart_with_its_angle(project: Project, tmp_path: Path) -> None:
    done = ingest(project, written_to(tmp_path / "in", coronal_files()))
    assert {code for _, code in outcomes(done).values()} == {"non-axial"}
    assert "90.0 degrees" in str(Series.objects.get().verdict)


def test_a_stricter_policy_quarantines_what_comes_later_and_leaves_what_was_accepted(
    project: Project, tmp_path: Path
) -> None:
    thick = {"SliceThickness": 5.0}
    ingest(project, written_to(tmp_path / "first", series_files(**thick)))
    set_gate_policy(project=project, policy={"slices-overlap": "quarantine"}, actor=SYSTEM, reason="thin slices only")
    project.refresh_from_db()
    later = ingest(project, written_to(tmp_path / "second", series_files(series=f"{SERIES}.7", **thick)))
    assert set(outcomes(later).values()) == {("quarantined", "slices-overlap")}
    earlier = Series.objects.get(series_instance_uid=SERIES)
    assert earlier.state == "accepted-with-warning"
    clear(actor=SYSTEM, reason="the volume has to be built again")
    assert volume_of(earlier).hounsfield.shape == (5, 8, 12)


def test_an_accepted_finding_stays_on_record_as_a_note(project: Project, tmp_path: Path) -> None:
    set_gate_policy(project=project, policy={"slices-overlap": "accept"}, actor=SYSTEM, reason="all ours overlap")
    project.refresh_from_db()
    ingest(project, written_to(tmp_path / "in", series_files(SliceThickness=5.0)))
    series = Series.objects.get()
    assert series.state == "accepted"
    assert [(finding["code"], finding["severity"]) for finding in series.verdict] == [("slices-overlap", "note")]
