"""A proof card of one flag or finding: it verifies offline, and it is silent about everybody else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from django.core.management import CommandError, call_command

from compliance.ledger import verify_proof
from compliance.models import Event
from qaservice.labels.models import FindingRevision
from tests.qaservice.reports.conftest import Reviewed


def made(tmp_path: Path, reviewed: Reviewed, *wanted: str) -> tuple[Path, dict, str]:
    folder = tmp_path / "out"
    call_command("proof_card", *wanted, project=reviewed.site.project.key, output=str(folder))
    page = pdfium.PdfDocument((folder / "proof-card.pdf").read_bytes())
    text = " ".join(re.sub(r"\s+", " ", one.get_textpage().get_text_range()) for one in page)
    path = folder / "proof-card.json"
    return path, json.loads(path.read_bytes()), text


@pytest.mark.requirement("REQ-03")
def test_the_card_of_a_flag_and_of_a_finding_verifies_and_names_no_other(reviewed: Reviewed, tmp_path: Path):
    flag = reviewed.site.flags[0]
    revision = FindingRevision.objects.filter(finding=reviewed.site.findings[0]).order_by("number").last()
    for wanted, key in (
        (["--flag", str(flag.number)], str(flag.pk)),
        (["--finding", reviewed.site.findings[0].tracking_uid], str(revision.pk)),
    ):
        path, card, text = made(tmp_path, reviewed, *wanted)
        done = subprocess.run(
            [sys.executable, "-I", "-S", verify_proof.__file__, path, "--key", card["key"]],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert card["record"]["id"] == key
        assert key in text
        own = {key, card["event"]["subject_id"], card["record"]["values"].get("flag_id")}
        others = {str(one.pk) for one in reviewed.site.flags} - own
        assert [one for one in others if one in path.read_text()] == []
        exported = Event.objects.filter(kind="proof.exported").latest("occurred_at")
        assert exported.payload["event"] == card["index"]
        assert not card["event"]["payload"], "nothing of the payload is shown unless it is asked for"


def test_what_the_project_does_not_have_is_said(reviewed: Reviewed, tmp_path: Path):
    for wanted, message in ((["--flag", "999"], "no flag 999"), (["--finding", "1.2.3"], "no such finding")):
        with pytest.raises(CommandError, match=message):
            call_command("proof_card", *wanted, project=reviewed.site.project.key, output=str(tmp_path))
