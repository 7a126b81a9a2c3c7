"""LIDC-IDRI-0001 from its archive to four readers' sets, and what happens when something is missing."""

from __future__ import annotations

import csv
import math
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

from imaging.masks.place import centre_of
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import Category, Finding
from qaservice.labels.models import AnnotationSet, DatasetVersion
from qaservice.labels.selectors import annotation_sets_of, manifest_of, reader_sets, series_of_version
from qaservice.projects.models import Project
from qaservice.studies.models import Instance, Series
from qaservice.studies.selectors import items_of, volume_of
from tests.imaging.readers import real
from tests.qaservice.studies.deliveries import ingest, outcomes, written_to

pytestmark = [pytest.mark.real_data, pytest.mark.django_db]

XML = "annotations-lidc.xml"


def nodules(one: ImagingSet) -> list[Finding]:
    return [finding for finding in one.findings if finding.category is Category.NODULE_GE_3MM]


def small(one: ImagingSet) -> list[Finding]:
    return [finding for finding in one.findings if finding.category is Category.NODULE_LT_3MM]


def luna16_row(series_uid: str) -> tuple[tuple[float, float, float], float]:
    with (real.folder() / "luna16-annotations.csv").open() as stream:
        [row] = [row for row in csv.DictReader(stream) if row["seriesuid"] == series_uid]
    return (float(row["coordX"]), float(row["coordY"]), float(row["coordZ"])), float(row["diameter_mm"])


def lidc(folder: Path, *, xml: bytes | None = None) -> Path:
    """The study unpacked into a folder, with another annotation file where one is given."""
    files = {name.removeprefix("lidc-0001/"): data for name, data in real.archive("lidc-0001.zip").items()}
    if xml is not None:
        [name] = [name for name in files if name.endswith(XML)]
        files[name] = xml
    return written_to(folder, files)


def without_the_nodule_of(session: int) -> bytes:
    """The annotation file with all outlined nodules of one reader taken out."""
    root = ElementTree.fromstring(real.member("lidc-0001.zip", XML))
    space = root.tag.partition("}")[0] + "}"
    reading = root.findall(f"{space}readingSession")[session - 1]
    for nodule in reading.findall(f"{space}unblindedReadNodule"):
        if len(nodule.findall(f"{space}roi/{space}edgeMap")) > 1:
            reading.remove(nodule)
    return ElementTree.tostring(root)


@pytest.mark.requirement("REQ-17")
def test_lidc_0001_arrives_with_four_readers_and_their_nodule_where_luna16_has_it(project: Project) -> None:
    done = ingest(project, real.folder() / "lidc-0001.zip")
    assert done.state == "completed"
    series = Series.objects.get()
    assert series.state == "accepted" and series.verdict == []
    assert Instance.objects.filter(series_instance_uid=series.series_instance_uid).count() == 133
    volume = volume_of(series)
    assert volume.grid.shape == (133, 512, 512)
    assert volume.grid.spacing_mm == pytest.approx((2.5, 0.703125, 0.703125))

    sets = annotation_sets_of(series=series)
    assert len(sets) == 4 and all(one.read for one in sets)
    place, diameter = luna16_row(series.series_instance_uid)
    for one in sets:
        [nodule] = nodules(one)
        assert nodule.mask is not None and math.dist(centre_of(nodule), place) < diameter / 2
        assert nodule.characteristics["malignancy"] in (4, 5)
        assert len(nodule.sop_instance_uids) == nodule.mask.voxels.shape[0]
    assert sorted(len(small(one)) for one in sets) == [0, 3, 3, 3]
    assert all(finding.mask is None and finding.point_mm is not None for one in sets for finding in small(one))

    [refused] = items_of(done, "refused")
    assert refused.name.endswith("seg-wrong-geometry.dcm") and refused.code == "label-outside-image"
    assert "(0.0, 0.0, 97.5)" in refused.message and "mm" in refused.message
    [kept] = AnnotationSet.objects.filter(series=series, read=False)
    assert [one["code"] for one in kept.rejections] == ["label-outside-image"]
    assert kept.pk not in {row.pk for row in reader_sets(series=series)}

    version = DatasetVersion.objects.get()
    assert (version.number, version.series_count) == (1, 1)
    assert version.finding_count == sum(len(one.findings) for one in sets)
    assert series_of_version(version=version) == [series]
    [entry] = manifest_of(version)["series"]
    assert entry["input_digest"] == series.input_digest and len(entry["sets"]) == 5

    again = ingest(project, real.folder() / "lidc-0001.zip")
    assert again.summary == {"stored": 0, "duplicate": 134, "quarantined": 0, "refused": 1, "ignored": 0}
    assert AnnotationSet.objects.count() == 5 and DatasetVersion.objects.count() == 1


