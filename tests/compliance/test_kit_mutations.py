"""Every region of a kit, altered: both verifiers find it, though they share no line."""

from __future__ import annotations

import json
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from compliance.checkpoints import publish
from compliance.evidence import Kit, build_kit
from compliance.ledger import verify
from compliance.models import Event
from compliance.recording import record_event
from compliance.redaction import redact
from tests.compliance.kits import checked, contents, repacked, second_opinion
from tests.compliance.scenes import ANN, view_case
from tests.compliance.testapp.models import Case

pytestmark = pytest.mark.requirement("REQ-01")

PLACES = 40
"""How many bytes of each file are altered, from the first to the last."""

RAW_PLACES = 150
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, NotImplementedError, EOFError)


@pytest.fixture
def rich_kit(sealed_case: Case, tmp_path: Path) -> Kit:
    """A kit with all there can be: payloads, a redaction, a key, an earlier head, withheld events, a file."""
    record_event(
        "case.viewed", actor=ANN, reason="why", subject=("case", "1"), project_key="lung",
        payload={"file": "Doe^Jane", "count": 1},
    )  # fmt: skip
    publish()
    event = Event.objects.get(subject_id="1")
    redact(event_id=event.pk, fields=["file"], actor=ANN, reason="a name")
    view_case(sealed_case, project_key="other")
    return build_kit(
        tmp_path / "kit.zip",
        files={"report.pdf": b"%PDF-1.7 report"},
        facts={"project": "lung"},
        checkpoint=publish(),
        heads=(2, 5),
        project_key="lung",
    )


def problems(kits: list[Path]) -> list[tuple[int, int]]:
    """Return how many problems each verifier finds in each kit."""
    script = Path(verify.__file__).with_suffix(".mjs")
    driver = Path(__file__).with_name("many_kits.mjs")
    done = subprocess.run(["node", driver, script, *kits], capture_output=True, text=True, check=True)
    return list(zip((len(verify.verify(str(kit)).problems) for kit in kits), json.loads(done.stdout), strict=True))


def spread(length: int, places: int) -> list[int]:
    return sorted({*range(0, length, max(1, length // places)), length - 1})


def test_both_verifiers_find_the_kit_whole(rich_kit: Kit) -> None:
    for run in (checked, second_opinion):
        status, output = run(rich_kit.path)
        assert status == 0
        assert "8 events (2 withheld), 6 records, 1 fields redacted" in output


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "events.jsonl", "records.jsonl", "checkpoint.txt", "proofs.json", "facts.json", "verify.py",
     "verify.mjs", "README.txt", "report.pdf"],
)  # fmt: skip
def test_an_altered_byte_of_any_file_is_found_by_both_verifiers(rich_kit: Kit, tmp_path: Path, name: str) -> None:
    files = contents(rich_kit.path)
    assert name in files
    data = files[name]
    places = spread(len(data), PLACES)
    broken = [
        repacked(
            tmp_path / f"{place}.zip", {**files, name: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]}
        )
        for place in places
    ]
    missed = [place for place, found in zip(places, problems(broken), strict=True) if 0 in found]
    assert missed == [], f"bytes of {name} that were altered and not found"


@pytest.mark.parametrize("name", ["events.jsonl", "records.jsonl", "checkpoint.txt", "proofs.json"])
def test_an_altered_byte_is_found_even_if_the_manifest_was_put_right(rich_kit: Kit, tmp_path: Path, name: str) -> None:
    files = contents(rich_kit.path)
    data = files[name]
    broken, places = [], []
    for place in spread(len(data), PLACES):
        forged = {**files, name: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]}
        stated = json.loads(files["manifest.json"])
        stated["files"][name]["sha256"] = verify.sha256(forged[name])
        forged["manifest.json"] = (json.dumps(stated, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        broken.append(repacked(tmp_path / f"{place}.zip", forged))
        places.append(place)
    missed = [place for place, found in zip(places, problems(broken), strict=True) if 0 in found]
    assert missed == [], f"bytes of {name} that were altered and not found"


def test_an_altered_byte_of_the_zip_itself_is_found_or_leaves_every_file_as_it_was(
    rich_kit: Kit, tmp_path: Path
) -> None:
    whole, files = rich_kit.path.read_bytes(), contents(rich_kit.path)
    harmful = []
    for place in spread(len(whole), RAW_PLACES):
        path = tmp_path / f"raw-{place}.zip"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            same = contents(path) == files
        except UNREADABLE:
            same = False
        if not same:
            harmful.append(path)
    assert len(harmful) > RAW_PLACES // 2
    missed = [path.name for path, found in zip(harmful, problems(harmful), strict=True) if 0 in found]
    assert missed == []
