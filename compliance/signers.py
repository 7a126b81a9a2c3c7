"""Who signs checkpoints. A signer is a key with a name and one act; where the key lies is the signer's own business.

There are two: a file, and a program of the site's own, behind which a hardware module or a key service stands.
"""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from compliance.errors import SigningFailed
from compliance.ledger.note import NOTE, Note, NoteError, Signature, VerifierKey, cosigned_text, require_name

HEADER = "PRIVATE+KEY"
PROGRAM_SECONDS = 30
"""How long a site's own program may take over one signature."""


class Signer(Protocol):
    """A private key in use."""

    @property
    def key(self) -> VerifierKey:
        """The public key with its name."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of ``message``."""


class FileSigner:
    """A key in a file that its owner alone can read: one line, as Go's sumdb writes it."""

    def __init__(self, *, name: str, kind: int, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(require_name(name), kind, self._private.public_key().public_bytes_raw())

    @classmethod
    def create(cls, path: Path, *, name: str, kind: int = NOTE) -> FileSigner:
        """Make a new key at ``path``, readable by its owner alone. Raises FileExistsError where a file is already."""
        seed = os.urandom(32)
        signer = cls(name=name, kind=kind, seed=seed)
        material = base64.b64encode(bytes([kind]) + seed).decode("ascii")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f"{HEADER}+{name}+{signer.key.identity.hex()}+{material}\n")
            stream.flush()
            os.fsync(stream.fileno())
        return signer

    @classmethod
    def load(cls, path: Path) -> FileSigner:
        """Return the key at ``path``. Raises FileNotFoundError, or NoteError for a file that is no such key."""
        line = path.read_text(encoding="utf-8").strip()
        try:
            first, second, name, identity, material = line.split("+", 4)
            data = base64.b64decode(material, validate=True)
            if f"{first}+{second}" != HEADER or len(data) != 33:
                raise ValueError(path.name)
            signer = cls(name=name, kind=data[0], seed=data[1:])
        except ValueError as error:
            raise NoteError(f"{path.name} does not hold a signing key") from error
        if signer.key.identity.hex() != identity:
            raise NoteError(f"{path.name}: the key does not have the id that stands beside it")
        return signer

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of ``message``."""
        return self._private.sign(message)


class CommandSigner:
    """A program of the site's own: it gets the bytes on its standard input and prints the Ed25519 signature.

    64 bytes, or base64 of them. What it prints is verified under the key before it is used.
    """

    def __init__(self, *, command: Sequence[str], key: VerifierKey) -> None:
        self._command = list(command)
        self.key = key

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of ``message``.

        Raises SigningFailed where the program cannot be run, fails, takes too long, or prints anything else. What it
        says on its standard error goes nowhere: it may be anything.
        """
        try:
            done = subprocess.run(  # noqa: S603  # the site's settings name it, without a shell
                self._command,
                input=message,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PROGRAM_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SigningFailed(f"the signing program did not answer within {PROGRAM_SECONDS} seconds") from error
        except OSError as error:
            raise SigningFailed(f"the signing program cannot be run: {error.strerror}") from error
        if done.returncode:
            raise SigningFailed(f"the signing program ended with status {done.returncode}")
        signature = _signature_in(done.stdout)
        if not ed25519_holds(self.key.public, message, signature):
            raise SigningFailed(f"what the signing program printed is no signature by {self.key.name}")
        return signature


def _signature_in(printed: bytes) -> bytes:
    if len(printed) == 64:
        return printed
    try:
        return base64.b64decode(printed.strip(), validate=True)
    except binascii.Error:
        return b""


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether an Ed25519 signature is good (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed(text: str, signer: Signer) -> Note:
    """Return ``text`` as a note that ``signer`` signed."""
    return Note(text, (Signature(signer.key.name, signer.key.identity, signer.sign(text.encode())),))


def cosignature(text: str, signer: Signer, *, seconds: int) -> Signature:
    """Return a witness's signature line for a checkpoint's text, given at a POSIX time."""
    data = seconds.to_bytes(8, "big") + signer.sign(cosigned_text(text, seconds))
    return Signature(signer.key.name, signer.key.identity, data)
