"""Proof cards and consistency proofs: what they show, what they keep to themselves, and that they cannot be altered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import models

from compliance.checkpoints import key_history, publish
from compliance.ledger import verify_proof
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.note import Note, VerifierKey
from compliance.models import LedgerEntry
from compliance.proofs import NotProvable, consistency_proof, last_row, proof_card
from compliance.recording import change, compare_and_swap
from compliance.sealing import root_at
from tests.compliance.scenes import ANN, open_case, view_case
from tests.compliance.testapp.models import Blob, Case, Lease, Slice

pytestmark = pytest.mark.requirement("REQ-01")

OTHERS = "Another^Patient"


@pytest.fixture
def case(database: str) -> Case:
    """Two cases changed in one event, beside much else: what belongs to the other must not show."""
    case = open_case(title="Mine", slices=5)
    other = open_case(title=OTHERS, slices=2)
    with change(
        "case.changed", actor=ANN, reason="both at once", subject=("case", str(case.pk)),
        payload={"titles": [OTHERS], "decision": "label-wrong"},
    ):  # fmt: skip
        for one, title in ((case, "Mine, renamed"), (other, OTHERS + "!")):
            compare_and_swap(Case, pk=one.pk, expected_revision=1, where={}, changes={"title": title})
        Blob(sha256="ab" * 32, size=1).save()
    view_case(other)
    return case


def key() -> VerifierKey:
    return [key for _, key, _ in key_history()][-1]


def card_of(row: models.Model, **options: Any) -> dict[str, Any]:
    note = publish()
    return proof_card(row, checkpoint=note, key=key(), **options)


def written(path: Path, document: dict[str, Any]) -> Path:
    path.write_bytes(canonical_bytes(document) + b"\n")
    return path


def checked(path: Path, *arguments: str) -> tuple[int, str]:
    """Run the verifier as an outsider would."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", verify_proof.__file__, path, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_card_proves_a_records_last_state_and_tells_of_no_other(case: Case, tmp_path: Path) -> None:
    card = card_of(last_row(Case, case.pk), show=["decision"])
    path = written(tmp_path / "card.json", card)
    status, output = checked(path, "--key", str(key()), "--head", root_at(int(card["checkpoint"].split()[1])).hex())
    assert (status, output.splitlines()[-1]) == (0, "OK: proved")
    assert card["record"]["values"]["title"] == "Mine, renamed"
    assert card["event"]["payload"] == {"decision": "label-wrong"}
    assert set(card["event"]["commitments"]) == {"titles", "decision"}
    assert OTHERS not in path.read_text()
    assert sum(isinstance(row, dict) for row in card["event"]["rows"]) == 1


def test_a_card_proves_one_of_many_rows_and_a_row_by_itself(case: Case, tmp_path: Path) -> None:
    for row in [*Slice.objects.filter(case=case), Blob.objects.get()]:
        card = card_of(row)
        assert (card["record_proof"] is None) == isinstance(row, Blob)
        assert checked(written(tmp_path / "card.json", card))[0] == 0
        card["record"]["values"]["size" if isinstance(row, Blob) else "number"] = 77
        assert checked(written(tmp_path / "card.json", card))[0] == 1


def test_every_byte_of_a_card_counts(case: Case, tmp_path: Path) -> None:
    slice_of_it = Slice.objects.filter(case=case).first()
    assert slice_of_it is not None
    for row in (last_row(Case, case.pk), slice_of_it):
        data = written(tmp_path / "card.json", card_of(row, show=["decision"])).read_bytes()
        for place in range(0, len(data), max(1, len(data) // 60)):
            (tmp_path / "broken.json").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            assert verify_proof.verify(str(tmp_path / "broken.json")).problems, data[place - 60 : place + 20]


@pytest.mark.parametrize(
    "forgery",
    [
        lambda card: card["event"].update(reason="another"),
        lambda card: card["event"]["payload"].update(decision="label-right"),
        lambda card: card["event"]["payload"].update(titles=["x"]),
        lambda card: card["proof"].pop(),
        lambda card: card.update(proof=[]),
        lambda card: card["proof"].append("00" * 32),
        lambda card: card.update(index=card["index"] + 1),
        lambda card: card["record"]["values"].update(title="Another"),
        lambda card: card["record"].update(history_id="999"),
        lambda card: card["record"].update(table="testapp_slice"),
        lambda card: card.update(record_proof={"index": 0, "proof": []}),
        lambda card: card.update(version=2),
        lambda card: card.update(more=1),
        lambda card: card.update(checkpoint="x\n1\n"),
        lambda card: card.update(key="x+00000000+AAAA"),
        lambda card: card.update(event=None),
    ],
)
def test_a_forged_card_is_refused(case: Case, tmp_path: Path, forgery: Any) -> None:
    card = json.loads(canonical_bytes(card_of(last_row(Case, case.pk), show=["decision"])))
    forgery(card)
    assert verify_proof.verify(str(written(tmp_path / "card.json", card))).problems


def test_what_is_not_in_the_ledger_has_no_card(case: Case) -> None:
    note = publish()
    with pytest.raises(NotProvable, match="there is no record"):
        last_row(Case, "00000000-0000-0000-0000-000000000000")
    lease = Lease.objects.create(name="x")
    with pytest.raises(NotProvable, match="there is no record"):
        last_row(Lease, str(lease.pk))
    late = open_case()
    with pytest.raises(NotProvable, match="not sealed under this checkpoint"):
        proof_card(last_row(Case, late.pk), checkpoint=note, key=key())


def test_a_consistency_proof_connects_two_checkpoints_and_no_others(case: Case, tmp_path: Path) -> None:
    publish()
    size = LedgerEntry.objects.count()
    for first in range(size + 1):
        path = written(tmp_path / "proof.json", consistency_proof(first=first, second=size))
        assert checked(path, "--head", root_at(first).hex())[0] == 0
    document = json.loads(path.read_text())
    document["first"]["root"] = "00" * 32
    status, output = checked(written(path, document))
    assert status == 1
    assert "is not proved to continue" in output
    assert checked(tmp_path / "absent.json")[0] == 1
    assert "was expected" in checked(written(path, consistency_proof(first=1, second=2)), "--head", "00" * 32)[1]
    assert Note.parse(str(publish()).encode())
