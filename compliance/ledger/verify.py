#!/usr/bin/env python3
"""Verify an evidence kit offline: python verify.py KIT.zip [--head ROOT] [--key KEY] [--witness KEY]

This one file needs Python 3.9 or later and nothing else; it was written to be read in one sitting. It shares no code
with the service that made the kit. Exit status: 0 nothing was altered, 1 something was, 2 wrong usage.

What it checks, and how to check the same by hand (H is SHA-256, || joins bytes, hashes are written in hexadecimal):

1. manifest.json names every file of the kit with its size and SHA-256.
2. events.jsonl holds one event a line, in sealed order: index 0, 1, 2 ... without a gap. Of an event is hashed:
   commitment of a payload field = H(0x03 || its salt || canonical [name, value])
   payload = H(0x04 || canonical {name: commitment, ...})       rows = root of the tree over its canonical rows
   leaf_hash = H(0x00 || canonical event, with payload and rows as above, without salts and commitments)
   link_hash = H(0x02 || previous link_hash || leaf_hash), the first previous one being 32 zero bytes
   An event of another project is withheld: its leaf stands for it. A payload field may be gone if an event of kind
   record.redacted names it. Canonical means RFC 8785: no white space, keys ordered by UTF-16 code units, UTF-8; only
   null, booleans, strings, integers up to 2**53 - 1, lists and objects.
3. The root is the Merkle tree hash (RFC 9162) over the leaf hashes. checkpoint.txt holds size and root, signed with
   Ed25519 (RFC 8032) in the format of c2sp.org/tlog-checkpoint; witnesses sign as c2sp.org/tlog-cosignature says. The
   events ledger.key-installed and ledger.key-rotated name the key; each new one is signed by the one before it.
   proofs.json names earlier roots, such as reports print: each is the root over the first leaves, and has the proof by
   which somebody who holds that root alone can see that this ledger continues it. checkpoint.tsr, where it is there,
   is a time-stamp (RFC 3161) over the checkpoint's text: here it is checked what it stamps, by openssl who stamped it.
4. Each event names the rows that were written with it. records.jsonl holds those rows.
   A row by itself: digest = H(canonical values). Many rows of a table: root over their digests in ascending order.
   "marks" are short hashes that prove nothing: they tell which field, or which row of many, was altered.

A kit that was forged as a whole, with a key of its own, is whole in itself: compare the root with a report, the key
with what the site told you, or ask for the signature of a witness.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from typing import Any

MARK, SHOWN, LAST = 8, 10, float("inf")
SPEAKING = ("record.redacted", "ledger.key-installed", "ledger.key-rotated")
BLOCK, AHEAD = 1 << 20, 8  # bytes that are read at once, and how many such blocks before the first is through
UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, RecursionError, IndexError)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)


class Kit:
    """What is found while reading: problems as (event index, order of finding, message)."""

    def __init__(self, witness: str = "", pool: Executor | None = None) -> None:
        self.witness, self.pool = witness, pool
        self.rows: dict[Any, Any] = {}
        self.problems: list[tuple[float, int, str]] = []
        self.events = self.withheld = self.records = self.redacted = 0
        self.root, self.key, self.manifest_sha256 = b"", "", ""
        self.keys: list[str] = []
        self.roots: list[str] = []
        self.leaves: list[bytes] = []
        self.said: set[tuple[str, str]] = set()
        self.gone: list[tuple[int, str, str, str]] = []
        self.stamp = ("", "")
        self.read: dict[str, tuple[str, int]] = {}

    def report(self, message: str, index: float = LAST) -> None:
        self.problems.append((index, len(self.problems), message))

    def report_file(self, name: str, message: str) -> None:
        """Report what is wrong with a file as a whole: after what is wrong with events, before all else."""
        self.problems.append((LAST, -1, f"file {name}: {message}"))

    def first(self) -> str:
        return min(self.problems)[2]


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a value of the permitted types; raise ValueError for any other."""

    def text(item: Any) -> str:
        if item is None or isinstance(item, (bool, str)):
            return json.dumps(item, ensure_ascii=False)
        if isinstance(item, int) and abs(item) < 2**53:
            return str(item)
        if isinstance(item, list):
            return "[" + ",".join(map(text, item)) + "]"
        if isinstance(item, dict):
            keys = sorted(item, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(text(key) + ":" + text(item[key]) for key in keys) + "}"
        raise ValueError("a value that has no canonical form")

    return text(value).encode("utf-8")


def small(digits: str) -> int:
    return int(digits) if len(digits) < 16 or abs(int(digits)) < 2**53 else refused(digits)


def refused(number: str) -> Any:
    raise ValueError(f"{number[:20]} has no canonical form")


DECODE = json.JSONDecoder(parse_int=small, parse_float=refused, parse_constant=refused).decode
ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode


def packed(value: Any) -> bytes:
    """Return the canonical bytes of what DECODE gave; Python's own writer orders keys alike but for rare characters."""
    text = ENCODE(value)
    return text.encode("utf-8") if text.isascii() or max(text) < "\U00010000" else canonical(value)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def root_of(level: list[bytes]) -> bytes:
    """Return the RFC 9162 tree hash over leaf hashes; a lone one at the right is promoted, never doubled."""
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2])  # noqa: B905  # the lone one, and Python 3.9
        level = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs] + level[len(level) & ~1 :]
    return level[0]


