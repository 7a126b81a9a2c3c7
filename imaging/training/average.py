"""Average trainings that went on from the same weights: ``python -m imaging.training.average --of A B --output DIR``.

Trainings that each leave out other backgrounds judge one another's; their average has seen them all and needs no
training of its own (model soup, Wortsman et al. 2022). Its lineage is theirs together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch


def average(*, trainings: Sequence[Path], output: Path) -> Path:
    """Write the mean of the trainings' averaged weights as a training of its own and return its checkpoint.

    Raises ValueError for fewer than two trainings, or for ones that did not go on from the same weights.
    """
    if len(trainings) < 2:
        raise ValueError("an average takes two trainings or more")
    lineages = [json.loads((one / "lineage.json").read_text()) for one in trainings]
    origins = [one.get("started_from") for one in lineages]
    if origins[0] is None or any(one != origins[0] for one in origins):
        raise ValueError("only trainings that went on from the same weights lie near enough to be averaged")
    states = [torch.load(one / "checkpoint.pt", weights_only=True)["averaged"] for one in trainings]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.dtype.is_floating_point else value
        for name, value in states[0].items()
    }
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / "checkpoint.pt"
    torch.save({"averaged": mean}, checkpoint)
    lineage = {
        "averaged_from": lineages,
        "seed": lineages[0]["seed"],
        "minutes": round(sum(float(one["minutes"]) for one in lineages), 1),
        "without": [],
    }
    (output / "lineage.json").write_text(json.dumps(lineage, indent=2) + "\n")
    return checkpoint


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", type=Path, nargs="+", required=True, help="folders with checkpoint.pt and lineage.json")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    average(trainings=given.of, output=given.output)


if __name__ == "__main__":
    main()
