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
from tests.compliance.kits import checked, contents, joined, lines, repacked, second_opinion
from tests.compliance.scenes import ANN, view_case
from tests.compliance.testapp.models import Case

pytestmark = pytest.mark.requirement("REQ-01")

PLACES = 40
"""How many bytes of each file are altered, from the first to the last."""

RAW_PLACES = 150
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, RuntimeError, EOFError)


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


def problems(kits: list[Path]) -> list[tuple[list[str], list[str]]]:
    """Return what each verifier says of each kit."""
    script = Path(verify.__file__).with_suffix(".mjs")
    driver = Path(__file__).with_name("many_kits.mjs")
    done = subprocess.run(["node", driver, script, *kits], capture_output=True, text=True, check=True)
    ours = ([message for *_, message in verify.verify(str(kit)).problems] for kit in kits)
    return list(zip(ours, json.loads(done.stdout), strict=True))


def spread(length: int, places: int) -> list[int]:
    return sorted({*range(0, length, max(1, length // places)), length - 1})


def test_both_verifiers_find_the_kit_whole(rich_kit: Kit) -> None:
    for run in (checked, second_opinion):
        status, output = run(rich_kit.path)
        assert status == 0
        assert "8 events (2 withheld), 6 records, 1 fields redacted" in output


def test_an_altered_byte_of_any_file_is_found_and_the_file_named_by_both_verifiers(
    rich_kit: Kit, tmp_path: Path
) -> None:
    files = contents(rich_kit.path)
    broken, altered = [], []
    for name, data in files.items():
        for place in spread(len(data), PLACES):
            spoilt = {**files, name: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]}
            broken.append(repacked(tmp_path / f"{len(broken)}.zip", spoilt))
            altered.append((name, place))
    wrong = []
    for (name, place), found in zip(altered, problems(broken), strict=True):
        for verifier, messages in zip(("verify.py", "verify.mjs"), found, strict=True):
            # Where manifest and file disagree, the file is named, whichever of the two was altered.
            if not any(name in message or name == "manifest.json" for message in messages):
                wrong.append(f"{verifier}, byte {place} of {name}: {messages[:2]}")
    assert wrong == []
    assert {name for name, _ in altered} == set(files)


def test_a_row_among_many_under_another_key_is_named_as_it_stands(rich_kit: Kit, tmp_path: Path) -> None:
    files = contents(rich_kit.path)
    records = lines(files["records.jsonl"])
    one = next(record for record in records if record["table"] == "testapp_slice")
    one["id"] = one["values"]["id"] = "ffffffff-ffff-4fff-8fff-ffffffffffff"
    forged = repacked(tmp_path / "forged.zip", {**files, "records.jsonl": joined(records)}, manifest=True)
    for messages in problems([forged])[0]:
        assert any(f"record testapp_slice {one['id']} of event 0: altered" in message for message in messages), messages


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
    missed = [place for place, found in zip(places, problems(broken), strict=True) if [] in found]
    assert missed == [], f"bytes of {name} that were altered and not found"


def test_an_altered_byte_of_the_zip_itself_is_found_or_leaves_every_file_as_it_was(
    rich_kit: Kit, tmp_path: Path
) -> None:
    whole, files = rich_kit.path.read_bytes(), contents(rich_kit.path)
    harmful = []
    with zipfile.ZipFile(rich_kit.path) as archive:
        # Where the directory says of the first file that it is encrypted: chance alone seldom meets it.
        said_encrypted = archive.start_dir + 8
    for place in sorted({*spread(len(whole), RAW_PLACES), said_encrypted}):
        path = tmp_path / f"raw-{place}.zip"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            same = contents(path) == files
        except UNREADABLE:
            same = False
        if not same:
            harmful.append(path)
    assert len(harmful) > RAW_PLACES // 2
    missed = [path.name for path, found in zip(harmful, problems(harmful), strict=True) if [] in found]
    assert missed == []
