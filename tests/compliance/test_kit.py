"""The evidence kit: what is in it, what is withheld, and that it verifies offline (REQ-03)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from compliance.evidence import Kit, build_kit, write_ledger_jsonl
from compliance.ledger.canonical import NotCanonical
from compliance.sealing import head, seal
from tests.compliance.kits import checked, contents, lines
from tests.compliance.scenes import open_case, rename_case, view_case
from tests.compliance.testapp.models import Case, Slice

pytestmark = pytest.mark.requirement("REQ-01")


@pytest.mark.requirement("REQ-03")
def test_an_untouched_kit_verifies_offline_with_the_standard_library_alone(kit: Kit) -> None:
    size, link = head()
    status, output = checked(kit.path, "--head", link.upper(), "--manifest", kit.manifest_sha256)
    assert (status, output.splitlines()) == (
        0,
        ["4 events (0 withheld), 6 records", f"head     {link}", f"manifest {kit.manifest_sha256}",
         "OK: nothing was altered"],
    )  # fmt: skip
    assert (kit.size, kit.head, kit.events, kit.withheld, kit.records) == (size, link, 4, 0, 6)


@pytest.mark.postgres
def test_a_kit_made_on_postgresql_verifies_too(postgres_database: str, tmp_path: Path) -> None:
    rename_case(open_case(slices=3), "Mass")
    seal()
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={})
    assert checked(kit.path)[0] == 0
    assert (kit.events, kit.records) == (2, 5)


def test_the_kit_carries_the_verifier_and_how_to_use_it(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    assert set(files) == {
        "manifest.json", "events.jsonl", "records.jsonl", "facts.json", "verify.py", "README.txt", "report.pdf",
        "data/figures.csv",
    }  # fmt: skip
    assert "python verify.py kit.zip --head HEAD" in files["README.txt"].decode()
    assert json.loads(files["facts.json"]) == {"project": "lung", "simulated_actors": True}
    script = tmp_path / "elsewhere.py"
    script.write_bytes(files["verify.py"])
    done = subprocess.run([sys.executable, "-I", "-S", script, kit.path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_same_content_makes_the_same_kit(kit: Kit, tmp_path: Path) -> None:
    again = build_kit(
        tmp_path / "kit2.zip",
        files={"data/figures.csv": b"a,b\n1,2\n", "report.pdf": b"%PDF-1.7 report"},
        facts={"simulated_actors": True, "project": "lung"},
    )
    first, second = contents(kit.path), contents(again.path)
    assert {name for name in first if first[name] != second[name]} == {"README.txt", "manifest.json"}
    same = build_kit(
        tmp_path / "kit.zip",
        files={"data/figures.csv": b"a,b\n1,2\n", "report.pdf": b"%PDF-1.7 report"},
        facts={"simulated_actors": True, "project": "lung"},
    )
    assert same.manifest_sha256 == kit.manifest_sha256


@pytest.mark.requirement("REQ-03")
def test_a_projects_kit_withholds_the_events_of_others_and_still_verifies(sealed_case: Case, tmp_path: Path) -> None:
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, project_key="lung")
    assert (kit.size, kit.events, kit.withheld, kit.records) == (4, 3, 1, 6)
    files = contents(kit.path)
    assert "event" not in lines(files["events.jsonl"])[3]
    assert b"demonstration" not in files["events.jsonl"]
    status, output = checked(kit.path, "--head", kit.head)
    assert status == 0
    assert "4 events (1 withheld), 6 records" in output


def test_the_ledger_as_json_lines_is_the_kits(sealed_case: Case, kit: Kit) -> None:
    stream = io.BytesIO()
    assert write_ledger_jsonl(stream) == 4
    assert stream.getvalue() == contents(kit.path)["events.jsonl"]
    assert write_ledger_jsonl(io.BytesIO(), project_key="other") == 1
    view_case(sealed_case)
    stream = io.BytesIO()
    assert write_ledger_jsonl(stream) == 4, "what is not sealed is not written"


def test_an_empty_ledger_makes_a_kit_that_verifies(sqlite_database: Path, tmp_path: Path) -> None:
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={})
    assert checked(kit.path, "--head", "00" * 32)[0] == 0
    assert kit.size == 0


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up", "a/../../b", "a\\b", "a//b", "./a", "manifest.json", "verify.py"]
)
def test_a_file_that_would_leave_the_kit_or_replace_its_own_is_refused(
    sqlite_database: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="kit"):
        build_kit(tmp_path / "kit.zip", files={name: b""}, facts={})
    assert list(tmp_path.glob("*kit*")) == []


def test_a_kit_that_could_not_be_finished_is_not_left_behind(sealed_case: Case, tmp_path: Path) -> None:
    with pytest.raises(NotCanonical):
        build_kit(tmp_path / "kit.zip", files={}, facts={"score": 0.5})
    with pytest.raises(FileNotFoundError):
        build_kit(tmp_path / "kit.zip", files={"report.pdf": tmp_path / "absent.pdf"}, facts={})
    assert [path.name for path in tmp_path.iterdir() if "kit" in path.name] == []


def test_many_events_are_read_in_parts(sealed_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build_kit(tmp_path / "kit.zip", files={}, facts={})
    monkeypatch.setattr("compliance.evidence.CHUNK", 3)
    parts = build_kit(tmp_path / "kit.zip", files={}, facts={})
    assert parts.manifest_sha256 == whole.manifest_sha256
    assert Slice.objects.count() == 3
