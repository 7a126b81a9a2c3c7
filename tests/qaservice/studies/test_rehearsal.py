"""The dry run: what it says is what the ingest then does, and it leaves nothing behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from compliance.recording import SYSTEM
from qaservice.projects.models import Project
from qaservice.projects.services import set_policies
from qaservice.studies.models import Ingest, IngestItem, Series
from qaservice.studies.rehearsal import Rehearsal, rehearse
from tests.imaging.readers.label_makers import MAKERS
from tests.imaging.readers.made import SERIES, a_nested_file, uid_of
from tests.imaging.readers.test_segmentation import SLICES as SLICES_LABELLED
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to, zipped

OTHER = SERIES + ".77"


def everything_stored(folder: Path) -> tuple[dict[str, int], set[str]]:
    rows = {model._meta.label: model._default_manager.count() for model in apps.get_models()}
    files = {str(place.relative_to(folder)) for place in folder.rglob("*")} if folder.exists() else set()
    return rows, files


def rehearsed(project: Project, path: Path) -> Rehearsal:
    return rehearse(project=project, path=path, report=lambda done, total, note: None)


def mixed_files() -> dict[str, bytes]:
    return {
        **series_files(),
        **{name: data for name, data in series_files(series=OTHER).items() if "002" not in name},
        "bad/deep.dcm": a_nested_file(400),
        "bad/ultrasound.dcm": slice_file(number=1, series=SERIES + ".9", Modality="US"),
        "notes.txt": b"hello",
        "readings.xml": b"<LidcReadMessage>",
        "zz.dcm": slice_file(number=1, value=7),
    }


@pytest.mark.requirement("REQ-17")
@pytest.mark.parametrize("kind", ["directory", "archive"])
def test_a_dry_run_gives_every_outcome_that_the_ingest_gives_and_stores_nothing(
    project: Project, own_data_folder: Path, tmp_path: Path, kind: str
) -> None:
    path = written_to(tmp_path / "in", mixed_files())
    if kind == "archive":
        path = tmp_path / "in.zip"
        path.write_bytes(zipped(mixed_files()))
    before = everything_stored(own_data_folder)
    said = rehearsed(project, path)
    assert everything_stored(own_data_folder) == before
    done = ingest(project, path)
    images = {name: found for name, found in outcomes(done).items() if name != "readings.xml"}
    assert {file.name: (file.outcome, file.code) for file in said.files if file.name != "readings.xml"} == images
    states = {one.series_instance_uid: one.assessment.state for one in said.series if one.assessment is not None}
    assert (
        states
        == dict(Series.objects.values_list("series_instance_uid", "state"))
        == {
            SERIES: "accepted",
            OTHER: "refused",
        }
    )
    [labels] = [file for file in said.files if file.name == "readings.xml"]
    assert labels.outcome == outcomes(done)["readings.xml"][0] == "refused"
    assert said.summary == done.summary


def test_a_dry_run_says_what_the_project_holds_already(project: Project, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", series_files())
    ingest(project, folder)
    said = rehearsed(project, folder)
    assert {(file.outcome, file.code) for file in said.files} == {("duplicate", "already-held")}
    assert [one.assessment for one in said.series] == [None]


def test_a_dry_run_makes_no_secret_for_a_project_that_removes_identities(
    project: Project, own_data_folder: Path, tmp_path: Path
) -> None:
    set_policies(project=project, policies={"identity_policy": "de-identify"}, actor=SYSTEM, reason="a test")
    project.refresh_from_db()
    folder = written_to(tmp_path / "in", series_files())
    before = everything_stored(own_data_folder)
    said = rehearsed(project, folder)
    assert everything_stored(own_data_folder) == before
    assert {file.outcome for file in said.files} == {"stored"}
    assert all(file.original_sha256 for file in said.files)


def test_a_dry_run_lets_labels_find_their_images_by_name_where_names_are_replaced(
    project: Project, tmp_path: Path
) -> None:
    set_policies(project=project, policies={"identity_policy": "de-identify"}, actor=SYSTEM, reason="a test")
    project.refresh_from_db()
    files = {**series_files(count=SLICES_LABELLED), f"voc/{uid_of(3)}.xml": MAKERS["voc-xml"].valid()}
    folder = written_to(tmp_path / "in", files)
    said = rehearsed(project, folder)
    [label] = [file for file in said.files if file.kind == "voc-xml"]
    assert label.outcome == "stored", label.message
    assert said.summary == ingest(project, folder).summary


def test_a_dry_run_tells_labels_of_refused_series_from_labels_of_absent_ones(project: Project, tmp_path: Path) -> None:
    refused = {name: data for name, data in series_files().items() if "002" not in name}
    said_of_labels = {"a": MAKERS["luna16-csv"].valid(), "b": MAKERS["luna16-csv"].elsewhere()}
    # Names that no folder could hold side by side, or at all.
    files = {**refused, "n" * 300 + ".csv": said_of_labels["a"], "deep": said_of_labels["b"], "deep/er": b"notes"}
    path = tmp_path / "in.zip"
    path.write_bytes(zipped(files))
    said = {file.name: (file.outcome, file.code) for file in rehearsed(project, path).files}
    assert said["n" * 300 + ".csv"] == ("refused", "series-refused")
    assert said["deep"] == ("refused", "images-not-held")
    assert said == outcomes(ingest(project, path))
    assert {name: found for name, found in said.items() if name in ("deep", "n" * 300 + ".csv")} == {
        file.name: (file.outcome, file.code) for file in rehearsed(project, path).files if file.kind == "luna16-csv"
    }


@pytest.mark.real_data
def test_a_dry_run_leaves_readings_of_chest_x_rays_alone_as_the_ingest_does(project: Project, real_data: Path) -> None:
    path = real_data / "lidc-xml.zip"
    said = {file.name: (file.outcome, file.code) for file in rehearsed(project, path).files}
    assert {code for _, code in said.values()} == {"chest-x-ray", "images-not-held"}
    assert said == outcomes(ingest(project, path))


@pytest.mark.real_data
def test_reports_find_the_segmentations_that_they_measure(project: Project, real_data: Path) -> None:
    path = real_data / "seg-sr-pairs.zip"
    said = rehearsed(project, path)
    done = ingest(project, path)
    really = outcomes(done)
    for name in ("SR_TID1500_dcmqi.dcm", "SR_TID1500_rsna2018.dcm"):
        assert really[f"dcmqi-liver/{name}"][0] == "stored"
    told = {file.name: (file.outcome, file.code) for file in said.files}
    assert {name: found for name, found in told.items() if found[0] != "stored"} == {
        name: found for name, found in really.items() if found[0] != "stored"
    }


def test_the_command_opens_no_project_and_names_what_is_wrong(db: None, own_data_folder: Path, tmp_path: Path) -> None:
    folder = written_to(tmp_path / "in", mixed_files())
    before = everything_stored(own_data_folder)
    said = io.StringIO()
    call_command("ingest", str(folder), project="nowhere-yet", dry_run=True, stdout=said)
    text = said.getvalue()
    assert "nothing was stored" in text and "nesting-too-deep" in text and "missing-slices" in text
    assert f"series {SERIES}: accepted 5 x 8 x 12" in text
    assert everything_stored(own_data_folder) == before
    assert not Project.objects.filter(key="nowhere-yet").exists()
    assert not Ingest.objects.exists() and not IngestItem.objects.exists()


def test_the_command_refuses_a_delivery_that_cannot_be_opened(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no-such-delivery"):
        call_command("ingest", str(tmp_path / "nothing"), project="nowhere-yet", dry_run=True)


@pytest.mark.real_data
def test_a_dry_run_over_a_real_scan_says_what_its_labels_would_give(
    project: Project, own_data_folder: Path, real_data: Path, tmp_path: Path
) -> None:
    path = real_data / "lidc-0001.zip"
    before = everything_stored(own_data_folder)
    said = rehearsed(project, path)
    assert everything_stored(own_data_folder) == before
    [series] = [one for one in said.series if one.assessment is not None]
    assert series.assessment is not None and series.assessment.state == "accepted" and series.new == 133
    labels = {file.kind: file for file in said.files if file.kind in {"lidc-xml", "dicom-seg"}}
    assert labels["lidc-xml"].outcome == "stored" and "4 annotation sets" in labels["lidc-xml"].message
    assert labels["dicom-seg"].outcome == "refused"
    done = ingest(project, path)
    really = outcomes(done)
    assert {file.name: file.outcome for file in said.files} == {name: found[0] for name, found in really.items()}