def proof_of(leaves: list[bytes], first: int, known: bool = True) -> list[str]:
    """Return the consistency proof from the first leaves to all, by the definition in RFC 9162 section 2.1.4.1."""
    if first in (0, len(leaves)):
        return [] if known else [root_of(leaves).hex()]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if first <= left:
        return [*proof_of(leaves[:left], first, known), root_of(leaves[left:]).hex()]
    return [*proof_of(leaves[left:], first - left, False), root_of(leaves[:left]).hex()]


# Ed25519 by RFC 8032 section 5.1. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z and x * y = T/Z.
P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a: Sequence[int], b: Sequence[int]) -> Sequence[int]:
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Sequence[int]) -> Sequence[int]:
    result: Sequence[int] = (0, 1, 1, 0)
    while number:
        result = add(result, point) if number & 1 else result
        point, number = add(point, point), number >> 1
    return result


def point_of(data: bytes) -> Sequence[int]:
    """Return the point that 32 bytes stand for; raise ValueError where there is none."""
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if len(data) != 32 or y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError("the bytes are not a point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature is good; raise ValueError for a key that is no point."""
    key, base = point_of(public), point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    scalar = int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    # R = S * B - k * A, and minus k is the order less k.
    x, y, z, _ = add(times(scalar, base), times(ORDER - challenge, key))
    x, y = (part * pow(z, P - 2, P) % P for part in (x, y))
    return len(signature) == 64 and scalar < ORDER and (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def unbase64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 that is not in its one form")
    return data


def public_key(key: str) -> tuple[str, bytes, int, bytes]:
    """Return (name, id, kind, bytes) of a verifier key: name+id+base64(kind || key), c2sp.org/signed-note."""
    name, identity, material = key.split("+", 2)
    data = unbase64(material)
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if data[0] not in (1, 4) or len(data) != 33 or expected.hex() != identity:
        raise ValueError("the key is not an Ed25519 verifier key")
    return name, expected, data[0], data[1:]


def signed_by(note: str, key: str) -> bool:
    """Tell whether a note is signed by a key; raise ValueError if a signature says so and does not hold."""
    name, identity, kind, public = public_key(key)
    text, parted, below = note.rpartition("\n\n")
    found = False
    if not parted or not below.endswith("\n"):
        raise ValueError("the note has no signature")
    for line in below[:-1].split("\n"):
        dash, who, material = line.split(" ")
        data = unbase64(material)
        if dash != "\u2014" or not who or len(data) < 5:
            raise ValueError("a signature line is not in its format")
        if (who, data[:4]) == (name, identity):
            message, signature = (text + "\n").encode(), data[4:]
            if kind == 4:  # a witness signs the time with it
                time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                message = f"cosignature/v1\ntime {time}\n".encode() + message
            if not ed25519(public, message, signature):
                raise ValueError(f"the signature of {name} does not hold")
            found = True
    return found


def check_note(kit: Kit, note: str) -> None:
    """Check a checkpoint against the tree, the ledger's key and the witness that was asked for."""
    try:
        origin, size, root = note.rpartition("\n\n")[0].split("\n")
        if not origin or str(int(size)) != size or (int(size), unbase64(root)) != (kit.events, kit.root):
            kit.report(f"the checkpoint says root {root} over {size} events; found {kit.root.hex()} over {kit.events}")
        if not kit.key or not signed_by(note, kit.key):
            kit.report("the checkpoint is not signed by the ledger's key")
        if kit.witness and not signed_by(note, kit.witness):
            kit.report("the checkpoint is not signed by the witness")
    except UNREADABLE as error:
        kit.report(f"the checkpoint cannot be relied on ({error})")


def inner(data: bytes, *path: int) -> bytes:
    """Return the content of the DER element at a path of places; raise ValueError for other bytes."""
    for place in path:
        content = b""
        for _ in range(place + 1):
            length, data = data[1], data[2:]
            if length > 127:
                length, data = int.from_bytes(data[: length & 127], "big"), data[length & 127 :]
            if length > len(data):
                raise ValueError("DER that is cut short")
            content, data = data[:length], data[length:]
        data = content
    return data


def check_stamp(kit: Kit, archive: zipfile.ZipFile) -> None:
    """Check that a time-stamp is over the checkpoint's text; who signed it is openssl's to say."""
    digest = hashlib.sha256(archive.read("checkpoint.txt").rpartition(b"\n\n")[0] + b"\n").hexdigest()
    # TimeStampResp > token > SignedData > encapContentInfo > TSTInfo, then its messageImprint and genTime.
    info = inner(archive.read("checkpoint.tsr"), 0, 1, 1, 0, 2, 1, 0, 0)
    if (inner(info, 2, 0, 0).hex(), inner(info, 2, 1).hex()) != ("608648016503040201", digest):
        kit.report("file checkpoint.tsr: it stamps something else than this checkpoint by SHA-256")
    kit.stamp = (inner(info, 4).decode("ascii"), digest)


def read_line(line: bytes) -> Any:
    """Return the value on a line; raise ValueError unless the line is exactly the canonical form of it."""
    value = DECODE(line.decode("utf-8"))
    if packed(value) != line:
        raise ValueError("the line is not in canonical form")
    return value


# Most lines are plain: texts without escapes, ASCII keys, integers of up to 15 digits, nothing nested but lists, and
# objects of one text. Such a line, and each part of it, is its own canonical form once the keys are in order: it is
# hashed as it stands. What is not plain, or does not hold, is read as JSON further below, and there named.
TEXT, KEY, SALT = r'"[^"\\\x00-\x1f]*"', r'"[ !#-\[\]-~]*"', '"[0-9a-f]{32}"'
ONE = rf"(?:{TEXT}|null|true|false|0|-?[1-9][0-9]{{0,14}})"
INNER = rf"(?:{ONE}|\{{(?:{KEY}:{TEXT})?\}})"
VALUE = rf"(?:{INNER}|\[(?:{INNER}(?:,{INNER})*)?\])"
ROW = rf'\{{"digest":{TEXT},"history_id":{ONE},"id":{TEXT},"marks":{TEXT},"op":{TEXT},"shape":{TEXT},"table":{TEXT}\}}'


def members(value: str) -> str:
    return rf"((?:{KEY}:{value}(?:,{KEY}:{value})*)?)"


ENTRY = re.compile(
    rf'\{{"event":(\{{"actor_id":{TEXT},"actor_name":{TEXT},"actor_role":{TEXT}),"commitments":\{{{members(TEXT)}\}}'
    rf'(,"id":{TEXT},"kind":({TEXT}),"occurred_at":{TEXT},"payload":)\{{{members(VALUE)}\}}'
    rf'(,"project_key":{TEXT},"reason":{TEXT},"rows":)\[((?:{ROW}(?:,{ROW})*)?)\],"salts":\{{{members(SALT)}\}}'
    rf'(,"simulated":{ONE},"subject_id":{TEXT},"subject_type":{TEXT},"txid":{ONE}\}})'
    r',"index":(0|[1-9][0-9]{0,14}),"leaf_hash":"([0-9a-f]{64})","link_hash":"([0-9a-f]{64})"\}'
).fullmatch
RECORD = re.compile(
    rf'\{{"history_id":(null|{TEXT}),"id":({TEXT}),"table":({TEXT}),"values":(\{{{members(VALUE)}\}})\}}'
).fullmatch
MEMBERS, ROWS = re.compile(rf'"([^"]*)":({VALUE})').findall, re.compile(ROW).findall
NO_ROWS = hashlib.sha256(b"").hexdigest()


def ordered(fields: list[tuple[str, str]]) -> bool:
    names = [name for name, _ in fields]
    return len(names) < 2 or names == sorted(set(names))


def plain_entry(line: str) -> Any:
    """Return what ``read_events`` says of a plain line on which everything holds; None of any other line."""
    match = ENTRY(line)
    if match is None:
        return None
    start, committed, told, kind, payload, more, rows, salted, end, index, stated, link = match.groups()
    if kind[1:-1] in SPEAKING:
        return None
    fields, salts, made = MEMBERS(payload), MEMBERS(salted), list[str]()
    for (name, value), (own, salt) in zip(fields, salts):  # noqa: B905  # Python 3.9
        if name != own:
            return None
        digest = sha256(b"\x03" + bytes.fromhex(salt[1:-1]) + f'["{name}",{value}]'.encode())
        made.append(f'"{name}":"{digest}"')
    if len(fields) != len(salts) or ",".join(made) != committed or not ordered(fields):
        return None
    facts, root = [], NO_ROWS
    if rows:
        written = ROWS(rows)
        root = root_of([leaf(row.encode()) for row in written]).hex()
        for row in map(DECODE, written):
            facts.append(((row["table"], row["id"], row["history_id"]), row["digest"], row["marks"]))
    promised = sha256(b"\x04{" + committed.encode() + b"}")
    hashed = leaf(f'{start}{told}"{promised}"{more}"{root}"{end}'.encode())
    if hashed.hex() != stated:
        return None
    return int(index), hashed, link, ("", [], [], facts, None, "") if facts else ()


def plain_record(line: str) -> Any:
    """Return what ``read_records`` says of a plain line; None of any other line."""
    match = RECORD(line)
    if match is None:
        return None
    history, identity, table, values, inside = match.groups()
    fields = MEMBERS(inside)
    event = dict(fields).get("event_id", "")
    if not ordered(fields) or event[:1] != '"':
        return None
    # Of history rows nobody asks which columns hold the id.
    sought = (identity, identity[1:-1]) if history == "null" else ()
    keys = [name for name, value in fields if value in sought and value not in ("null", "true", "false")]
    return table[1:-1], identity[1:-1], DECODE(history), event[1:-1], sha256(values.encode()), keys


def pieces_of(kit: Kit, archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yield a file piece by piece, and take note of its SHA-256 and size at its end."""
    found, length = hashlib.sha256(), 0
    with archive.open(name) as stream:
        while piece := stream.read(BLOCK):
            found.update(piece)
            length += len(piece)
            yield piece
    kit.read[name] = (found.hexdigest(), length)


def blocks_of(kit: Kit, archive: zipfile.ZipFile, name: str) -> Iterator[list[bytes]]:
    """Yield a file in blocks of lines, each without its newline; raise ValueError if the last one lacks it."""
    rest = b""
    for piece in pieces_of(kit, archive, name):
        *lines, rest = (rest + piece).split(b"\n")
        yield lines
    if rest:
        raise ValueError("the last line is cut short")


def spread(
    pool: Executor | None, work: Callable[[list[bytes]], list[Any]], blocks: Iterator[list[bytes]]
) -> Iterator[tuple[bytes, Any]]:
    """Yield each line with what ``work`` says of it, in order; an error of reading comes after what was read."""
    waiting: deque[tuple[list[bytes], Callable[[], list[Any]]]] = deque()
    failed = None
    try:
        for lines in blocks:
            waiting.append((lines, pool.submit(work, lines).result if pool else partial(work, lines)))
            if len(waiting) > AHEAD:
                lines, result = waiting.popleft()
                yield from zip(lines, result())  # noqa: B905  # Python 3.9
    except (*UNREADABLE, *DAMAGED) as error:
        failed = error
    for lines, result in waiting:
        yield from zip(lines, result())  # noqa: B905  # Python 3.9
    if failed:
        raise failed


def check_manifest(kit: Kit, archive: zipfile.ZipFile) -> tuple[dict[str, tuple[str, int]], tuple[int, str]] | None:
    """Return the (SHA-256, size) of the files it names, and the (size, root) of the ledger; None if unreadable."""
    names = archive.namelist()
    for name in {name for name in names if names.count(name) > 1}:
        kit.report_file(name, "it is in the kit twice")
    try:
        data = archive.read("manifest.json")
        kit.manifest_sha256 = sha256(data)
        manifest = json.loads(data)
        files = {name: (fact["sha256"], int(fact["size"])) for name, fact in manifest["files"].items()}
        ledger = (int(manifest["ledger"]["size"]), manifest["ledger"]["root"])
        expected = {
            "files": {name: {"sha256": digest, "size": size} for name, (digest, size) in files.items()},
            "format": "label-qa-evidence-kit",
            "ledger": {"root": ledger[1], "size": ledger[0]},
            "version": 2,
        }
        if data != (json.dumps(expected, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8"):
            raise ValueError("it is not as the service writes it")
    except (*UNREADABLE, *DAMAGED) as error:
        kit.report_file("manifest.json", f"it cannot be relied on ({error})")
        return None
    needed = {"events.jsonl", "records.jsonl", "checkpoint.txt", "proofs.json"}
    for name in (set(names) | needed) - set(files) - {"manifest.json"}:
        kit.report_file(name, "the manifest does not name it")
    return files, ledger


def check_files(kit: Kit, archive: zipfile.ZipFile, files: dict[str, tuple[str, int]]) -> None:
    """Check the files that are there against the manifest; those that were read to their end are not read again."""
    for name, stated in files.items():
        try:
            if name not in kit.read:
                deque(pieces_of(kit, archive, name), 0)
        except KeyError:
            kit.report_file(name, "it is missing")
        except DAMAGED as error:
            kit.report_file(name, f"it is damaged ({error})")
        if kit.read.get(name, stated) != stated:
            kit.report_file(name, f"it was altered; its SHA-256 is {kit.read[name][0]}, not {stated[0]}")


def leaf_of(event: dict[str, Any], rows: bytes) -> bytes:
    """Return the leaf hash of an event, given the root over its rows."""
    kept = {**event, "payload": sha256(b"\x04" + packed(event["commitments"])), "rows": rows.hex()}
    del kept["commitments"], kept["salts"]
    return leaf(packed(kept))


def altered_fields(event: dict[str, Any]) -> Iterator[str]:
    """Yield the payload fields that do not fit their commitments."""
    payload, salts = event["payload"], event["salts"]
    for name in sorted({*payload, *salts}):
        salt = bytes.fromhex(salts.get(name, ""))
        found = sha256(b"\x03" + salt + packed([name, payload.get(name)]))
        if name not in payload or len(salt) != 16 or found != event["commitments"].get(name):
            yield name


def read_events(lines: list[bytes]) -> list[Any]:
    """Return (index, leaf, link, what the event says) of each line, or why one cannot be read and nothing after it."""
    found: list[Any] = []
    for line in lines:
        try:
            plain = plain_entry(line.decode("utf-8"))
            if plain:
                found.append(plain)
                continue
            entry = read_line(line)
            index, stated, link = entry["index"], bytes.fromhex(entry["leaf_hash"]), entry["link_hash"]
            if set(entry) - {"event"} != {"index", "leaf_hash", "link_hash"} or len(stated) != 32:
                raise ValueError("it is not a ledger entry")
        except UNREADABLE as error:
            return [*found, str(error)]
        found.append((index, stated, link, read_event(entry["event"], stated) if "event" in entry else None))
    return found


def read_event(event: Any, stated: bytes) -> tuple[str, list[str], list[Any], list[Any], Any, str]:
    """Return (name, faults, payload fields that are gone, rows, the event if of the ledger, why unreadable)."""
    name, speaking = "", None
    faults, gone, rows = list[str](), list[Any](), list[Any]()
    try:
        name = f"({event['kind']}, {event['id']})"
        if leaf_of(event, root_of([leaf(packed(row)) for row in event["rows"]])) != stated:
            faults.append("its content was altered; it does not hash to its leaf")
        faults += [f"the payload field {field} was altered" for field in altered_fields(event)]
        gone = [(event["id"], field) for field in event["commitments"] if field not in event["payload"]]
        speaking = event if event["kind"] in SPEAKING else None
        for row in event["rows"]:
            if "root" in row:
                rows.append(((event["id"], row["table"]), row["count"], row["root"], row["marks"], {}, row["key"]))
            else:
                rows.append(((row["table"], row["id"], row["history_id"]), row["digest"], row["marks"]))
    except UNREADABLE as error:
        return name, faults, gone, rows, speaking, f"what it says cannot be read ({error!r})"
    return name, faults, gone, rows, speaking, ""


def check_events(kit: Kit, archive: zipfile.ZipFile) -> None:
    """Check the chain and every event, and take note of what each says of its rows."""
    previous = bytes(32)
    for place, (_, found) in enumerate(spread(kit.pool, read_events, blocks_of(kit, archive, "events.jsonl"))):
        if isinstance(found, str):
            kit.report(f"event {place}: its line cannot be read ({found})", place)
            return
        index, stated, link, said = found
        if index != place:
            kit.report(f"event {place}: it is missing or out of order; event {index} stands in its place", place)
            return
        if said is None:
            kit.withheld += 1
        elif said:
            check_event(kit, index, *said)
        if hashlib.sha256(b"\x02" + previous + stated).hexdigest() != link:
            kit.report(f"event {index}: its link does not follow from the event before it", index)
        previous = bytes.fromhex(link)
        kit.leaves.append(stated)
        kit.events = place + 1
    for index, name, event_id, field in kit.gone:
        if (event_id, field) in kit.said:
            kit.redacted += 1
        else:
            kit.report(f"{name}: the payload field {field} is gone, and no event says that it was redacted", index)


def check_event(
    kit: Kit, index: int, name: str, faults: list[str], gone: list[Any], rows: list[Any], speaking: Any, unreadable: str
) -> None:
    name = f"event {index} {name}"
    for fault in faults:
        kit.report(f"{name}: {fault}", index)
    kit.gone += [(index, name, *field) for field in gone]
    try:
        if speaking:
            check_speaking(kit, index, name, speaking)
        kit.rows.update((key, [index, *fact]) for key, *fact in rows)
    except UNREADABLE as error:
        unreadable = f"what it says cannot be read ({error!r})"
    if unreadable:
        kit.report(f"event {index}: {unreadable}", index)


def check_speaking(kit: Kit, index: int, name: str, event: Any) -> None:
    """Check an event about the ledger itself: a redaction, or a key."""
    payload = event["payload"]
    if event["kind"] == "record.redacted":
        kit.said |= {(event["subject_id"], field) for field in payload["fields"]}
        return
    if not kit.keys:
        pass
    elif event["kind"] != "ledger.key-rotated":
        kit.report(f"{name}: a key was installed beside the one that the ledger has", index)
    elif not ed25519(
        public_key(kit.keys[-1])[3], f"ledger key rotation\n{payload['key']}\n".encode(), unbase64(payload["signature"])
    ):
        kit.report(f"{name}: the new key is not signed by the old one", index)
    kit.keys.append(payload["key"])


def check_tree(kit: Kit, archive: zipfile.ZipFile) -> None:
    """Check the checkpoint, and that each earlier head in proofs.json is the root over the first leaves."""
    kit.key = kit.keys[-1] if kit.keys else ""
    check_note(kit, archive.read("checkpoint.txt").decode("utf-8"))
    for proof in read_line(archive.read("proofs.json").rstrip(b"\n"))["consistency"]:
        size, root, steps = proof["size"], proof["root"], proof["proof"]
        kit.roots.append(root)
        if not 0 <= size <= kit.events or root_of(kit.leaves[:size]).hex() != root:
            kit.report(f"proofs.json: {root} is not the root over the first {size} events")
        elif steps != proof_of(kit.leaves, size):
            kit.report(f"proofs.json: the proof from {size} events on is not that of this ledger")


def read_records(lines: list[bytes]) -> list[Any]:
    """Return (table, id, history, event, digest, columns that hold the id) of each line, or why it cannot be read."""
    found: list[Any] = []
    for line in lines:
        try:
            plain = plain_record(line.decode("utf-8"))
            if plain:
                found.append(plain)
                continue
            record = read_line(line)
            table, identity, history, values = (record[key] for key in ("table", "id", "history_id", "values"))
            if set(record) != {"table", "id", "history_id", "values"}:
                raise ValueError("it is not a record")
            keys = [name for name, value in values.items() if str(value) == identity]
            found.append((table, identity, history, values["event_id"], sha256(packed(values)), keys))
        except UNREADABLE as error:
            found.append(str(error))
    return found


def check_records(kit: Kit, archive: zipfile.ZipFile) -> None:
    """Check each record against the event that names it, then that no record is missing."""
    waiting = dict(kit.rows)
    for place, (line, found) in enumerate(spread(kit.pool, read_records, blocks_of(kit, archive, "records.jsonl"))):
        if isinstance(found, str):
            kit.report(f"record on line {place + 1}: it cannot be read ({found})")
            continue
        table, identity, history, event_id, digest, keys = found
        kit.records += 1
        name = record_name(table, identity, history)
        one = waiting.pop((table, identity, history), None)
        many = kit.rows.get((event_id, table))
        if one is not None:
            index, expected, marks = one
            if digest != expected:
                field = altered_field(json.loads(line)["values"], marks)
                kit.report(f"{name} of event {index}: {f'field {field} was altered' if field else 'altered'}", index)
        elif many and history is None and identity not in many[4] and many[5] in keys:
            many[4][identity] = digest
        else:
            index = many[0] if many else LAST
            kit.report(f"{name}: no event names it, or it is there twice (event {event_id})", index)
    for key, fact in waiting.items():
        if len(key) == 3:
            kit.report(f"{record_name(*key)} of event {fact[0]}: the record is missing", fact[0])
        else:
            check_many(kit, key[1], *fact[:5])


def check_many(kit: Kit, table: str, index: int, count: int, root: str, marks: str, digests: dict[str, str]) -> None:
    """Check the rows that one event wrote to one table under one root."""
    keys = sorted(digests)
    if len(keys) != count:
        kit.report(f"rows of {table} of event {index}: {len(keys)} records, and the event says {count}", index)
    elif root_of([leaf(digest) for digest in sorted(map(bytes.fromhex, digests.values()))]).hex() != root:
        known = {marks[place : place + MARK] for place in range(0, len(marks), MARK)}
        altered = [key for key in keys if digests[key][:MARK] not in known]
        name = f"record {table} {altered[0]}" if altered else f"rows of {table}"
        kit.report(f"{name} of event {index}: altered; the rows do not hash to the event's root", index)


def altered_field(values: dict[str, Any], marks: str) -> str:
    names = sorted(values)
    for place, name in enumerate(names if len(marks) == MARK * len(names) else []):
        if sha256(packed({name: values[name]}))[:MARK] != marks[place * MARK : (place + 1) * MARK]:
            return name
    return ""


def record_name(table: str, identity: str, history: str | None) -> str:
    return f"record {table} {identity}" + ("" if history is None else f" (history {history})")


def verify(
    path: str, head: str = "", manifest: str = "", key: str = "", witness: str = "", pool: Executor | None = None
) -> Kit:
    """Return what was found in the kit at ``path``; nothing was altered exactly if it has no problems."""
    kit = Kit(witness, pool)
    try:
        with zipfile.ZipFile(path) as archive:
            stated = check_manifest(kit, archive)
            checks = {"events.jsonl": check_events, "records.jsonl": check_records, "proofs.json": check_tree}
            if "checkpoint.tsr" in archive.namelist():
                checks["checkpoint.tsr"] = check_stamp
            for name, check in checks.items():
                try:
                    check(kit, archive)
                except (*UNREADABLE, *DAMAGED) as error:
                    kit.report(f"file {name}: it cannot be read to its end ({error})")
                kit.root = kit.root or root_of(kit.leaves)
            if stated:
                check_files(kit, archive, stated[0])
    except DAMAGED as error:
        kit.report(f"the kit cannot be opened ({error})")
        return kit
    root = kit.root.hex()
    if stated and (kit.events, root) != stated[1]:
        kit.report(f"the ledger ends at event {kit.events - 1}, root {root}; the manifest says {stated[1]}")
    if head and head.lower() not in (root, *kit.roots):
        kit.report(f"the root is {root}, and {head} was expected: this is not the ledger that was reported")
    if key and key not in kit.keys:
        kit.report(f"the ledger's key is {kit.key or 'unknown'}, and {key} was expected")
    if manifest and kit.manifest_sha256 != manifest.lower():
        kit.report(f"the manifest's SHA-256 is {kit.manifest_sha256}, and {manifest} was expected")
    return kit


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an evidence kit offline.")
    parser.add_argument("kit", help="the kit, a zip file")
    parser.add_argument("--head", default="", help="the root that a report prints, to compare with")
    parser.add_argument("--key", default="", help="the ledger's key, as the site told you")
    parser.add_argument("--witness", default="", help="the key of a witness whose signature has to be there")
    parser.add_argument("--manifest", default="", help="the manifest's SHA-256, where it was told you apart")
    wanted = parser.parse_args(arguments)
    with ProcessPoolExecutor() as pool:  # it starts processes when work comes, and a small kit is no work
        large = os.path.isfile(wanted.kit) and os.stat(wanted.kit).st_size > AHEAD * BLOCK  # noqa: PTH113, PTH116
        kit = verify(wanted.kit, wanted.head, wanted.manifest, wanted.key, wanted.witness, pool if large else None)
    say = sys.stdout.write
    say(f"{kit.events} events ({kit.withheld} withheld), {kit.records} records, {kit.redacted} fields redacted\n")
    say(f"root     {kit.root.hex()}\nkey      {kit.key}\nmanifest {kit.manifest_sha256}\n")
    if kit.stamp[0]:
        say(f"stamped  {kit.stamp[0]}, says checkpoint.tsr; to check who says it, take it out of the kit and run:\n")
        say(f"         openssl ts -verify -digest {kit.stamp[1]} -in checkpoint.tsr -CAfile AUTHORITY.pem\n")
    if kit.problems:
        say(f"FAILED: {kit.first()}\n")
        for _, _, message in sorted(kit.problems)[1:SHOWN]:
            say(f"        {message}\n")
        say(f"{len(kit.problems)} problems in all\n")
        return 1
    if not (wanted.head or wanted.key or wanted.witness):
        say("whole in itself; compared with nothing outside (--head, --key, --witness)\n")
    say("OK: nothing was altered\n")
    return 0


if __name__ == "__main__":  # pragma: no cover  # in the tests, always in a process of its own
    sys.exit(main())
