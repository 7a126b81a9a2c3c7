"""How a dataset check's issue about one finding is put together from facts, without its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imaging.checks.dataset import LocatedIssue
from imaging.checks.words import CLOSING, counted
from imaging.facts.types import DatasetFacts, FindingFacts, SeriesFacts
from imaging.types import Category, LabelIssue, Proposal

BLIND_REASON = "This place may deserve a second look."
LEAST_RADIUS_MM = 2.5

_UNITS = ("mm3", "mm2", "mm", "hu")


def findings_of(facts: DatasetFacts) -> Iterator[tuple[SeriesFacts, FindingFacts]]:
    """Yield every finding that is or was taken for a nodule, with its series; other structures are nobody's nodules."""
    for series in facts.series:
        for finding in series.findings:
            if finding.category is not Category.STRUCTURE:
                yield series, finding


def located_issue(
    *,
    check: str,
    check_version: str,
    series: SeriesFacts,
    finding: FindingFacts,
    score: float,
    reason: str,
    features: Mapping[str, float],
    evidence: Mapping[str, object],
    proposals: tuple[Proposal, ...] = (),
    implicated: tuple[str, ...] = (),
) -> LocatedIssue:
    """Return an issue about one finding; ``reason`` lacks its closing.

    The blind reason names no place in words: facts hold no image. Whoever has it may put them in.
    ``features`` are what the score rests on, as numbers.
    """
    return LocatedIssue(
        series_instance_uid=series.series_instance_uid,
        issue=LabelIssue(
            check=check,
            check_version=check_version,
            annotation_set_id=finding.set_id,
            finding_id=finding.finding_id,
            place_mm=finding.place_mm,
            radius_mm=max((finding.diameter_mm or 0.0) / 2, LEAST_RADIUS_MM),
            score=min(max(score, 0.0), 1.0),
            blind_reason=BLIND_REASON,
            reason=f"{reason} {CLOSING}",
            implicated_set_ids=tuple(dict.fromkeys((finding.set_id, *implicated))),
            evidence={**evidence, "features": {name: round(float(value), 6) for name, value in features.items()}},
            proposals=proposals,
        ),
    )


def feature_in_words(name: str, value: float) -> str:
    """Return a feature and its value as people say them: "contrast 312 HU", "sphericity 0.41"."""
    for unit in _UNITS:
        if name.endswith(f"_{unit}"):
            said = unit.upper() if unit == "hu" else unit.replace("mm3", "mm³").replace("mm2", "mm²")
            return f"{plain(name.removesuffix(f'_{unit}'))} {value:.3g} {said}"
    return f"{plain(name)} {value:.3g}"


def plain(name: str) -> str:
    """Return a name of a feature without its joints: "long axis" for "long_axis"."""
    for tail in ("_share", "_ratio", "_count"):
        name = name.removesuffix(tail)
    return name.replace("_", " ")


def series_counted(number: int) -> str:
    """Return "one series", "12 series"."""
    return "one series" if number == 1 else counted(number=number, noun="serie")
