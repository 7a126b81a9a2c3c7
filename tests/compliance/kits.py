"""Kits for tests: made from a short true story, verified as an outsider would, taken apart and forged."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from compliance.ledger import verify
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.chain import GENESIS, leaf_hash, link_hash
from compliance.ledger.commitments import leaf_document

Lines = list[dict[str, Any]]


def checked(kit: Path, *arguments: str) -> tuple[int, str]:
    """Run the verify.py that lies in the repository, as an outsider would: isolated, without any site package."""
    script = Path(verify.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(kit), *arguments], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    told = {name.removeprefix("--"): value for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
    assert bool(verify.verify(str(kit), **told).problems) == bool(done.returncode)
    return done.returncode, done.stdout


def second_opinion(kit: Path, *arguments: str) -> tuple[int, str]:
    """Run the verifier that is written in another language."""
    script = Path(verify.__file__).with_suffix(".mjs")
    done = subprocess.run(["node", script, kit, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def contents(kit: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(kit) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(path: Path, files: dict[str, bytes], *, manifest: bool = False) -> Path:
    """Write files as a kit; with ``manifest``, as a forger who puts the manifest right as well."""
    if manifest:
        stated = json.loads(files["manifest.json"])
        stated["files"] = {
            name: {"sha256": verify.sha256(data), "size": len(data)}
            for name, data in files.items()
            if name != "manifest.json"
        }
        leaves = [bytes.fromhex(json.loads(line)["leaf_hash"]) for line in files["events.jsonl"].splitlines()]
        stated["ledger"] = {"size": len(leaves), "root": verify.root_of(leaves).hex()}
        files = {**files, "manifest.json": rendered(stated)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def rendered(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def lines(data: bytes) -> Lines:
    return [json.loads(line) for line in data.splitlines()]


def joined(documents: Lines) -> bytes:
    return b"".join(canonical_bytes(document) + b"\n" for document in documents)


def rehashed(events: Lines) -> Lines:
    """Give every entry a leaf and a link of its own, as a forger would who rewrites all that follows."""
    previous = GENESIS
    for index, entry in enumerate(events):
        leaf = leaf_hash(leaf_document(entry["event"]))
        previous = link_hash(previous=previous, leaf=leaf)
        entry.update(index=index, leaf_hash=leaf.hex(), link_hash=previous.hex())
    return events
