"""Rules about rating sheets: there or not, within their scales, at odds with themselves or with the other readers.

Scales: Armato et al., Med Phys 38:915 (2011). Some of LIDC's readers used the scales of lobulation and spiculation the
other way round, so that 5 meant none: its maintainers say so, for about a hundred of its scans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from imaging.marks.relations import counted, outlines_met, readers_in_words
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature
from imaging.types import LIDC_SCALES

ORDERED = ("subtlety", "sphericity", "margin", "lobulation", "spiculation", "texture", "malignancy")
KINDS_OF_THING = ("internalStructure", "calcification")
"""Scales whose numbers name kinds: a difference of one is as much as one of five."""

_WORDS = {"internalStructure": "internal structure"}


_RATINGS_MISSING = Kind(
    name="ratings_missing",
    version="1",
    title="Ratings missing from a nodule >= 3 mm",
    nature=Nature.OWN,
    measures="how many of the nine characteristics an outlined nodule lacks; blank and zero count as lacking",
    basis="reasoned: LIDC asked for all nine (0.95); a lack is a fact, whether it was meant is not asked",
)


@dataclass(frozen=True, slots=True)
class RatingsMissing:
    """An outlined nodule without all nine ratings."""

    kind: Kind = _RATINGS_MISSING

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such mark."""
        for mark in scan.marks:
            lacking = [name for name in LIDC_SCALES if name not in mark.characteristics]
            if mark.outlined and lacking:
                said = "None of the nine ratings is" if len(lacking) == 9 else f"{_named(lacking)} not"
                yield _issue(
                    self.kind,
                    mark,
                    0.95,
                    f"{said} given for this outlined nodule.",
                    {"ratings_missing": len(lacking)},
                )


_RATINGS_MISPLACED = Kind(
    name="ratings_misplaced",
    version="1",
    title="Ratings on a mark that takes none",
    nature=Nature.OWN,
    measures="how many ratings a nodule below 3 mm, or a non-nodule, has",
    basis="reasoned: only an outlined nodule is rated (0.9), so an outline may be missing, or reduced to one point",
)


@dataclass(frozen=True, slots=True)
class RatingsMisplaced:
    """Ratings on a mark that has none in LIDC's process."""

    kind: Kind = _RATINGS_MISPLACED

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such mark."""
        for mark in scan.marks:
            if not mark.outlined and mark.characteristics:
                number = len(mark.characteristics)
                yield _issue(
                    self.kind,
                    mark,
                    0.9,
                    f"This {mark.category.value} mark has {counted(number, 'rating')}, as only outlined nodules have: "
                    "perhaps its outline is lost.",
                    {"ratings": number},
                )


_RATING_OUT_OF_RANGE = Kind(
    name="rating_out_of_range",
    version="1",
    title="Rating outside its scale",
    nature=Nature.OWN,
    measures="ratings against the lowest and highest value of their scales",
    basis="a broken rule: 0.99",
)


@dataclass(frozen=True, slots=True)
class RatingOutOfRange:
    """A rating outside its scale."""

    kind: Kind = _RATING_OUT_OF_RANGE

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark with such a rating."""
        for mark in scan.marks:
            wrong = {
                name: value
                for name, value in sorted(mark.characteristics.items())
                if name in LIDC_SCALES and not LIDC_SCALES[name][0] <= value <= LIDC_SCALES[name][1]
            }
            if wrong:
                said = "; ".join(
                    f"{_words(name)} is {value} on a scale of {LIDC_SCALES[name][0]} to {LIDC_SCALES[name][1]}"
                    for name, value in wrong.items()
                )
                yield _issue(self.kind, mark, 0.99, f"Out of range: {said}.", {"ratings_out_of_range": len(wrong)})


