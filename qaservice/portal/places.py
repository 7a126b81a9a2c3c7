"""From the keys by which checks name series and labels to what a page links to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from imaging.checks.rules import RuleRehearsal
from imaging.geometry.affine import to_index
from qaservice.labels.models import AnnotationSet, FindingRevision
from qaservice.portal.rule_words import field_in_words
from qaservice.projects.models import Project
from qaservice.studies.models import Series
from qaservice.studies.selectors import grid_of


@dataclass(frozen=True)
class SeriesLink:
    """One series as a page names it. ``series`` is None where the project does not hold it."""

    uid: str
    series: Series | None


@dataclass(frozen=True)
class Example:
    """One place where a rule would speak: whose label, on which series and slice, and the values that it read.

    ``slice_index`` is None where the rule is about no single label; ``reader`` is "" where it is about a whole series.
    """

    link: SeriesLink
    slice_index: int | None
    reader: str
    simulated: bool
    values: tuple[tuple[str, object], ...]


def series_links(*, project: Project, uids: Iterable[str]) -> dict[str, SeriesLink]:
    """Return a link for each Series Instance UID."""
    wanted = set(uids)
    rows = Series.objects.filter(project=project, series_instance_uid__in=wanted).select_related("study")
    held = {row.series_instance_uid: row for row in rows}
    return {uid: SeriesLink(uid, held.get(uid)) for uid in wanted}


def examples_of(*, project: Project, rules: Sequence[RuleRehearsal]) -> list[list[Example]]:
    """Return the examples of each rehearsed rule with what leads to them, in the order of the rules."""
    every = [one for rule in rules for one in rule.examples]
    links = series_links(project=project, uids=(str(one["series"]) for one in every))
    sets = {
        str(row.pk): row
        for row in AnnotationSet.objects.filter(project=project, pk__in=_keys(one["set"] for one in every))
    }
    revisions = FindingRevision.objects.filter(
        finding__annotation_set__project=project, finding_id__in=_keys(one["finding"] for one in every)
    )
    newest = {str(row.finding_id): row for row in revisions.order_by("number")}
    return [[_example(one, links, sets, newest) for one in rule.examples] for rule in rules]


def _example(
    one: Mapping[str, object],
    links: Mapping[str, SeriesLink],
    sets: Mapping[str, AnnotationSet],
    newest: Mapping[str, FindingRevision],
) -> Example:
    link = links[str(one["series"])]
    labelled, revision = sets.get(str(one["set"])), newest.get(str(one["finding"]))
    values = one["values"]
    return Example(
        link=link,
        slice_index=None if revision is None or link.series is None else _slice(link.series, revision),
        reader="" if labelled is None else labelled.reader_label,
        simulated=labelled is not None and labelled.simulated,
        values=tuple((field_in_words(name), value) for name, value in values.items())
        if isinstance(values, Mapping)
        else (),
    )


def _slice(series: Series, revision: FindingRevision) -> int:
    grid = grid_of(series)
    index = to_index(grid, (revision.x_mm, revision.y_mm, revision.z_mm))
    return max(0, min(grid.shape[0] - 1, round(index[0])))


def _keys(values: Iterable[object]) -> list[UUID]:
    """Return what of these is a key; facts of sets and findings that are not stored rows have other names."""
    found = []
    for value in values:
        try:
            found.append(UUID(str(value)))
        except ValueError:
            continue
    return found
