"""What a benchmark says: one line each, kept in docs/benchmarks.json and shown in docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BEGIN = "<!-- begin: generated from benchmarks.json by make bench -->"
END = "<!-- end: generated -->"


@dataclass(frozen=True, slots=True)
class Line:
    """One measured value beside a peer's, if there is one. ``ratio`` is greater than 1 where ours is the better.

    ``low``, ``high``: 95 % interval of ``value``. ``note`` says in words what has to be known to read the figures.
    """

    bench: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    note: str = ""
    low: float | None = None
    high: float | None = None

    def as_json(self) -> str:
        """Return the line as it is printed."""
        fields = asdict(self)
        del fields["note"]
        return json.dumps(fields)


def more_is_better(bench: str, value: float, unit: str, *, peer: str, peer_value: float, note: str = "") -> Line:
    """Return the line of a quantity of which more is better, such as a rate."""
    return Line(bench, _short(value), unit, peer, _short(peer_value), round(value / peer_value, 2), note)


def alone(bench: str, value: float, unit: str, *, note: str = "", interval: tuple[float, float] | None = None) -> Line:
    """Return the line of a quantity that has no peer. ``interval``: its 95 % limits."""
    low, high = (None, None) if interval is None else (_short(interval[0]), _short(interval[1]))
    return Line(bench, _short(value), unit, note=note, low=low, high=high)


def merge(path: Path, lines: Sequence[Line], environment: Mapping[str, object], date: str) -> list[dict[str, object]]:
    """Put lines into the array of all benchmarks, in place of those of the same name, and return the array."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = {str(one["bench"]): one for one in known}
    machine = {"machine": environment["processor"], "commit": environment["commit"]}
    kept |= {line.bench: {**asdict(line), **machine, "date": date} for line in lines}
    array = [kept[name] for name in sorted(kept)]
    path.write_text(json.dumps(array, indent=2) + "\n", encoding="utf-8")
    return array


def show(page: Path, array: Sequence[Mapping[str, object]]) -> None:
    """Write the table of all benchmarks between the page's two markers; everything else of the page stays."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(array)}\n{END}{after}", encoding="utf-8")


def table(array: Sequence[Mapping[str, object]]) -> str:
    """Return the array as a Markdown table with its notes and machines below."""
    rows = ["| benchmark | ours | peer | peer's | ratio | measured |", "|---|---|---|---|---|---|"]
    notes: dict[str, None] = {}
    machines: dict[str, None] = {}
    for one in array:
        peer = one["peer"] or ""
        theirs = "" if one["peer_value"] is None else f"{one['peer_value']:,} {one['unit']}"
        ratio = "" if one["ratio"] is None else f"**{one['ratio']}**"
        ours = f"{one['value']:,} {one['unit']}"
        if one.get("low") is not None:
            ours += f" ({one['low']:,} to {one['high']:,})"
        rows.append(f"| `{one['bench']}` | {ours} | {peer} | {theirs} | {ratio} | {one['date']}, {one['commit']} |")
        machines[str(one["machine"])] = None
        if one["note"]:
            notes[str(one["note"])] = None
    rows += ["", f"Machine: {'; '.join(machines)}.", *(f"\n{note}" for note in notes)]
    return "\n".join(rows) + "\n"


def _short(value: float) -> float:
    return round(value, 3) if abs(value) < 10 else round(value, 1) if abs(value) < 1000 else float(round(value))