_RATINGS_CONTRADICT = Kind(
    name="ratings_contradict",
    version="1",
    title="Ratings that contradict each other",
    nature=Nature.OWN,
    measures="three pairs: round (sphericity 5) yet lobulated (4 or 5); solid, laminated or popcorn calcification "
    "yet malignancy 4 or 5; ground glass (texture 1 or 2) yet such a calcification",
    basis="reasoned: 0.5 for the first, which an inverted scale explains, 0.6 for the second, 0.8 for the third",
)


@dataclass(frozen=True, slots=True)
class RatingsContradict:
    """Ratings of one sheet that do not go together."""

    kind: Kind = _RATINGS_CONTRADICT

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark, for the strongest pair."""
        for mark in scan.marks:
            rated = mark.characteristics
            if not mark.outlined:
                continue
            calcified = rated.get("calcification", 6) in (1, 2, 3)
            strength, said = 0.0, ""
            if calcified and 1 <= rated.get("texture", 5) <= 2:
                strength = 0.8
                said = f"ground glass (texture {rated['texture']}) and calcified ({rated['calcification']})"
            elif calcified and rated.get("malignancy", 0) >= 4:
                strength = 0.6
                said = (
                    f"a benign pattern of calcification ({rated['calcification']}) and suspicious "
                    f"(malignancy {rated['malignancy']})"
                )
            elif rated.get("sphericity", 0) == 5 and rated.get("lobulation", 0) >= 4:
                strength = 0.5
                said = f"round (sphericity 5) and lobulated ({rated['lobulation']})"
            if strength:
                yield _issue(
                    self.kind, mark, strength, f"The sheet says {said}: the two do not go together as a rule.", {}
                )


_SCALE_INVERTED = Kind(
    name="scale_inverted",
    version="1",
    title="Lobulation and spiculation perhaps the other way round",
    nature=Nature.AGAINST_OTHERS,
    measures="over all nodules of a reading that at least two others rated: the sum of differences from the others' "
    "medians as given, less the same with the rating turned round (6 less the rating); it fires from four on",
    basis="reasoned: 0.4 at four, 0.05 more for each point, at most 0.9; a single sheet stays at 0.6 at most",
)


@dataclass(frozen=True, slots=True)
class ScaleInverted:
    """A reader whose lobulation and spiculation fit the others' better the other way round, over a whole reading."""

    kind: Kind = _SCALE_INVERTED

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each such reading, at the sheet that speaks most for it."""
        for reader in range(1, scan.readers + 1):
            gains: dict[int, float] = {}
            for mark in scan.of(reader):
                gain = _gain(mark, scan)
                if gain is not None:
                    gains[mark.number] = gain
            total = sum(gains.values())
            for_it = [number for number, gain in gains.items() if gain > 0]
            if total < 4 or not for_it:
                continue
            worst = next(mark for mark in scan.of(reader) if mark.number == max(for_it, key=lambda one: gains[one]))
            strength = min(0.9 if len(for_it) > 1 else 0.6, 0.4 + 0.05 * (total - 4))
            issue = _issue(
                self.kind,
                worst,
                strength,
                f"Over {counted(len(gains), 'nodule')} that others rated too, lobulation and spiculation lie {total:g} "
                "points nearer to the others' if 5 is read as none: the scales may have been used the other way round.",
                {"points_nearer": total, "sheets": len(gains), "sheets_for_it": len(for_it)},
            )
            yield MarkIssue(
                kind=issue.kind,
                kind_version=issue.kind_version,
                reader=reader,
                marks=tuple(for_it),
                place=issue.place,
                strength=issue.strength,
                reason=issue.reason,
                features=issue.features,
                others=tuple(other for other in range(1, scan.readers + 1) if other != reader),
            )


_RATING_AGAINST_OTHERS = Kind(
    name="rating_against_others",
    version="1",
    title="Rating far from the others'",
    nature=Nature.AGAINST_OTHERS,
    measures="for each characteristic of a nodule that at least two others rated within one point of each other: "
    "three points or more from their median; for calcification and internal structure, which name kinds, "
    "any difference from others who all say the same",
    basis="reasoned: 0.3 at three points, 0.4 at four, or 0.25 for a kind; 0.1 more against three others, and 0.1 "
    "for each further characteristic, at most 0.7",
)


@dataclass(frozen=True, slots=True)
class RatingAgainstOthers:
    """A rating far from others who agree."""

    kind: Kind = _RATING_AGAINST_OTHERS

    def issues(self, *, scan: MarkedScan) -> Iterator[MarkIssue]:
        """Yield one issue for each mark with such ratings."""
        for mark in scan.marks:
            if not mark.outlined or not mark.characteristics:
                continue
            sheets = _sheets(mark, scan)
            if len(sheets) < 2:
                continue
            far = [one for one in (_far(name, mark, sheets) for name in LIDC_SCALES) if one is not None]
            if not far:
                continue
            strength = max(one[0] for one in far) + (0.1 if len(sheets) > 2 else 0.0) + 0.1 * (len(far) - 1)
            said = "; ".join(one[1] for one in far)
            issue = _issue(
                self.kind,
                mark,
                min(0.7, strength),
                f"Against {readers_in_words(list(sheets))}: {said}.",
                {"ratings_far": len(far), "readers": len(sheets)},
            )
            yield MarkIssue(
                kind=issue.kind,
                kind_version=issue.kind_version,
                reader=issue.reader,
                marks=issue.marks,
                place=issue.place,
                strength=issue.strength,
                reason=issue.reason,
                features=issue.features,
                others=tuple(sorted(sheets)),
            )


def _sheets(mark: Mark, scan: MarkedScan) -> dict[int, Mapping[str, int]]:
    """Return the other readers' ratings of a nodule, of those who outlined it once."""
    met = outlines_met(mark=mark, scan=scan)
    return {
        reader: marks[0].characteristics
        for reader, marks in sorted(met.items())
        if len(marks) == 1 and marks[0].characteristics
    }


