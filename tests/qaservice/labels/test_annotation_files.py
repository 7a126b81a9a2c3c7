"""Annotation files of a delivery: each finds its series and ends with an outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pydicom.dataset import Dataset

from imaging.types import SetKind
from qaservice.labels.models import AnnotationSet, DatasetVersion
from qaservice.labels.selectors import annotation_sets_of
from qaservice.projects.models import Project
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import Ingest, IngestItem, Instance, Series
from tests.imaging.readers.made import SERIES, written
from tests.imaging.readers.test_segmentation import SLICES, a_segmentation, moved, region
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, slice_file, written_to

pytestmark = pytest.mark.django_db


def seg(dataset: Dataset | None = None) -> bytes:
    return written(a_segmentation(region()) if dataset is None else dataset)


def series_with(tmp_path: Path, **annotations: bytes) -> Path:
    files = series_files(count=SLICES)
    return written_to(tmp_path / "in", {**files, **{f"labels/{name}": data for name, data in annotations.items()}})


def test_a_segmentation_among_the_slices_becomes_a_reader_s_set(project: Project, tmp_path: Path) -> None:
    data = seg()
    done = ingest(project, series_with(tmp_path, nodule=data))
    assert done.summary["stored"] == SLICES + 1
    [one] = annotation_sets_of(series=Series.objects.get())
    assert one.kind is SetKind.READER and one.read
    [finding] = one.findings
    assert finding.mask is not None and finding.mask.count == region().sum()
    row = AnnotationSet.objects.get()
    assert row.source_id is not None and read_blob(row.source_id) == data
    assert Instance.objects.get(modality="SEG").blob_id == row.source_id
    assert DatasetVersion.objects.get().finding_count == 1


def test_labels_may_come_after_their_images_and_again(project: Project, tmp_path: Path) -> None:
    ingest(project, series_with(tmp_path))
    assert not DatasetVersion.objects.exists(), "images alone are no dataset of labels"
    labels = written_to(tmp_path / "labels", {"nodule.dcm": seg()})
    assert outcomes(ingest(project, labels))["nodule.dcm"] == ("stored", "")
    assert outcomes(ingest(project, labels))["nodule.dcm"] == ("duplicate", "already-held")
    assert AnnotationSet.objects.count() == 1


def test_labels_before_their_images_are_refused_and_may_be_handed_in_again(project: Project, tmp_path: Path) -> None:
    labels = written_to(tmp_path / "labels", {"nodule.dcm": seg()})
    first = ingest(project, labels)
    assert outcomes(first)["nodule.dcm"] == ("refused", "images-not-held")
    ingest(project, series_with(tmp_path))
    assert outcomes(ingest(project, labels))["nodule.dcm"] == ("stored", "")


def test_a_changed_segmentation_under_the_same_uid_is_kept_apart(project: Project, tmp_path: Path) -> None:
    ingest(project, series_with(tmp_path, nodule=seg()))
    changed = a_segmentation(region())
    changed.SegmentSequence[0].SegmentLabel = "Another name"
    done = ingest(project, written_to(tmp_path / "b", {"nodule.dcm": seg(changed)}))
    assert outcomes(done)["nodule.dcm"] == ("quarantined", "same-uid-other-bytes")
    item = IngestItem.objects.get(ingest=done)
    assert Instance.objects.get(modality="SEG").blob_id in item.message and item.sha256 in item.message
    assert AnnotationSet.objects.count() == 1 and read_blob(item.sha256) == seg(changed)


@pytest.mark.requirement("REQ-17")
def test_a_segmentation_that_lies_elsewhere_is_refused_with_the_millimetres(project: Project, tmp_path: Path) -> None:
    folder = series_with(tmp_path, misplaced=seg(moved(z=30.0)))
    done = ingest(project, folder)
    assert outcomes(done)["labels/misplaced"] == ("refused", "label-outside-image")
    assert annotation_sets_of(series=Series.objects.get()) == ()
    [row] = AnnotationSet.objects.all()
    assert not row.read and "mm" in row.rejections[0]["message"]
    again = ingest(project, folder)
    assert outcomes(again)["labels/misplaced"] == ("refused", "label-outside-image")
    assert AnnotationSet.objects.count() == 1, "the same refusal is kept once"


def test_labels_for_a_series_that_the_gate_refused_are_refused_too(project: Project, tmp_path: Path) -> None:
    files = {f"{number}.dcm": slice_file(number=number) for number in (0, 1, 2, 5)}
    xml = (
        f"<LidcReadMessage><ResponseHeader><SeriesInstanceUid>{SERIES}</SeriesInstanceUid></ResponseHeader>"
        "</LidcReadMessage>"
    )
    done = ingest(
        project, written_to(tmp_path / "in", {**files, "readings.xml": xml.encode(), "cut.xml": b"<LidcReadMessage>"})
    )
    assert outcomes(done)["readings.xml"] == ("refused", "series-refused")
    assert outcomes(done)["cut.xml"] == ("refused", "not-xml")


def test_labels_of_simulated_readers_stay_marked(project: Project, tmp_path: Path) -> None:
    ingest(project, series_with(tmp_path, nodule=seg()), simulated=True)
    assert AnnotationSet.objects.get().simulated and Ingest.objects.get().simulated


def test_the_command_opens_the_project_and_lists_every_refused_file(
    db: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = series_with(tmp_path, nodule=seg(), misplaced=seg(moved(z=30.0)), notes=b"hello")
    call_command("ingest", str(folder), project="new", title="A new project", skip_checks=True)
    shown = capsys.readouterr().out
    assert Project.objects.get(key="new").title == "A new project"
    assert "7  stored" in shown and "1  not a study file" in shown
    assert "labels/notes" in shown and "neither DICOM" in shown
    assert "label-outside-image" in shown and "accepted 6 x 8 x 12" in shown


def test_the_command_fails_where_nothing_could_be_taken(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file"):
        call_command("ingest", str(tmp_path / "nowhere"), project="new", skip_checks=True)
    assert not Project.objects.exists(), "nothing is left of a delivery that cannot be read"
    lone = written_to(tmp_path / "lone", {"one.dcm": slice_file(number=0, Modality="MR")})
    with pytest.raises(CommandError, match="nothing of the delivery could be taken"):
        call_command("ingest", str(lone), project="new", skip_checks=True)
