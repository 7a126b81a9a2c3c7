"""Checkpoints on disk: signed once, never for a ledger that lost or changed its past; key rotation, witnesses."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from compliance import checkpoints
from compliance.checkpoint_files import configured, kept_note, kept_sizes
from compliance.checkpoints import key_history, publish, publish_due, rotate_key
from compliance.errors import CheckpointRefused, SealingRefused
from compliance.evidence import build_kit
from compliance.ledger import merkle
from compliance.ledger.note import Checkpoint, Note, NoteError
from compliance.models import LedgerEntry, Subtree
from compliance.sealing import root_at, seal, size
from compliance.signers import ed25519_holds
from compliance.verification import verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.kits import checked, contents, repacked, second_opinion
from tests.compliance.scenes import ANN, open_case, rename_case, view_case

pytestmark = pytest.mark.requirement("REQ-01")


def place() -> checkpoints.Place:
    found = configured()
    assert found is not None
    return found


def keys() -> list[str]:
    return [str(key) for _, key, fault in key_history() if not fault]


def ran(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def test_a_checkpoint_is_the_signed_root_and_is_written_once(database: str) -> None:
    open_case()
    note = publish()
    head = Checkpoint.parse(note.text)
    assert (head.size, head.root) == (2, root_at(2))
    (key,) = [key for _, key, _ in key_history()]
    assert note.signed_by([key], ed25519_holds) == [key]
    assert head.origin == key.name
    assert str(publish()) == str(note)
    assert kept_sizes(place()) == [2]
    assert place().key_file.stat().st_mode & 0o777 == 0o600
    view_case(open_case())
    assert Checkpoint.parse(publish().text).size == 4
    assert verify_live().checkpoints == 2
    assert verify_live().ok


def test_a_ledger_that_was_cut_off_or_rewritten_gets_no_signature_and_is_named(database: str) -> None:
    case = open_case()
    publish()
    rename_case(case, "Mass")
    publish()
    last = LedgerEntry.objects.get(index=2)
    with past_the_triggers() as cursor:
        cursor.execute('DELETE FROM compliance_ledgerentry WHERE "index" = 2')
    with pytest.raises(CheckpointRefused, match="checkpoint 3 is not of this ledger"):
        checkpoints._publish(place())
    result = verify_live()
    assert "event 2 is not there; checkpoint 3 says that 3 events were sealed" in [
        one.message for one in result.problems
    ]
    with past_the_triggers() as cursor:
        cursor.execute("DELETE FROM testapp_historicalcase WHERE title = 'Mass'")
        cursor.execute("DELETE FROM compliance_event WHERE kind = 'case.changed'")
        cursor.execute("UPDATE testapp_case SET title = 'Nodule', revision = 1")
    view_case(case)
    seal()
    assert size() == 3
    with pytest.raises(CheckpointRefused, match="checkpoint 3 is not of this ledger"):
        publish()
    result = verify_live()
    assert result.first.message.startswith(f"the root over 3 events is {root_at(3).hex()}; checkpoint 3 says ")
    assert LedgerEntry.objects.get(index=2).leaf_hash != last.leaf_hash


def test_a_checkpoint_that_was_altered_is_named(sqlite_database: Path) -> None:
    open_case()
    publish()
    path = next(place().directory.glob("*.checkpoint"))
    whole = path.read_bytes()
    path.chmod(0o644)
    for spoilt in (whole.replace(b"\n2\n", b"\n1\n"), whole[:-1], b"", whole.replace(b"\n\xe2", b"\n-"), whole * 2):
        path.write_bytes(spoilt)
        found = [problem.message for problem in verify_live().problems]
        assert any(message.startswith("checkpoint 2: ") for message in found), spoilt
        with pytest.raises(CheckpointRefused):
            publish()
    path.write_bytes(whole)
    assert verify_live().ok


def test_without_settings_or_without_its_key_nothing_is_signed(sqlite_database: Path, settings: Any) -> None:
    publish()
    open_case()
    place().key_file.rename(place().key_file.with_name("elsewhere"))
    with pytest.raises(CheckpointRefused, match="is not at"):
        publish()
    assert len(keys()) == 1, "a lost key is not replaced in silence"
    settings.CHECKPOINT_DIR = None
    assert not publish_due()
    assert verify_live().checkpoints == 0
    with pytest.raises(CheckpointRefused, match="nowhere to put"):
        publish()


def test_the_sealers_round_publishes_when_it_is_due(sqlite_database: Path, settings: Any) -> None:
    assert not publish_due(), "an empty ledger has nothing to say"
    open_case()
    seal()
    assert publish_due()
    assert not publish_due()
    view_case(open_case())
    seal()
    settings.CHECKPOINT_SECONDS = 3600
    assert not publish_due()
    settings.CHECKPOINT_SECONDS = 0
    assert publish_due()
    assert kept_sizes(place()) == [2, 4]


@pytest.mark.requirement("REQ-20")
def test_a_rotated_key_is_signed_by_the_old_one_and_both_verifiers_follow(database: str, tmp_path: Path) -> None:
    open_case()
    before = publish()
    ran("ledger_key", "--rotate", "--reason", "a year has passed")
    first, second = keys()
    assert first != second
    assert verify_live().ok
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=publish(), heads=(2,))
    for run in (checked, second_opinion):
        for key in (first, second):
            assert run(kit.path, "--key", key)[0] == 0
        assert "was expected" in run(kit.path, "--key", first[:-4] + "AAA=")[1]
    old = repacked(tmp_path / "old.zip", {**contents(kit.path), "checkpoint.txt": str(before).encode()}, manifest=True)
    for run in (checked, second_opinion):
        assert "the checkpoint" in run(old)[1]
    assert [line.split(": ")[1] for line in ran("ledger_key").splitlines()] == [first, second]


def test_a_rotation_that_was_cut_short_is_finished_by_the_next_checkpoint(
    sqlite_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_case()
    publish()
    true_publish = checkpoints.publish
    calls: list[int] = []

    def dies_after_the_event() -> Note:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return true_publish()

    monkeypatch.setattr(checkpoints, "publish", dies_after_the_event)
    with pytest.raises(KeyboardInterrupt):
        rotate_key(actor=ANN, reason="why")
    monkeypatch.undo()
    note = publish()
    assert note.signed_by([key for _, key, _ in key_history()][-1:], ed25519_holds)
    assert not place().key_file.with_name("ledger-key.next").exists()
    assert verify_live().ok


def test_a_key_that_the_old_one_did_not_sign_is_a_problem(sqlite_database: Path, tmp_path: Path) -> None:
    open_case()
    publish()
    key = str(checkpoints.FileSigner.create(tmp_path / "thief", name="thief").key)
    for kind, payload, fault in (
        ("ledger.key-rotated", {"key": key, "signature": "AAAA"}, "not signed by the old one"),
        ("ledger.key-installed", {"key": key}, "installed beside"),
        ("ledger.key-rotated", {"key": "none"}, "cannot be read"),
    ):
        checkpoints.record_event(kind, actor=ANN, reason="why", subject=("ledger", "x"), payload=payload)
        seal()
        assert any(fault in problem.message for problem in verify_live().problems)
    note = publish()
    assert len(keys()) == 1
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=note)
    for run in (checked, second_opinion):
        status, output = run(kit.path)
        assert status == 1
        assert "not signed by the old one" in output


def test_a_kept_node_of_the_tree_that_was_altered_or_lost_is_named(sqlite_database: Path) -> None:
    case = open_case()
    for _ in range(256):
        view_case(case)
    seal()
    assert (
        Subtree.objects.get().hash
        == merkle.root_of_hashes(
            [
                bytes.fromhex(leaf)
                for leaf in LedgerEntry.objects.filter(index__lt=256).values_list("leaf_hash", flat=True)
            ]
        ).hex()
    )
    assert verify_live().ok
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE compliance_subtree SET hash = replace(hash, substr(hash, 1, 1), 'x')")
    assert "the kept hash over them is not that of its leaves" in verify_live().first.message
    with past_the_triggers() as cursor:
        cursor.execute("DELETE FROM compliance_subtree")
    assert verify_live().first.message == "events 0 to 255: the kept hash over them is missing"
    with pytest.raises(SealingRefused, match="are kept"):
        publish()


def test_a_witness_signs_what_continues_its_last_checkpoint_and_nothing_else(
    sqlite_database: Path, tmp_path: Path
) -> None:
    own = str(tmp_path / "witness-key")
    witness_key = ran("witness_checkpoint", f"--key-file={own}", "--create=auditor.example.org/w1").strip()
    last, given, proof = tmp_path / "last", tmp_path / "given", tmp_path / "proof.json"

    def sign(note: str) -> str:
        given.write_text(note)
        return ran(
            "witness_checkpoint", f"--key-file={own}", f"--log-key={keys()[0]}", f"--last={last}",
            f"--checkpoint={given}", f"--proof={proof}",
        )  # fmt: skip

    open_case()
    proof.write_text('{"proof": []}')
    first = sign(ran("checkpoint"))
    assert Note.parse(first.encode()).text == publish().text
    view_case(open_case())
    second = ran("checkpoint")
    with pytest.raises(CommandError, match="not signed: the proof is"):
        sign(second)
    proof.write_text(ran("consistency_proof", "2"))
    signed_note = sign(second)
    with pytest.raises(CommandError, match="is no beginning of"):
        sign(first)
    forged = signed_note.replace("\n4\n", "\n5\n")
    with pytest.raises(CommandError, match="does not hold"):
        sign(forged)
    given.write_text(signed_note)
    with pytest.raises(CommandError, match="no witness that the ledger names"):
        ran("checkpoint", f"--add={given}")
    ran("witness", f"--name={witness_key}", "--reason", "the auditor's own machine")
    with pytest.raises(CommandError, match="is named already"):
        ran("witness", f"--name={witness_key}", "--reason", "again")
    assert ran("checkpoint", f"--add={given}") == "signatures kept: auditor.example.org/w1\n"
    assert ran("witness") == f"{witness_key} (signed 4 events last)\n"
    assert len(kept_note(place(), 4).signatures) == 2
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=kept_note(place(), 4))
    without = build_kit(tmp_path / "without.zip", files={}, facts={}, checkpoint=Note.parse(second.encode()))
    for run in (checked, second_opinion):
        assert run(kit.path, "--witness", witness_key)[0] == 0
        assert "not signed by the witness" in run(without.path, "--witness", witness_key)[1]
    given.write_text(first)
    with pytest.raises(CommandError, match="w1 signed 4 events last, and this checkpoint over 2"):
        ran("checkpoint", f"--add={given}")
    assert verify_live().ok
    (beside,) = place().directory.glob("*.cosigned")
    whole = beside.read_bytes()
    beside.unlink()
    assert [one.message for one in verify_live().problems] == [
        "checkpoint 4: the signature that auditor.example.org/w1 gave is gone"
    ]
    beside.write_bytes(whole[:-8] + b"AAAAAA=\n")
    assert not verify_live().ok
    beside.write_bytes(whole)
    ran("witness", f"--dismiss={witness_key}", "--reason", "the engagement ended")
    with pytest.raises(CommandError, match="no witness that the ledger names"):
        ran("checkpoint", f"--add={given}")
    with pytest.raises(CommandError, match="names no such witness"):
        ran("witness", f"--dismiss={witness_key}", "--reason", "again")
    with pytest.raises(CommandError, match="no witness's key"):
        ran("witness", f"--name={keys()[0]}", "--reason", "why not")
    with pytest.raises(CommandError, match="--log-key is missing"):
        ran("witness_checkpoint", f"--key-file={own}", f"--checkpoint={given}")
    with pytest.raises(NoteError, match="not a checkpoint that was published here"):
        checkpoints.add_cosignature(place(), text="x\n9\n" + second.splitlines()[2] + "\n",
                                    signature=Note.parse(first.encode()).signatures[1])  # fmt: skip


def test_commands_say_what_cannot_be_done(sqlite_database: Path, tmp_path: Path) -> None:
    open_case()
    seal()
    with pytest.raises(CommandError, match="no tree of 5 leaves within 1"):
        ran("consistency_proof", "5")
    assert json.loads(ran("consistency_proof", "0"))["first"]["root"] == merkle.EMPTY_ROOT.hex()
    made = ran("ledger_key", "--create", "qa.example.org").strip()
    with pytest.raises(CommandError, match="there already"):
        ran("ledger_key", "--create", "qa.example.org")
    publish()
    assert keys() == [made]
    with pytest.raises(CommandError, match="names a key already"):
        ran("ledger_key", "--create", "qa.example.org")
    with pytest.raises(CommandError, match="needs a reason"):
        ran("ledger_key", "--rotate")
