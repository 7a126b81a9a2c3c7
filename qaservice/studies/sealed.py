"""Encryption under the site's key: AES-256-GCM, each text bound to what it is for.

The key is a file of its own, so that whoever has the database and the blobs still cannot open what is sealed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from qaservice.common.errors import Conflict, Unavailable

KEY_BYTES = 32
_NONCE_BYTES = 12


def seal(plain: bytes, *, purpose: str) -> str:
    """Return text that only the site's key opens, and only for ``purpose``. Raises as ``site_key`` does."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(site_key()).encrypt(nonce, plain, purpose.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, purpose: str) -> bytes:
    """Return what ``seal`` was given.

    Raises Unavailable ``identity-key-wrong`` where it was sealed under another key or for another purpose, or altered;
    ``identity-key-missing`` where there is no key.
    """
    raw = base64.urlsafe_b64decode(sealed)
    try:
        return AESGCM(existing_key()).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
    except InvalidTag as error:
        raise Unavailable(
            "the site's identity key does not open this: it is another key, or the record was altered",
            code="identity-key-wrong",
        ) from error


def key_mark() -> str:
    """Return what tells one site key from another, without telling the key."""
    return hashlib.sha256(b"site key mark" + site_key()).hexdigest()[:16]


def site_key() -> bytes:
    """Return the site's key; an embedded site makes it when it is first needed.

    Raises Unavailable ``identity-key-missing`` on a production site without one, ``identity-key-unusable`` where the
    file does not hold one.
    """
    if settings.EMBEDDED and not _place().exists():
        try:
            create_key()
        except Conflict:
            # Another process was quicker, and its key is the site's.
            return existing_key()
    return existing_key()


def existing_key() -> bytes:
    """Return the site's key and never make one. Raises as ``site_key`` does."""
    try:
        key = base64.urlsafe_b64decode(_place().read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise Unavailable(
            "there is no identity key: make one with manage.py create_identity_key, or put the site's own back where "
            "QASERVICE_IDENTITY_KEY_FILE says",
            code="identity-key-missing",
        ) from error
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise _unusable() from error
    if len(key) != KEY_BYTES:
        raise _unusable()
    return key


def create_key() -> Path:
    """Make the site's key, readable by its owner alone, and return where. Raises Conflict ``identity-key-exists``.

    The file appears whole or not at all, so that no other process can read half a key.
    """
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.urlsafe_b64encode(os.urandom(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, place)
    except FileExistsError as error:
        raise Conflict(
            "there is an identity key already; another one would leave what is sealed closed for ever",
            code="identity-key-exists",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return place


def _place() -> Path:
    return Path(settings.IDENTITY_KEY_FILE)


def _unusable() -> Unavailable:
    return Unavailable("the identity key file does not hold a key that can be read", code="identity-key-unusable")
