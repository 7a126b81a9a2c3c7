#!/usr/bin/env python3
"""Verify an evidence kit offline: python verify.py KIT.zip [--head HEX] [--manifest SHA256]

This one file needs Python 3.9 or later and nothing else; it was written to be read in one sitting. It shares no code
with the service that made the kit. Exit status: 0 nothing was altered, 1 something was, 2 wrong usage.

What it checks, and how to check the same by hand:

1. manifest.json names every file of the kit with its size and SHA-256.
2. events.jsonl holds one event a line, in sealed order: index 0, 1, 2 ... without a gap.
   leaf_hash = SHA-256(0x00 || canonical event)      link_hash = SHA-256(0x02 || previous link_hash || leaf_hash)
   The first previous link is 32 zero bytes. The last link is the head, which the manifest names; compare it with the
   head printed in the report. An event of another project is withheld: its leaf stands for it in the chain.
   Canonical means RFC 8785: no white space, keys ordered by UTF-16 code units, UTF-8; only null, booleans, strings,
   integers up to 2**53 - 1, lists and objects.
3. Each event names the rows that were written with it. records.jsonl holds those rows.
   A row by itself: digest = SHA-256(canonical values).
   Many rows of one table: root = Merkle tree hash (RFC 9162) over their digests in ascending order.
   "marks" are short hashes that prove nothing: they tell which field, or which row of many, was altered.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

LARGEST_INTEGER = 2**53 - 1
MARK = 8
SHOWN = 10
LAST = float("inf")
UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, RecursionError)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)


class Kit:
    """What is found while reading: problems as (event index, order of finding, message)."""

    def __init__(self) -> None:
        self.problems: list[tuple[float, int, str]] = []
        self.events = self.withheld = self.records = 0
        self.head = "00" * 32
        self.manifest_sha256 = ""

    def report(self, message: str, index: float = LAST) -> None:
        self.problems.append((index, len(self.problems), message))

    def first(self) -> str:
        return min(self.problems)[2]


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a value of the permitted types; raise ValueError for any other."""

    def text(item: Any) -> str:
        if item is None or isinstance(item, (bool, str)):
            return json.dumps(item, ensure_ascii=False)
        if isinstance(item, int) and abs(item) <= LARGEST_INTEGER:
            return str(item)
        if isinstance(item, list):
            return "[" + ",".join(map(text, item)) + "]"
        if isinstance(item, dict):
            keys = sorted(item, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(text(key) + ":" + text(item[key]) for key in keys) + "}"
        raise ValueError("a value that has no canonical form")

    return text(value).encode("utf-8")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_line(line: bytes) -> Any:
    """Return the value on a line; raise ValueError unless the line is exactly the canonical form of it."""
    value = json.loads(line.decode("utf-8"))
    if canonical(value) != line:
        raise ValueError("the line is not in canonical form")
    return value


def lines_of(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yield the lines of a file, each without its newline; raise ValueError if the last one lacks it."""
    with archive.open(name) as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                raise ValueError("the last line is cut short")
            yield line[:-1]


def digest_of(archive: zipfile.ZipFile, name: str) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file in the kit, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as stream:
        for piece in iter(lambda: stream.read(1024 * 1024), b""):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the RFC 9162 tree hash of a list of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [level[place : place + 2] for place in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def check_files(kit: Kit, archive: zipfile.ZipFile) -> tuple[int, str] | None:
    """Check the files that are there against the manifest; return the (size, head) it names, None if unreadable."""
    names = archive.namelist()
    for name in sorted({name for name in names if names.count(name) > 1}):
        kit.report(f"file {name}: it is in the kit twice")
    try:
        data = archive.read("manifest.json")
        kit.manifest_sha256 = sha256(data)
        manifest = json.loads(data)
        files = {name: (fact["sha256"], int(fact["size"])) for name, fact in manifest["files"].items()}
        ledger = (int(manifest["ledger"]["size"]), manifest["ledger"]["head"])
        expected = {
            "files": {name: {"sha256": digest, "size": size} for name, (digest, size) in files.items()},
            "format": "label-qa-evidence-kit",
            "ledger": {"size": ledger[0], "head": ledger[1]},
            "version": 1,
        }
        if data != (json.dumps(expected, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8"):
            raise ValueError("it is not as the service writes it")
    except (*UNREADABLE, *DAMAGED) as error:
        kit.report(f"file manifest.json: it cannot be relied on ({error})")
        return None
    for name in sorted(set(names) - set(files) - {"manifest.json"}):
        kit.report(f"file {name}: the manifest does not name it")
    for name in ("events.jsonl", "records.jsonl"):
        if name not in files:
            kit.report(f"file {name}: the manifest does not name it")
    for name, (digest, size) in sorted(files.items()):
        try:
            found = digest_of(archive, name)
        except KeyError:
            kit.report(f"file {name}: it is missing")
        except DAMAGED as error:
            kit.report(f"file {name}: it is damaged ({error})")
        else:
            if found != (digest, size):
                kit.report(f"file {name}: it was altered; its SHA-256 is {found[0]}, the manifest says {digest}")
    return ledger


def check_events(kit: Kit, archive: zipfile.ZipFile, rows: dict[Any, Any]) -> None:
    """Check the chain, and fill ``rows`` with what each event says of its rows."""
    previous = bytes(32)
    for place, line in enumerate(lines_of(archive, "events.jsonl")):
        try:
            entry = read_line(line)
            index, leaf, link = entry["index"], bytes.fromhex(entry["leaf_hash"]), entry["link_hash"]
            event = entry.get("event")
            if set(entry) - {"event"} != {"index", "leaf_hash", "link_hash"} or len(leaf) != 32:
                raise ValueError("it is not a ledger entry")
        except UNREADABLE as error:
            kit.report(f"event {place}: its line cannot be read ({error})", place)
            return
        if index != place:
            kit.report(f"event {place}: it is missing or out of order; event {index} stands in its place", place)
            return
        if event is None:
            kit.withheld += 1
        else:
            name = f"event {index} ({event.get('kind')}, {event.get('id')})"
            if hashlib.sha256(b"\x00" + canonical(event)).digest() != leaf:
                kit.report(f"{name}: its content was altered; it does not hash to its leaf", index)
            try:
                note_rows(rows, index, event)
            except UNREADABLE as error:
                kit.report(f"{name}: what it says of its rows cannot be read ({error!r})", index)
        if hashlib.sha256(b"\x02" + previous + leaf).hexdigest() != link:
            kit.report(f"event {index}: its link does not follow from the event before it", index)
        previous = bytes.fromhex(link)
        kit.events = place + 1
    kit.head = previous.hex()


def note_rows(rows: dict[Any, Any], index: int, event: Any) -> None:
    for entry in event["rows"]:
        if "root" in entry:
            rows[(event["id"], entry["table"])] = [index, entry["count"], entry["root"], entry["marks"], {}]
        else:
            rows[(entry["table"], entry["id"], entry["history_id"])] = [index, entry["digest"], entry["marks"]]


def check_records(kit: Kit, archive: zipfile.ZipFile, rows: dict[Any, Any]) -> None:
    """Check each record against the event that names it, then that no record is missing."""
    waiting = dict(rows)
    for place, line in enumerate(lines_of(archive, "records.jsonl")):
        try:
            record = read_line(line)
            table, identity, history, values = (record[key] for key in ("table", "id", "history_id", "values"))
            event_id = values["event_id"]
            if set(record) != {"table", "id", "history_id", "values"}:
                raise ValueError("it is not a record")
        except UNREADABLE as error:
            kit.report(f"record on line {place + 1}: it cannot be read ({error})")
            continue
        kit.records += 1
        name = record_name(table, identity, history)
        digest = sha256(canonical(values))
        one = waiting.pop((table, identity, history), None)
        many = rows.get((event_id, table))
        if one is not None:
            index, expected, marks = one
            if digest != expected:
                field = altered_field(values, marks)
                kit.report(f"{name} of event {index}: {f'field {field} was altered' if field else 'altered'}", index)
        elif many is not None and history is None and identity not in many[4]:
            many[4][identity] = digest
        else:
            index = many[0] if many else LAST
            kit.report(f"{name}: no event names it, or it is there twice (event {event_id})", index)
    for key, fact in waiting.items():
        if len(key) == 3:
            kit.report(f"{record_name(*key)} of event {fact[0]}: the record is missing", fact[0])
        else:
            check_many(kit, key[1], *fact)


def check_many(kit: Kit, table: str, index: int, count: int, root: str, marks: str, digests: dict[str, str]) -> None:
    """Check the rows that one event wrote to one table under one root."""
    keys = sorted(digests)
    if len(keys) != count:
        kit.report(f"rows of {table} of event {index}: {len(keys)} records, and the event says {count}", index)
    elif merkle_root(sorted(bytes.fromhex(digest) for digest in digests.values())).hex() != root:
        altered = [key for n, key in enumerate(keys) if digests[key][:MARK] != marks[n * MARK : (n + 1) * MARK]]
        name = f"record {table} {altered[0]}" if altered else f"rows of {table}"
        kit.report(f"{name} of event {index}: altered; the rows do not hash to the event's root", index)


def altered_field(values: dict[str, Any], marks: str) -> str:
    names = sorted(values)
    for place, name in enumerate(names if len(marks) == MARK * len(names) else []):
        if sha256(canonical({name: values[name]}))[:MARK] != marks[place * MARK : (place + 1) * MARK]:
            return name
    return ""


def record_name(table: str, identity: str, history: str | None) -> str:
    return f"record {table} {identity}" + ("" if history is None else f" (history {history})")


def verify(path: str, head: str = "", manifest: str = "") -> Kit:
    """Return what was found in the kit at ``path``; nothing was altered exactly if it has no problems."""
    kit = Kit()
    try:
        with zipfile.ZipFile(path) as archive:
            ledger = check_files(kit, archive)
            rows: dict[Any, Any] = {}
            for name, check in (("events.jsonl", check_events), ("records.jsonl", check_records)):
                try:
                    check(kit, archive, rows)
                except (*UNREADABLE, *DAMAGED) as error:
                    kit.report(f"file {name}: it cannot be read to its end ({error})")
    except DAMAGED as error:
        kit.report(f"the kit cannot be opened ({error})")
        return kit
    if ledger and (kit.events, kit.head) != ledger:
        kit.report(f"the ledger ends at event {kit.events - 1}, head {kit.head}; the manifest says {ledger}")
    if head and kit.head != head.lower():
        kit.report(f"the head is {kit.head}, and {head} was expected: this is not the ledger that was reported")
    if manifest and kit.manifest_sha256 != manifest.lower():
        kit.report(f"the manifest's SHA-256 is {kit.manifest_sha256}, and {manifest} was expected")
    return kit


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an evidence kit offline.")
    parser.add_argument("kit", help="the kit, a zip file")
    parser.add_argument("--head", default="", help="the head that the report prints, to compare with")
    parser.add_argument("--manifest", default="", help="the manifest's SHA-256, where it was told you apart")
    wanted = parser.parse_args(arguments)
    kit = verify(wanted.kit, wanted.head, wanted.manifest)
    say = sys.stdout.write
    say(f"{kit.events} events ({kit.withheld} withheld), {kit.records} records\n")
    say(f"head     {kit.head}\nmanifest {kit.manifest_sha256}\n")
    if kit.problems:
        say(f"FAILED: {kit.first()}\n")
        for _, _, message in sorted(kit.problems)[1:SHOWN]:
            say(f"        {message}\n")
        say(f"{len(kit.problems)} problems in all\n")
        return 1
    say("OK: nothing was altered\n")
    return 0


if __name__ == "__main__":  # pragma: no cover  # in the tests, always in a process of its own
    sys.exit(main())
