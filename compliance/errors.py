"""What the record refuses, in words a person can act on."""

from __future__ import annotations


class RecordError(Exception):
    """Base of every refusal of the record."""


class UnrecordedChange(RecordError):
    """A regulated row was about to be written outside a running change, or past the one place that may write it."""


class UnregisteredEvent(RecordError):
    """An event kind that no app registered."""


class BlankReason(RecordError):
    """A change without a reason (REQ-13)."""


class AnonymousActor(RecordError):
    """A change by nobody: id, name or role is blank (REQ-08)."""


class LostRace(RecordError):
    """A compare-and-swap matched no row: another writer got there first, or the row is gone."""


class AppendOnly(RecordError):
    """An attempt to change or remove what is written once."""


class SealingRefused(RecordError):
    """The ledger cannot be extended safely in this transaction."""


class CheckpointRefused(RecordError):
    """The ledger's head cannot be signed: no key, or a ledger that does not continue its last checkpoint."""


class SigningFailed(CheckpointRefused):
    """The site's signing program gave no good signature."""


class PlaceUnreachable(RecordError):
    """A place outside, a bucket or a time-stamp authority, does not answer or refuses; it is tried again later."""


class RedactionRefused(RecordError):
    """A field that cannot be redacted, or a database role that may not do it."""
