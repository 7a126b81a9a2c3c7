"""What a project's secret turns identities into: UIDs, pseudonyms and date offsets that are the same every time.

Everything is HMAC-SHA-256 (FIPS 198-1) under the project's secret over a purpose and a value. Whoever has no secret can
neither tell what stands behind a pseudonym nor test a guess; whoever has it can do both, and nothing else is needed to
keep a thousand files consistent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass, field

SECRET_BYTES = 32

STANDARD_UID_ROOT = "1.2.840.10008."
"""UIDs that DICOM itself defines (PS3.6 annex A) name classes and encodings, never a patient's data."""

_LEAST_DAYS = 366
_SPREAD_DAYS = 3652

# At least five components: a version number or an address has fewer, an instance's UID has more. Components with a
# leading zero are invalid and occur.
_UID = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-2](?:\.[0-9]+){4,}(?![0-9])")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """The secret of one project, 32 bytes. It is left out of ``repr``, so that no log holds it.

    Raises ValueError for a secret of another length.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES:
            raise ValueError(f"a project's secret has {SECRET_BYTES} bytes")

    def uid(self, original: str) -> str:
        """Return the UID that stands for ``original``: 2.25 and a name-based UUID (PS3.5 annex B.2).

        A UID that the standard defines, and an empty one, come back as they are.
        """
        value = original.strip().strip("\x00").strip()
        if not value or value.startswith(STANDARD_UID_ROOT):
            return value
        return f"2.25.{uuid.UUID(bytes=self._mac('uid', value)[:16], version=5).int}"

    def patient(self, original: str) -> str:
        """Return the pseudonym of a patient, of 64 bits: ``P-`` and 16 hexadecimal digits."""
        return f"P-{self._mac('patient', original)[:8].hex().upper()}"

    def reader(self, original: str) -> str:
        """Return the pseudonym of a person who is not the patient, as a DICOM person name: ``READER^1A2B3C4D5E6F``."""
        return f"READER^{self._mac('person', ' '.join(original.split()).casefold())[:6].hex().upper()}"

    def name(self, original: str, *, prefix: str) -> str:
        """Return the pseudonym of a label's or a file's name: ``prefix``, a hyphen and 12 hexadecimal digits."""
        return f"{prefix}-{self._mac('name', original)[:6].hex()}"

    def days_back(self, patient: str) -> int:
        """Return by how many whole days this patient's dates are moved into the past: 1 to 11 years."""
        return _LEAST_DAYS + int.from_bytes(self._mac("days", patient)[:8], "big") % _SPREAD_DAYS

    def map_uids_in(self, text: str) -> str:
        """Return ``text`` with every token that looks like a UID mapped as ``uid`` maps it.

        A token is 5 to 32 numbers joined by points, of 64 characters at most, first number 0 to 2.
        """
        return _UID.sub(lambda found: self.uid(found[0]) if len(found[0]) <= _LONGEST_UID else "2.25.0", text)

    def _mac(self, purpose: str, value: str) -> bytes:
        message = purpose.encode() + b"\x00" + value.encode("utf-8", "surrogateescape")
        return hmac.new(self.secret, message, hashlib.sha256).digest()
