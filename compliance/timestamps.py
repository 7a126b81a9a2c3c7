"""RFC 3161 time-stamps: an authority outside says that a checkpoint was there at its time, by its own clock.

What is stamped is the checkpoint's text, without signatures, which are added later: origin, size and root. The whole
response of the authority is kept beside the checkpoint, as the openssl command takes it.
"""

from __future__ import annotations

import datetime
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from django.conf import settings
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from compliance.checkpoint_files import STAMPED, Place, kept_sizes, path_of, write_once
from compliance.errors import PlaceUnreachable, RecordError

SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
MOST_BYTES = 64 * 1024
ANSWER_SECONDS = 10


class StampRefused(RecordError):
    """A time-stamp that does not say what it should; the message says why."""


@dataclass(frozen=True)
class Authority:
    """Who stamps. ``seconds``: how old the last stamp may be before the next; ``ca_file``: whom its key is trusted by.

    Without ``ca_file`` the authority's signature is not judged here, and is left to whoever holds its certificate.
    """

    url: str
    seconds: int
    ca_file: Path | None


@dataclass(frozen=True)
class Stamp:
    """A response that fits its checkpoint: its bytes, and the authority's time."""

    data: bytes
    at: datetime.datetime


def configured_authority() -> Authority | None:
    """Return the authority that the site's settings name, or None."""
    url, ca_file = str(getattr(settings, "TSA_URL", "")), getattr(settings, "TSA_CA_FILE", None)
    if not url:
        return None
    return Authority(url, int(getattr(settings, "TSA_SECONDS", 3600)), Path(ca_file) if ca_file else None)


def imprint_of(text: str) -> bytes:
    """Return what is stamped of a checkpoint: SHA-256 over its text."""
    return hashlib.sha256(text.encode()).digest()


def request_stamp(text: str, authority: Authority) -> Stamp:
    """Have a checkpoint's text stamped. Raises PlaceUnreachable, or StampRefused for an answer that does not fit."""
    request = TimestampRequestBuilder().data(text.encode()).hash_algorithm(HashAlgorithm.SHA256).build()
    stamp = read_stamp(_asked(authority.url, request.as_bytes()), text=text, authority=authority)
    if decode_timestamp_response(stamp.data).tst_info.nonce != request.nonce:
        raise StampRefused("the time-stamp answers another request")
    return stamp


def read_stamp(data: bytes, *, text: str, authority: Authority | None) -> Stamp:
    """Return a response as a stamp of a checkpoint's text.

    Raises StampRefused unless it was granted for that text and, where the authority's certificate is known, was signed
    under it.
    """
    try:
        response = decode_timestamp_response(data)
        if response.status != PKIStatus.GRANTED:
            raise StampRefused(f"the authority refused: status {response.status}")
        info = response.tst_info
        imprint = info.message_imprint
    except ValueError as error:
        raise StampRefused("what lies there is no time-stamp") from error
    if imprint.hash_algorithm != SHA256 or imprint.message != imprint_of(text):
        raise StampRefused("it stamps something else than this checkpoint")
    if authority is not None and authority.ca_file is not None:
        _require_signed(response, imprint_of(text), authority.ca_file)
    return Stamp(data=data, at=info.gen_time)


def stamp_file(place: Place, at: int) -> Path:
    """Return where the time-stamp of a checkpoint lies, whether or not it is there."""
    return path_of(place, at, STAMPED)


def keep_stamp(place: Place, at: int, stamp: Stamp) -> None:
    """Keep a time-stamp beside its checkpoint; one that is there already stays."""
    write_once(stamp_file(place, at), stamp.data)


def stamped_sizes(place: Place) -> list[int]:
    """Return the sizes of the checkpoints that have a time-stamp, ascending."""
    return kept_sizes(place, STAMPED)


def _require_signed(response: TimeStampResponse, imprint: bytes, ca_file: Path) -> None:
    builder = VerifierBuilder()
    try:
        for certificate in x509.load_pem_x509_certificates(ca_file.read_bytes()):
            builder = builder.add_root_certificate(certificate)
        builder.build().verify(response, imprint)
    except OSError as error:
        raise StampRefused(f"the authority's certificate cannot be read: {error.strerror}") from error
    except (VerificationError, ValueError) as error:
        raise StampRefused(f"its signature does not hold: {error}") from error


def _asked(url: str, request: bytes) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise PlaceUnreachable("the time-stamp authority is named by an http or https address")
    asked = urllib.request.Request(  # noqa: S310  # the scheme was looked at
        url, data=request, headers={"Content-Type": "application/timestamp-query"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  # as above
            data: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException, urllib.error.URLError) as error:
        raise PlaceUnreachable(f"the time-stamp authority does not answer: {type(error).__name__}") from error
    if len(data) > MOST_BYTES:
        raise StampRefused("the answer is too long for a time-stamp")
    return data
