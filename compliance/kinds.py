"""The record's own kinds of event."""

from __future__ import annotations

from compliance.recording import register_event

KEY_INSTALLED = "ledger.key-installed"
KEY_ROTATED = "ledger.key-rotated"
REDACTED = "record.redacted"
OWN = frozenset({KEY_INSTALLED, KEY_ROTATED, REDACTED})

register_event(KEY_INSTALLED, "The key that signs checkpoints was put in place", "REQ-20")
register_event(KEY_ROTATED, "The key that signs checkpoints was replaced; the old one signed the new", "REQ-20")
register_event(REDACTED, "Fields of an event's payload were redacted; their commitments stay", "REQ-39")
