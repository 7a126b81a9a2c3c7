"""Who is asked to read what, and what a verdict is stamped with. What a reader may see: ``review.blinding``."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from qaservice.accounts.models import User
from qaservice.analysis.calibration import lead_of
from qaservice.analysis.models import Flag, FlagObservation, FlagState
from qaservice.analysis.selectors import latest_observation, valued
from qaservice.analysis.standing import held_flags, worth_of
from qaservice.labels.models import AnnotationSet, SetKind
from qaservice.labels.selectors import sets_of_user
from qaservice.projects.models import Project
from qaservice.projects.selectors import holders
from qaservice.review.models import Assignment, AssignmentState, Consensus, Phase, Verdict
from qaservice.studies.models import PixelRemoval

WORKLIST_ORDERINGS = {
    "number": ("flag__number",),
    "-number": ("-flag__number",),
    "case": ("flag__series__study__patient_key", "flag__z_mm", "flag__number"),
    "state": ("state", "flag__number"),
}


def implicated_sets(*, flag: Flag) -> frozenset[str]:
    """Return the ids of all annotation sets whose readers have a stake in ``flag``."""
    named = latest_observation(flag=flag).implicated_sets
    return frozenset({str(flag.annotation_set_id), *(str(one) for one in named)})


def other_sets(*, flag: Flag) -> list[str]:
    """Return the ids of the other readers' sets that the reveal shows: all on the series, for silence is an opinion."""
    rows = AnnotationSet.objects.filter(series=flag.series_id, kind=SetKind.READER).exclude(pk=flag.annotation_set_id)
    ids = {str(pk) for pk in rows.values_list("pk", flat=True)}
    return sorted(ids | (implicated_sets(flag=flag) - {str(flag.annotation_set_id)}))


def unassigned_places(*, project: Project) -> list[tuple[Flag, int]]:
    """Return the unsettled flags that want readers, with how many each still wants, by expected value.

    Who is asked sees none of this order: a worklist goes by number, and numbers within a series by place. Flags that
    rest on a model which was not proven want none until a QA lead has released them; flags whose images were withdrawn
    or disposed of want none any more.
    """
    flags = (
        valued(Flag.objects.filter(project=project, state=FlagState.OPEN))
        .exclude(series__study__in=PixelRemoval.objects.filter(study__project=project).values("study"))
        .exclude(pk__in=held_flags(project=project).values("pk"))
        .select_related("project")
        .annotate(asked=Count("assignments", filter=Q(assignments__round=F("round"))))
        .order_by(F("value").desc(), "number")
    )
    return [(flag, project.required_votes - flag.asked) for flag in flags if flag.asked < project.required_votes]


def eligible_readers(*, flag: Flag, among: Sequence[User] | None) -> list[User]:
    """Return who may be asked to read ``flag``: review rights, not the author of a label in question, not yet asked."""
    users = holders(project=flag.project, action="review")
    if flag.project.regulated:
        users = [user for user in users if not user.is_simulated]
    if among is not None:
        chosen = {user.pk for user in among}
        users = [user for user in users if user.pk in chosen]
    asked = set(Assignment.objects.filter(flag=flag, round=flag.round).values_list("reader", flat=True))
    stake = implicated_sets(flag=flag)
    return [
        user
        for user in users
        if user.pk not in asked and stake.isdisjoint(sets_of_user(project=flag.project, user=user))
    ]


def worklist(*, user: User, project: Project, state: str = "", ordering: str = "number") -> QuerySet[Assignment]:
    """Return a reader's assignments in a project. Nothing in it tells what check raised a flag or how sure it was.

    ``images_gone``: the images of the study were withdrawn or disposed of. Such a case waits for nobody.
    """
    removed = PixelRemoval.objects.filter(study=OuterRef("flag__series__study"))
    rows = Assignment.objects.filter(reader=user, project=project).select_related("flag__series__study", "project")
    rows = rows.annotate(images_gone=Exists(removed))
    if state == "waiting":
        rows = rows.exclude(state__in=[AssignmentState.DONE, AssignmentState.RELEASED]).filter(images_gone=False)
    elif state:
        rows = rows.filter(state=state)
    return rows.order_by(*WORKLIST_ORDERINGS.get(ordering, WORKLIST_ORDERINGS["number"]))


def undecided(*, flag: Flag) -> Assignment | None:
    """Return a read of the flag's round that is not finished, or None."""
    finished = [AssignmentState.DONE, AssignmentState.RELEASED]
    rows = Assignment.objects.filter(flag=flag, round=flag.round).exclude(state__in=finished)
    return rows.select_related("reader").order_by("pk").first()


def next_waiting(*, assignment: Assignment) -> Assignment | None:
    """Return the reader's next case after this one that still waits, round about, or None."""
    waiting = list(worklist(user=assignment.reader, project=assignment.project, state="waiting"))
    later = [one for one in waiting if one.flag.number > assignment.flag.number]
    others = [one for one in waiting if one.pk != assignment.pk]
    following = later or others
    return following[0] if following else None


def shown_to(*, flag: Flag, observation: FlagObservation, phase: Phase) -> dict[str, object]:
    """Return what a verdict is stamped with: everything that had been shown when it was given (REQ-32)."""
    shown: dict[str, object] = {
        "observation": str(observation.pk),
        "blind_reason": observation.blind_reason,
        "label": str(flag.finding_id) if flag.finding_id else None,
        "annotation_set": str(flag.annotation_set_id),
        "opinions_revealed": phase is Phase.FINAL,
    }
    if phase is Phase.FINAL:
        shown["reason"] = observation.reason
        shown["model_sha256"] = observation.model_sha256
        shown["model_marks"] = list(worth_of(observation).marks)
        shown["check"] = f"{lead_of(observation)} {observation.check_version}"
        shown["other_sets"] = other_sets(flag=flag)
        shown["proposals"] = [proposal["id"] for proposal in observation.proposals]
    return shown


def observation_for(*, assignment: Assignment) -> FlagObservation:
    """Return the observation this reader was or will be shown: the one of their last verdict, else the newest.

    A run that ends between a blind and a final verdict must not change what is being judged.
    """
    last = (
        Verdict.objects.filter(assignment=assignment)
        .select_related("observation__run__model")
        .order_by("-given_at")
        .first()
    )
    return last.observation if last is not None else latest_observation(flag=assignment.flag)


def verdicts_of(*, flag: Flag) -> QuerySet[Verdict]:
    """Return every verdict ever given on ``flag``, in order. Not for readers: see ``review.blinding``."""
    return Verdict.objects.filter(flag=flag).select_related("reader", "observation").order_by("round", "given_at", "id")


def consensuses_of(*, flag: Flag) -> QuerySet[Consensus]:
    """Return the outcome of every settled round of ``flag`` with its correction."""
    return (
        Consensus.objects.filter(flag=flag)
        .select_related("correction__before", "correction__after", "correction__dataset_version")
        .order_by("round")
    )


def round_is_closed_for(*, assignment: Assignment) -> bool:
    """Return whether the other reviewers' verdicts may be shown to this reader.

    They may once this reader can no longer vote in the round: done or released, and the flag no longer simply open.
    """
    finished = assignment.state in {AssignmentState.DONE, AssignmentState.RELEASED}
    return finished and (assignment.flag.state != FlagState.OPEN or assignment.round != assignment.flag.round)