def test_a_reader_whose_mark_was_withheld_has_read_and_found_nothing_there(project: Project, tmp_path: Path) -> None:
    ingest(project, lidc(tmp_path / "in", xml=without_the_nodule_of(2)))
    sets = annotation_sets_of(series=Series.objects.get())
    assert [len(nodules(one)) for one in sets] == [1, 0, 1, 1]
    assert all(one.read for one in sets), "nothing found is not the same as not read"


def test_another_file_of_readings_for_the_same_series_is_kept_apart(project: Project, tmp_path: Path) -> None:
    ingest(project, real.folder() / "lidc-0001.zip")
    changed = written_to(tmp_path / "in", {"changed.xml": without_the_nodule_of(1)})
    done = ingest(project, changed)
    assert outcomes(done)["changed.xml"] == ("quarantined", "readings-already-held")
    assert AnnotationSet.objects.filter(read=True).count() == 4 and DatasetVersion.objects.count() == 1


def test_readings_whose_images_are_not_here_are_refused_by_name_of_the_series(project: Project, tmp_path: Path) -> None:
    with zipfile.ZipFile(real.folder() / "lidc-xml.zip") as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith(".xml")]
        files = {Path(name).name: archive.read(name) for name in names[:12]}
    done = ingest(project, written_to(tmp_path / "in", files))
    found = set(outcomes(done).values())
    assert found <= {("refused", "images-not-held"), ("ignored", "chest-x-ray")} and found
    assert not AnnotationSet.objects.exists() and not DatasetVersion.objects.exists()


def test_three_awkward_files_among_the_slices_are_listed_and_the_series_is_taken(
    project: Project, tmp_path: Path
) -> None:
    folder = lidc(tmp_path / "in")
    awkward = real.archive("awkward-dicom.zip")
    chosen = ["0001_cxr.dcm", "0010_same_name.zip", "0032_CTImage.dcm_BigEndianExplicitTransferSyntax"]
    picked = {name: data for name, data in awkward.items() if any(part in name for part in chosen)}
    assert len(picked) == 3
    written_to(folder / "mixed-in", {Path(name).name: data for name, data in picked.items()})
    done = ingest(project, folder)
    assert Series.objects.filter(state="accepted").count() == 1 and done.summary["stored"] == 134
    bad = {item.name: item for item in items_of(done) if item.name.startswith("mixed-in/")}
    assert len(bad) == 3 and all(item.code and item.message for item in bad.values())
    assert {item.outcome for item in bad.values()} == {"refused", "ignored", "quarantined"}


def test_every_awkward_file_ends_with_an_outcome_and_a_reason(project: Project, tmp_path: Path) -> None:
    files = {Path(name).name: data for name, data in real.archive("awkward-dicom.zip").items()}
    done = ingest(project, written_to(tmp_path / "in", files))
    assert done.state == "completed" and sum(done.summary.values()) == len(files)
    reasonless = [item.name for item in items_of(done) if item.outcome != "stored" and not item.message]
    assert reasonless == []


def test_every_awkward_series_ends_with_a_named_verdict(project: Project, tmp_path: Path) -> None:
    files = real.archive("awkward-series.zip")
    done = ingest(project, written_to(tmp_path / "in", files))
    assert done.state == "completed" and sum(done.summary.values()) == len(files)
    refused = Series.objects.filter(state="refused")
    reasons = {str(finding["code"]) for series in refused for finding in series.verdict}
    assert reasons >= {"gantry-tilt", "missing-slices", "duplicate-positions"}
    assert all(series.verdict and series.grid is None for series in refused)
