"""What a phantom is written as reads back as the same scan and the same labels, through the ordinary readers."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from imaging.geometry.verdict import LUNG_CT_TOLERANCES
from imaging.masks.overlap import dice
from imaging.masks.polygons import polygon_interior, polygon_outline
from imaging.phantom import cohort
from imaging.phantom.chest import PhantomCase
from imaging.phantom.dicom import write_series
from imaging.phantom.label_errors import ErrorKind
from imaging.phantom.label_errors_injected import inject_errors
from imaging.phantom.lidc_xml import exclusive_contours, write_lidc_xml
from imaging.phantom.simulated_readers import simulated_readers
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import load_volume, read_header


def test_the_written_series_reads_back_voxel_for_voxel(phantom: PhantomCase, tmp_path: Path) -> None:
    paths = write_series(case=phantom, directory=tmp_path)
    headers = {path: read_header(path, CT_READ_LIMITS) for path in reversed(paths)}
    by_uid = {header.sop_instance_uid: path for path, header in headers.items()}
    volume = load_volume(
        slices=list(headers.values()),
        open_bytes=lambda uid: by_uid[uid].read_bytes(),
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    assert np.array_equal(volume.hounsfield, phantom.volume.hounsfield)
    assert volume.sop_instance_uids == phantom.volume.sop_instance_uids
    assert volume.grid.shape == phantom.volume.grid.shape
    assert np.allclose(volume.grid.matrix, phantom.volume.grid.matrix, atol=1e-5)
    assert volume.grid.frame_of_reference_uid == phantom.volume.grid.frame_of_reference_uid


def test_a_written_series_says_that_it_is_synthetic(phantom: PhantomCase, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_series(case=phantom, directory=tmp_path)[0])
    assert str(dataset.PatientName).startswith("SYNTHETIC^")
    assert dataset.PatientID.startswith("SYNTHETIC")
    assert dataset.ImageType[0] == "DERIVED"


def test_readers_labels_survive_the_xml_exactly(phantom: PhantomCase, tmp_path: Path) -> None:
    honest = simulated_readers(case=phantom, seed=2, count=4)
    sets, _ = inject_errors(annotation_sets=honest, case=phantom, seed=2, count=5)
    path = tmp_path / "labels.xml"
    write_lidc_xml(case=phantom, annotation_sets=sets, path=path)
    imported = read_lidc_xml(path.read_bytes(), phantom.volume)
    assert not imported.rejections
    assert [one.set_id for one in imported.annotation_sets] == [one.set_id for one in sets]
    for written, read in zip(sets, imported.annotation_sets, strict=True):
        assert [item.finding_id for item in written.findings] == [item.finding_id for item in read.findings]
        for finding, twin in zip(written.findings, read.findings, strict=True):
            assert finding.category is twin.category
            assert dict(finding.characteristics) == dict(twin.characteristics)
            if finding.mask is None:
                assert finding.point_mm == pytest.approx(twin.point_mm, abs=1e-3)
            else:
                assert twin.mask is not None
                assert dice(finding.mask, twin.mask) == 1.0


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_exclusive_contours_give_back_any_plane(plane: NDArray[np.bool_]) -> None:
    again = np.zeros((plane.shape[0] + 6, plane.shape[1] + 6), dtype=np.bool_)
    contours = list(exclusive_contours(plane))
    for inclusion, outline in sorted(contours, key=lambda contour: not contour[0]):
        vertices = [(float(row + 3), float(column + 3)) for row, column in outline]
        interior, (top, left) = polygon_interior(vertices=vertices)
        edge, _ = polygon_outline(vertices=vertices)
        part = again[top : top + interior.shape[0], left : left + interior.shape[1]]
        if inclusion:
            part |= interior
        else:
            part &= ~(interior | edge)
    assert np.array_equal(again[3:-3, 3:-3], plane)


def test_a_cohort_is_written_with_its_truth_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort, "SHAPE", (40, 128, 128))
    monkeypatch.setattr(cohort, "SPACING_MM", (3.5, 2.6, 2.6))
    told: list[tuple[int, int]] = []
    truth = cohort.write_cohort(tmp_path, seed=1, cases=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    written = json.loads(truth.truth.read_text())
    assert [case["name"] for case in written["cases"]] == ["synthetic-001", "synthetic-002"]
    for case in truth.cases:
        assert len(list((truth.studies / case.name).glob("*.dcm"))) == 40
        xml = (truth.annotations / f"{case.name}.xml").read_text()
        assert case.series_instance_uid in xml
        assert case.errors
    displaced = [[error.kind for error in case.errors].count(ErrorKind.DISPLACED) for case in truth.cases]
    assert displaced == [0, 1]
    assert not list(truth.studies.rglob("*.json")), "the truth does not lie where an importer looks"
