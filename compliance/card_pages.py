"""What a proof card says on paper: the event and its record in words, and how to check them against the ledger."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.note import Checkpoint, Note
from compliance.models import LedgerEntry
from compliance.rendering.card_pdf import CardFact, CardPage

LONGEST = 160

INTRODUCTION = (
    "This card shows that one record was written to the ledger as it stands here, by whom, when and why. It holds "
    "nothing of any other record: what else the ledger contains is present as hashes alone."
)
INSTRUCTIONS = (
    "Run: python verify_proof.py CARD.json --key KEY, with the card's file, verify.py beside it, and the ledger's key "
    "as the site told you. Both programs come with every evidence kit; they need Python alone.",
    "By hand: the leaf hash is computed from the event, and with the hashes of the path it leads to the root that the "
    "checkpoint signs (RFC 9162, Ed25519). The code at the top holds the ledger's name, its size and root, and the "
    "event's index and leaf hash, to be compared with a report, a kit or another checkpoint of this ledger.",
)


def card_page(card: Mapping[str, Any], *, marks: tuple[str, ...]) -> CardPage:
    """Return the printed form of a proof card that was made here."""
    event, record, index = card["event"], card["record"], card["index"]
    head = Checkpoint.parse(Note.parse(str(card["checkpoint"]).encode()).text)
    leaf = LedgerEntry.objects.get(index=index).leaf_hash
    simulated = " (simulated)" if event["simulated"] else ""
    history = [] if record["history_id"] is None else [CardFact("History row", record["history_id"])]
    hidden = sorted(set(event["commitments"]) - set(event["payload"]))
    return CardPage(
        title=f"Proof card: {record['table']} {record['id']}",
        introduction=INTRODUCTION,
        event=(
            CardFact("What happened", event["kind"], exact=True),
            CardFact("When", event["occurred_at"]),
            CardFact("By", f"{event['actor_name']}, {event['actor_role']}{simulated}"),
            CardFact("Reason", event["reason"]),
            CardFact("About", f"{event['subject_type']} {event['subject_id']}"),
            *(CardFact(name, _text(value)) for name, value in sorted(event["payload"].items())),
            *((CardFact("Not shown", ", ".join(hidden)),) if hidden else ()),
        ),
        record=(
            CardFact("Table", record["table"], exact=True),
            CardFact("Key", record["id"], exact=True),
            *history,
            *(CardFact(name, _text(value), exact=name.endswith("_id")) for name, value in record["values"].items()),
        ),
        checkpoint=str(card["checkpoint"]),
        proof=(
            CardFact("Event", f"index {index} of {head.size}"),
            CardFact("Leaf hash", leaf, exact=True),
            CardFact("Root", head.root.hex(), exact=True),
            CardFact("Key", card["key"], exact=True),
            *(CardFact(f"Path {place}", step, exact=True) for place, step in enumerate(card["proof"], start=1)),
        ),
        instructions=INSTRUCTIONS,
        marks=marks,
        code=f"{head.origin}\n{head.size}\n{head.root.hex()}\n{index}\n{leaf}",
        timestamp=int(datetime.datetime.fromisoformat(event["occurred_at"]).timestamp()),
    )


def _text(value: object) -> str:
    text = value if isinstance(value, str) else canonical_bytes(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text)} characters, whole in the card's file)"
