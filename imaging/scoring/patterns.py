"""Clusters of alike flags, shown as one pattern with its likely cause: one question to a reader instead of twelve.

A pattern is a group of labels (one reader's, one scanner's, one delivery's) among which one kind of flag is too
frequent to be chance, or one way in which many labels are displaced. Chance is held to this account: Fisher's exact
test against all other labels, or the binomial tail for a shared way, corrected by Holm over everything compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scipy import stats

from imaging.scoring.subgroups import fisher, significant

LEAST_FLAGS = 4
LEAST_SETS = 3
"""A displacement is shared by at least so many sets: the labels of one set were moved together, which is one error."""

LEAST_SHARE = 0.25
"""Where fewer of a group's labels than this are flagged alike, it is no habit of the group, however significant."""

LEAST_EXCESS = 2.0
"""And it must be this many times as frequent as among the other labels."""

SIGNIFICANCE = 0.01
"""One-sided error probability of everything compared together."""

STEP_MM = 2.5
"""Ways that agree to this are one way: a usual slice step."""

SHARED_WAY_CHANCE = 1 / 10
"""How often two unrelated displacements would share a way: whole-slice shifts of one to five slices, up or down."""


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """One label, or one set where something may be missing from it, and the groups to which it belongs.

    ``unit``: "label" or "set": what is missing is counted among the sets, what is wrong among the labels.
    ``groups``: grouping ("reader", "scanner", "delivery") to group; an empty group is none.
    """

    key: str
    unit: str
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One flag: its key, the label (or set) it is about, the set that this belongs to, its kind, what was measured.

    ``kind``: check and direction ("boundary, outside"). ``deviation_mm``: signed, positive outwards. ``way_mm``: by
    which displacement (x, y, z, LPS mm) the label would fit. Each None where the check says nothing of it.
    """

    key: str
    label: str
    set_key: str
    check: str
    kind: str
    deviation_mm: float | None = None
    way_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Alike flags as one thing, with its likely cause.

    ``flags``: keys of the sightings. ``labels``: number of labels (or sets) in the group. ``p_value``: corrected.
    ``grouping`` is "way" for labels displaced alike.
    """

    grouping: str
    group: str
    check: str
    kind: str
    flags: tuple[str, ...]
    labels: int
    p_value: float
    words: str
    cause: str


CAUSES = {
    ("reader", "boundary"): "a display window or the margin that the guideline asks for may be understood differently",
    ("reader", "missing_nodule"): "the reader may have read with another size limit, or fewer series than the others",
    ("reader", "spurious_label"): "the reader may mark what the guideline leaves out",
    ("reader", "wrong_category"): "the reader may understand the categories or a scale differently",
    ("reader", "incomplete_contour"): "the reader or the tool may leave out the end slices",
    ("reader", "duplicate_mark"): "the tool may have saved marks twice",
    ("reader", "geometry_mismatch"): "the reader's files may state another origin or slice order",
    ("scanner", "boundary"): "slice thickness or kernel of this scanner may blur the margin",
    ("scanner", "missing_nodule"): "images of this scanner may be harder for the readers, or strange to the QA model",
    ("scanner", "spurious_label"): "images of this scanner may be strange to the QA model: see its validated scope",
    ("delivery", "geometry_mismatch"): "the files of this delivery may have been written with another slice order",
    ("delivery", "wrong_category"): "this delivery may use another vocabulary or version of the guideline",
}
OTHERWISE = {
    "reader": "this reader may follow a convention of their own",
    "scanner": "something about this scanner's images may differ",
    "delivery": "something may have gone wrong when these files were made",
    "category": "the guideline may leave open how this category is labelled",
    "way": "the labels may have been written with another origin, slice order or series",
}


def patterns(*, labels: Sequence[LabelPlace], sightings: Sequence[Sighting]) -> tuple[Pattern, ...]:
    """Return the patterns among sightings, most striking first.

    A group shows a pattern with at least four flags of one kind on at least a quarter of its labels, at least twice
    as frequent as elsewhere, and no more than one chance in a hundred over all that was compared; a shared way with at
    least three displaced sets under the same rule. Where every label is in one group there is nothing to compare.
    """
    units = {label.key: label.unit for label in labels}
    by_group: dict[tuple[str, str, str], set[str]] = {}
    for label in labels:
        for grouping, group in label.groups.items():
            if group:
                by_group.setdefault((label.unit, grouping, group), set()).add(label.key)
    by_kind: dict[tuple[str, str], list[Sighting]] = {}
    for sighting in sightings:
        if sighting.label in units:
            by_kind.setdefault((units[sighting.label], sighting.kind), []).append(sighting)
    cells = {}
    for (unit, kind), alike in sorted(by_kind.items()):
        cells.update(_cells(unit, kind, alike, by_group, total=sum(one == unit for one in units.values())))
    shared = _shared_ways(sightings)
    compared = [(cell.p_value, cell.kind, key) for key, cell in cells.items()]
    compared += [(p_value, "way", ("way", key)) for key, (p_value, _) in sorted(shared.items())]
    found = []
    for p_value, kind, name in significant(compared, level=SIGNIFICANCE):
        if kind == "way":
            found.append(_way_pattern(name[1], shared[name[1]][1], p_value))
        elif cells[name].striking:
            found.append(_group_pattern(cells[name], p_value))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Cell:
    """One kind of flag in one group: ``here`` of ``inside`` units, against ``elsewhere`` of ``outside``."""

    unit: str
    grouping: str
    group: str
    kind: str
    alike: tuple[Sighting, ...]
    here: int
    inside: int
    elsewhere: int
    outside: int
    p_value: float

    @property
    def striking(self) -> bool:
        share = self.here / self.inside
        return share >= LEAST_SHARE and share >= LEAST_EXCESS * self.elsewhere / self.outside