def _gain(mark: Mark, scan: MarkedScan) -> float | None:
    """Return how many points nearer to the others' a sheet is with its two scales turned round, or None."""
    if not mark.outlined:
        return None
    sheets = _sheets(mark, scan)
    gain, rated = 0.0, False
    for name in ("lobulation", "spiculation"):
        others = [sheet[name] for sheet in sheets.values() if name in sheet]
        if len(others) < 2 or name not in mark.characteristics:
            continue
        usual = median(others)
        gain += abs(mark.characteristics[name] - usual) - abs(6 - mark.characteristics[name] - usual)
        rated = True
    return gain if rated else None


def _far(name: str, mark: Mark, sheets: Mapping[int, Mapping[str, int]]) -> tuple[float, str] | None:
    others = [sheet[name] for sheet in sheets.values() if name in sheet]
    if len(others) < 2 or name not in mark.characteristics:
        return None
    own = mark.characteristics[name]
    if name in KINDS_OF_THING:
        if len(set(others)) > 1 or own == others[0]:
            return None
        return 0.25, f"{_words(name)} is {own}, theirs {others[0]}"
    usual = median(others)
    if max(others) - min(others) > 1 or abs(own - usual) < 3:
        return None
    return (0.3 if abs(own - usual) < 4 else 0.4), f"{_words(name)} is {own}, theirs {usual:g}"


def _issue(kind: Kind, mark: Mark, strength: float, reason: str, features: Mapping[str, float]) -> MarkIssue:
    return MarkIssue(
        kind=kind.name,
        kind_version=kind.version,
        reader=mark.reader,
        marks=(mark.number,),
        place=mark.middle.place,
        strength=strength,
        reason=reason,
        features=features,
    )


def _words(name: str) -> str:
    return _WORDS.get(name, name)


def _named(names: list[str]) -> str:
    words = [_words(name) for name in names]
    joined = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"{joined[0].upper()}{joined[1:]} {'is' if len(words) == 1 else 'are'}"
