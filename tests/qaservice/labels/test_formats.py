"""Every registered format through the service: it finds its series, keeps its bytes, and comes in once."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance.models import Event
from compliance.recording import SYSTEM
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import Kind
from imaging.types import Category, SetKind
from qaservice.labels.models import AnnotationSet, FindingRevision
from qaservice.labels.selectors import annotation_sets_of, latest_version, manifest_of
from qaservice.labels.summaries import set_summaries
from qaservice.labels.terms import apply_label_terms
from qaservice.projects.models import Project
from qaservice.projects.services import set_policies
from qaservice.storage.models import Blob
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Ingest, IngestItem, Series
from tests.imaging.readers.label_makers import MAKERS, OTHER_SERIES, coco, luna16, predictions_json, voc
from tests.imaging.readers.made import SERIES, uid_of
from tests.imaging.readers.test_segmentation import SLICES
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]
KINDS = tuple(sorted(LABEL_FORMATS))


def images(project: Project, tmp_path: Path, *, series: str = SERIES, **changes: object) -> Series:
    ingest(project, written_to(tmp_path / f"images-{series}", series_files(series=series, count=SLICES, **changes)))
    return Series.objects.get(series_instance_uid=series)


def labels(project: Project, tmp_path: Path, name: str, files: dict[str, bytes]) -> Ingest:
    return ingest(project, written_to(tmp_path / name, files))


def message(ingested: Ingest, name: str) -> str:
    return IngestItem.objects.get(ingest=ingested, name=name).message


@pytest.mark.requirement("REQ-17")
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_finds_its_series_keeps_its_bytes_and_comes_in_once(
    project: Project, tmp_path: Path, kind: Kind
) -> None:
    series = images(project, tmp_path)
    data, name = MAKERS[kind].valid(), MAKERS[kind].file_name
    first = labels(project, tmp_path, "first", {name: data})
    assert outcomes(first)[name][0] == "stored", message(first, name)
    assert IngestItem.objects.get(ingest=first).kind == kind
    [one] = annotation_sets_of(series=series, kinds=[SetKind.READER, SetKind.ALGORITHM])
    assert one.read and one.findings
    assert all(finding.round_trip is not None for finding in one.findings)
    assert data in [read_blob(blob.pk) for blob in Blob.objects.all()], "the original bytes are kept"
    again = labels(project, tmp_path, "again", {"renamed": data})
    assert outcomes(again)["renamed"] == ("duplicate", "already-held")
    assert AnnotationSet.objects.count() == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"nifti", "nrrd"}])
def test_a_file_about_images_that_are_not_here_is_refused_by_name_and_kept(
    project: Project, tmp_path: Path, kind: Kind
) -> None:
    data = MAKERS[kind].valid()
    done = labels(project, tmp_path, "early", {"labels.file": data})
    item = IngestItem.objects.get(ingest=done)
    assert (item.outcome, item.code) == ("refused", "images-not-held"), item.message
    assert SERIES in item.message or "study" in item.message, "what it names is told"
    assert item.kept_id is not None and read_blob(item.kept_id) == data


def test_boxes_of_single_slices_are_one_reading_of_the_series_not_a_reader_a_slice(
    project: Project, tmp_path: Path
) -> None:
    series = images(project, tmp_path)
    files = {f"voc/{uid_of(number)}.xml": voc(name=uid_of(number)) for number in (2, 3, 4)}
    files["voc/elsewhere.xml"] = voc(name=f"{OTHER_SERIES}.3")
    done = labels(project, tmp_path, "boxes", files)
    assert outcomes(done) == {
        **{f"voc/{uid_of(number)}.xml": ("stored", "") for number in (2, 3, 4)},
        "voc/elsewhere.xml": ("refused", "images-not-held"),
    }
    row = AnnotationSet.objects.get()
    assert row.source is not None and row.source.media_type.endswith("file-list+json")
    [one] = annotation_sets_of(series=series)
    assert len(one.findings) == 3
    assert sorted(finding.box.corner_mm[2] for finding in one.findings if finding.box) == [12.25, 13.75, 15.25]
    more = labels(project, tmp_path, "more", {"again.xml": files[f"voc/{uid_of(2)}.xml"]})
    assert outcomes(more)["again.xml"] == ("duplicate", "already-held")


def test_a_folder_named_like_one_in_a_label_s_path_never_stands_for_an_image(project: Project, tmp_path: Path) -> None:
    files = {f"ct/{number:03d}.dcm": slice_file(number=number) for number in range(SLICES)}
    ingest(project, written_to(tmp_path / "in", files))
    done = labels(project, tmp_path, "boxes", {"elsewhere.xml": voc(name="scan-17", folder="ct")})
    assert outcomes(done)["elsewhere.xml"] == ("refused", "images-not-held")
    assert "scan-17" in message(done, "elsewhere.xml")


def test_an_image_is_found_by_the_name_under_which_it_was_delivered(project: Project, tmp_path: Path) -> None:
    for series, folder in ((SERIES, "one"), (OTHER_SERIES, "two")):
        files = {f"{folder}/{number:03d}.dcm": slice_file(number=number, series=series) for number in range(SLICES)}
        ingest(project, written_to(tmp_path / folder / "x", files))
    done = labels(
        project,
        tmp_path,
        "named",
        {"clear.json": coco(names=("two/003.png",)), "unclear.json": coco(names=("003.png",))},
    )
    assert outcomes(done) == {"clear.json": ("stored", ""), "unclear.json": ("refused", "images-not-held")}
    [finding] = annotation_sets_of(series=Series.objects.get(series_instance_uid=OTHER_SERIES))[0].findings
    assert finding.sop_instance_uids == () and finding.box is not None and finding.box.corner_mm[2] == 13.75


def test_a_list_of_many_scans_is_read_for_each_that_is_held_and_names_the_others(
    project: Project, tmp_path: Path
) -> None:
    first, second = images(project, tmp_path), images(project, tmp_path, series=OTHER_SERIES)
    rows = b"".join(luna16(series=name).partition(b"\n")[2] for name in (OTHER_SERIES, "1.2.826.0.1.3680043.99.5"))
    done = labels(project, tmp_path, "list", {"nodules.csv": luna16() + rows})
    assert outcomes(done)["nodules.csv"] == ("stored", "part-not-held")
    assert "on 2 series" in message(done, "nodules.csv") and "1.2.826.0.1.3680043.99.5" in message(done, "nodules.csv")
    assert [len(annotation_sets_of(series=one)[0].findings) for one in (first, second)] == [1, 1]


def test_a_list_is_read_again_for_scans_that_came_after_it(project: Project, tmp_path: Path) -> None:
    images(project, tmp_path)
    rows = luna16() + luna16(series=OTHER_SERIES).partition(b"\n")[2]
    labels(project, tmp_path, "list", {"nodules.csv": rows})
    images(project, tmp_path, series=OTHER_SERIES)
    again = labels(project, tmp_path, "again", {"nodules.csv": rows})
    assert outcomes(again)["nodules.csv"] == ("stored", "")
    assert AnnotationSet.objects.count() == 2


def test_a_mask_that_names_no_image_belongs_to_the_scan_on_whose_grid_it_lies(project: Project, tmp_path: Path) -> None:
    images(project, tmp_path, series=OTHER_SERIES, PixelSpacing=[0.7, 0.7])
    series = images(project, tmp_path)
    done = labels(project, tmp_path, "mask", {"mask.nii": MAKERS["nifti"].valid()})
    assert outcomes(done)["mask.nii"] == ("stored", "")
    assert AnnotationSet.objects.get().series == series


def test_a_mask_on_another_grid_meets_the_only_scan_and_is_refused_in_millimetres(
    project: Project, tmp_path: Path
) -> None:
    images(project, tmp_path)
    done = labels(project, tmp_path, "mask", {"mask.nii": MAKERS["nifti"].elsewhere()})
    assert outcomes(done)["mask.nii"] == ("refused", "label-outside-image")
    assert " mm" in message(done, "mask.nii")


@pytest.mark.requirement("REQ-17")
def test_a_project_says_what_a_source_means_by_a_name(project: Project, tmp_path: Path) -> None:
    series = images(project, tmp_path)
    data = voc(name=uid_of(3)).replace(b"<name>nodule</name>", b"<name>A</name>")
    labels(project, tmp_path, "before", {"a.xml": data})
    [one] = annotation_sets_of(series=series)
    assert one.findings[0].category is Category.STRUCTURE, "what is not known as a nodule is kept as a structure"
    assert set_summaries(series=series)[0].structure_names == ("A",)
    set_policies(
        project=project, policies={"label_terms": {"a": "nodule >= 3 mm"}}, actor=SYSTEM, reason="A: adenocarcinoma"
    )
    project.refresh_from_db()
    labels(project, tmp_path, "after", {"b.xml": data.replace(b"<xmin>3<", b"<xmin>4<")})
    assert sorted(FindingRevision.objects.values_list("category", flat=True)) == ["nodule >= 3 mm", "other structure"]


def test_labels_that_are_held_already_are_understood_anew_and_back_and_nothing_is_lost(
    project: Project, tmp_path: Path
) -> None:
    series = images(project, tmp_path)
    data = voc(name=uid_of(3)).replace(b"<name>nodule</name>", b"<name>A</name>")
    labels(project, tmp_path, "before", {"a.xml": data, "b.xml": voc(name=uid_of(4))})
    project.label_terms = {"a": "nodule >= 3 mm"}
    renamed = apply_label_terms(project=project, actor=SYSTEM, reason="A: adenocarcinoma")
    assert renamed.names == {"A": 1}
    findings = annotation_sets_of(series=series)[0].findings
    assert {finding.category for finding in findings} == {Category.NODULE_GE_3MM}
    assert all(finding.box is not None and finding.round_trip is not None for finding in findings)
    assert apply_label_terms(project=project, actor=SYSTEM, reason="again").findings == 0
    project.label_terms = {}
    assert apply_label_terms(project=project, actor=SYSTEM, reason="a mistake").names == {"A": 1}
    rows = FindingRevision.objects.filter(finding__source_label="A").order_by("number")
    assert [row.category for row in rows] == ["other structure", "nodule >= 3 mm", "other structure"]
    assert rows[0].origin in rows[2].origin and "as the project reads" in rows[2].origin
    assert [event.payload["findings"] for event in Event.objects.filter(kind="annotations.renamed")] == [1, 1]


def test_what_a_prediction_says_of_itself_is_kept_and_stands_in_the_dataset_version(
    project: Project, tmp_path: Path
) -> None:
    series = images(project, tmp_path)
    labels(project, tmp_path, "predictions", {"detector.json": predictions_json()})
    [one] = annotation_sets_of(series=series, kinds=[SetKind.ALGORITHM])
    assert one.algorithm is not None and (one.algorithm.name, one.algorithm.version) == ("detector", "1.0")
    assert one.case_probabilities == {"malignant": 0.25}
    assert [finding.confidence for finding in one.findings] == [0.9]
    [summary] = set_summaries(series=series)
    assert (summary.algorithm, summary.confidences, summary.round_trip_mm) == ("detector", (0.9, 0.9), 0.0)
    version = latest_version(project)
    assert version is not None
    [[entry]] = [scan["sets"] for scan in manifest_of(version)["series"]]
    assert entry["algorithm"] == {"name": "detector", "version": "1.0"}
    assert entry["case_probabilities"] == {"malignant": "0.25"}
    assert entry["findings"][0]["confidence"] == "0.9"


def test_a_box_is_stored_with_both_corners_and_its_longer_edge_in_the_slice(project: Project, tmp_path: Path) -> None:
    series = images(project, tmp_path)
    labels(project, tmp_path, "box", {"box.xml": voc(name=uid_of(3))})
    revision = FindingRevision.objects.get()
    # Columns 2 to 8 and rows 1 to 6 of 0.5 mm, outer faces; slice 3 of 1.5 mm.
    assert revision.shape == "box" and revision.diameter_mm == pytest.approx(3.5)
    assert revision.measurement["edges_mm"] == pytest.approx([1.5, 3.0, 3.5])
    assert (revision.x_mm, revision.y_mm, revision.z_mm) == pytest.approx((-1.5, -1.25, 14.5))
    [finding] = annotation_sets_of(series=series)[0].findings
    assert finding.box is not None and finding.mask is None and finding.point_mm is None
    assert sorted((finding.box.corner_mm[0], finding.box.opposite_corner_mm[0])) == pytest.approx([-3.25, 0.25])


def test_a_mask_that_fits_two_phases_alike_is_refused_until_its_folder_says_which(
    project: Project, tmp_path: Path
) -> None:
    mask = MAKERS["nifti"].valid()
    first = {f"first/{name}": data for name, data in series_files(count=SLICES).items()}
    second = {f"second/{name}": data for name, data in series_files(series=OTHER_SERIES, count=SLICES).items()}
    alone = labels(project, tmp_path, "alone", {**first, **second, "mask.nii.gz": mask})
    item = IngestItem.objects.get(ingest=alone, name="mask.nii.gz")
    assert (item.outcome, item.code) == ("refused", "several-series-fit"), item.message
    assert SERIES in item.message and OTHER_SERIES in item.message
    assert AnnotationSet.objects.count() == 0
    again = {**first, **second, "second/mask.nii.gz": mask}
    beside = labels(project, tmp_path, "beside", again)
    assert outcomes(beside)["second/mask.nii.gz"][0] == "stored", message(beside, "second/mask.nii.gz")
    assert AnnotationSet.objects.get().series.series_instance_uid == OTHER_SERIES


@pytest.mark.parametrize("poison", ["\\u0000", "\\ud800"])
def test_a_name_that_no_database_stores_stops_no_delivery(project: Project, tmp_path: Path, poison: str) -> None:
    series = images(project, tmp_path)
    data = MAKERS["coco-json"].valid().replace(b'"nodule"', f'"nodule {poison}"'.encode())
    done = labels(project, tmp_path, "odd", {"labels.json": data, "sound.nii": MAKERS["nifti"].valid()})
    assert done.state == "completed", done.failure
    assert {outcome for outcome, _ in outcomes(done).values()} == {"stored"}
    sets = annotation_sets_of(series=series, kinds=[SetKind.READER, SetKind.ALGORITHM])
    assert "nodule ?" in {finding.source_label for one in sets for finding in one.findings}
