"""Whether what a check raises lies mostly in one small subgroup: then it may speak of the group, not of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from imaging.checks.dataset import LocatedIssue
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts

LEAST_HITS = 5
MOSTLY = 0.6
SMALL = 0.2
"""A subgroup is small with at most a fifth of all findings, and a check mostly hits it with three fifths of its own."""

GROUPINGS: Mapping[str, Callable[[SeriesFacts, FindingFacts], str]] = {
    "category": lambda _series, finding: finding.category.value,
    "reader": lambda _series, finding: finding.reader_label,
    "guideline": lambda _series, finding: finding.guideline,
    "manufacturer": lambda series, _finding: str(series.acquisition.get("manufacturer", "")),
    "kernel": lambda series, _finding: str(series.acquisition.get("kernel", "")),
}
"""What findings are grouped by; an empty word is no group."""


def subgroup_notes(*, facts: DatasetFacts, hits: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return a sentence for each small subgroup in which most hits lie, as "most of these (8 of 9) are of kernel B80f".

    ``hits``: (series UID, finding id) of what was raised. Nothing is said of fewer than ``LEAST_HITS``.
    """
    wanted = set(hits)
    pairs = [(series, finding) for series in facts.series for finding in series.findings]
    struck = [(series, one) for series, one in pairs if (series.series_instance_uid, one.finding_id) in wanted]
    if len(struck) < LEAST_HITS:
        return ()
    notes = []
    for name, group_of in GROUPINGS.items():
        everywhere = shares_of(pairs, group_of)
        here = Counter(group_of(series, finding) for series, finding in struck)
        group, count = max(sorted(here.items()), key=lambda entry: entry[1])
        if group and count >= MOSTLY * len(struck) and everywhere[group] <= SMALL:
            notes.append(
                f"most of these ({count} of {len(struck)}) are of {name} {group!r}, "
                f"which has {everywhere[group]:.0%} of all findings"
            )
    return tuple(notes)


def shares_of(
    pairs: Sequence[tuple[SeriesFacts, FindingFacts]], group_of: Callable[[SeriesFacts, FindingFacts], str]
) -> dict[str, float]:
    """Return the share of findings in each group, by name."""
    counts = Counter(group_of(series, finding) for series, finding in pairs)
    return {group: count / len(pairs) for group, count in sorted(counts.items())}


def hits_of(issues: Iterable[LocatedIssue]) -> list[tuple[str, str]]:
    """Return (series UID, finding id) of issues that are about a finding."""
    return [(one.series_instance_uid, one.issue.finding_id) for one in issues if one.issue.finding_id is not None]
