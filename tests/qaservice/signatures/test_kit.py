"""The signatures in an evidence kit, checked offline; forged ones are named."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qaservice.reports.services import export_kit, export_report
from tests.qaservice.reports.conftest import build
from tests.qaservice.signatures.signing_site import Clock, SigningSite, staffed

Change = Callable[[Any], Any]


@pytest.fixture
def signed(db: None, time: Clock) -> SigningSite:
    """A reviewed project with an approved report, exported as in production."""
    reviewed = build(flags=3, kind="person")
    report = export_report(project=reviewed.site.project, actor=reviewed.lead, reason="end of the round")
    made = staffed(reviewed.site, report, time=time)
    made.approve()
    return made


def offline(program: str, kit: Path) -> subprocess.CompletedProcess[str]:
    script = kit.with_name(program)
    with zipfile.ZipFile(kit) as archive:
        script.write_bytes(archive.read(program))
    return subprocess.run(
        [sys.executable, "-I", str(script), str(kit)], capture_output=True, text=True, check=False, timeout=60
    )


def forged(kit: Path, name: str, change: Change) -> Path:
    """Copy a kit with one file changed."""
    made = kit.with_name("forged.zip")
    with zipfile.ZipFile(kit) as source, zipfile.ZipFile(made, "w") as target:
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, change(data) if member == name else data)
    return made


def told(change: Callable[[dict[str, Any]], None]) -> Change:
    """Return a change of the file of signatures."""

    def changed(data: bytes) -> bytes:
        held = json.loads(data)
        change(held)
        return json.dumps(held).encode()

    return changed


def invented(held: dict[str, Any]) -> None:
    held["signatures"].append({**held["signatures"][0], "signature": "0" * 32, "name": "Prof. Invented"})


def renamed(held: dict[str, Any]) -> None:
    held["signatures"][3]["name"] = "Prof. Invented"


def moved(held: dict[str, Any]) -> None:
    version = next(one for one in held["records"] if one["type"] == "dataset-version")
    for one in held["signatures"]:
        one.update(record_type=version["type"], record_id=version["id"], record_sha256=version["sha256"])


def hidden(held: dict[str, Any]) -> None:
    del held["signatures"][1]


def another_document(held: dict[str, Any]) -> None:
    held["records"][0]["content"]["document_sha256"] = "00" * 32


@pytest.mark.requirement("REQ-03")
@pytest.mark.requirement("REQ-21")
@pytest.mark.requirement("REQ-23")
def test_the_kit_shows_its_signatures_and_a_forged_one_is_named(signed: SigningSite, tmp_path: Path):
    actor = signed.author.user.as_actor(role="qa_lead")
    kit = export_kit(report=signed.report, path=tmp_path / "kit.zip", actor=actor, reason="asked by the auditor")
    verified, recomputed = offline("verify.py", kit), offline("recompute.py", kit)
    assert verified.returncode == 0, verified.stdout
    assert recomputed.returncode == 0, recomputed.stdout + recomputed.stderr
    assert "agrees   signature 'Approved' by Second-Lead at " in recomputed.stdout
    assert "agrees   standing of the report: approved" in recomputed.stdout
    for change, words in (
        (invented, "by Prof. Invented"),
        (renamed, "by Prof. Invented"),
        (moved, "no record of the ledger is this signature"),
        (hidden, "signatures left out"),
        (another_document, "its content"),
    ):
        found = offline("recompute.py", forged(kit, "data/signatures.json", told(change)))
        assert found.returncode == 1, f"{change.__name__}: {found.stdout}{found.stderr}"
        assert words in "".join(line for line in found.stdout.splitlines() if line.startswith("DIFFERS"))
    other = offline("recompute.py", forged(kit, "report.pdf", lambda data: data + b"%"))
    assert other.returncode == 1 and "DIFFERS  standing of the report: approved; found again: draft" in other.stdout
    rewritten = forged(kit, "records.jsonl", lambda data: data.replace(b"Second-Lead", b"Prof. Forged"))
    assert offline("verify.py", rewritten).returncode == 1
