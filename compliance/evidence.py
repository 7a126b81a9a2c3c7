"""What leaves the house: the ledger as JSON lines, and the evidence kit that verifies offline."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.db import models

from compliance.events import event_document, record_identity
from compliance.kinds import KEY_INSTALLED, KEY_ROTATED
from compliance.ledger import verify
from compliance.ledger.canonical import Json, canonical_bytes
from compliance.ledger.merkle import Tree
from compliance.ledger.note import Checkpoint, Note
from compliance.models import Event, LedgerEntry
from compliance.registry import recorded_models
from compliance.rows import row_values
from compliance.sealing import root_at, stored_tree
from compliance.sealing import size as sealed_size
from compliance.shapes import known_shapes

CHUNK = 100
FORMAT, VERSION = "label-qa-evidence-kit", 2
OWN_FILES = frozenset(
    {
        "manifest.json",
        "events.jsonl",
        "records.jsonl",
        "facts.json",
        "checkpoint.txt",
        "checkpoint.tsr",
        "proofs.json",
        "verify.py",
        "verify.mjs",
        "verify_proof.py",
        "README.txt",
    }
)
# The first moment that a zip can express: a kit of the same content is the same file, whenever it is made.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
READ_SIZE = 1024 * 1024

README = """\
Evidence kit
============

To check that nothing in it was altered, without a network, with Python 3.9 or later, or with Node 18 or later:

    python verify.py {name} --head HEAD --key KEY
    node verify.mjs {name} --head HEAD --key KEY

HEAD is the root of the ledger that the report prints, KEY the ledger's key as the site told you. Without them it is
shown that the kit is whole in itself, and with them also that this is the ledger that was reported. Each program is
short, and they share no code: read them, or take copies from a source you trust.

