"""Whether a signature stands, computed from the record each time it is asked (21 CFR 11.70; REQ-23, REQ-24).

It verifies if its row is the one that its event names, the event says the same of it and hashes to its sealed leaf, and
its intent was for this person, record and meaning. It stands if the record, besides, is still the one that was signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models

from compliance.events import event_leaf, payload_faults
from compliance.ledger.canonical import Json
from compliance.models import Event, LedgerEntry
from compliance.rows import altered_field, row_digest, row_values
from compliance.shapes import current_columns, current_shape, known_shapes
from qaservice.common.clock import iso
from qaservice.common.errors import NotFound, Unavailable
from qaservice.signatures.events import GIVEN
from qaservice.signatures.models import Signature, SigningIntent
from qaservice.signatures.signables import SignableRecord, load_record


class Standing(models.TextChoices):
    VALID = "valid", "valid"
    VOID = "void", "void: the record changed since"
    UNVERIFIED = "does-not-verify", "does not verify"


@dataclass(frozen=True)
class JudgedSignature:
    """A signature and whether it stands. ``why`` is empty for a valid one; ``index`` its event's place in the ledger,
    None until it is sealed.
    """

    signature: Signature
    standing: Standing
    why: str
    index: int | None

    @property
    def valid(self) -> bool:
        return self.standing is Standing.VALID


def binding(signature: Signature) -> dict[str, Json]:
    """Return what the event says of its signature: all that a reader of a printed page sees, and the record's hash."""
    return {
        "signature": str(signature.pk),
        "signer": str(signature.signer_id),
        "name": signature.printed_name,
        "role": signature.role,
        "meaning": signature.meaning,
        "meaning_words": signature.meaning_words,
        "signed_at": iso(signature.signed_at),
        "record_type": signature.subject_type,
        "record_id": signature.subject_id,
        "record_version": signature.subject_version,
        "record_title": signature.subject_title,
        "record_sha256": signature.record_sha256,
        "intent": str(signature.intent_id),
        "factors": list(signature.factors),
    }


def judge(signature: Signature) -> JudgedSignature:
    """Return whether a signature stands now, as the stored rows and the record say."""
    return judged([signature])[0]


def judged(signatures: Iterable[Signature]) -> list[JudgedSignature]:
    """Return each signature with its standing, in the order given; every record is read once."""
    records: dict[tuple[str, str], SignableRecord | str] = {}
    return [_judge(one, records) for one in signatures]


def _judge(signature: Signature, records: dict[tuple[str, str], SignableRecord | str]) -> JudgedSignature:
    stored = Signature.objects.select_related("event", "intent").get(pk=signature.pk)
    entry = LedgerEntry.objects.filter(event_id=stored.event_id).first()
    index = entry.index if entry is not None else None
    fault = _fault(stored, entry)
    if fault:
        return JudgedSignature(stored, Standing.UNVERIFIED, fault, index)
    name = (stored.subject_type, stored.subject_id)
    if name not in records:
        try:
            records[name] = load_record(subject_type=stored.subject_type, subject_id=stored.subject_id)
        except (NotFound, Unavailable) as error:
            records[name] = error.message
    record = records[name]
    changed = record if isinstance(record, str) else _changed(stored, record)
    return JudgedSignature(stored, Standing.VOID if changed else Standing.VALID, changed, index)


def _fault(signature: Signature, entry: LedgerEntry | None) -> str:
    """Return why a signature does not verify, "" where it does."""
    event, intent = signature.event, signature.intent
    if event.kind != GIVEN or (event.subject_type, event.subject_id) != (signature.subject_type, signature.subject_id):
        return "its event is about another record: the signature was moved"
    if entry is not None and event_leaf(event).hex() != entry.leaf_hash:
        return "its event was altered after it was sealed"
    if any(payload_faults(event)) or event.payload != binding(signature):
        return "its event does not say the same of it: the signature was moved or altered"
    fault = _row_fault(signature, event) or _row_fault(intent, intent.event)
    if fault:
        return fault
    wanted = (intent.user_id, intent.subject_type, intent.subject_id, intent.subject_version, intent.record_sha256)
    given = (
        signature.signer_id,
        signature.subject_type,
        signature.subject_id,
        signature.subject_version,
        signature.record_sha256,
    )
    if wanted != given or intent.meaning != signature.meaning:
        return "it was prepared for another person, record, version or meaning"
    if not intent.prepared_at <= signature.signed_at < intent.expires_at:
        return "it was given outside the time for which it was prepared"
    return ""


def _row_fault(row: Signature | SigningIntent, event: Event) -> str:
    table = row._meta.db_table
    for named in event.rows:
        if named.get("table") == table and named.get("id") == str(row.pk):
            columns = _columns(type(row), named["shape"])
            if columns is None:
                return "its stored row has columns that are not known any more"
            values = row_values(row, columns=columns)
            if row_digest(values) == named["digest"]:
                return ""
            altered = altered_field(values, named["marks"])
            return f"its stored row was altered{f' ({altered})' if altered else ''}"
    return "no event names its stored row"


def _columns(model: type[Signature | SigningIntent], shape: str) -> tuple[str, ...] | None:
    if shape == current_shape(model):
        return current_columns(model)
    return known_shapes([model]).get(shape)


def _changed(signature: Signature, record: SignableRecord) -> str:
    if record.version != signature.subject_version:
        return f"the record is at version {record.version} now, and version {signature.subject_version} was signed"
    if record.sha256 != signature.record_sha256:
        return "the record's content is no longer the one that was signed"
    return ""
