"""Labels that are held already, understood anew under the project's terms: what a source means by a name.

No shape changes and no reader's record is rewritten: a finding gets one more revision whose origin says that its
category is the project's reading of the name, and the first revision stays as it came in (REQ-17, REQ-20).
"""

from __future__ import annotations

from dataclasses import dataclass

from compliance.recording import Actor, change, current_change
from imaging.types import Category
from qaservice.labels.models import AnnotationSet, FindingRevision, SetKind
from qaservice.labels.recording import revision_row, said_in
from qaservice.labels.selectors import newest_revisions
from qaservice.labels.shapes import stored_shape_of
from qaservice.projects.models import Project

READ_AS = "category as the project reads the source's name"


@dataclass(frozen=True, slots=True)
class Renamed:
    """How many findings of a project changed their category, by name of the source."""

    names: dict[str, int]

    @property
    def findings(self) -> int:
        return sum(self.names.values())


def apply_label_terms(*, project: Project, actor: Actor, reason: str) -> Renamed:
    """Give findings the category that the project's terms now say of their source's names, case ignored.

    A name that is no longer among the terms falls back to the category with which it came in. The reference standard
    is not touched: what readers settled stands. Where nothing changes nothing is recorded.
    """
    terms = {str(name).strip().lower(): Category(word) for name, word in project.label_terms.items()}
    sets = AnnotationSet.objects.filter(project=project, kind__in=(SetKind.READER, SetKind.ALGORITHM))
    revisions = newest_revisions(set_ids=sets.values_list("pk", flat=True))
    first = _first_categories([one for one in revisions if one.number > 1])
    rows: list[FindingRevision] = []
    names: dict[str, int] = {}
    for one in revisions:
        name = one.finding.source_label
        wanted = terms.get(name.strip().lower()) or first.get(one.finding_id)
        if wanted is None or wanted == one.category:
            continue
        names[name] = names.get(name, 0) + 1
        rows.append(
            revision_row(
                finding=one.finding,
                number=one.number + 1,
                present=one.present,
                category=wanted,
                shape=stored_shape_of(one),
                said=said_in(one),
                origin=f"{one.origin.partition('; ' + READ_AS)[0]}; {READ_AS}",
            )
        )
    if not rows:
        return Renamed({})
    with change(
        "annotations.renamed",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
        payload={"findings": len(rows), "names": names, "terms": project.label_terms},
    ):
        FindingRevision.objects.record_many(rows, current_change(), root_label="finding revisions")
    return Renamed(names)


def _first_categories(revisions: list[FindingRevision]) -> dict[object, str]:
    """Return the category with which each finding came in."""
    rows = FindingRevision.objects.filter(finding_id__in=[one.finding_id for one in revisions], number=1)
    return dict(rows.values_list("finding_id", "category"))