manifest.json    every file with its size and SHA-256; the ledger's size and root
events.jsonl     every sealed event in order, with its hashes; events of other projects are withheld, hash only
records.jsonl    the rows that those events wrote, value by value
checkpoint.txt   the ledger's size and root, signed (c2sp.org/tlog-checkpoint)
checkpoint.tsr   where a time-stamp authority answered: its stamp over them (RFC 3161)
verify_proof.py  checks proof cards and consistency proofs, with verify.py beside it
proofs.json      earlier roots, with the proof that this ledger continues them (RFC 9162)
facts.json       particulars of the export
"""


@dataclass(frozen=True)
class _Ledger:
    """What of the ledger goes into a kit: how far, continuing which heads, whose events."""

    checkpoint: Note
    heads: tuple[int, ...]
    project_key: str | None
    stamp: bytes | None

    @property
    def size(self) -> int:
        return Checkpoint.parse(self.checkpoint.text).size


@dataclass(frozen=True)
class Kit:
    """A kit that was made. ``manifest_sha256`` stands for all of it."""

    path: Path
    manifest_sha256: str
    size: int
    root: str
    events: int
    withheld: int
    records: int


def write_ledger_jsonl(stream: IO[bytes], *, project_key: str | None = None) -> int:
    """Write the sealed ledger, one canonical JSON line an entry, and return the number of events disclosed.

    With ``project_key``, the events of other projects are withheld: their line has hashes alone, so that the chain can
    still be checked. Seal first: what is not sealed is not written.
    """
    disclosed = 0
    for line, event in _ledger_lines(sealed_size(), project_key):
        stream.write(line)
        disclosed += event is not None
    return disclosed


def build_kit(
    path: Path,
    *,
    files: Mapping[str, Path | bytes],
    facts: Mapping[str, Json],
    checkpoint: Note,
    heads: Collection[int] = (),
    project_key: str | None = None,
    stamp: bytes | None = None,
) -> Kit:
    """Write an evidence kit to ``path`` and return its particulars; the same content gives the same bytes.

    ``files`` are further files by their name in the kit; ``facts`` go to facts.json. ``checkpoint`` says how far the
    ledger goes in this kit: publish one first. ``heads`` are earlier sizes that somebody may hold the root of, from a
    report: the kit proves that it continues them. With ``project_key``, only that project's events and records are
    disclosed, and those about the ledger itself. ``stamp`` is a time-stamp over the checkpoint.

    Raises ValueError for a file name that leaves the kit or is one of its own, or a head beyond the checkpoint;
    NotCanonical for facts without a canonical form. A kit that could not be finished is not left behind.
    """
    for name in files:
        _require_name(name)
    own = _Ledger(checkpoint=checkpoint, heads=tuple(sorted(set(heads))), project_key=project_key, stamp=stamp)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            kit = _fill(archive, path=path, files=files, facts=facts, own=own)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return kit


def _fill(
    archive: zipfile.ZipFile,
    *,
    path: Path,
    files: Mapping[str, Path | bytes],
    facts: Mapping[str, Json],
    own: _Ledger,
) -> Kit:
    size, project_key = own.size, own.project_key
    tree = stored_tree(size)
    root = tree.root().hex()
    listed: dict[str, dict[str, Json]] = {}
    counts = {"events": 0, "withheld": 0, "records": 0}

    def add(name: str, chunks: Iterator[bytes]) -> None:
        digest, length = hashlib.sha256(), 0
        with archive.open(_entry(name), "w") as stream:
            for chunk in chunks:
                digest.update(chunk)
                length += len(chunk)
                stream.write(chunk)
        listed[name] = {"sha256": digest.hexdigest(), "size": length}

    add("events.jsonl", _count_events(_ledger_lines(size, project_key), counts))
    add("records.jsonl", _count_records(_record_lines(size, project_key), counts))
    add("facts.json", iter([canonical_bytes(facts) + b"\n"]))
    add("checkpoint.txt", iter([str(own.checkpoint).encode()]))
    if own.stamp is not None:
        add("checkpoint.tsr", iter([own.stamp]))
    add("proofs.json", iter([canonical_bytes({"consistency": _consistency(tree, own.heads)}) + b"\n"]))
    add("verify.py", iter([Path(verify.__file__).read_bytes()]))
    add("verify.mjs", iter([Path(verify.__file__).with_suffix(".mjs").read_bytes()]))
    add("verify_proof.py", iter([Path(verify.__file__).with_name("verify_proof.py").read_bytes()]))
    add("README.txt", iter([README.format(name=path.name).encode()]))
    for name in sorted(files):
        add(name, _content(files[name]))
    manifest = {"format": FORMAT, "version": VERSION, "ledger": {"root": root, "size": size}, "files": listed}
    data = (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    archive.writestr(_entry("manifest.json"), data)
    return Kit(path=path, manifest_sha256=hashlib.sha256(data).hexdigest(), size=size, root=root, **counts)


def _consistency(tree: Tree, heads: Collection[int]) -> list[dict[str, Json]]:
    return [
        {"size": one, "proof": [step.hex() for step in tree.consistency_proof(one)], "root": root_at(one).hex()}
        for one in heads
    ]


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    return entry


def _content(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        while chunk := stream.read(READ_SIZE):
            yield chunk


def _require_name(name: str) -> None:
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\\" in name or str(parts) != name:
        raise ValueError(f"{name!r} is not a file name within the kit")
    if name in OWN_FILES:
        raise ValueError(f"{name!r} is one of the kit's own files")


def _ledger_lines(size: int, project_key: str | None) -> Iterator[tuple[bytes, Event | None]]:
    for entries in _chunks(size):
        for entry in entries:
            line: dict[str, Any] = {
                "index": entry.index,
                "leaf_hash": entry.leaf_hash,
                "link_hash": entry.link_hash,
            }
            event = entry.event if _disclosed(entry.event, project_key) else None
            if event is not None:
                line["event"] = event_document(event)
            yield canonical_bytes(line) + b"\n", event


def _record_lines(size: int, project_key: str | None) -> Iterator[bytes]:
    shapes = known_shapes(recorded_models())
    for entries in _chunks(size):
        order = {entry.event_id: entry.index for entry in entries if _disclosed(entry.event, project_key)}
        shapes_of = {entry.event_id: _shapes(entry.event) for entry in entries if entry.event_id in order}
        lines = []
        for model in recorded_models():
            rows: models.QuerySet[Any] = models.QuerySet(model).filter(event_id__in=list(order))
            for row in rows:
                name = record_identity(row)
                columns = shapes.get(shapes_of[row.event_id].get(str(name["table"]), ""))
                line = canonical_bytes({**name, "values": row_values(row, columns=columns)}) + b"\n"
                lines.append(
                    (order[row.event_id], str(name["table"]), str(name["id"]), int(str(name["history_id"] or 0)), line)
                )
        for *_, line in sorted(lines):
            yield line


def _disclosed(event: Event, project_key: str | None) -> bool:
    """Tell whether a kit shows an event: those of its project, and those that name the ledger's keys."""
    return project_key in (None, event.project_key) or event.kind in (KEY_INSTALLED, KEY_ROTATED)


def _shapes(event: Event) -> dict[str, str]:
    """Return the shape of each table's rows that an event wrote; rows of one event have one shape a table."""
    return {str(entry["table"]): str(entry["shape"]) for entry in event.rows}


def _chunks(size: int) -> Iterator[list[LedgerEntry]]:
    for start in range(0, size, CHUNK):
        end = min(start + CHUNK, size) - 1
        yield list(
            models.QuerySet(LedgerEntry).filter(index__range=(start, end)).select_related("event").order_by("index")
        )


def _count_events(lines: Iterator[tuple[bytes, Event | None]], counts: dict[str, int]) -> Iterator[bytes]:
    for line, event in lines:
        counts["withheld" if event is None else "events"] += 1
        yield line


def _count_records(lines: Iterator[bytes], counts: dict[str, int]) -> Iterator[bytes]:
    for line in lines:
        counts["records"] += 1
        yield line
