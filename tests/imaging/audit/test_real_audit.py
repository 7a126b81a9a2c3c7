"""The audit on public scans: what is known of them must stand on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imaging.audit.page import render
from imaging.audit.result import Audit
from imaging.audit.run import AuditRequest, audit
from imaging.geometry.label_fit import FitStatus
from tests.imaging.readers import real

pytestmark = pytest.mark.real_data


def audited(archive: str, folder: Path, *labels: str, nodule_names: tuple[str, ...] = ()) -> Audit:
    """Audit an archive's ct folder against others of its files, without a model."""
    for name, data in real.archive(archive).items():
        parts = [part for part in Path(name).parts if part not in {"", ".", ".."}]
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    [ct] = folder.rglob("ct")
    request = AuditRequest(
        ct=ct,
        labels=tuple(ct.parent / name for name in labels),
        bundle=None,
        nodule_names=nodule_names,
        threads=1,
        backend="auto",
        made_at="2026-01-01 00:00",
    )
    return audit(request=request, progress=lambda message: None)


def test_four_readings_are_read_and_the_misplaced_segmentation_is_refused_in_millimetres(tmp_path: Path) -> None:
    found = audited("lidc-0001.zip", tmp_path, "annotations-lidc.xml", "seg-wrong-geometry.dcm")
    refused = {file.name: file.refusal for file in found.label_files if file.refusal}
    assert set(refused) == {"seg-wrong-geometry.dcm"}
    assert re.search(r"\d+\.\d mm", refused["seg-wrong-geometry.dcm"])
    [series] = found.series
    assert len(series.sets) == 4
    assert {one.fit.status for one in series.sets if one.fit is not None} == {FitStatus.FITS}
    large = [item for one in series.sets for item in one.findings if item.category == "nodule ≥ 3 mm"]
    assert len(large) == 4
    assert all(item.place.endswith("patient's left (L)") for item in large)
    # Three of the four readers marked the same three small nodules.
    assert [(flag.issue.check, flag.set_number) for flag in series.flags] == [("reader_disagreement", 2)] * 3
    assert refused["seg-wrong-geometry.dcm"] in render(found).replace("&#39;", "'")


def test_the_tumour_of_a_structure_set_is_a_mass_of_its_known_volume_and_organs_are_no_nodules(tmp_path: Path) -> None:
    found = audited("4dlung.zip", tmp_path, "rtstruct")
    [series] = found.series
    [labels] = series.sets
    findings = {item.source_label: item for item in labels.findings}
    tumour = findings["Tumor_c40"]
    volume = re.search(r"([\d.]+) ml", tumour.size)
    assert volume is not None and float(volume.group(1)) == pytest.approx(67.6, rel=0.03)
    assert tumour.size.endswith("a mass")
    assert {findings[name].category for name in ("LN_c40", "Carina_c40", "Vertebra_c40")} == {"other structure"}
    assert series.flags == ()


def test_boxes_of_the_series_are_placed_and_those_of_its_sister_are_refused(tmp_path: Path) -> None:
    found = audited("lungdx-a0002.zip", tmp_path, "voc", nodule_names=("A",))
    [series] = found.series
    [labels] = series.sets
    assert labels.nodules == 10 and all(item.shape == "box" for item in labels.findings)
    assert len([file for file in found.label_files if file.refusal]) == 8
    assert series.flags == (), "boxes on neighbouring slices are neither duplicates nor in doubt"


def test_odd_files_leave_an_audit_without_a_volume_and_every_file_with_a_reason(tmp_path: Path) -> None:
    archive = real.folder() / "awkward-dicom.zip"
    label = tmp_path / "labels.xml"
    label.write_bytes(real.member("lidc-0001.zip", "annotations-lidc.xml"))
    request = AuditRequest(
        ct=archive, labels=(label,), bundle=None, nodule_names=(), threads=1, backend="auto", made_at="2026-01-01 00:00"
    )
    found = audit(request=request, progress=lambda message: None)
    read = sum(len(one.found.headers) for one in found.series)
    assert read + len(found.left_out_images) == len(real.archive("awkward-dicom.zip"))
    assert all(item.message for item in found.left_out_images)
    assert len(found.refused_series) == len(found.series)
    assert "No label could be checked." in render(found)
