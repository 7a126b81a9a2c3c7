"""Time-based one-time codes as authenticator apps make them: RFC 6238, SHA-1, 6 digits, steps of 30 seconds."""

from __future__ import annotations

import base64
import hmac
import os
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

DIGITS, STEP_SECONDS, SECRET_BYTES = 6, 30, 20
# One step either way: clocks of telephones differ, and typing takes its time (RFC 6238 section 5.2).
TOLERATED = (0, -1, 1)
ISSUER = "Label QA"
LONGEST_NAME = 40


def new_secret() -> bytes:
    """Return a fresh secret of 160 bits, the length that RFC 4226 recommends."""
    return os.urandom(SECRET_BYTES)


def provisioning_uri(secret: bytes, *, account: str) -> str:
    """Return the otpauth address that an authenticator app reads from a QR code."""
    return _totp(secret).get_provisioning_uri(account[:LONGEST_NAME], ISSUER)


def spelt(secret: bytes) -> str:
    """Return a secret as it is typed into an app that reads no QR code: base32 in groups of four."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def step_at(moment: datetime) -> int:
    """Return the number of whole steps since 1970."""
    return int(moment.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    """Return the six digits of one step."""
    return _totp(secret).generate(step * STEP_SECONDS).decode()


def matching_step(secret: bytes, code: str, *, moment: datetime) -> int | None:
    """Return the step near ``moment`` whose code this is, None where there is none. Spaces within a code are let be."""
    given = "".join(code.split()).encode()
    for offset in TOLERATED:
        step = step_at(moment) + offset
        if hmac.compare_digest(code_at(secret, step).encode(), given):
            return step
    return None


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303  # what authenticator apps know; HMAC-SHA-1 holds
