"""Who rewrites everything, puts an old backup back, forges a signature or turns the clock: what shows it, and what not.

Each test works on a fresh copy of the populated project, with a copy of its checkpoints.
"""

from __future__ import annotations

import datetime
import os
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import models
from django.test import override_settings

from compliance.checkpoint_files import ENDING
from compliance.checkpoints import key_history, publish, publish_due
from compliance.errors import CheckpointRefused
from compliance.events import event_leaf, row_entry
from compliance.kinds import KEY_ROTATED
from compliance.ledger import chain
from compliance.ledger.merkle import Frontier
from compliance.ledger.note import NOTE, Checkpoint, Note
from compliance.models import LedgerEntry, Subtree
from compliance.recording import record_event
from compliance.registry import TableClass, history_model, models_of
from compliance.sealing import head, seal, stored_tree
from compliance.signers import FileSigner, signed
from compliance.tree_checks import TreeWatch, kept_checkpoints
from compliance.verification import verify_live
from compliance.witness import NotWitnessed, witness
from qaservice.projects.models import Project
from tests.matrices.altering import insert, name, remove, run, set_columns, take_the_guards_away
from tests.matrices.rows import FILLER, REASON, step
from tests.matrices.site import Place, said

pytestmark = pytest.mark.requirement("REQ-01")

Fresh = tuple[Place, Callable[[], AbstractContextManager[object]]]


def rewrite(*, title: str) -> None:
    """Give a project another title, in its live row, its last history row and that row's event: all consistent."""
    project = models.QuerySet(Project).order_by("pk").first()
    history = models.QuerySet(history_model(Project)).filter(id=project.pk).order_by("history_id").last()
    for row in (project, history):
        set_columns(row, {"title": title})
    history.refresh_from_db()
    entries = [
        row_entry(history) if entry.get("history_id") == str(history.pk) and entry["table"] == project._meta.db_table
        else entry
        for entry in history.event.rows
    ]  # fmt: skip
    set_columns(history.event, {"rows": entries})
    seal_anew()


def seal_anew() -> None:
    """Give every sealed event the leaf, the link and the kept subtrees that fit what it says now."""
    previous, frontier = chain.GENESIS, Frontier()
    run(f"DELETE FROM {name(Subtree._meta.db_table)}")
    for entry in models.QuerySet(LedgerEntry).select_related("event").order_by("index"):
        leaf = event_leaf(entry.event)
        previous = chain.link_hash(previous=previous, leaf=leaf)
        set_columns(entry, {"leaf_hash": leaf.hex(), "link_hash": previous.hex()})
        for level, index, digest in frontier.append(leaf):
            insert(Subtree, {"level": level, "index": index, "hash": digest.hex()})


def overwrite(path: Path, data: bytes) -> None:
    """Put other bytes into a file that was made to be read only."""
    path.unlink()
    path.write_bytes(data)


def newest(place: Place) -> Path:
    return max(place.checkpoints.glob(f"*{ENDING}"))


def test_a_rewritten_record_is_contradicted_by_the_checkpoints_and_gets_no_further_signature(fresh: Fresh) -> None:
    take_the_guards_away()
    rewrite(title="another title")
    result = verify_live()
    assert {problem.table for problem in result.problems} == {"checkpoint"}
    assert all("the root over" in problem.message for problem in result.problems)
    said(count=5)
    with pytest.raises(CheckpointRefused, match="sign nothing until it is explained"):
        publish()


def test_who_rewrites_all_and_holds_the_key_is_seen_by_an_outside_checkpoint_and_by_a_witness_alone(
    fresh: Fresh, tmp_path: Path
) -> None:
    place, _ = fresh
    outside = Checkpoint.parse(Note.parse(newest(place).read_bytes()).text)
    take_the_guards_away()
    rewrite(title="another title")
    for path in place.checkpoints.glob("*"):
        path.unlink()
    forged = publish()
    assert verify_live().ok, "inside, everything fits"
    # A kit, a report or a proof card holds size and root.
    result = verify_live(checkpoint=(outside.size, outside.root.hex()))
    assert result.first.message.startswith(f"the root over {outside.size} events is ")
    key = [one for _, one, fault in key_history() if not fault][-1]
    size, _ = head()
    with pytest.raises(NotWitnessed):
        witness(
            note=forged,
            log_key=key,
            last=outside,
            proof=stored_tree(size).consistency_proof(outside.size),
            signer=FileSigner.create(tmp_path / "witness-key", name="auditor", kind=NOTE),
            seconds=int(time.time()),
        )


def test_what_was_sealed_since_the_last_checkpoint_can_be_rewritten_and_the_next_one_ends_that(fresh: Fresh) -> None:
    place, _ = fresh
    project = models.QuerySet(Project).order_by("pk").first()
    step(project)
    seal()
    take_the_guards_away()
    rewrite(title="within the window")
    assert verify_live().ok, "the window that the threat model states"
    # The sealer's next round writes a checkpoint once the last one is old enough, and only then.
    with override_settings(CHECKPOINT_SECONDS=3600):
        assert not publish_due()
        two_hours_ago = time.time() - 7200
        os.utime(newest(place), (two_hours_ago, two_hours_ago))
        assert publish_due()
    rewrite(title="after it")
    assert {problem.table for problem in verify_live().problems} == {"checkpoint"}


