"""The evidence kit: what is in it, what is withheld, and that it verifies offline (REQ-03)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from compliance.checkpoints import key_history, publish
from compliance.evidence import Kit, build_kit, write_ledger_jsonl
from compliance.ledger import merkle
from compliance.ledger.canonical import NotCanonical
from compliance.ledger.note import Note
from compliance.sealing import head, root_at
from tests.compliance.kits import checked, contents, lines, second_opinion
from tests.compliance.scenes import open_case, rename_case, view_case
from tests.compliance.testapp.models import Case, Slice

pytestmark = pytest.mark.requirement("REQ-01")

NO_CHECKPOINT = Note("", ())


@pytest.mark.requirement("REQ-03")
def test_an_untouched_kit_verifies_offline_with_the_standard_library_alone(kit: Kit) -> None:
    size, root = head()
    (key,) = [str(key) for _, key, _ in key_history()]
    expected = [
        "5 events (0 withheld), 6 records, 0 fields redacted", f"root     {root}", f"key      {key}",
        f"manifest {kit.manifest_sha256}", "OK: nothing was altered",
    ]  # fmt: skip
    told = ("--head", root.upper(), "--manifest", kit.manifest_sha256, "--key", key)
    for run in (checked, second_opinion):
        status, output = run(kit.path, *told)
        assert (status, output.splitlines()) == (0, expected)
        assert "compared with nothing outside" in run(kit.path)[1]
        assert run(kit.path, "--head", root_at(3).hex())[0] == 0, "an earlier root that a report printed"
        assert run(kit.path, "--head", root_at(2).hex())[0] == 1
    assert (kit.size, kit.root, kit.events, kit.withheld, kit.records) == (size, root, 5, 0, 6)


@pytest.mark.postgres
def test_a_kit_made_on_postgresql_verifies_too(postgres_database: str, tmp_path: Path) -> None:
    rename_case(open_case(slices=3), "Mass")
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish())
    assert checked(kit.path)[0] == second_opinion(kit.path)[0] == 0
    assert (kit.events, kit.records) == (3, 5)


def test_the_kit_carries_the_verifier_and_how_to_use_it(kit: Kit, tmp_path: Path) -> None:
    files = contents(kit.path)
    assert set(files) == {
        "manifest.json", "events.jsonl", "records.jsonl", "facts.json", "checkpoint.txt", "proofs.json", "verify.py",
        "verify.mjs", "verify_proof.py", "README.txt", "report.pdf", "data/figures.csv",
    }  # fmt: skip
    assert "python verify.py kit.zip --head HEAD --key KEY" in files["README.txt"].decode()
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
        checkpoint=publish(),
        heads=(3,),
    )
    first, second = contents(kit.path), contents(again.path)
    assert {name for name in first if first[name] != second[name]} == {"README.txt", "manifest.json"}
    same = build_kit(
        tmp_path / "kit.zip",
        files={"data/figures.csv": b"a,b\n1,2\n", "report.pdf": b"%PDF-1.7 report"},
        facts={"simulated_actors": True, "project": "lung"},
        checkpoint=publish(),
        heads=(3,),
    )
    assert same.manifest_sha256 == kit.manifest_sha256


@pytest.mark.requirement("REQ-03")
def test_a_projects_kit_withholds_the_events_of_others_and_still_verifies(sealed_case: Case, tmp_path: Path) -> None:
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish(), project_key="lung")
    assert (kit.size, kit.events, kit.withheld, kit.records) == (5, 4, 1, 6)
    files = contents(kit.path)
    assert "event" not in lines(files["events.jsonl"])[3]
    assert b"demonstration" not in files["events.jsonl"]
    for run in (checked, second_opinion):
        status, output = run(kit.path, "--head", kit.root)
        assert status == 0
        assert "5 events (1 withheld), 6 records" in output


def test_the_ledger_as_json_lines_is_the_kits(sealed_case: Case, kit: Kit) -> None:
    stream = io.BytesIO()
    assert write_ledger_jsonl(stream) == 5
    assert stream.getvalue() == contents(kit.path)["events.jsonl"]
    assert write_ledger_jsonl(io.BytesIO(), project_key="other") == 2
    view_case(sealed_case)
    stream = io.BytesIO()
    assert write_ledger_jsonl(stream) == 5, "what is not sealed is not written"


def test_a_ledger_without_any_other_event_makes_a_kit_that_verifies(sqlite_database: Path, tmp_path: Path) -> None:
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish(), heads=(0, 1))
    for run in (checked, second_opinion):
        assert run(kit.path, "--head", kit.root)[0] == 0
        assert run(kit.path, "--head", merkle.EMPTY_ROOT.hex())[0] == 0
    assert kit.size == 1, "the key's own event"


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up", "a/../../b", "a\\b", "a//b", "./a", "manifest.json", "verify.py"]
)
def test_a_file_that_would_leave_the_kit_or_replace_its_own_is_refused(
    sqlite_database: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="kit"):
        build_kit(tmp_path / "kit.zip", files={name: b""}, facts={}, checkpoint=NO_CHECKPOINT)
    assert list(tmp_path.glob("*kit*")) == []


def test_a_kit_that_could_not_be_finished_is_not_left_behind(sealed_case: Case, tmp_path: Path) -> None:
    with pytest.raises(NotCanonical):
        build_kit(tmp_path / "kit.zip", files={}, facts={"score": 0.5}, checkpoint=publish())
    with pytest.raises(FileNotFoundError):
        build_kit(tmp_path / "kit.zip", files={"report.pdf": tmp_path / "absent.pdf"}, facts={}, checkpoint=publish())
    with pytest.raises(ValueError, match="no tree of 99 leaves"):
        build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish(), heads=(99,))
    assert [path.name for path in tmp_path.iterdir() if "kit" in path.name] == []


def test_many_events_are_read_in_parts(sealed_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish())
    monkeypatch.setattr("compliance.evidence.CHUNK", 3)
    parts = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish())
    assert parts.manifest_sha256 == whole.manifest_sha256
    assert Slice.objects.count() == 3
