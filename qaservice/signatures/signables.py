"""What can be signed: rooms above announce their records here, each with what a signature on it may mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compliance.ledger.canonical import Json, canonical_bytes
from qaservice.accounts.models import User
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.projects.models import Project


@dataclass(frozen=True)
class SignableRecord:
    """One record as it stands now. ``content`` is what a signature binds: it names the digests of all bytes."""

    subject_type: str
    subject_id: str
    version: str
    title: str
    project: Project
    content: Mapping[str, Json]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the canonical content (RFC 8785), in hexadecimal."""
        return hashlib.sha256(canonical_bytes(self.content)).hexdigest()


@dataclass(frozen=True)
class Meaning:
    """What a signature says. ``after``: meanings that must stand on the record first. ``apart_from``: meanings whose
    signer must be somebody else. ``obstacle`` returns why this person must not say this of this record, "" if they may.
    """

    code: str
    words: str
    roles: frozenset[str]
    obstacle: Callable[[User, SignableRecord], str]
    after: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signable:
    """One type of record. ``load`` returns the record of an id as it stands, None where there is none.

    ``load`` raises Unavailable where the record's bytes are missing or were altered.
    """

    subject_type: str
    name: str
    load: Callable[[str], SignableRecord | None]
    meanings: tuple[Meaning, ...]

    def meaning(self, code: str) -> Meaning:
        """Return the meaning of that code. Raises InvalidInput."""
        for one in self.meanings:
            if one.code == code:
                return one
        raise InvalidInput(
            f"a signature on a {self.name} cannot mean {code!r}; it can mean "
            f"{', '.join(one.code for one in self.meanings)}",
            code="no-such-meaning",
        )


_REGISTERED: dict[str, Signable] = {}


def register_signable(signable: Signable) -> None:
    """Announce a type of record that can be signed; each app does so when it is ready.

    Raises ValueError where the type was announced before, or a meaning names another that the type does not have.
    """
    codes = [one.code for one in signable.meanings]
    named = {code for one in signable.meanings for code in (*one.after, *one.apart_from)}
    if len(set(codes)) != len(codes) or not named <= set(codes):
        raise ValueError(f"the meanings of {signable.subject_type!r} do not fit together")
    if _REGISTERED.setdefault(signable.subject_type, signable) is not signable:
        raise ValueError(f"{signable.subject_type!r} can be signed already, in another way")


def signable_of(subject_type: str) -> Signable:
    """Return how records of a type are signed. Raises NotFound."""
    try:
        return _REGISTERED[subject_type]
    except KeyError:
        raise NotFound(f"records of type {subject_type!r} are not signed", code="not-signable") from None


def subject_types() -> tuple[str, ...]:
    """Return the types of record that can be signed, by name."""
    return tuple(sorted(_REGISTERED))


def load_record(*, subject_type: str, subject_id: str) -> SignableRecord:
    """Return a record as it stands now. Raises NotFound, and Unavailable where its bytes are missing or altered."""
    signable = signable_of(subject_type)
    record = signable.load(subject_id)
    if record is None:
        raise NotFound(f"there is no such {signable.name}", code="no-such-record")
    return record
