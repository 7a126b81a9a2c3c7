"""Images and findings unlike the rest of the dataset: broken, of another kind, or simply rare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.checks.dataset import Concern, DatasetFindings, DatasetParameters, LocatedIssue
from imaging.checks.dataset_issues import feature_in_words, findings_of, located_issue, series_counted
from imaging.checks.population import (
    false_discovery_rates,
    neighbour_distances,
    posterior_of_p,
    robustly_scaled,
    tail_probabilities,
)
from imaging.errors import NotApplicable
from imaging.facts.appearance import EMBEDDING_NAMES, EMBEDDING_VERSION
from imaging.facts.finding_features import MODEL_FEATURES
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.types import Category, Rejection

ABSTAINED_TAG = "model_abstained_because"
"""Tag of a series at which the QA model had nothing to say, and why: outside what it is made for, as a rule."""

COMPARED_TAGS = ("manufacturer", "model", "kernel", "kvp", "contrast_agent", "patient_position", "slice_spacing_mm")

UNUSUAL_IS_WRONG = 0.5
"""Share of labels unlike all others that are held to be wrong; the others are rare lesions."""

_LEAST_SPREAD = 0.02
_FARTHEST = 8.0
"""Beyond eight robust deviations a component says nothing more: one alone must not hide all others."""

_NAMED = 3
_LOG_FEATURES = frozenset({"volume_mm3", "surface_mm2", "long_axis_mm", "short_axis_mm", "height_mm"})


class OutOfDistribution:
    """Mean distance to the nearest series of other patients, in embeddings; to the nearest findings, in features.

    The score is the posterior of ``population.posterior_of_p`` at the false discovery rate of the tail probability:
    with few series little can be rare, and the check then says little. Nothing that a QA model said is looked at, so
    that the check's word is worth the same whatever that model is worth.
    """

    name = "out_of_distribution"
    version = "1.0"

    def run(self, *, facts: DatasetFacts, parameters: DatasetParameters) -> DatasetFindings:
        """Return unusual images and tags as concerns, unusual findings as issues.

        Raises NotApplicable ``too-few-series`` below ``least_series``: there is no population to be unlike of.
        """
        if len(facts.series) < parameters.least_series:
            raise NotApplicable(
                "too-few-series",
                f"{series_counted(len(facts.series))} are no population; {parameters.least_series} are needed",
            )
        concerns = [*self._images(facts, parameters), *self._tags(facts, parameters), *self._silent_model(facts)]
        issues: list[LocatedIssue] = []
        passed_over: list[Rejection] = []
        for category in Category:
            if category is Category.STRUCTURE:
                continue
            members = [pair for pair in findings_of(facts) if pair[1].category is category]
            if not members:
                continue
            if len(members) < max(parameters.least_class, parameters.least_series):
                passed_over.append(
                    Rejection("rare-category", f"too few findings are {category.value!r} to say which is unusual")
                )
                continue
            issues += self._findings(members, parameters)
        return DatasetFindings(tuple(issues), tuple(concerns), tuple(passed_over))

    def _images(self, facts: DatasetFacts, parameters: DatasetParameters) -> list[Concern]:
        known = [one for one in facts.series if one.embedding_version == EMBEDDING_VERSION and one.embedding]
        if len(known) < parameters.least_series:
            return []
        scaled = robustly_scaled(values=np.array([one.embedding for one in known]), least_spread=_LEAST_SPREAD)
        clipped = np.clip(scaled, -_FARTHEST, _FARTHEST)
        groups = [one.patient for one in known]
        distances = neighbour_distances(values=clipped, groups=groups, neighbours=parameters.neighbours)
        found = []
        for index, score, q in _scores(distances):
            if score < parameters.report_from:
                continue
            differing = _most_differing(clipped[index], EMBEDDING_NAMES)
            found.append(
                Concern(
                    check=self.name,
                    check_version=self.version,
                    kind="image-unlike-the-rest",
                    series=(known[index].series_instance_uid,),
                    score=score,
                    reason=(
                        f"This image looks unlike the other {len(known) - 1} in the dataset; what differs most is "
                        f"{', '.join(name for name, _ in differing)}. It may be of another kind, or damaged."
                    ),
                    subject=known[index].series_instance_uid,
                    evidence={
                        "false_discovery_rate": q,
                        "distance": float(distances[index]),
                        "median_distance": float(np.nanmedian(distances)),
                        "differs_most": {name: round(value, 2) for name, value in differing},
                        "embedding_version": EMBEDDING_VERSION,
                    },
                )
            )
        return found

    def _tags(self, facts: DatasetFacts, parameters: DatasetParameters) -> list[Concern]:
        """A value of a tag is as rare as all values together that are used no more often than it."""
        rows = []
        for tag in COMPARED_TAGS:
            values = [str(one.acquisition[tag]) for one in facts.series if one.acquisition.get(tag) not in (None, "")]
            counts = Counter(values)
            if len(counts) < 2 or len(values) < parameters.least_series:
                continue
            for value, count in sorted(counts.items()):
                tail = sum(other for other in counts.values() if other <= count) / len(values)
                rows.append((tag, value, count, len(values), tail))
        asked = len({tag for tag, *_ in rows})
        found = []
        for tag, value, count, total, tail in rows:
            score = posterior_of_p(p_value=min(1.0, tail * asked))
            if score < parameters.report_from or count >= parameters.least_series:
                continue
            uids = [one.series_instance_uid for one in facts.series if str(one.acquisition.get(tag, "")) == value]
            found.append(
                Concern(
                    check=self.name,
                    check_version=self.version,
                    kind="rare-acquisition",
                    series=tuple(uids),
                    score=score,
                    reason=(
                        f"{series_counted(count)} of {total} "
                        f"{'has' if count == 1 else 'have'} {tag.replace('_', ' ')} {value[:60]!r}, which is rare "
                        "here. What holds for the rest may not hold there."
                    ),
                    subject=f"{tag}: {value}",
                    evidence={"tag": tag, "value": value, "series": count, "of": total, "tail": tail},
                )
            )
        return found

    def _silent_model(self, facts: DatasetFacts) -> list[Concern]:
        reasons: dict[str, list[str]] = {}
        for one in facts.series:
            why = str(one.acquisition.get(ABSTAINED_TAG, ""))
            if why:
                reasons.setdefault(why, []).append(one.series_instance_uid)
        return [
            Concern(
                check=self.name,
                check_version=self.version,
                kind="outside-the-model",
                series=tuple(uids),
                score=UNUSUAL_IS_WRONG,
                reason=(
                    f"The QA model had no opinion on {series_counted(len(uids))} of "
                    f"{len(facts.series)}: {why}. Labels there were compared with each other alone."
                ),
                subject=why[:200],
                evidence={"series": len(uids), "of": len(facts.series)},
            )
            for why, uids in sorted(reasons.items())
        ]

    def _findings(
        self, members: Sequence[tuple[SeriesFacts, FindingFacts]], parameters: DatasetParameters
    ) -> list[LocatedIssue]:
        names = _common_features(members)
        if len(names) < 2:
            return []
        raw = np.array([[_value(finding, name) for name in names] for _series, finding in members])
        scaled = np.clip(robustly_scaled(values=raw, least_spread=1e-6), -_FARTHEST, _FARTHEST)
        # What is unknown of a finding makes it neither like nor unlike the others.
        filled = np.where(np.isnan(scaled), 0.0, scaled)
        groups = [series.patient for series, _finding in members]
        distances = neighbour_distances(values=filled, groups=groups, neighbours=parameters.neighbours)
        issues = []
        for index, posterior, q in _scores(distances):
            series, finding = members[index]
            score = posterior * UNUSUAL_IS_WRONG
            twins = _alike_at_the_place(index, members, filled)
            if twins:
                # Others who marked this lesion measure alike: then it is the lesion that is unusual.
                score *= UNUSUAL_IS_WRONG
            if score < parameters.report_from or any(distances[one] > distances[index] for one in twins):
                continue
            differing = _most_differing(filled[index], names)
            said = ", ".join(feature_in_words(name, finding.features[name]) for name, _ in differing)
            issues.append(
                located_issue(
                    check=self.name,
                    check_version=self.version,
                    series=series,
                    finding=finding,
                    score=score,
                    reason=(
                        f"Among {len(members)} findings called {finding.category.value!r} this one is unlike the "
                        f"rest: {said}."
                    ),
                    features={
                        "distance": float(distances[index]),
                        "false_discovery_rate": q,
                        "twins": float(len(twins)),
                        "diameter_mm": finding.diameter_mm or 0.0,
                    },
                    evidence={
                        "differs_most": {name: round(value, 2) for name, value in differing},
                        "median_distance": float(np.nanmedian(distances)),
                        "compared_with": len(members) - 1,
                    },
                )
            )
        return issues


def _scores(distances: NDArray[np.float64]) -> list[tuple[int, float, float]]:
    """Return (row, posterior, false discovery rate) of every row that has a distance."""
    known = np.flatnonzero(np.isfinite(distances))
    if not len(known):
        return []
    rates = false_discovery_rates([float(p) for p in tail_probabilities(distances=distances)[known]])
    return [(int(row), posterior_of_p(p_value=q), q) for row, q in zip(known, rates, strict=True)]


def _most_differing(row: NDArray[np.float64], names: Sequence[str]) -> list[tuple[str, float]]:
    order = np.argsort(-np.abs(row))[:_NAMED]
    chosen = [(names[int(index)], float(row[index])) for index in order if abs(row[index]) >= 1.0]
    return chosen or [(names[int(order[0])], float(row[order[0]]))]


def _common_features(members: Sequence[tuple[SeriesFacts, FindingFacts]]) -> list[str]:
    """Names of features that at least half of the members have, in order; none that a model gave."""
    counts = Counter(name for _series, finding in members for name in finding.features)
    return sorted(name for name, count in counts.items() if name not in MODEL_FEATURES and 2 * count >= len(members))


def _value(finding: FindingFacts, name: str) -> float:
    value = finding.features.get(name, math.nan)
    # Sizes vary by factors, not by sums.
    return math.log(value) if name in _LOG_FEATURES and value > 0 else value


def _alike_at_the_place(
    index: int, members: Sequence[tuple[SeriesFacts, FindingFacts]], values: NDArray[np.float64]
) -> list[int]:
    series, finding = members[index]
    reach = max(2.5, (finding.diameter_mm or 0.0) / 2)
    norm = float(np.linalg.norm(values[index]))
    return [
        other
        for other, (at, one) in enumerate(members)
        if at is series
        and one.set_id != finding.set_id
        and math.dist(one.place_mm, finding.place_mm) <= reach
        and float(np.linalg.norm(values[other] - values[index])) <= 0.5 * norm
    ]