def _cells(
    unit: str, kind: str, alike: Sequence[Sighting], by_group: Mapping[tuple[str, str, str], set[str]], *, total: int
) -> dict[tuple[str, str], _Cell]:
    hit = {one.label for one in alike}
    cells = {}
    for (of_unit, grouping, group), inside in sorted(by_group.items()):
        here = len(hit & inside)
        if of_unit != unit or here < LEAST_FLAGS or len(inside) == total:
            continue
        elsewhere = len(hit - inside)
        cells[f"{unit} {kind}", f"{grouping} {group}"] = _Cell(
            unit=unit,
            grouping=grouping,
            group=group,
            kind=kind,
            alike=tuple(one for one in alike if one.label in inside),
            here=here,
            inside=len(inside),
            elsewhere=elsewhere,
            outside=total - len(inside),
            p_value=fisher(here=here, outside=elsewhere, inside=len(inside), total=total),
        )
    return cells


def direction_of(*, check: str, deviation_mm: float | None) -> str:
    """Return the kind of a flag: its check, and for an outline whether it runs outside or inside."""
    if deviation_mm is None or deviation_mm == 0:
        return check
    return f"{check}, {'outside' if deviation_mm > 0 else 'inside'}"


def _group_pattern(cell: _Cell, p_value: float) -> Pattern:
    check = cell.alike[0].check
    measured = [one.deviation_mm for one in cell.alike if one.deviation_mm is not None]
    what = f"{cell.here} of {cell.inside} {cell.unit}s of {cell.grouping} “{cell.group}” "
    if measured and cell.kind != check:
        what += f"run {abs(median(measured)):.1f} mm {'outside' if cell.kind.endswith('outside') else 'inside'}"
    else:
        what += f"are flagged for “{check.replace('_', ' ')}”"
    rest = f"{cell.elsewhere} of {cell.outside} elsewhere"
    cause = CAUSES.get((cell.grouping, check), OTHERWISE.get(cell.grouping, "they may have something in common"))
    return Pattern(
        grouping=cell.grouping,
        group=cell.group,
        check=check,
        kind=cell.kind,
        flags=tuple(one.key for one in cell.alike),
        labels=cell.inside,
        p_value=p_value,
        words=f"{what} ({rest}): {cause}.",
        cause=cause,
    )


def _shared_ways(sightings: Sequence[Sighting]) -> dict[str, tuple[float, list[Sighting]]]:
    """Return each way that the displaced labels of several sets share, with how likely so many sets would by chance."""
    steps: dict[str, tuple[int, ...]] = {}
    for one in sightings:
        if one.way_mm is not None and math.hypot(*one.way_mm) >= STEP_MM / 2:
            steps[one.key] = tuple(round(value / STEP_MM) for value in one.way_mm)
    sets = {one.set_key for one in sightings if one.key in steps}
    shared = {}
    for step in sorted(set(steps.values())):
        alike = [one for one in sightings if steps.get(one.key) == step]
        number = len({one.set_key for one in alike})
        if number >= LEAST_SETS:
            # The way itself was picked from the data: one of the sharing sets gives it, the others confirm it.
            p_value = float(stats.binom.sf(number - 2, len(sets) - 1, SHARED_WAY_CHANCE))
            shared[",".join(map(str, step))] = (p_value, alike)
    return shared


def _way_pattern(key: str, alike: Sequence[Sighting], p_value: float) -> Pattern:
    ways = [one.way_mm for one in alike if one.way_mm is not None]
    x, y, z = (median(way[axis] for way in ways) for axis in range(3))
    cause = OTHERWISE["way"]
    number = len({one.set_key for one in alike})
    words = (
        f"{len(alike)} labels of {number} sets are displaced alike, by ({x:.1f}, {y:.1f}, {z:.1f}) mm (LPS): {cause}."
    )
    check = Counter(one.check for one in alike).most_common(1)[0][0]
    return Pattern("way", key, check, "way", tuple(one.key for one in alike), len(alike), p_value, words, cause)
