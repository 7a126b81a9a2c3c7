"""Deliveries: what is taken, what is kept apart, what is refused and why, and that nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance.models import Event
from compliance.recording import SYSTEM
from compliance.verification import verify_live
from qaservice.common.errors import Conflict
from qaservice.jobs.models import Job, JobState
from qaservice.jobs.runner import drain
from qaservice.projects.models import Project
from qaservice.storage.models import Blob
from qaservice.storage.selectors import read_blob
from qaservice.studies.assessment import input_digest
from qaservice.studies.models import Ingest, IngestItem, Instance, Series, Study
from qaservice.studies.selectors import (
    grid_of,
    image_number_at,
    items_of,
    series_view,
    slice_hounsfield,
    volume_of,
)
from qaservice.studies.services import announce_ingest
from tests.imaging.readers.made import SERIES, a_nested_file
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to, zipped

OTHER = SERIES + ".77"


@pytest.mark.requirement("REQ-17")
def test_a_regular_series_becomes_a_volume_in_the_order_of_its_positions(project: Project, tmp_path: Path) -> None:
    files = {f"{9 - number}.dcm": slice_file(number=number, value=1000 + number) for number in range(5)}
    done = ingest(project, written_to(tmp_path / "in", files))
    assert done.state == "completed" and done.summary["stored"] == 5
    series = Series.objects.get()
    assert series.state == "accepted" and series.instance_count == 5
    volume = volume_of(series)
    assert volume.grid.spacing_mm == pytest.approx((1.5, 0.5, 0.5))
    assert volume.sop_instance_uids == tuple(f"{SERIES}.{number + 1}" for number in range(5))
    assert [int(plane[0, 0]) for plane in volume.hounsfield] == [-24, -23, -22, -21, -20]
    assert [int(slice_hounsfield(series, index)[3, 4]) for index in (0, 4)] == [-24, -20]
    assert image_number_at(series=series, slice_index=0) == 40
    view = series_view(series)
    assert view["letters"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert view["shape"] == [5, 8, 12]


@pytest.mark.requirement("REQ-17")
def test_bytes_digests_and_source_of_every_instance_are_on_record(project: Project, tmp_path: Path) -> None:
    files = series_files()
    ingest(project, written_to(tmp_path / "in", files))
    stored = {row.sop_instance_uid: row.blob_id for row in Instance.objects.all()}
    assert {read_blob(sha256) for sha256 in stored.values()} == set(files.values())
    assert Series.objects.get().input_digest == input_digest(stored)
    assert set(Event.objects.values_list("kind", flat=True)) >= {
        "ingest.received",
        "study.registered",
        "series.ingested",
        "series.assessed",
        "ingest.completed",
    }
    assert verify_live().ok


def test_a_delivery_handed_in_again_changes_nothing(project: Project, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", series_files())
    ingest(project, folder)
    before = (Study.objects.count(), Series.objects.count(), Instance.objects.count(), Blob.objects.count())
    revision = Series.objects.get().revision
    again = ingest(project, folder)
    assert again.summary["duplicate"] == 5 and again.summary["stored"] == 0
    assert (Study.objects.count(), Series.objects.count(), Instance.objects.count(), Blob.objects.count()) == before
    assert Series.objects.get().revision == revision


@pytest.mark.requirement("REQ-17")
def test_the_same_uid_with_other_bytes_is_kept_apart_and_both_digests_are_named(
    project: Project, tmp_path: Path
) -> None:
    ingest(project, written_to(tmp_path / "first", series_files()))
    held = Instance.objects.get(sop_instance_uid=f"{SERIES}.3")
    changed = slice_file(number=2, value=55)
    second = ingest(project, written_to(tmp_path / "second", {"again.dcm": changed}))
    item = IngestItem.objects.get(ingest=second)
    assert (item.outcome, item.code) == ("quarantined", "same-uid-other-bytes")
    assert held.blob_id in item.message and item.sha256 in item.message and item.sha256 != held.blob_id
    assert Instance.objects.get(sop_instance_uid=f"{SERIES}.3").blob_id == held.blob_id
    assert read_blob(item.sha256) == changed, "what is kept apart is kept"


def test_of_two_files_with_one_uid_in_one_delivery_the_first_is_taken(project: Project, tmp_path: Path) -> None:
    files = {**series_files(), "zz.dcm": slice_file(number=1, value=7), "zzz.dcm": slice_file(number=1)}
    done = ingest(project, written_to(tmp_path / "in", files))
    found = outcomes(done)
    assert found["zz.dcm"] == ("quarantined", "same-uid-other-bytes")
    assert found["zzz.dcm"] == ("duplicate", "already-held")
    assert Series.objects.get().state == "accepted"


def test_slices_that_come_later_complete_their_series(project: Project, tmp_path: Path) -> None:
    files = series_files()
    names = sorted(files)
    first = ingest(project, written_to(tmp_path / "a", {name: files[name] for name in names if "002" not in name}))
    assert {code for _, code in outcomes(first).values()} == {"missing-slices"}
    series = Series.objects.get()
    assert series.state == "refused" and series.grid is None
    with pytest.raises(Conflict, match="geometry gate"):
        grid_of(series)
    ingest(project, written_to(tmp_path / "b", {names[2]: files[names[2]]}))
    series.refresh_from_db()
    assert series.state == "accepted" and series.instance_count == 5 and volume_of(series).grid.shape == (5, 8, 12)


@pytest.mark.requirement("REQ-17")
def test_files_of_a_refused_series_are_kept_apart_with_the_gates_reason(project: Project, tmp_path: Path) -> None:
    tilted = {
        f"{number}.dcm": slice_file(
            number=number, series=OTHER, ImagePositionPatient=[-4.0, -3.0 + 0.5 * number, 1.5 * number]
        )
        for number in range(5)
    }
    done = ingest(project, written_to(tmp_path / "in", tilted))
    assert done.summary["quarantined"] == 5
    item = items_of(done, "quarantined")[0]
    assert item.code == "gantry-tilt" and "tilted by" in item.message
    [finding] = Series.objects.get().verdict
    assert finding["code"] == "gantry-tilt" and len(finding["sop_instance_uids"]) == 5


def test_a_series_whose_pixels_cannot_be_decoded_is_refused(project: Project, tmp_path: Path) -> None:
    files = series_files()
    good = slice_file(number=5)
    broken = good.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
    assert broken != good
    files[f"{SERIES}/005.dcm"] = broken
    ingest(project, written_to(tmp_path / "in", files))
    series = Series.objects.get()
    assert series.state == "refused" and [finding["code"] for finding in series.verdict] == ["pixels-not-decoded"]


@pytest.mark.requirement("REQ-17")
def test_bad_files_among_good_ones_are_listed_each_with_its_reason(project: Project, tmp_path: Path) -> None:
    files = series_files()
    whole = slice_file(number=9, series=OTHER)
    files |= {
        "bad/notes.txt": b"not an image",
        "bad/cut.dcm": whole[: len(whole) - 60],
        "bad/deep.dcm": a_nested_file(400),
        "bad/ultrasound.dcm": slice_file(number=1, series=OTHER, Modality="US"),
        "bad/nameless.dcm": slice_file(number=1, series=OTHER, SOPInstanceUID=""),
    }
    done = ingest(project, written_to(tmp_path / "in", files))
    found = outcomes(done)
    assert found["bad/notes.txt"] == ("ignored", "not-a-study-file")
    assert found["bad/deep.dcm"] == ("refused", "nesting-too-deep")
    assert found["bad/ultrasound.dcm"] == ("refused", "wrong-modality")
    assert found["bad/nameless.dcm"] == ("refused", "missing-required-tags")
    assert found["bad/cut.dcm"][0] == "refused"
    assert done.summary["stored"] == 5 and Series.objects.get().state == "accepted"
    for item in items_of(done).exclude(outcome="stored"):
        assert item.message, item.name
        assert "Nobody" not in item.message and "made-up" not in item.message, "no message names the patient"


def test_a_symbolic_link_is_not_followed(project: Project, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", series_files())
    (tmp_path / "secret.dcm").write_bytes(slice_file(number=0, series=OTHER))
    (folder / "link.dcm").symlink_to(tmp_path / "secret.dcm")
    done = ingest(project, folder)
    assert outcomes(done)["link.dcm"] == ("refused", "link")
    assert Series.objects.count() == 1


def test_an_archive_is_read_like_a_folder(project: Project, tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    archive.write_bytes(zipped(series_files()))
    done = ingest(project, archive)
    assert done.summary["stored"] == 5 and done.source_path == "" and archive.exists()


def test_a_study_keeps_its_series_apart(project: Project, tmp_path: Path) -> None:
    ingest(project, written_to(tmp_path / "in", {**series_files(), **series_files(series=OTHER, count=4)}))
    assert Study.objects.count() == 1
    assert sorted(Series.objects.values_list("instance_count", flat=True)) == [4, 5]


def test_a_series_known_in_one_study_is_not_mixed_with_another_study(project: Project, tmp_path: Path) -> None:
    ingest(project, written_to(tmp_path / "a", series_files()))
    stray = slice_file(number=7, StudyInstanceUID=OTHER)
    done = ingest(project, written_to(tmp_path / "b", {"stray.dcm": stray}))
    assert outcomes(done)["stray.dcm"] == ("quarantined", "series-in-two-studies")


def test_a_delivery_that_vanished_fails_and_says_so(project: Project, tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    archive.write_bytes(zipped(series_files()))
    announced = announce_ingest(
        project=project, source_path=archive, source_name="in.zip", actor=SYSTEM, reason="a test hands it in"
    )
    archive.unlink()
    drain(project_key=project.key, on_progress=lambda progress: None)
    announced.refresh_from_db()
    assert announced.state == "failed" and "no such file" in announced.failure
    assert Job.objects.get().state == JobState.FAILED
    assert Ingest.objects.count() == 1 and not Series.objects.exists()


def test_control_characters_in_a_header_do_not_reach_the_database(project: Project, tmp_path: Path) -> None:
    files = series_files(PatientID="a\x00b", ConvolutionKernel="B\x0131f")
    ingest(project, written_to(tmp_path / "in", files))
    assert Study.objects.get().patient_key == "a?b"
    assert Series.objects.get().acquisition["kernel"] == "B?31f"
