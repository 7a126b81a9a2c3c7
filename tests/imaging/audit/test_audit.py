"""The audit of files: what it finds, what it says of what it cannot take, and that it never stops at bad input."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.__main__ import FAULT, NO_AUDIT, NOTHING_TO_LOOK_AT, SOMETHING_TO_LOOK_AT, main
from imaging.audit.machine import as_json
from imaging.audit.page import headline, render
from imaging.audit.result import Audit
from imaging.audit.run import AuditRequest, audit
from imaging.geometry.label_fit import FitStatus
from tests.imaging.audit.conftest import Study, audited
from tests.imaging.readers.label_makers import voc


def test_every_reader_is_listed_with_every_finding_where_it_lies(outcome: Audit, study: Study) -> None:
    [series] = outcome.series
    assert series.found.verdict.accepted
    readers = [one for one in series.sets if one.kind.value == "reader"]
    assert len(readers) == 4
    for one in readers:
        for finding in one.findings:
            assert finding.place_mm is not None
            side = "left (L)" if finding.place_mm[0] > 0 else "right (R)"
            assert abs(finding.place_mm[0]) < 20 or finding.place.endswith(f"patient's {side}")
            assert finding.place.startswith("image ")
            assert finding.round_trip.endswith("voxels")


def test_labels_on_their_nodules_are_said_to_fit(outcome: Audit) -> None:
    [series] = outcome.series
    fits = [one.fit.status for one in series.sets if one.fit is not None]
    assert fits and set(fits) <= {FitStatus.FITS, FitStatus.ABSTAINED}


def test_the_nodule_that_one_reader_overlooked_is_flagged_where_it_is(outcome: Audit, study: Study) -> None:
    [series] = outcome.series
    missed = [
        flag
        for flag in series.flags
        if flag.issue.check == "reader_disagreement" and math.dist(flag.issue.place_mm, study.missed_mm) < 6.0
    ]
    assert [flag.set_number for flag in missed] == [4]
    assert missed[0].picture is not None


def test_predictions_made_elsewhere_are_heard_as_an_opinion_and_not_audited_as_a_reader(outcome: Audit) -> None:
    [series] = outcome.series
    own, imported = series.opinions
    assert own.model is None and "no-model" in own.refusal
    assert imported.model is not None and imported.model.name == "detector-of-site-4"
    assert {check.check for check in imported.checks} == {"missing_nodule", "boundary"}
    heard = [flag for flag in series.flags if "imported algorithm" in flag.issue.reason]
    assert [flag.issue.check for flag in heard] == ["missing_nodule"]
    predictions = next(one for one in series.sets if one.kind.value == "algorithm")
    assert predictions.case_probabilities == {"malignant": 0.31}
    assert predictions.number not in {flag.set_number for flag in series.flags}


def test_flags_are_numbered_the_surest_first(outcome: Audit) -> None:
    assert [flag.number for flag in outcome.flags] == list(range(1, len(outcome.flags) + 1))
    scores = [flag.issue.score for flag in outcome.flags]
    assert scores == sorted(scores, reverse=True)


def test_an_archive_gives_what_its_files_give(study: Study, outcome: Audit) -> None:
    from_zip = audited(study, study.labels, study.predictions, ct=study.zipped)
    there, here = (json.loads(as_json(one)) for one in (from_zip, outcome))
    for document in (there, here):
        document["left_out"] = []
    assert there == here


def test_a_file_that_is_there_twice_counts_once(study: Study, tmp_path: Path) -> None:
    ct = shutil.copytree(study.ct, tmp_path / "ct")
    shutil.copy(ct / "slice-0001.dcm", ct / "again.dcm")
    found = audited(study, study.labels, ct=ct)
    assert found.series[0].found.verdict.accepted
    assert [item.code for item in found.left_out_images] == ["copy"]


def test_files_that_are_no_images_and_no_labels_are_named_with_the_reason(study: Study, tmp_path: Path) -> None:
    ct = shutil.copytree(study.ct, tmp_path / "ct")
    (ct / "notes.txt").write_text("nothing")
    (ct / "cut.dcm").write_bytes((ct / "slice-0001.dcm").read_bytes()[:700])
    shutil.copy(study.labels, ct / "readers.xml")
    labels = tmp_path / "labels"
    labels.mkdir()
    shutil.copy(study.labels, labels / "readers.xml")
    (labels / "thesis.pdf").write_bytes(b"%PDF-1.7")
    found = audited(study, labels, ct=ct)
    left_out = {item.name: item.code for item in found.left_out_images}
    assert left_out == {"notes.txt": "not-an-image", "cut.dcm": "truncated", "readers.xml": "label-file"}
    assert {item.name: item.code for item in found.left_out_labels} == {"thesis.pdf": "not-a-label-file"}


def test_a_series_with_a_hole_is_refused_with_the_place_and_its_labels_with_it(study: Study, tmp_path: Path) -> None:
    ct = shutil.copytree(study.ct, tmp_path / "ct")
    (ct / "slice-0020.dcm").unlink()
    found = audited(study, study.labels, ct=ct)
    [series] = found.series
    assert "missing-slices" in series.found.verdict.codes
    assert series.sets == () and series.flags == ()
    assert "geometry gate" in found.label_files[0].refusal
    assert "No label could be checked." in headline(found)


def test_a_label_of_images_that_were_not_given_is_refused(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "1.2.3.4.xml"
    other.write_bytes(voc(name="1.2.826.0.1.3680043.77.99"))
    found = audited(study, other)
    assert found.label_files[0].refusal
    assert found.series[0].not_analysed == "No label file describes it, so its pixels were not read."


def test_names_that_mean_a_nodule_here_can_be_given(study: Study, tmp_path: Path) -> None:
    uid = study.phantom.volume.sop_instance_uids[20]
    box = voc(name=uid, left=60).replace(b"nodule", b"A")
    for number in (1, 2):
        (tmp_path / f"{number}.xml").write_bytes(
            box.replace(b"<width>12", b"<width>160").replace(b"<height>8", b"<height>160")
        )
    plain = audited(study, tmp_path)
    told = audited(study, tmp_path, nodule_names=("A",))
    assert [one.nodules for one in plain.series[0].sets] == [0]
    assert plain.series[0].sets[0].other_names == ("A",)
    assert "No label names a nodule, so no label was judged as one." in headline(plain)
    assert [one.nodules for one in told.series[0].sets] == [2], "files of one image each are one reading"


def test_the_machines_form_says_what_the_page_says(outcome: Audit) -> None:
    document = json.loads(as_json(outcome))
    assert document["schema"] == "label-audit/1" and document["clinical_use"] is False
    [series] = document["series"]
    assert [flag["number"] for flag in series["flags"]] == [flag.number for flag in outcome.flags]
    assert {check["check"] for opinion in series["opinions"] for check in opinion["checks"]} >= {"geometry_mismatch"}
    assert np.isfinite([flag["score"] for flag in series["flags"]]).all()


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["audit", *(str(one) for one in arguments)])
    caught = capsys.readouterr()
    assert "Traceback" not in caught.err
    return code, caught.out, caught.err


def test_the_command_writes_the_page_and_says_that_something_needs_a_look(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    code, out, err = run(capsys, study.ct, study.labels, "-o", page, "--no-model", "--json")
    assert code == SOMETHING_TO_LOOK_AT
    assert page.read_text().startswith("<!DOCTYPE html>") or "<!DOCTYPE html>" in page.read_text()[:1000]
    assert json.loads(out)["needs_a_look"] is True
    assert all(line.startswith("audit: ") for line in err.splitlines())
    assert list(tmp_path.iterdir()) == [page], "nothing but the page is left behind"


def test_labels_without_anything_to_look_at_end_with_zero(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, _ = run(capsys, study.ct, study.predictions, "--no-model", "--json")
    assert code == NOTHING_TO_LOOK_AT


@pytest.mark.parametrize("case", ["no ct", "no labels", "empty", "cut zip", "no folder", "no output", "other bundle"])
def test_what_cannot_be_audited_at_all_is_said_in_one_line(
    case: str, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct, labels, more = study.ct, study.labels, ["--no-model", "-o", tmp_path / "report.html"]
    if case == "no ct":
        ct = tmp_path / "absent"
    elif case == "no labels":
        labels = tmp_path / "absent.xml"
    elif case == "empty":
        ct = tmp_path / "empty"
        ct.mkdir()
    elif case == "cut zip":
        ct = tmp_path / "cut.zip"
        ct.write_bytes(study.zipped.read_bytes()[:5000])
    elif case == "no folder":
        more = ["--no-model", "-o", tmp_path / "absent" / "report.html"]
    elif case == "no output":
        more = ["--no-model"]
    else:
        (tmp_path / "bundle").mkdir()
        more = ["--model", tmp_path / "bundle", "-o", tmp_path / "report.html"]
    code, out, err = run(capsys, ct, labels, *more)
    assert code == NO_AUDIT
    assert out == "" and len(err.splitlines()[-1]) < 200
    assert not (tmp_path / "report.html").exists()


def test_a_fault_of_the_program_is_owned_in_one_line(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("imaging.__main__.audit", broken)
    code, _, err = run(capsys, study.ct, study.labels, "--json", "--no-model")
    assert code == FAULT
    assert "a fault of this program, not of your files: ZeroDivisionError at test_audit.py:" in err


@pytest.mark.parametrize("arguments", [["audit"], ["audit", "ct"], ["audit", "ct", "labels", "--threads", "0"], []])
def test_wrong_use_is_answered_with_how_it_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == NO_AUDIT
    assert "usage: python -m imaging" in capsys.readouterr().err


def test_random_bytes_under_the_names_of_labels_end_in_outcomes(study: Study, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    heads = {
        "seg.dcm": b"\0" * 128 + b"DICM" + b"\x02\x00\x02\x00UI\x1e\x001.2.840.10008.5.1.4.1.1.66.4\0\0",
        "labels.nrrd": b"NRRD0004\n",
        "labels.xml": b"<annotation><filename>x</filename><object>",
        "labels.json": b'{"format": "label-qa-predictions", ',
    }
    for name, head in heads.items():
        (tmp_path / name).write_bytes(head + generator.bytes(400))
    found = audited(study, tmp_path)
    assert {file.name for file in found.label_files} | {item.name for item in found.left_out_labels} == set(heads)
    assert all(file.refusal for file in found.label_files)


def test_an_audit_without_a_model_loads_no_torch_no_django_and_no_database(study: Study) -> None:
    program = (
        "import sys; from imaging.__main__ import main; code = main(sys.argv[1:]);"
        "print(sorted({'torch', 'monai', 'django', 'sqlite3', 'qaservice'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "audit", str(study.ct), str(study.labels), "--no-model", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_model_is_asked_where_the_labels_lie_and_named_with_its_digest(study: Study, tiny_bundle: Path) -> None:
    told: list[str] = []
    request = AuditRequest(
        ct=study.ct,
        labels=(study.labels,),
        bundle=tiny_bundle,
        nodule_names=(),
        threads=1,
        backend="torch",
        made_at="2026-01-01 00:00",
    )
    found = audit(request=request, progress=told.append)
    [series] = found.series
    [opinion] = series.opinions
    assert opinion.backend.startswith("torch-f32 ")
    assert f"Computed by {opinion.backend}." in render(found)
    assert json.loads(as_json(found))["series"][0]["opinions"][0]["backend"] == opinion.backend
    assert opinion.model is not None and opinion.model.name == "tiny"
    assert len(opinion.model.bundle_sha256) == 64
    assert opinion.validated_diameters_mm == (4.0, 30.0)
    assert {check.check: check.status for check in opinion.checks}["missing_nodule"] == "ran"
    assert any("QA model" in line and line.endswith("tiles") for line in told)


def test_a_scan_without_lungs_is_audited_without_the_models_opinion(
    study: Study, tiny_bundle: Path, tmp_path: Path
) -> None:
    for path in sorted(study.ct.iterdir()):
        instance = pydicom.dcmread(path)
        instance.PixelData = np.full((160, 160), 1024, dtype="<u2").tobytes()
        (tmp_path / "ct").mkdir(exist_ok=True)
        instance.save_as(tmp_path / "ct" / path.name)
    request = AuditRequest(
        ct=tmp_path / "ct",
        labels=(study.labels,),
        bundle=tiny_bundle,
        nodule_names=(),
        threads=1,
        backend="auto",
        made_at="2026-01-01 00:00",
    )
    [series] = audit(request=request, progress=lambda message: None).series
    [opinion] = series.opinions
    assert opinion.model is None and "No lungs were found" in opinion.refusal
    assert {check.check: check.status for check in opinion.checks}["reader_disagreement"] == "ran"
