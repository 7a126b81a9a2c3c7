"""Checkpoints in the C2SP formats: signed notes, tree heads, cosignatures and verifier keys.

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature, the Ed25519 kinds of each.
Nothing is signed or verified here: signers and verifiers come in as functions over bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

NOTE, COSIGNATURE = 1, 4
"""Kinds of Ed25519 signatures: over the note's text, and over it with the time at which a witness saw it."""

MOST_BYTES = 64 * 1024
DASH = "— "

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether the Ed25519 signature is good."""


class NoteError(ValueError):
    """A note, checkpoint or key is not in its format, or a signature by a known key does not hold."""


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name that stands before its signatures."""

    name: str
    kind: int
    public: bytes

    @property
    def identity(self) -> bytes:
        """The four bytes that begin every signature by this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.identity.hex()}+{_encoded(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key that ``str`` wrote. Raises NoteError."""
        try:
            name, identity, material = text.split("+", 2)
        except ValueError as error:
            raise NoteError("a verifier key is name+id+key") from error
        data = _decoded(material)
        key = cls(require_name(name), data[0] if data else 0, data[1:])
        if key.kind not in (NOTE, COSIGNATURE) or len(key.public) != 32:
            raise NoteError("the key is not an Ed25519 key of a known kind")
        if key.identity.hex() != identity:
            raise NoteError("the key does not have the id that stands beside it")
        return key


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: whose tree, how many leaves, which root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_encoded(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the tree head in a note's text. Raises NoteError; extension lines are refused."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0]:
            raise NoteError("a checkpoint has three lines: origin, size, root")
        if not (lines[1].isascii() and lines[1].isdecimal()) or lines[1] != str(int(lines[1])):
            raise NoteError("the size of a checkpoint is a decimal number without leading zeros")
        root = _decoded(lines[2])
        if len(root) != 32:
            raise NoteError("the root of a checkpoint has 32 bytes")
        return cls(lines[0], int(lines[1]), root)


@dataclass(frozen=True)
class Signature:
    """One signature line: the key's name and id, and what follows the id."""

    name: str
    identity: bytes
    data: bytes

    def __str__(self) -> str:
        return f"{DASH}{self.name} {_encoded(self.identity + self.data)}\n"


@dataclass(frozen=True)
class Note:
    """A text and the signatures below it."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Return the note in ``data``. Raises NoteError for anything but the format's own bytes."""
        if len(data) > MOST_BYTES:
            raise NoteError("the note is too long")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NoteError("the note is not UTF-8") from error
        if any(ord(character) < 32 and character != "\n" for character in whole):
            raise NoteError("the note holds a control character")
        text, parted, rest = whole.rpartition("\n\n")
        if not parted or not rest.endswith("\n"):
            raise NoteError("the note has no signature")
        note = cls(text + "\n", tuple(map(_signature, rest[:-1].split("\n"))))
        if str(note) != whole:
            raise NoteError("the note is not written as the format has it")
        return note

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        """Return the note with further signatures, none of them twice."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *more))))

    def signed_by(self, keys: Iterable[VerifierKey], verify: Verify) -> list[VerifierKey]:
        """Return those of ``keys`` that signed. Raises NoteError for a signature that claims one and does not hold."""
        found = []
        for key in keys:
            for signature in self.signatures:
                if (signature.name, signature.identity) == (key.name, key.identity):
                    if not _holds(self.text, key, signature.data, verify):
                        raise NoteError(f"the signature of {key.name} does not hold")
                    found.append(key)
        return found


def cosigned_text(text: str, seconds: int) -> bytes:
    """Return what a witness signs: the checkpoint and the POSIX time at which it was the newest one seen."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def require_name(name: str) -> str:
    """Return a key's name. Raises NoteError if it is blank, or holds white space or a plus sign."""
    if not name or "+" in name or any(character.isspace() or ord(character) < 32 for character in name):
        raise NoteError("a key's name holds neither spaces nor a plus sign")
    return name


def _holds(text: str, key: VerifierKey, data: bytes, verify: Verify) -> bool:
    if key.kind == NOTE:
        return len(data) == 64 and verify(key.public, text.encode(), data)
    seconds = int.from_bytes(data[:8], "big")
    return len(data) == 72 and verify(key.public, cosigned_text(text, seconds), data[8:])


def _signature(line: str) -> Signature:
    name, parted, material = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not parted:
        raise NoteError("a signature line is a dash, a name and base64")
    data = _decoded(material)
    if len(data) < 5:
        raise NoteError("a signature is a key's id and more")
    return Signature(require_name(name), data[:4], data[4:])


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the base64 cannot be read") from error
    if _encoded(data) != text:
        raise NoteError("the base64 is not in its one form")
    return data
