"""A long kit made quickly, of the events that ``made`` writes to a database; verify.py finds it whole."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import random
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from compliance.evidence import FORMAT, VERSION
from compliance.kinds import KEY_INSTALLED
from compliance.ledger import chain
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.commitments import leaf_document
from compliance.ledger.merkle import root_of_hashes
from compliance.ledger.note import Checkpoint
from compliance.rows import utc_text
from compliance.signers import FileSigner, signed
from tests.benchmarks.ledger import made

CASES_AT_ONCE = 200


def make(path: Path, events: int) -> None:
    """Write a kit of ``events`` events; the first names the key, the rest are cases."""
    with tempfile.TemporaryDirectory() as folder:
        signer = FileSigner.create(Path(folder) / "key", name="benchmark")
        records = Path(folder) / "records.jsonl"
        leaves: list[bytes] = []
        listed = {}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            lines = _event_lines(events, str(signer.key), records, leaves)
            listed["events.jsonl"] = _add(archive, "events.jsonl", lines)
            with records.open("rb") as stream:
                listed["records.jsonl"] = _add(archive, "records.jsonl", stream)
            head = Checkpoint(signer.key.name, len(leaves), root_of_hashes(leaves))
            listed["checkpoint.txt"] = _add(archive, "checkpoint.txt", [str(signed(head.text, signer)).encode()])
            listed["proofs.json"] = _add(archive, "proofs.json", [canonical_bytes({"consistency": []}) + b"\n"])
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "ledger": {"root": head.root.hex(), "size": head.size},
                "files": listed,
            }
            text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
            archive.writestr("manifest.json", text)


def _event_lines(events: int, key: str, records: Path, leaves: list[bytes]) -> Iterator[bytes]:
    """Yield the lines of events.jsonl; the records go to a file, and the leaves into ``leaves``."""
    source = random.Random(made.SEED)
    first = {"id": made.uuid_of(source), "txid": 1}
    installed = made.event_of(source, first, KEY_INSTALLED, made.START, {"id": "benchmark"}, {"key": key}, [])
    cases = (events - 1) // made.EVENTS_A_CASE
    spans = [range(start, min(start + CASES_AT_ONCE, cases)) for start in range(0, cases, CASES_AT_ONCE)]
    previous = chain.GENESIS
    with multiprocessing.get_context("fork").Pool() as pool, records.open("wb") as stream:
        for parts, rows in itertools.chain([([_part(installed)], b"")], pool.imap(_cases, spans)):
            stream.write(rows)
            for text, leaf in parts:
                previous = chain.link_hash(previous=previous, leaf=leaf)
                hashes = f',"index":{len(leaves)},"leaf_hash":"{leaf.hex()}","link_hash":"{previous.hex()}"'
                leaves.append(leaf)
                yield b'{"event":' + text + hashes.encode() + b"}\n"


def _cases(numbers: range) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return (canonical event, leaf) of all events of some cases, and the lines of their records."""
    parts, rows = [], []
    for number in numbers:
        case = made.case_of(number)
        parts += [_part(event) for event in case[made.EVENT]]
        for change in case[made.HISTORY]:
            values = made.values_of(change)
            name = {"table": made.CASE, "id": values["id"], "history_id": str(values["history_id"])}
            rows.append(canonical_bytes({**name, "values": values}) + b"\n")
    return parts, b"".join(rows)


def _part(event: made.Row) -> tuple[bytes, bytes]:
    document = {**event, "id": str(event["id"]), "occurred_at": utc_text(event["occurred_at"])}
    return canonical_bytes(document), chain.leaf_hash(leaf_document(document))


def _add(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as stream:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            stream.write(chunk)
    return {"sha256": digest.hexdigest(), "size": size}
