"""Written DICOM objects as others see them: highdicom, dcmtk and dciodvfy."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.sr.utils import find_content_items
from pydicom.dataset import Dataset

from imaging.masks.build import full_voxels
from imaging.masks.measure import measure
from imaging.readers.limits import CT_READ_LIMITS
from imaging.writers.contract import WrittenFile
from imaging.writers.registry import LABEL_WRITERS
from imaging.writers.release import RELEASE_TOLERANCE, release
from tests.imaging.writers.made import CONTEXT, RATINGS, labelled

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DICOM_WRITERS = [name for name, writer in LABEL_WRITERS.items() if writer.needs_header]


@functools.cache
def files_of(name: str) -> dict[str, WrittenFile]:
    written = release(
        writer=LABEL_WRITERS[name],
        labelled=labelled(),
        context=CONTEXT,
        limits=CT_READ_LIMITS,
        tolerance=RELEASE_TOLERANCE,
    )
    return {one.name: one for one in written.files}


def opened(file: WrittenFile) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file.data))


def the_file(name: str, ending: str, set_id: str) -> WrittenFile:
    [found] = [one for one in files_of(name).values() if one.name.endswith(ending) and set_id in one.set_ids]
    return found


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine (Debian: dcmtk, dicom3tools)")
    return found


def test_highdicom_reads_the_very_outlines_overlapping_ones_too():
    file = the_file("dicom-seg", ".seg.dcm", "set-a")
    segmentation = highdicom.seg.segread(io.BytesIO(file.data))
    series = labelled()
    assert segmentation.number_of_segments == len(file.content) == 4
    voxels = segmentation.get_pixels_by_source_instance(
        list(series.image.sop_instance_uids), ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for number, finding in enumerate(file.content):
        assert finding.mask is not None
        assert np.array_equal(voxels[..., number].astype(bool), full_voxels(finding.mask))
        described = segmentation.get_segment_description(number + 1)
        assert described.tracking_uid == finding.tracking_uid
        assert described.segment_label == finding.source_label


def test_a_segmentation_names_its_author_and_nobody_else():
    reader = opened(the_file("dicom-seg", ".seg.dcm", "set-a"))
    assert str(reader.ContentCreatorName) == "reader 0badcafe^"
    assert {one.SegmentAlgorithmType for one in reader.SegmentSequence} == {"MANUAL"}
    algorithm = opened(the_file("dicom-seg", ".seg.dcm", "set-b"))
    [segment] = algorithm.SegmentSequence
    [identity] = segment.SegmentationAlgorithmIdentificationSequence
    assert (segment.SegmentAlgorithmType, identity.AlgorithmName, identity.AlgorithmVersion) == (
        "AUTOMATIC",
        "Finder",
        "2.1",
    )
    consensus = opened(the_file("dicom-seg", ".seg.dcm", "set-c"))
    assert str(consensus.ContentCreatorName) == "consensus^"


@pytest.mark.parametrize("name", DICOM_WRITERS)
def test_patient_study_and_time_are_those_that_were_given(name: str):
    header = labelled().header
    assert header is not None
    for file in files_of(name).values():
        dataset = opened(file)
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
            if keyword in dataset:
                assert str(dataset[keyword].value) == str(header[keyword].value)
        assert dataset.PatientID == header.PatientID and dataset.SOPInstanceUID == file.sop_instance_uid
        assert (dataset.InstanceCreationDate, dataset.InstanceCreationTime) == ("20260102", "030405")
        assert (dataset.Manufacturer, dataset.SoftwareVersions) == ("Label QA", "test")
        assert dataset.SeriesInstanceUID != header.SeriesInstanceUID


def test_a_report_measures_the_segment_that_it_names_under_the_same_tracking_uid():
    report = highdicom.sr.srread(io.BytesIO(the_file("dicom-sr", ".sr.dcm", "set-a").data))
    segments = the_file("dicom-sr", ".seg.dcm", "set-a")
    first = segments.content[0]
    assert first.mask is not None
    [group] = report.content.get_volumetric_roi_measurement_groups(tracking_uid=first.tracking_uid)
    referenced = group.referenced_segment
    assert referenced is not None and referenced.referenced_sop_instance_uid == segments.sop_instance_uid
    assert referenced.referenced_segment_numbers == [1] or referenced.referenced_segment_number == 1
    numbers = {one.name.meaning: float(one.value) for one in group.get_measurements()}
    size = measure(first.mask)
    expected = {"Long Axis": size.long_axis_mm, "Short Axis": size.short_axis_mm, "Volume": size.volume_mm3}
    assert numbers == pytest.approx(expected, abs=1e-3)
    evaluations = {one.name.value: one.value.value for one in group.get_qualitative_evaluations()}
    # Of the published DICOM conversion of LIDC-IDRI.
    assert evaluations.pop("276214006") == "49755003"  # the finding's category, which the template holds beside them
    assert len(evaluations) == len(RATINGS)
    assert evaluations["RID36042"] == "904" and evaluations["C45992"] == "105" and evaluations["C3672"] == "RID28473"


def test_a_reports_observer_is_a_reader_a_machine_or_the_consensus():
    said = {}
    for set_id in ("set-a", "set-b", "set-c"):
        report = opened(the_file("dicom-sr", ".sr.dcm", set_id))
        items = find_content_items(report)
        said[set_id] = {
            item.ConceptNameCodeSequence[0].CodeMeaning: str(item.get("PersonName") or item.get("TextValue") or "")
            for item in items
            if "Observer" in item.ConceptNameCodeSequence[0].CodeMeaning
        }
    assert said["set-a"]["Person Observer Name"] == "reader 0badcafe^"
    assert said["set-b"]["Device Observer Name"] == "Finder" and "Person Observer Name" not in said["set-b"]
    assert said["set-c"]["Device Observer Name"] == "consensus" and "Person Observer Name" not in said["set-c"]


@pytest.mark.parametrize("name", DICOM_WRITERS)
def test_dciodvfy_finds_no_error(name: str, tmp_path: Path):
    command = program("dciodvfy")
    for file in files_of(name).values():
        (tmp_path / file.name).write_bytes(file.data)
        done = subprocess.run([command, tmp_path / file.name], capture_output=True, text=True, check=False)
        lines = (done.stderr + done.stdout).splitlines()
        # Debian's dciodvfy is older than this type of contour (PS3.3 C.8.8.6.3 as of 2024c, not yet in 2018e).
        errors = [line for line in lines if line.startswith("Error") and "CLOSEDPLANAR_XOR" not in line]
        assert not errors, f"{file.name}: {errors}"


@pytest.mark.parametrize("name", DICOM_WRITERS)
def test_dcmtk_parses_the_object_to_its_end(name: str, tmp_path: Path):
    command = program("dcmdump")
    for file in files_of(name).values():
        (tmp_path / file.name).write_bytes(file.data)
        done = subprocess.run([command, "+L", tmp_path / file.name], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr.strip()


def test_dcmtk_renders_the_report_with_its_findings(tmp_path: Path):
    command = program("dsr2html")
    file = the_file("dicom-sr", ".sr.dcm", "set-a")
    (tmp_path / "report.dcm").write_bytes(file.data)
    done = subprocess.run([command, tmp_path / "report.dcm"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "E:" not in done.stderr
    assert "Nodule 001" in done.stdout and "Highly Suspicious" not in done.stdout
    assert "Moderately Suspicious for Cancer" in done.stdout and "Imaging Measurement Report" in done.stdout
