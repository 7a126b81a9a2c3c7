"""What rules are asked of: findings, sets, series and pairs, each as names with values."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from imaging.checks.dataset_issues import findings_of
from imaging.checks.rules_terms import (
    About,
    Comparison,
    Condition,
    FieldReference,
    Joined,
    Rule,
    Scalar,
)
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts

DAYS_TAG = "days_since_first_study"
"""Tag of a series that puts a patient's studies in order without a date."""

Fields = Callable[[str], Scalar | None]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One thing a rule is asked of. ``finding`` is what an issue would be about: None for sets and series, the later
    one of a pair; ``first``: the earlier one. ``fields`` gives a field's value, None where it is not known."""

    series: SeriesFacts
    finding: FindingFacts | None
    first: tuple[SeriesFacts, FindingFacts] | None
    set_id: str
    fields: Fields


def subjects_of(*, facts: DatasetFacts, rule: Rule) -> Iterator[Subject]:
    """Yield everything that a rule is asked of, in the order of the facts."""
    if rule.about is About.FINDING:
        for series, finding in findings_of(facts):
            yield Subject(series, finding, None, finding.set_id, _finding_fields(series, finding))
    elif rule.about is About.SERIES:
        for series in facts.series:
            yield Subject(series, None, None, "", _series_fields(series))
    elif rule.about is About.SET:
        for series in facts.series:
            for set_id, findings in sorted(_by_set(series).items()):
                yield Subject(series, None, None, set_id, _set_fields(series, findings))
    else:
        assert rule.within_mm is not None
        pairs = _phases(facts) if rule.about is About.PHASES else _time_points(facts)
        for earlier, later in pairs:
            for first, second in _same_lesions(earlier, later, rule.within_mm):
                fields = _pair_fields(earlier, first, later, second)
                yield Subject(later, second, (earlier, first), second.set_id, fields)


def holds(*, condition: Condition, fields: Fields) -> bool | None:
    """Return whether a condition holds, None where a value that would decide it is not known (Kleene's logic)."""
    if isinstance(condition, Comparison):
        return _compared(condition, fields)
    if isinstance(condition, Joined):
        found = [holds(condition=part, fields=fields) for part in condition.parts]
        deciding = condition.word == "any"
        if deciding in found:
            return deciding
        return None if None in found else not deciding
    inner = holds(condition=condition.part, fields=fields)
    return None if inner is None else not inner


def _compared(comparison: Comparison, fields: Fields) -> bool | None:
    value = fields(comparison.field)
    operator, wanted = comparison.operator, comparison.value
    if operator == "known":
        return (value is not None) is wanted
    if value is None:
        return None
    if isinstance(wanted, tuple):
        if operator == "between":
            number = _number(value)
            low, high = (_number(one) for one in wanted)
            return None if number is None or low is None or high is None else low <= number <= high
        return any(_equal(value, one) for one in wanted) is (operator == "in")
    other = fields(wanted.name) if isinstance(wanted, FieldReference) else wanted
    if other is None:
        return None
    if operator in ("is", "is_not"):
        return _equal(value, other) is (operator == "is")
    left, right = _number(value), _number(other)
    if left is None or right is None:
        return None
    return {"less": left < right, "at_most": left <= right, "more": left > right, "at_least": left >= right}[operator]


def _equal(value: Scalar, other: Scalar) -> bool:
    left, right = _number(value), _number(other)
    # DICOM gives "120" and "120.0" for one tube voltage.
    return left == right if left is not None and right is not None else str(value) == str(other)


def _number(value: Scalar) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _finding_fields(series: SeriesFacts, finding: FindingFacts) -> Fields:
    plain: Mapping[str, Scalar | None] = {
        "category": finding.category.value,
        "diameter_mm": finding.diameter_mm,
        "reader": finding.reader_label or None,
        "guideline": finding.guideline or None,
        "marked_on": finding.marked_on or None,
        "split": series.split or None,
    }

    def value(name: str) -> Scalar | None:
        root, _, rest = name.partition(".")
        if root == "features":
            return finding.features.get(rest)
        if root == "characteristics":
            return finding.characteristics.get(rest)
        if root == "acquisition":
            return series.acquisition.get(rest)
        return plain.get(name)

    return value


def _set_fields(series: SeriesFacts, findings: Sequence[FindingFacts]) -> Fields:
    def value(name: str) -> Scalar | None:
        if name == "reader":
            return findings[0].reader_label or None
        if name == "guideline":
            return findings[0].guideline or None
        return _over(series, findings, name)

    return value


