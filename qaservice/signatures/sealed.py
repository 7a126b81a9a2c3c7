"""Secrets of second factors, sealed under a key that is not in the database: one derived from the site's SECRET_KEY.

A key of its own, by HKDF: what else SECRET_KEY signs tells nothing about it. While the site's key is being replaced,
SECRET_KEY_FALLBACKS opens what was sealed under the old one.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

from qaservice.common.errors import Unavailable

KEY_BYTES, NONCE_BYTES = 32, 12
INFO = b"label-qa second factor secrets, 1"


def seal(plain: bytes, *, purpose: str) -> str:
    """Return text that only the site's key opens, and only for ``purpose``."""
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(_key(settings.SECRET_KEY)).encrypt(nonce, plain, purpose.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, purpose: str) -> bytes:
    """Return what ``seal`` was given.

    Raises Unavailable ``second-factor-sealed`` where it was sealed for another purpose or under a key that is gone.
    """
    try:
        raw = base64.urlsafe_b64decode(sealed)
    except binascii.Error:
        raw = b""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return AESGCM(_key(secret)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError):
            continue
    raise Unavailable(
        "this second factor was sealed under another key of the site, or altered; an administrator has to revoke it, "
        "and it has to be enrolled anew",
        code="second-factor-sealed",
    )


def _key(secret: str | bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=INFO).derive(force_bytes(secret))
