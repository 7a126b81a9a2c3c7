"""The record's own kinds of event."""

from __future__ import annotations

from compliance.recording import register_event

KEY_INSTALLED = "ledger.key-installed"
KEY_ROTATED = "ledger.key-rotated"
REDACTED = "record.redacted"
WITNESS_NAMED = "ledger.witness-named"
WITNESS_DISMISSED = "ledger.witness-dismissed"
WITNESSED = "ledger.checkpoint-witnessed"
DRILLED = "record.restore-drill"
OWN = frozenset({KEY_INSTALLED, KEY_ROTATED, REDACTED, WITNESS_NAMED, WITNESS_DISMISSED, WITNESSED, DRILLED})

register_event(KEY_INSTALLED, "The key that signs checkpoints was put in place", "REQ-20")
register_event(KEY_ROTATED, "The key that signs checkpoints was replaced; the old one signed the new", "REQ-20")
register_event(REDACTED, "Fields of an event's payload were redacted; their commitments stay", "REQ-39")
register_event(WITNESS_NAMED, "A witness whose signatures under checkpoints are taken was named", "REQ-20")
register_event(WITNESS_DISMISSED, "No more signatures of a witness are taken", "REQ-20")
register_event(WITNESSED, "A witness signed a checkpoint of this ledger", "REQ-01")
register_event(DRILLED, "A backup was restored aside and verified", "REQ-05")