def _series_fields(series: SeriesFacts) -> Fields:
    def value(name: str) -> Scalar | None:
        if name == "readers":
            return len({finding.set_id for finding in series.findings})
        return _over(series, series.findings, name)

    return value


def _over(series: SeriesFacts, findings: Sequence[FindingFacts], name: str) -> Scalar | None:
    root, _, rest = name.partition(".")
    if root == "count":
        counts = Counter(finding.category.value for finding in findings)
        return len(findings) if rest == "all" else counts[rest]
    if root == "acquisition":
        return series.acquisition.get(rest)
    if name == "split":
        return series.split or None
    values = [value for value in (_measured(finding, rest) for finding in findings) if value is not None]
    if not values:
        return None
    return {"least": min(values), "most": max(values), "spread": max(values) - min(values)}[root]


def _measured(finding: FindingFacts, name: str) -> float | None:
    if name == "diameter_mm":
        return finding.diameter_mm
    root, _, rest = name.partition(".")
    return finding.features.get(rest) if root == "features" else finding.characteristics.get(rest)


def _pair_fields(earlier: SeriesFacts, first: FindingFacts, later: SeriesFacts, second: FindingFacts) -> Fields:
    sides = {"first": _finding_fields(earlier, first), "second": _finding_fields(later, second)}

    def value(name: str) -> Scalar | None:
        root, _, rest = name.partition(".")
        if root in sides:
            return sides[root](rest)
        if name == "days_between":
            days = [_days(earlier), _days(later)]
            return None if None in days else days[1] - days[0]  # type: ignore[operator]  # neither is None here
        before, after = _measured(first, rest), _measured(second, rest)
        if before is None or after is None:
            return None
        if root == "change":
            return after - before
        return after / before if before else None

    return value


def _by_set(series: SeriesFacts) -> dict[str, list[FindingFacts]]:
    found: dict[str, list[FindingFacts]] = defaultdict(list)
    for finding in series.findings:
        found[finding.set_id].append(finding)
    return found


def _phases(facts: DatasetFacts) -> Iterator[tuple[SeriesFacts, SeriesFacts]]:
    """Series of one study, each with the next in the order of their UIDs."""
    studies: dict[str, list[SeriesFacts]] = defaultdict(list)
    for series in facts.series:
        studies[series.study_instance_uid].append(series)
    for _uid, members in sorted(studies.items()):
        yield from pairwise(members)


def _time_points(facts: DatasetFacts) -> Iterator[tuple[SeriesFacts, SeriesFacts]]:
    """Series of one patient's studies that follow each other, by ``DAYS_TAG``; without it nothing says which is first.
    Of a study with several series each is compared."""
    patients: dict[str, dict[float, list[SeriesFacts]]] = defaultdict(lambda: defaultdict(list))
    for series in facts.series:
        days = _days(series)
        if series.patient and days is not None:
            patients[series.patient][days].append(series)
    for _patient, by_day in sorted(patients.items()):
        for before, after in pairwise(sorted(by_day)):
            for earlier in by_day[before]:
                for later in by_day[after]:
                    if earlier.study_instance_uid != later.study_instance_uid:
                        yield earlier, later


def _days(series: SeriesFacts) -> float | None:
    value = series.acquisition.get(DAYS_TAG)
    return None if value is None else _number(value)


def _same_lesions(
    earlier: SeriesFacts, later: SeriesFacts, within_mm: float
) -> Iterator[tuple[FindingFacts, FindingFacts]]:
    """Marks of one reader that are one lesion: by the source's own identity, else nearest to each other and near.

    Readers without a name may be anybody, so that theirs are not compared.
    """
    for reader in sorted({finding.reader_label for finding in earlier.findings if finding.reader_label}):
        before = [one for one in earlier.findings if one.reader_label == reader]
        after = [one for one in later.findings if one.reader_label == reader]
        for one in before:
            other = _counterpart(one, after, within_mm)
            if other is not None and _counterpart(other, before, within_mm) is one:
                yield one, other


def _counterpart(one: FindingFacts, others: Sequence[FindingFacts], within_mm: float) -> FindingFacts | None:
    if one.tracking_uid:
        named = [other for other in others if other.tracking_uid == one.tracking_uid]
        if named:
            return named[0]
    free = [other for other in others if not (one.tracking_uid and other.tracking_uid)]
    near = min(free, key=lambda other: math.dist(other.place_mm, one.place_mm), default=None)
    return near if near is not None and math.dist(near.place_mm, one.place_mm) <= within_mm else None
