"""Labels out: what an export holds, what the record says of it, and that nothing differing leaves."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import highdicom
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from compliance.models import Event
from compliance.recording import SYSTEM
from imaging.errors import WriteMismatch
from imaging.masks.build import full_voxels, mask_from_sphere
from imaging.types import AnnotationImport, Category, Finding, SetKind, Sphere
from imaging.types import AnnotationSet as ImagingSet
from imaging.writers.names import WRITTEN_FORMATS
from qaservice.common.errors import Conflict, InvalidInput, NotFound
from qaservice.labels import exporting
from qaservice.labels.exporting import LabelExport, export_labels, version_numbered
from qaservice.labels.models import DatasetVersion
from qaservice.labels.models import Finding as FindingRow
from qaservice.labels.services import fix_dataset_version, import_annotations
from qaservice.projects.models import Project
from qaservice.storage.services import write_bytes
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of
from tests.qaservice.studies.deliveries import ingest, slice_file, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture
def series(project: Project, tmp_path: Path) -> Series:
    files = {f"{number:02d}.dcm": slice_file(number=number) for number in range(20)}
    ingest(project, written_to(tmp_path / "in", files))
    return Series.objects.select_related("project", "study").get()


@pytest.fixture
def version(series: Series) -> DatasetVersion:
    mask = mask_from_sphere(grid=grid_of(series), sphere=Sphere((-1.5, -1.5, 19.0), 4.0))
    nodule = Finding(
        "1", Category.NODULE_GE_3MM, mask=mask, source_label="Nodule 001", characteristics={"malignancy": 4}
    )
    mark = Finding("2", Category.NODULE_LT_3MM, point_mm=(0.5, -0.5, 34.0), source_label="Nodule 002")
    sets = (
        ImagingSet("r1", "reader 11111111", SetKind.READER, True, (nodule, mark)),
        ImagingSet("r2", "reader 22222222", SetKind.READER, True, (nodule,)),
        ImagingSet("r3", "reader 33333333", SetKind.READER, False, ()),
    )
    import_annotations(
        series=series,
        annotation_import=AnnotationImport("lidc-xml", series.series_instance_uid, sets),
        source=write_bytes(data=b"<three readers/>", media_type="application/xml"),
        simulated=False,
        actor=SYSTEM,
        reason="a test brings labels in",
    )
    return fix_dataset_version(project=series.project, note="for a test", actor=SYSTEM, reason="for a test")


def exported(version: DatasetVersion, path: Path, **changes: object) -> LabelExport:
    arguments: dict[str, object] = {"format_name": "dicom-seg", "sets": "readers", "reason": "for a partner"}
    return export_labels(version=version, path=path, actor=SYSTEM, **{**arguments, **changes})  # type: ignore[arg-type]  # one test, one change


def manifest_in(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, object] = json.loads(archive.read("manifest.json"))
    return found


@pytest.mark.requirement("REQ-03")
@pytest.mark.parametrize("name", WRITTEN_FORMATS)
def test_an_export_holds_files_with_digests_and_says_what_was_lost(version: DatasetVersion, tmp_path: Path, name: str):
    made = exported(version, tmp_path / "labels.zip", format_name=name)
    with zipfile.ZipFile(made.path) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("manifest.json"))
        [one] = manifest["series"]
        assert {file["name"] for file in one["files"]} | {"manifest.json"} == names
        for file in one["files"]:
            assert hashlib.sha256(archive.read(file["name"])).hexdigest() == file["sha256"]
            assert file["name"].startswith(f"{one['series_instance_uid']}/")
    assert manifest["labels"]["format"] == name and manifest["project"] == "lung-1"
    assert manifest["dataset_version"]["number"] == version.number == made.version
    assert manifest["dataset_version"]["manifest_sha256"] == version.manifest_id
    assert {entry["kind"] for entry in one["losses"]} == set(manifest["losses"]) == set(made.losses)
    assert made.losses["set-not-read"] == 1
    assert (made.series, made.findings) == (1, 3) and made.files == len(one["files"])


@pytest.mark.requirement("REQ-03")
def test_the_record_says_what_left_under_whose_hand(version: DatasetVersion, tmp_path: Path):
    made = exported(version, tmp_path / "labels.zip")
    event = Event.objects.get(kind="labels.exported")
    assert event.payload["sha256"] == made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert (event.payload["format"], event.payload["sets"], event.payload["findings"]) == ("dicom-seg", "readers", 3)
    assert (event.reason, event.project_key, event.subject_id) == ("for a partner", "lung-1", str(version.pk))


def test_the_same_version_is_the_same_bytes(version: DatasetVersion, tmp_path: Path):
    first = exported(version, tmp_path / "one.zip", format_name="dicom-sr")
    again = exported(version, tmp_path / "two.zip", format_name="dicom-sr")
    assert first.sha256 == again.sha256


def test_highdicom_opens_what_was_exported_with_the_masks_and_identities_of_the_record(
    series: Series, version: DatasetVersion, tmp_path: Path
):
    made = exported(version, tmp_path / "labels.zip")
    with zipfile.ZipFile(made.path) as archive:
        objects = [archive.read(name) for name in archive.namelist() if name.endswith(".dcm")]
    assert len(objects) == 2
    expected = full_voxels(mask_from_sphere(grid=grid_of(series), sphere=Sphere((-1.5, -1.5, 19.0), 4.0)))
    known = set(FindingRow.objects.values_list("tracking_uid", flat=True))
    for data in objects:
        segmentation = highdicom.seg.segread(io.BytesIO(data))
        uids = [f"{series.series_instance_uid}.{number + 1}" for number in range(20)]
        voxels = segmentation.get_pixels_by_source_instance(
            uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
        assert np.array_equal(voxels[..., 0].astype(bool), expected)
        assert {segment.TrackingUID for segment in segmentation.SegmentSequence} <= known
        assert segmentation.PatientID == "made-up"


def test_a_version_without_a_reference_standard_says_so_and_leaves_no_file(version: DatasetVersion, tmp_path: Path):
    path = tmp_path / "labels.zip"
    with pytest.raises(Conflict) as raised:
        exported(version, path, sets="reference")
    assert raised.value.code == "nothing-to-export" and not path.exists()
    assert not Event.objects.filter(kind="labels.exported").exists()


@pytest.mark.requirement("REQ-03")
def test_what_reads_back_otherwise_never_leaves(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def differing(**_arguments: object) -> None:
        raise WriteMismatch("mask-differs", "finding 1: 3 voxels read back otherwise.", subjects=("1",))

    monkeypatch.setattr(exporting, "release", differing)
    with pytest.raises(Conflict) as raised:
        exported(version, tmp_path / "labels.zip")
    assert raised.value.code == "export-differs" and raised.value.details["findings"] == ["1"]
    assert not (tmp_path / "labels.zip").exists()
    assert not Event.objects.filter(kind="labels.exported").exists()


def test_an_unknown_format_series_or_version_is_named(version: DatasetVersion, tmp_path: Path):
    with pytest.raises(InvalidInput) as unknown:
        exported(version, tmp_path / "labels.zip", format_name="pptx")
    assert unknown.value.code == "unknown-format" and "nifti" in unknown.value.message
    with pytest.raises(NotFound):
        exported(version, tmp_path / "labels.zip", series_instance_uid="1.2.3")
    with pytest.raises(NotFound):
        version_numbered(project=version.project, number=99)
    assert version_numbered(project=version.project, number=None) == version


def test_a_project_without_a_version_has_nothing_to_export(project: Project):
    with pytest.raises(Conflict) as raised:
        version_numbered(project=project, number=None)
    assert raised.value.code == "no-dataset-version"


def test_labels_by_simulated_readers_say_so(series: Series, tmp_path: Path):
    point = Finding("1", Category.NODULE_LT_3MM, point_mm=(0.5, -0.5, 34.0))
    sets = (ImagingSet("r1", "reader 11111111", SetKind.READER, True, (point,)),)
    import_annotations(
        series=series,
        annotation_import=AnnotationImport("lidc-xml", series.series_instance_uid, sets),
        source=write_bytes(data=b"<simulated/>", media_type="application/xml"),
        simulated=True,
        actor=SYSTEM,
        reason="a test brings labels in",
    )
    version = fix_dataset_version(project=series.project, note="for a test", actor=SYSTEM, reason="for a test")
    made = exported(version, tmp_path / "labels.zip", format_name="dicom-rtstruct")
    manifest = manifest_in(made.path)
    [one] = manifest["series"]  # type: ignore[misc]  # JSON
    assert one["sets"][0]["simulated"] is True and one["sets"][0]["reader"] == "reader 11111111 (simulated)"
    assert "simulated" in one["files"][0]["name"]


def test_the_command_writes_an_export_and_overwrites_nothing(
    version: DatasetVersion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "out" / "labels.zip"
    arguments = ["--project", "lung-1", "--format", "nifti", "--out", str(path), "--sets", "readers"]
    call_command("export_labels", *arguments, "--version", str(version.number))
    shown = capsys.readouterr().out
    assert hashlib.sha256(path.read_bytes()).hexdigest() in shown
    assert "not carried by the format: finding-left-out, 1 times" in shown
    with pytest.raises(CommandError, match="nothing is overwritten"):
        call_command("export_labels", *arguments)
    with pytest.raises(CommandError, match="no dataset version 7"):
        call_command("export_labels", *arguments[:5], str(tmp_path / "other.zip"), "--version", "7")
