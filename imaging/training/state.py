"""State in a bundle what it was judged to do: ``python -m imaging.training.state --bundle B --judged J --version V``.

Weights, graphs and calibration stay byte for byte, so the bundle answers as it was judged; but outside the scans that
it was judged for it abstains from then on. A new training's bundle gets the same by ``imaging.training.export``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from imaging.inference.bundle import METADATA, load_bundle
from imaging.training.export import stated
from imaging.training.graph import pin


def state(*, bundle: Path, judged: Path, version: str) -> str:
    """Write scope, detectability and figures of ``judged`` into the bundle and return the digest that pins it.

    ``docs/`` becomes part of the manifest as it is, so edit the card first or call this again.
    Raises ValueError for a judgement of a bundle that answers otherwise.
    """
    found = json.loads(judged.read_text())
    path = bundle / METADATA
    metadata = json.loads(path.read_text())
    # What was pinned before may have got a new card since: only what decides the answers has to be the same.
    pin(bundle, name=metadata["name"], version=metadata["version"])
    if found["phantoms"]["answers_digest"] != load_bundle(bundle, expected_sha256=None).answers_digest:
        raise ValueError(f"{judged.name} judges a bundle that answers otherwise than this one")
    changelog = {**metadata.get("changelog", {}), version: "see docs/README.md"}
    told = {**metadata, "version": version, "changelog": changelog, **stated(found)}
    path.write_text(json.dumps(told, indent=2) + "\n")
    return pin(bundle, name=metadata["name"], version=version)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--judged", type=Path, required=True, help="judged.json from imaging.training.judge")
    parser.add_argument("--version", required=True)
    given = parser.parse_args()
    print(state(bundle=given.bundle, judged=given.judged, version=given.version))  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
