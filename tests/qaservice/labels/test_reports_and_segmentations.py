"""A report and the segmentation that it measures are one reading."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from compliance.recording import SYSTEM
from imaging.types import SetKind
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision
from qaservice.labels.selectors import annotation_sets_of
from qaservice.projects.models import Project
from qaservice.projects.services import create_project
from qaservice.studies.models import IngestItem, Instance, Series
from tests.qaservice.labels.test_exporting import exported, series, version
from tests.qaservice.studies.deliveries import ingest, outcomes, slice_file, written_to

__all__ = ["series", "version"]
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def exported_reports(version: DatasetVersion, tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / "labels.zip"
    exported(version, out, format_name="dicom-sr")
    with zipfile.ZipFile(out) as archive:
        return {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist() if name.endswith(".dcm")}


@pytest.fixture
def partner(db: None, tmp_path: Path) -> Project:
    project = create_project(key="partner", title="Partner", actor=SYSTEM, reason="a test opens it")
    ingest(project, written_to(tmp_path / "again", {f"{n:02d}.dcm": slice_file(number=n) for n in range(20)}))
    return project


def read_back(project: Project) -> list[list[tuple[str, str]]]:
    """Shape and category of every finding, by set."""
    [held] = Series.objects.filter(project=project)
    rows = FindingRevision.objects.filter(finding__annotation_set__project=project)
    shapes = {str(row.finding_id): row.shape for row in rows}
    return [
        sorted((shapes[finding.finding_id], finding.category.value) for finding in one.findings)
        for one in annotation_sets_of(series=held, kinds=[SetKind.READER])
        if one.read
    ]


def only(files: dict[str, bytes], ending: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.endswith(ending)}


def test_readers_of_reports_with_segmentations_count_once(
    exported_reports: dict[str, bytes], partner: Project, tmp_path: Path
) -> None:
    last = ingest(partner, written_to(tmp_path / "labels", exported_reports))
    assert sorted(map(len, read_back(partner))) == [1, 2]
    assert [shapes for shapes in read_back(partner) if len(shapes) == 1] == [[("mask", "nodule >= 3 mm")]]
    assert {found[0] for found in outcomes(last).values()} == {"stored"}
    segmentations = IngestItem.objects.filter(ingest=last, kind="dicom-seg")
    assert len(segmentations) == 2 and all("report that measures" in item.message for item in segmentations)
    assert Instance.objects.filter(project=partner, modality="SEG").count() == 2, "the originals are kept"
    again = ingest(partner, written_to(tmp_path / "once-more", exported_reports))
    assert {found[0] for found in outcomes(again).values()} == {"duplicate"}
    assert len(read_back(partner)) == 2


def test_a_segmentation_whose_report_is_refused_counts_by_itself(
    exported_reports: dict[str, bytes], partner: Project, tmp_path: Path
) -> None:
    damaged = {
        name: data[: len(data) // 2] if name.endswith(".sr.dcm") else data for name, data in exported_reports.items()
    }
    done = ingest(partner, written_to(tmp_path / "labels", damaged))
    assert {outcomes(done)[name][0] for name in only(damaged, ".seg.dcm")} == {"stored"}
    assert [len(one) for one in read_back(partner)] == [1, 1]
    assert set(AnnotationSet.objects.filter(project=partner).values_list("source_format", flat=True)) == {"dicom-seg"}
