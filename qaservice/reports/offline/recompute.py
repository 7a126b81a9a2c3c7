#!/usr/bin/env python3
"""Compute the figures of a validation report again, offline: python -I recompute.py KIT.zip

This one file needs Python 3.9 or later and nothing else, and shares no code with the service that made the kit. Run
verify.py first: it shows that the records are those that the ledger names. This program then counts the records and
compares what it finds with facts.json, which holds the figures that report.pdf prints.

What it does, and how to do the same by hand:

1. facts.json names a ledger size and a head. The head is the Merkle tree hash (RFC 9162) over that many first leaves.
2. Of every flag it takes the newest revision that an event below that size wrote.
3. For each check it counts the flags raised, those settled (N), and those settled as "label-wrong" (n).
4. From n and N it computes the two-sided 95 % interval: Wilson's score interval without continuity correction, or
   Clopper and Pearson's exact one where n is 0 or N.
5. It pairs every reader's blind and final verdict on one round of a flag, and counts the pairs that differ.
6. data/signatures.json holds the electronic signatures and the records that they are on. A record is named by the
   SHA-256 of its content, as JSON with sorted keys and no white space; the content names the files of this kit by their
   own SHA-256. A signature is valid if its stored row, its event and the intent under which it was given all name this
   person, meaning, record and SHA-256; void if the record is another now. The report is approved if it is validly
   signed with "approved" and with everything that comes before.

Exit status: 0 all figures agree, 1 one does not, 2 wrong usage or a kit that cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95
FLAGS, VERDICTS, CORRECTIONS = "analysis_flag", "review_verdict", "review_correction"
SIGNATURES, INTENTS = "signatures_signature", "signatures_signingintent"
APPROVAL = {"responsible", "reviewed", "trail-reviewed", "approved"}
# What the file, the stored row, the event and (but for the time and the name) the intent have to say alike.
SAME = {
    "signer": "signer_id",
    "name": "printed_name",
    "role": "role",
    "meaning": "meaning",
    "meaning_words": "meaning_words",
    "signed_at": "signed_at",
    "record_type": "subject_type",
    "record_id": "subject_id",
    "record_version": "subject_version",
    "record_title": "subject_title",
    "record_sha256": "record_sha256",
    "intent": "intent_id",
    "factors": "factors",
}
PREPARED = {
    "signer": "user_id",
    "meaning": "meaning",
    "record_type": "subject_type",
    "record_id": "subject_id",
    "record_version": "subject_version",
    "record_sha256": "record_sha256",
}
# Which file of the kit a record's content names by its SHA-256.
FILES = {
    "document_sha256": "report.pdf",
    "facts_sha256": "facts.json",
    "dataset_manifest_sha256": "dataset-manifest.json",
    "manifest_sha256": "dataset-manifest.json",
}


def wilson(n: int, total: int) -> tuple[float, float]:
    """Return Wilson's score interval (1927)."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share, square = n / total, z * z
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = z * (share * (1 - share) / total + square / (4 * total * total)) ** 0.5 / (1 + square / total)
    return centre - half, centre + half


def exact_at_the_end(n: int, total: int) -> tuple[float, float]:
    """Return Clopper and Pearson's interval (1934) for n = 0 or n = N, where it has a closed form."""
    tail = ((1 - CONFIDENCE) / 2) ** (1 / total)
    return (0.0, 1 - tail) if n == 0 else (tail, 1.0)


def interval(n: int, total: int) -> tuple[str | None, str | None]:
    """Return the limits with four decimals as facts.json holds them, (None, None) where nothing was settled."""
    if total == 0:
        return None, None
    lower, upper = exact_at_the_end(n, total) if n in (0, total) else wilson(n, total)
    return rounded(lower), rounded(upper)


def rounded(value: float) -> str:
    return format(Decimal(repr(value)).quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN), "f")


def figure(wrong: int, settled: int, raised: int, lower: str | None, upper: str | None) -> str:
    """Return one row of the table of label errors as a line."""
    limits = "no interval" if lower is None and upper is None else f"{lower} to {upper}"
    return f"{wrong}/{settled} of {raised} raised, {limits}"


