"""Images and labels that are in the dataset twice, and patients that are in two of its parts."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from imaging.checks.dataset import Concern, DatasetFindings, DatasetParameters
from imaging.checks.dataset_issues import findings_of
from imaging.checks.probability import BROKEN_RULE
from imaging.errors import NotApplicable
from imaging.facts.slice_hash import BITS, hash_words
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts

_BANDS = 4
_BAND_BITS = BITS // _BANDS
_LEAST_SHARED = 0.5
"""Buckets that two series must share, for each slice of the shorter, before their slices are compared one by one.

Two copies of which half the slices recur exactly share two; chests that are merely alike, far less.
"""

_COMMON_BUCKET = 40
"""A bucket that holds slices of more series than this says nothing about any two of them."""

_LEAST_SLICES = 8
"""Fewer slices with structure than this may agree by chance."""

_LEAST_COPIED = 2
_COPIED_SHARE = 0.8
_ONE_STUDY = 0.6
"""Score of a copy within one study: two reconstructions of one scan look alike, and may both be wanted."""

_SAME_MM = 0.02


class NearDuplicate:
    """Perceptual hashes of slices, compared where banded hashing (LSH) lets two series meet.

    Of 64 bits, four bands of 16 are looked up: a slice and its copy meet for certain at three differing bits, and two
    series of a few dozen common slices practically always at ``hash_distance``. The work grows with the number of
    slices and of series that look alike, not with the square of either. Copies are slices within ``hash_distance``
    bits, each used once, in runs that go on from slice to slice, so that two chests alike at one level are no copies.
    """

    name = "near_duplicate"
    version = "1.0"

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        """Return concerns alone: "same-image-twice", "same-patient-in-two-splits", "copied-labels".

        Raises NotApplicable ``too-few-series`` for fewer than two.
        """
        if len(facts.series) < 2:
            raise NotApplicable("too-few-series", "one series alone cannot be in a dataset twice")
        copies = self._images(facts.series, parameters)
        alike = {frozenset(one.series) for one in copies}
        return DatasetFindings(
            concerns=(*copies, *self._splits(facts.series, copies), *self._labels(facts, alike, parameters))
        )

    def _images(self, series: Sequence[SeriesFacts], parameters: DatasetParameters) -> list[Concern]:
        words = [hash_words(one.slice_hashes) for one in series]
        found = []
        for first, second in _meeting(words):
            share, bits, recurring = _overlap(words[first], words[second], parameters.hash_distance)
            if share < parameters.duplicate_share:
                continue
            one, other = series[first], series[second]
            score = _sure(share, bits, parameters.hash_distance)
            if one.study_instance_uid == other.study_instance_uid:
                score = min(score, _ONE_STUDY)
            found.append(
                Concern(
                    check=self.name,
                    check_version=self.version,
                    kind="same-image-twice",
                    series=(one.series_instance_uid, other.series_instance_uid),
                    score=score,
                    reason=f"{_told(share)} of the slices of one series recur in the other{_relation(one, other)}.",
                    subject=f"{one.series_instance_uid} {other.series_instance_uid}",
                    evidence={
                        "slices_in_common": recurring,
                        "share": round(share, 4),
                        "mean_differing_bits": round(bits, 2),
                        "of_bits": BITS,
                        "one_patient": one.patient == other.patient,
                        "one_study": one.study_instance_uid == other.study_instance_uid,
                        "splits": [one.split, other.split],
                    },
                )
            )
        return found

    def _splits(self, series: Sequence[SeriesFacts], copies: Sequence[Concern]) -> list[Concern]:
        by_uid = {one.series_instance_uid: one for one in series}
        groups: dict[str, list[SeriesFacts]] = defaultdict(list)
        for one in series:
            groups[one.patient].append(one)
        found = [
            self._split(f"patient {patient}", members, BROKEN_RULE, "series of one patient")
            for patient, members in sorted(groups.items())
            if patient and _several_splits(members)
        ]
        for copy in copies:
            members = [by_uid[uid] for uid in copy.series]
            if members[0].patient != members[1].patient and _several_splits(members):
                found.append(
                    self._split(copy.subject, members, copy.score, "copies of one image, under two patients' keys,")
                )
        return found

    def _split(self, subject: str, members: Sequence[SeriesFacts], score: float, what: str) -> Concern:
        splits = sorted({one.split for one in members if one.split})
        return Concern(
            check=self.name,
            check_version=self.version,
            kind="same-patient-in-two-splits",
            series=tuple(one.series_instance_uid for one in members),
            score=score,
            reason=(
                f"{len(members)} {what} lie in {len(splits)} parts of the dataset ({', '.join(splits)}); what is "
                "measured on one part is then known from another."
            ),
            subject=subject,
            evidence={"splits": splits, "series": len(members)},
        )

    def _labels(self, facts: DatasetFacts, alike: set[frozenset[str]], parameters: DatasetParameters) -> list[Concern]:
        """Sets of different studies that hold the same marks at the same places, although the images differ."""
        marks: dict[tuple[str, str], list[FindingFacts]] = defaultdict(list)
        study = {one.series_instance_uid: one for one in facts.series}
        buckets: dict[tuple[object, ...], set[tuple[str, str]]] = defaultdict(set)
        for series, finding in findings_of(facts):
            owner = (series.series_instance_uid, finding.set_id)
            marks[owner].append(finding)
            buckets[_signature(finding)].add(owner)
        shared: dict[tuple[tuple[str, str], tuple[str, str]], int] = defaultdict(int)
        for owners in buckets.values():
            if len({uid for uid, _ in owners}) > _COMMON_BUCKET:
                continue
            for first, second in combinations(sorted(owners), 2):
                one, other = study[first[0]], study[second[0]]
                if one.study_instance_uid != other.study_instance_uid and frozenset((first[0], second[0])) not in alike:
                    shared[first, second] += 1
        best: dict[tuple[str, str], tuple[int, float, tuple[str, str]]] = {}
        for (first, second), count in sorted(shared.items()):
            share = count / max(len(marks[first]), len(marks[second]))
            if count >= _LEAST_COPIED and share >= _COPIED_SHARE:
                key = (first[0], second[0])
                best[key] = max(best.get(key, (0, 0.0, ("", ""))), (count, share, (first[1], second[1])))
        return [
            Concern(
                check=self.name,
                check_version=self.version,
                kind="copied-labels",
                series=pair,
                # Two marks that agree to a fiftieth of a millimetre are no chance; one reader might copy on purpose.
                score=min(BROKEN_RULE, 1.0 - 0.3**count),
                reason=(
                    f"{count} marks of one series stand at the same places, with the same sizes, in a series of "
                    "another study whose images differ. One set of labels may have been filed under both."
                ),
                subject=" ".join(pair),
                evidence={"marks_in_common": count, "share": round(share, 4), "sets": list(sets)},
            )
            for pair, (count, share, sets) in sorted(best.items())
            if 1.0 - 0.3**count >= parameters.report_from
        ]


def _meeting(words: Sequence[NDArray[np.uint64]]) -> list[tuple[int, int]]:
    """Return the pairs of series that share enough buckets to be worth comparing, each pair once, in order."""
    met: dict[tuple[int, int], int] = defaultdict(int)
    for band in range(_BANDS):
        buckets: dict[int, set[int]] = defaultdict(set)
        for index, hashes in enumerate(words):
            if len(hashes) < _LEAST_SLICES:
                continue
            keys = (hashes >> np.uint64(band * _BAND_BITS)) & np.uint64((1 << _BAND_BITS) - 1)
            for key in set(keys.tolist()):
                buckets[key].add(index)
        for members in buckets.values():
            if 1 < len(members) <= _COMMON_BUCKET:
                for pair in combinations(sorted(members), 2):
                    met[pair] += 1
    return sorted(
        (first, second)
        for (first, second), count in met.items()
        if count >= _LEAST_SHARED * min(len(words[first]), len(words[second]))
    )


def _overlap(first: NDArray[np.uint64], second: NDArray[np.uint64], reach: int) -> tuple[float, float, int]:
    """Return (share of the shorter series that recurs in the other, mean differing bits there, number of slices).

    Slices are matched in order, forwards or backwards, each once: the longest chain in which both series go on.
    """
    if len(first) > len(second):
        first, second = second, first
    apart = np.bitwise_count(first[:, None] ^ second[None, :])
    chains = [_longest_chain(apart, reach), _longest_chain(apart[:, ::-1], reach)]
    chain, distances = max(chains, key=lambda one: (len(one[0]), -sum(one[1])))
    if not chain:
        return 0.0, float(BITS), 0
    # A copy goes on from slice to slice; likeness by chance stops and starts.
    steady = 1 + sum(after[0] - before[0] <= 2 for before, after in pairwise(chain))
    return steady / len(first), float(np.mean(distances)), steady


def _longest_chain(apart: NDArray[np.uint8], reach: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the pairs (row, column) of best matches within ``reach`` along which both indices grow.

    A longest common subsequence by Hunt and Szymanski (1977): neighbouring slices may share a hash, so a row may
    match several columns equally well, and they are tried from the last to the first.
    """
    best = apart.min(axis=1)
    ends: list[int] = []
    tails: list[int] = []
    links: list[tuple[int, int, int | None]] = []
    for row in np.flatnonzero(best <= reach).tolist():
        for column in np.flatnonzero(apart[row] == best[row])[::-1].tolist():
            place = bisect_left(ends, column)
            links.append((row, column, tails[place - 1] if place else None))
            ends[place : place + 1] = [column]
            tails[place : place + 1] = [len(links) - 1]
    chain: list[tuple[int, int]] = []
    at: int | None = tails[-1] if tails else None
    while at is not None:
        row, column, at = links[at]
        chain.append((row, column))
    chain.reverse()
    return chain, [int(apart[row, column]) for row, column in chain]


def _sure(share: float, bits: float, reach: int) -> float:
    """Return a score: near certainty where nearly every slice recurs bit by bit, less where likeness is loose."""
    return BROKEN_RULE * share * (1.0 - 0.5 * min(1.0, bits / max(1, reach)))


def _told(share: float) -> str:
    return "All" if share >= 0.995 else f"{round(100 * share)} %"


def _relation(one: SeriesFacts, other: SeriesFacts) -> str:
    if one.patient != other.patient:
        return ", although they stand under two patients' keys"
    if one.study_instance_uid == other.study_instance_uid:
        return " of the same study: it may be one scan reconstructed twice"
    return " of the same patient, in another study"


def _several_splits(members: Iterable[SeriesFacts]) -> bool:
    return len({one.split for one in members if one.split}) > 1


def _signature(finding: FindingFacts) -> tuple[object, ...]:
    """A mark's place and size in steps of ``_SAME_MM``: alike for a copy, which has the same numbers."""
    size: Mapping[str, float] = finding.features
    return (
        finding.category,
        *(round(value / _SAME_MM) for value in finding.place_mm),
        round((finding.diameter_mm or 0.0) / _SAME_MM),
        round(size.get("long_axis_mm", 0.0) / _SAME_MM),
    )
