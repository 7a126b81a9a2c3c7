"""Signed notes, Ed25519 and event hashes against published vectors; what is not exactly in its format is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compliance.ledger import chain, verify
from compliance.ledger.canonical import NotCanonical, canonical_bytes
from compliance.ledger.commitments import commitment, leaf_document, payload_hash, rows_hash
from compliance.ledger.note import COSIGNATURE, NOTE, Checkpoint, Note, NoteError, VerifierKey
from compliance.signers import FileSigner, cosignature, ed25519_holds, signed

VECTORS = Path(__file__).parent / "vectors"
C2SP = json.loads((VECTORS / "c2sp.json").read_text())
(PETER,) = C2SP["signed"]
EXAMPLE = C2SP["checkpoint"]["note"]


def vectors(name: str, part: str) -> list[Any]:
    return list(json.loads((VECTORS / name).read_text())[part])


@pytest.mark.parametrize("one", vectors("rfc8032.json", "signatures"), ids=lambda one: one["public"][:8])
def test_ed25519_is_that_of_rfc_8032(one: dict[str, str]) -> None:
    public, message, signature = (bytes.fromhex(one[name]) for name in ("public", "message", "signature"))
    order = verify.ORDER.to_bytes(32, "little")
    malleable = signature[:32] + (int.from_bytes(signature[32:], "little") + verify.ORDER).to_bytes(32, "little")
    for holds in (verify.ed25519, ed25519_holds):
        assert holds(public, message, signature)
        assert not holds(public, message + b"x", signature)
        for other in (
            signature[:-1],
            b"",
            signature[:32] + order,
            malleable,
            bytes([signature[0] ^ 1]) + signature[1:],
        ):
            assert not holds(public, message, other)


@pytest.mark.parametrize("public", ["02" + "00" * 31, "ff" * 32, "00" * 31, "01" + "00" * 30 + "80"])
def test_a_key_that_is_no_point_verifies_nothing(public: str) -> None:
    with pytest.raises(ValueError, match="not a point"):
        verify.ed25519(bytes.fromhex(public), b"", bytes(64))


@pytest.mark.parametrize("one", vectors("rfc8785.json", "documents"), ids=lambda one: one["json"][:12])
def test_canonical_bytes_are_those_of_rfc_8785(one: dict[str, str]) -> None:
    assert canonical_bytes(json.loads(one["json"])) == one["canonical"].encode()
    assert verify.canonical(json.loads(one["json"])) == one["canonical"].encode()


@pytest.mark.parametrize("text", vectors("rfc8785.json", "refused"))
def test_what_another_language_writes_otherwise_has_no_canonical_form(text: str) -> None:
    with pytest.raises(NotCanonical):
        canonical_bytes(json.loads(text))
    with pytest.raises(ValueError, match=r"canonical|surrogates"):
        verify.canonical(json.loads(text))


@pytest.mark.parametrize("one", vectors("events.json", "events"), ids=lambda one: one["leaf_hash"][:8])
def test_events_hash_to_the_vectors(one: dict[str, Any]) -> None:
    event = one["event"]
    for name, value in event["payload"].items():
        assert commitment(name=name, value=value, salt=event["salts"][name]) == event["commitments"][name]
    assert payload_hash(event["commitments"]) == one["payload_hash"]
    assert rows_hash(event["rows"]) == one["rows_hash"]
    leaf = chain.leaf_hash(leaf_document(event))
    assert leaf.hex() == verify.leaf_of(event, bytes.fromhex(one["rows_hash"])).hex() == one["leaf_hash"]
    assert chain.link_hash(previous=chain.GENESIS, leaf=leaf).hex() == one["link_hash_after_genesis"]
    assert list(verify.altered_fields(event)) == []


def test_a_salt_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        commitment(name="a", value=1, salt="00" * 15)
    with pytest.raises(TypeError, match="an object and its rows a list"):
        leaf_document({"commitments": [], "rows": []})


def test_the_published_note_is_signed_again_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(PETER["private"])
    signer = FileSigner.load(path)
    note = Note.parse(PETER["note"].encode())
    assert str(signer.key) == PETER["key"]
    assert str(signed(note.text, signer)) == PETER["note"]
    assert note.signed_by([VerifierKey.parse(PETER["key"])], ed25519_holds) == [signer.key]
    assert verify.signed_by(PETER["note"], PETER["key"])
    with pytest.raises(NoteError, match="does not hold"):
        Note(note.text + "more\n", note.signatures).signed_by([signer.key], ed25519_holds)
    with pytest.raises(ValueError, match="does not hold"):
        verify.signed_by("more\n" + PETER["note"], PETER["key"])


def test_the_published_checkpoint_with_its_cosignature_is_read() -> None:
    note = Note.parse(EXAMPLE.encode())
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == (C2SP["checkpoint"]["origin"], C2SP["checkpoint"]["size"])
    assert int.from_bytes(note.signatures[1].data[:8], "big") == C2SP["checkpoint"]["cosigned_at"]
    assert (str(note), checkpoint.text) == (EXAMPLE, note.text)
    assert note.with_signatures(note.signatures) == note


def test_a_witness_signs_the_time_with_the_checkpoint(tmp_path: Path) -> None:
    signer = FileSigner.create(tmp_path / "key", name="witness.example.com/w1", kind=COSIGNATURE)
    note = Note.parse(EXAMPLE.encode())
    whole = Note(note.text, (note.signatures[0], cosignature(note.text, signer, seconds=1_679_315_147)))
    assert whole.signed_by([signer.key], ed25519_holds) == [signer.key]
    assert verify.signed_by(str(whole), str(signer.key))
    later = bytearray(whole.signatures[1].data)
    later[7] ^= 1
    forged = Note(note.text, (type(note.signatures[0])(signer.key.name, signer.key.identity, bytes(later)),))
    with pytest.raises(NoteError, match="does not hold"):
        forged.signed_by([signer.key], ed25519_holds)
    with pytest.raises(ValueError, match="does not hold"):
        verify.signed_by(str(forged), str(signer.key))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n", "no signature"),
        ("a\n1\n\n- a AAAAAAA=\n", "a dash, a name"),
        ("a\n1\n\n\u2014 a\n", "a dash, a name"),
        ("a\n1\n\n\u2014 a A\n", "cannot be read"),
        ("a\n1\n\n\u2014 a AAAAAAB=\n", "one form"),
        ("a\n1\n\n\u2014 a+b AAAAAAA=\n", "a plus sign"),
        ("a\r\n1\n\n\u2014 a AAAAAAA=\n", "control character"),
        ("a\n1\n\n\u2014 a AAAAAAA=", "no signature"),
        ("x" * 70_000, "too long"),
        (b"\xff\n\n", "not UTF-8"),
    ],
)
def test_a_note_that_is_not_in_its_format_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        Note.parse(text if isinstance(text, bytes) else text.encode())


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"\n1\n{ROOT}\n", "three lines"),
        (f"a\n1\n{ROOT}\nmore\n", "three lines"),
        (f"a\n01\n{ROOT}\n", "leading zeros"),
        (f"a\n-1\n{ROOT}\n", "leading zeros"),
        (f"a\n\u0661\n{ROOT}\n", "leading zeros"),
        ("a\n1\nAAAA\n", "32 bytes"),
        ("a\n1\n?\n", "cannot be read"),
    ],
)
def test_a_checkpoint_that_is_not_in_its_format_is_refused(text: str, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("a", "name\\+id\\+key"),
        (PETER["key"].replace("c74f20a3", "c74f20a4"), "does not have the id"),
        ("a+00000000+AAAA", "not an Ed25519 key"),
        ("+00000000+AAAA", "plus sign"),
    ],
)
def test_a_key_that_is_not_in_its_format_is_refused(key: str, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        VerifierKey.parse(key)


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+a+00000000+AAAA", PETER["private"].replace("PRIVATE", "PUBLIC")])
def test_a_file_that_holds_no_signing_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(NoteError, match="does not hold a signing key"):
        FileSigner.load(tmp_path / "key")


def test_a_key_file_is_its_owners_alone_is_never_overwritten_and_knows_its_id(tmp_path: Path) -> None:
    made = FileSigner.create(tmp_path / "keys" / "key", name="qa.example.org")
    assert (tmp_path / "keys" / "key").stat().st_mode & 0o777 == 0o600
    assert FileSigner.load(tmp_path / "keys" / "key").key == made.key == VerifierKey.parse(str(made.key))
    assert made.key.kind == NOTE
    with pytest.raises(FileExistsError):
        FileSigner.create(tmp_path / "keys" / "key", name="another")
    with pytest.raises(NoteError, match="neither spaces"):
        FileSigner.create(tmp_path / "other", name="qa example")
    (tmp_path / "wrong").write_text(
        (tmp_path / "keys" / "key").read_text().replace(made.key.identity.hex(), "00000000")
    )
    with pytest.raises(NoteError, match="does not have the id"):
        FileSigner.load(tmp_path / "wrong")