def lines(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    with archive.open(name) as stream:
        for line in stream:
            yield json.loads(line)


def tree_hash(level: list[bytes]) -> str:
    """Return the Merkle tree hash over leaf hashes; a lone one at the right is promoted."""
    while len(level) > 1:
        pairs = [level[place : place + 2] for place in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return (level[0] if level else hashlib.sha256(b"").digest()).hex()


class Records:
    """What stood in the records when the report was made."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.flags: dict[str, dict[str, Any]] = {}
        self.verdicts: list[dict[str, Any]] = []
        self.corrections = 0
        leaves: list[bytes] = []
        early: set[str] = set()
        for entry in lines(archive, "events.jsonl"):
            if entry["index"] < size:
                leaves.append(bytes.fromhex(entry["leaf_hash"]))
                if entry.get("event"):
                    early.add(entry["event"]["id"])
        self.head = tree_hash(leaves)
        for record in lines(archive, "records.jsonl"):
            values = record["values"]
            if values["event_id"] not in early:
                continue
            if record["table"] == FLAGS:
                known = self.flags.get(record["id"])
                if known is None or known["revision"] < values["revision"]:
                    self.flags[record["id"]] = values
            elif record["table"] == VERDICTS:
                self.verdicts.append(values)
            elif record["table"] == CORRECTIONS:
                self.corrections += 1

    def of_check(self, check: str) -> tuple[int, int, int]:
        """Return how many flags of a check were raised, are settled, and are settled as label wrong."""
        states = [(one["state"], one["outcome"]) for one in self.flags.values() if one["check_name"] == check]
        settled = [outcome for state, outcome in states if state == "settled"]
        return len(states), len(settled), settled.count("label-wrong")

    def verdict_pairs(self) -> tuple[int, int]:
        """Return how many pairs of blind and final verdicts there are, and how many of them differ."""
        decisions: dict[tuple[str, int, str], dict[str, str]] = {}
        for one in self.verdicts:
            decisions.setdefault((one["flag_id"], one["round"], one["reader_id"]), {})[one["phase"]] = one["decision"]
        pairs = [pair for pair in decisions.values() if {"blind", "final"} <= set(pair)]
        return len(pairs), sum(pair["blind"] != pair["final"] for pair in pairs)


class Signatures:
    """The signatures that the kit shows, and what its ledger and files say of them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.told = json.loads(archive.read("data/signatures.json"))
        # The kit ends every file of data with a newline, which is not part of the figures that were signed.
        whole = {name: archive.read(name) for name in FILES.values()}
        whole["facts.json"] = whole["facts.json"].rstrip(b"\n")
        self.files = {name: hashlib.sha256(data).hexdigest() for name, data in whole.items()}
        self.events = {entry["event"]["id"]: entry for entry in lines(archive, "events.jsonl") if entry.get("event")}
        rows = [one for one in lines(archive, "records.jsonl") if one["table"] in (SIGNATURES, INTENTS)]
        self.rows = {(one["table"], one["id"]): one["values"] for one in rows}
        self.records = {(one["type"], one["id"]): one for one in self.told["records"]}

    def judged(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield each signature with its standing: "valid", or why it is not."""
        for one in self.told["signatures"]:
            yield one, self.fault(one) or self.changed(one) or "valid"

    def fault(self, one: dict[str, Any]) -> str:
        """Return why a signature does not verify."""
        row = self.rows.get((SIGNATURES, one["signature"]))
        if row is None or {name: one[name] for name in SAME} != {name: row[column] for name, column in SAME.items()}:
            return "does-not-verify: no record of the ledger is this signature"
        entry, place = self.events.get(row["event_id"], {}), one["event"]
        event = entry.get("event", {})
        if (place["id"], place["index"], place["leaf_hash"]) != (
            row["event_id"],
            entry.get("index"),
            entry.get("leaf_hash"),
        ):
            return "does-not-verify: its entry in the ledger is another"
        said = {name: one[name] for name in ("signature", *SAME)}
        about = (event["kind"], event["subject_type"], event["subject_id"], event["payload"])
        if about != ("signature.given", one["record_type"], one["record_id"], said):
            return "does-not-verify: its event does not say the same"
        intent = self.rows.get((INTENTS, one["intent"]), {})
        if any(one[name] != intent.get(column) for name, column in PREPARED.items()):
            return "does-not-verify: it was prepared for something else"
        return ""

    def changed(self, one: dict[str, Any]) -> str:
        """Return why a signature that verifies is void."""
        record = self.records.get((one["record_type"], one["record_id"]))
        if record is None or self.broken(record):
            return "void: the record is not in this kit as it was signed"
        same = (record["version"], record["sha256"]) == (one["record_version"], one["record_sha256"])
        return "" if same else "void: the record is another now"

    def broken(self, record: dict[str, Any]) -> str:
        """Return which part of a record does not hash to what it says."""
        content = record["content"]
        written = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if hashlib.sha256(written).hexdigest() != record["sha256"]:
            return "its content"
        wrong = [file for name, file in FILES.items() if name in content and content[name] != self.files[file]]
        return ", ".join(wrong)

    def left_out(self) -> list[str]:
        """Return the signatures of the ledger on these records that the kit does not show."""
        shown = {one["signature"] for one in self.told["signatures"]}
        return sorted(
            key
            for (table, key), row in self.rows.items()
            if table == SIGNATURES and (row["subject_type"], row["subject_id"]) in self.records and key not in shown
        )


def signature_rows(signatures: Signatures) -> list[tuple[str, str, str]]:
    """Return every signature, and what follows from them, as (what, as told, found again)."""
    rows = [
        (f"record {one['title']}", "whole", signatures.broken(one) or "whole") for one in signatures.told["records"]
    ]
    said = set()
    for one, standing in signatures.judged():
        told = one["standing"]
        # A fault is told in words of its own; that there is one is what has to agree.
        found = told if standing != "valid" and standing.startswith(told) else standing
        rows.append((f"signature {one['meaning_words']!r} by {one['name']} at {one['signed_at']}", told, found))
        if standing == "valid" and one["record_type"] == "report":
            said.add(one["meaning"])
    rows.append(("signatures left out", "none", ", ".join(signatures.left_out()) or "none"))
    approved = "approved" if said >= APPROVAL else "draft"
    rows.append(("standing of the report", signatures.told["report"], approved))
    return rows


def compare(facts: dict[str, Any], records: Records) -> list[tuple[str, str, str]]:
    """Return every figure as (what, in the report, found again)."""
    rows = [("head of the ledger", facts["ledger_head"], records.head)]
    for row in facts["label_errors"]:
        raised, settled, wrong = records.of_check(row["check"])
        lower, upper = interval(wrong, settled)
        printed = figure(row["wrong"], row["settled"], row["raised"], row["lower"], row["upper"])
        rows.append((row["kind"], printed, figure(wrong, settled, raised, lower, upper)))
    known = {row["check"] for row in facts["label_errors"]}
    strays = sorted({one["check_name"] for one in records.flags.values()} - known)
    rows.append(("checks without a row", "none", ", ".join(strays) or "none"))
    total, changed = records.verdict_pairs()
    pairs = facts["verdict_pairs"]
    rows.append(("verdicts changed after the reveal", f"{pairs['changed']}/{pairs['total']}", f"{changed}/{total}"))
    rows.append(("verdicts", str(facts["totals"]["verdicts"]), str(len(records.verdicts))))
    rows.append(("corrections", str(facts["totals"]["corrections"]), str(records.corrections)))
    return rows


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -I recompute.py KIT.zip\n")
        return 2
    try:
        with zipfile.ZipFile(arguments[0]) as archive:
            facts = json.loads(archive.read("facts.json"))
            rows = compare(facts, Records(archive, facts["ledger_size"])) + signature_rows(Signatures(archive))
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"the kit cannot be read: {error!r}\n")
        return 2
    for what, printed, found in rows:
        same = "agrees" if printed == found else "DIFFERS"
        sys.stdout.write(f"{same:8} {what}: {printed}" + ("\n" if printed == found else f"; found again: {found}\n"))
    wrong = sum(printed != found for _, printed, found in rows)
    sys.stdout.write(f"FAILED: {wrong} figures differ\n" if wrong else f"OK: all {len(rows)} figures agree\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