def test_an_old_backup_put_back_is_named_whole_or_in_part(fresh: Fresh) -> None:
    _, backup = fresh
    old = {model: list(models.QuerySet(model).order_by("pk")) for model in models_of(TableClass.VERSIONED)}
    for rows in old.values():
        step(rows[0])
    publish()
    size, _ = head()
    with backup():
        result = verify_live()
        assert result.problem_count == 1
        assert f"checkpoint {size} says that {size} events were sealed" in result.first.message
    take_the_guards_away()
    wanted = {(model._meta.db_table, str(rows[0].pk)) for model, rows in old.items()}
    for rows in old.values():
        set_columns(rows[0], {"revision": rows[0].revision})
    found = verify_live().problems
    assert {(one.table, one.record_id) for one in found} == wanted, "the live rows alone"
    assert {one.field for one in found} == {"revision"}
    for model, rows in old.items():
        remove(models.QuerySet(history_model(model)).filter(id=rows[0].pk).order_by("history_id").last())
    found = verify_live().problems
    assert {(one.table, one.record_id) for one in found} == wanted, "with their history"
    assert all("is missing" in one.message for one in found)


def test_a_checkpoint_that_was_altered_forged_or_put_in_anothers_place_is_named(fresh: Fresh, tmp_path: Path) -> None:
    place, _ = fresh
    path, first = newest(place), min(place.checkpoints.glob(f"*{ENDING}"))
    size = int(path.name.removesuffix(ENDING))
    true = path.read_bytes()
    note = Note.parse(true)
    keys = [str(key) for _, key, _ in key_history()]
    assert len(set(keys)) == 2, "the key was replaced once"
    stranger = FileSigner.create(tmp_path / "key", name=Checkpoint.parse(note.text).origin)
    other_root = Checkpoint.parse(note.text).root[::-1]
    forgeries = {
        "signed by another key of that name": str(signed(note.text, stranger)).encode(),
        "the checkpoint of another size": first.read_bytes(),
        "another root under the old signature": str(
            Note(Checkpoint(stranger.key.name, size, other_root).text, note.signatures)
        ).encode(),
        "nothing": b"",
    }
    for place_in_file in range(0, len(true), 3):
        altered = bytearray(true)
        altered[place_in_file] ^= 1
        forgeries[f"byte {place_in_file} altered"] = bytes(altered)
    unseen = []
    watch = TreeWatch(sizes=kept_checkpoints().wanted)
    for leaf in models.QuerySet(LedgerEntry).order_by("index").values_list("leaf_hash", flat=True):
        watch.append(bytes.fromhex(leaf))
    assert list(kept_checkpoints().problems(watch)) == []
    for what, data in forgeries.items():
        overwrite(path, data)
        found = kept_checkpoints().problems(watch)
        if not any(one.table == "checkpoint" and str(size) in one.message for one in found):
            unseen.append(what)
    assert unseen == []
    result = verify_live()
    assert (result.problem_count, result.first.table) == (1, "checkpoint"), "the last forgery"
    overwrite(path, true)
    assert verify_live().ok


def test_a_key_that_the_old_one_did_not_sign_is_named(fresh: Fresh, tmp_path: Path) -> None:
    own = FileSigner.create(tmp_path / "key", name="label-qa/own")
    forged = secrets.token_bytes(64).hex()
    payload = {"key": str(own.key), "previous": "", "signature": forged}
    record_event(KEY_ROTATED, actor=FILLER, reason=REASON, subject=("ledger", "own"), payload=payload)
    seal()
    index = head()[0] - 1
    assert verify_live().first.message == f"event {index}: the new key is not signed by the old one"


HOUR = datetime.timedelta(hours=1)


@pytest.mark.requirement("REQ-12")
@pytest.mark.parametrize(
    ("recorded", "sealed", "fields"),
    [
        (-2 * HOUR, -2 * HOUR, {"occurred_at", "sealed_at"}),
        (-2 * HOUR, 0 * HOUR, {"occurred_at"}),
        (2 * HOUR, 0 * HOUR, {"sealed_at"}),
        (2 * HOUR, 2 * HOUR, {"sealed_at"}),
        # Within an hour, for an event between two rounds of the sealer: nothing tells it from a slow change.
        (-HOUR / 6, 0 * HOUR, set()),
    ],
    ids=["set back", "set back for one event", "put forward for one event", "put forward", "ten minutes"],
)
def test_a_clock_that_was_turned_is_named(
    fresh: Fresh,
    monkeypatch: pytest.MonkeyPatch,
    recorded: datetime.timedelta,
    sealed: datetime.timedelta,
    fields: set[str],
) -> None:
    seal()
    with monkeypatch.context() as turned:
        turned.setattr("compliance.recording.datetime", clock(recorded))
        event = said(count=6)
        turned.setattr("compliance.sealing.datetime", clock(sealed))
        seal()
    result = verify_live()
    assert {problem.field for problem in result.problems} == fields
    assert {problem.event_index for problem in result.problems} <= {head()[0] - 1}
    assert "occurred_at" not in fields or str(event) in {problem.event_id for problem in result.problems}


def clock(shift: datetime.timedelta) -> Any:
    """A stand-in for the module ``datetime`` whose present is elsewhere."""
    now = SimpleNamespace(now=lambda tz: datetime.datetime.now(tz=tz) + shift)
    return SimpleNamespace(datetime=now, UTC=datetime.UTC)
