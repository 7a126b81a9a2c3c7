"""The numbers on the home and overview pages. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef

from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagState
from qaservice.analysis.selectors import flag_counts
from qaservice.jobs.selectors import progress_of
from qaservice.labels.models import AnnotationSet, FindingRevision, SetKind
from qaservice.projects.models import Project, Role
from qaservice.projects.rules import permits
from qaservice.projects.selectors import granted_roles
from qaservice.review.models import AssignmentState
from qaservice.review.selectors import unassigned_places, worklist
from qaservice.studies.models import Series

ROLE_NAMES = dict(Role.choices)


@dataclass(frozen=True)
class Card:
    """One project on the home page: ``waiting`` lists what awaits this person, most urgent first."""

    project: Project
    roles: tuple[str, ...]
    waiting: tuple[str, ...]
    reads: bool


@dataclass(frozen=True)
class LabelFigures:
    """What a project holds: series by state, readers, annotation sets, findings by category."""

    series: dict[str, int]
    readers: int
    read_sets: int
    findings: dict[str, int]

    @property
    def all_series(self) -> int:
        return sum(self.series.values())

    @property
    def all_findings(self) -> int:
        return sum(self.findings.values())


@dataclass(frozen=True)
class FlagRow:
    """Flags of one check: number open, disputed, settled."""

    check: str
    open: int
    disputed: int
    settled: int

    @property
    def all(self) -> int:
        return self.open + self.disputed + self.settled


def card_of(*, user: User, project: Project) -> Card:
    """Return what the home page says of a project to one person."""
    granted = granted_roles(user=user, project=project)
    roles = [role for role, missing in granted.items() if not missing]
    waiting = [
        f"you are {ROLE_NAMES[role]} once a current training is on record: {', '.join(missing)}"
        for role, missing in granted.items()
        if missing
    ]
    reads = permits(roles=roles, action="review")
    if reads:
        rows = worklist(user=user, project=project, state="waiting")
        begun = rows.exclude(state=AssignmentState.ASSIGNED).count()
        waiting += _counted(rows.count(), "case to read", "cases to read")
        waiting += _counted(begun, "of them begun", "of them begun")
    if permits(roles=roles, action="manage"):
        flags = Flag.objects.filter(project=project)
        waiting += _counted(
            flags.filter(state=FlagState.DISPUTED).count(),
            "flag on which readers disagree",
            "flags on which readers disagree",
        )
        short = len(unassigned_places(project=project))
        waiting += _counted(short, "flag without enough readers", "flags without enough readers")
    if permits(roles=roles, action="analyse"):
        progress = progress_of(project.key)
        waiting += _counted(progress.failed, "failed job", "failed jobs")
        waiting += _counted(progress.open, "job under way", "jobs under way")
    names = tuple(ROLE_NAMES[role] for role in sorted(roles))
    return Card(project=project, roles=names, waiting=tuple(waiting), reads=reads)


def label_figures(*, project: Project) -> LabelFigures:
    """Count series, readers and the findings of readers' own sets as they stand."""
    series = Series.objects.filter(project=project).values_list("state").annotate(n=Count("pk")).order_by("state")
    sets = AnnotationSet.objects.filter(project=project, kind=SetKind.READER)
    # Shapes of readers never change, but a project may come to read a source's names in another way.
    later = FindingRevision.objects.filter(finding=OuterRef("finding"), number__gt=OuterRef("number"))
    findings = (
        FindingRevision.objects.filter(~Exists(later), finding__annotation_set__in=sets)
        .values_list("category")
        .annotate(n=Count("pk"))
        .order_by("category")
    )
    return LabelFigures(
        series=dict(series),
        readers=sets.values("reader_label").distinct().count(),
        read_sets=sets.filter(read=True).count(),
        findings=dict(findings),
    )


def flag_rows(*, project: Project) -> list[FlagRow]:
    """Return the flags of a project by check and state."""
    return [
        FlagRow(
            check=check,
            open=states.get(FlagState.OPEN, 0),
            disputed=states.get(FlagState.DISPUTED, 0),
            settled=states.get(FlagState.SETTLED, 0),
        )
        for check, states in sorted(flag_counts(project=project).items())
    ]


def _counted(number: int, one: str, many: str) -> list[str]:
    return [] if number == 0 else [f"{number} {one if number == 1 else many}"]
