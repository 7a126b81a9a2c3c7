#!/usr/bin/env python3
"""Verify a proof card or a consistency proof offline: python verify_proof.py FILE.json [--key KEY] [--witness KEY]

Needs Python 3.9 or later and verify.py beside it, and nothing else. Exit status as of verify.py.

A card shows one event of the ledger and one record that was written with it. What it does not show of the event is
there as a hash, and what it does not show of the ledger is the path of hashes from the event's leaf to the root that
the checkpoint signs (RFC 9162 section 2.1.3). A consistency proof shows that the tree of one size and root is a
beginning of another (section 2.1.4).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("kit_verifier", Path(__file__).with_name("verify.py"))
if _spec is None or _spec.loader is None:  # pragma: no cover  # a file that ends in .py has both
    raise SystemExit("verify.py has to lie beside this file")
kits = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kits)

CARD = {"format", "version", "checkpoint", "key", "index", "proof", "event", "record", "record_proof"}
PROOF = {"format", "version", "first", "second", "proof"}


def node(left: bytes, right: bytes) -> bytes:
    return kits.hashlib.sha256(b"\x01" + left + right).digest()  # type: ignore[no-any-return]  # loaded by its path


def includes(index: int, size: int, found: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a leaf hash stands at its index of the tree (RFC 9162 section 2.1.3.2)."""
    place, last = index, size - 1
    if not 0 <= index < size:
        return False
    for step in proof:
        if last == 0 or len(step) != 32:
            return False
        if place & 1 or place == last:
            found = node(step, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node(found, step)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def continues(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the first tree is a beginning of the second (RFC 9162 section 2.1.4.2)."""
    if first in (0, second):
        return not proof and first_root == (second_root if first == second else kits.root_of([]))
    if not 0 < first < second or not proof or any(len(step) != 32 for step in proof):
        return False
    steps = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node(step, old), node(step, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node(new, step)
        place, last = place >> 1, last >> 1
    return last == 0 and (old, new) == (first_root, second_root)


def check_card(kit: Any, card: Any) -> None:
    """Check one event, what of it is shown, its path to the root, and the signature over the root."""
    event, index = card["event"], card["index"]
    name = f"event {index} ({event['kind']}, {event['id']})"
    hashed = [kits.leaf(kits.canonical(row)) if isinstance(row, dict) else bytes.fromhex(row) for row in event["rows"]]
    for field in kits.altered_fields(event):
        kit.report(f"{name}: the payload field {field} was altered", index)
    size, root = card["checkpoint"].split("\n")[1:3]
    kit.key, kit.keys, kit.events, kit.root = card["key"], [card["key"]], int(size), kits.unbase64(root)
    steps = [bytes.fromhex(step) for step in card["proof"]]
    if not includes(index, kit.events, kits.leaf_of(event, kits.root_of(hashed)), steps, kit.root):
        kit.report(f"{name}: it is not proved to stand in the ledger", index)
    kits.check_note(kit, card["checkpoint"])
    check_record(kit, index, card["record"], [row for row in event["rows"] if isinstance(row, dict)], card)
    kit.withheld, kit.records = kit.events - 1, 1


def check_record(kit: Any, index: int, record: Any, shown: list[Any], card: Any) -> None:
    """Check the record against the entry of the event that names it, or its path among many rows."""
    name = kits.record_name(record["table"], record["id"], record["history_id"])
    digest = kits.sha256(kits.canonical(record["values"]))
    if (
        set(record) != {"table", "id", "history_id", "values"}
        or len(shown) != 1
        or shown[0]["table"] != record["table"]
    ):
        kit.report(f"{name} of event {index}: the event does not name it", index)
    elif "root" in shown[0]:
        proof = card["record_proof"]
        steps = [bytes.fromhex(step) for step in proof["proof"]]
        leaf, root = kits.leaf(bytes.fromhex(digest)), bytes.fromhex(shown[0]["root"])
        values = record["values"]
        named = record["history_id"] is None and values.get("event_id") == card["event"]["id"]
        named = named and str(values.get(shown[0]["key"])) == record["id"]
        if not named or not includes(proof["index"], shown[0]["count"], leaf, steps, root):
            kit.report(f"{name} of event {index}: altered, or not one of the event's rows", index)
    elif (shown[0]["id"], shown[0]["history_id"]) != (record["id"], record["history_id"]) or card["record_proof"]:
        kit.report(f"{name} of event {index}: the event does not name it", index)
    elif shown[0]["digest"] != digest:
        field = kits.altered_field(record["values"], shown[0]["marks"]) or "a field"
        kit.report(f"{name} of event {index}: {field} was altered", index)


def check_proof(kit: Any, proof: Any) -> None:
    """Check that the first head is a beginning of the second."""
    (first, old), (second, new) = (
        (one["size"], bytes.fromhex(one["root"])) for one in (proof["first"], proof["second"])
    )
    kit.events, kit.root, kit.roots = second, new, [old.hex()]
    if not continues(first, old, second, new, [bytes.fromhex(step) for step in proof["proof"]]):
        kit.report(f"the ledger of {second} events is not proved to continue that of {first}")


def verify(path: str, key: str = "", witness: str = "", head: str = "") -> Any:
    """Return what was found in the file at ``path``; it proves what it says exactly if there are no problems."""
    kit = kits.Kit(witness)
    try:
        data = Path(path).read_bytes()
        document = kits.read_line(data[:-1])
        kind = (document["format"], document["version"], data[-1:])
        if kind == ("label-qa-proof-card", 1, b"\n") and set(document) == CARD:
            check_card(kit, document)
        elif kind == ("label-qa-consistency-proof", 1, b"\n") and set(document) == PROOF:
            check_proof(kit, document)
        else:
            raise ValueError("it is neither a proof card nor a consistency proof")
    except (*kits.UNREADABLE, OSError) as error:
        kit.report(f"the file cannot be relied on ({error})")
    if key and key != kit.key:
        kit.report(f"the ledger's key is {kit.key or 'unknown'}, and {key} was expected")
    if head and head.lower() not in (kit.root.hex(), *kit.roots):
        kit.report(f"the root is {kit.root.hex()}, and {head} was expected")
    return kit


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify a proof card or a consistency proof offline.")
    parser.add_argument("file", help="the proof, a .json file")
    parser.add_argument("--head", default="", help="a root of the ledger that you hold, from a report or a checkpoint")
    parser.add_argument("--key", default="", help="the ledger's key, as the site told you")
    parser.add_argument("--witness", default="", help="the key of a witness whose signature has to be there")
    wanted = parser.parse_args(arguments)
    kit = verify(wanted.file, wanted.key, wanted.witness, wanted.head)
    say = sys.stdout.write
    say(f"root     {kit.root.hex()} over {kit.events} events\nkey      {kit.key}\n")
    if kit.problems:
        say(f"FAILED: {kit.first()}\n")
        return 1
    say("OK: proved\n")
    return 0


if __name__ == "__main__":  # pragma: no cover  # in the tests, always in a process of its own
    sys.exit(main())
