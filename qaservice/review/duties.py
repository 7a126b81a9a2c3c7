"""Who may do what about one finding: annotator, reader, adjudicator and approver are different people (REQ-16).

Roles that exclude each other are in ``projects.rules``; here it is what somebody has done, whatever role they hold now.
"""

from __future__ import annotations

from enum import StrEnum

from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagState
from qaservice.common.errors import NotPermitted
from qaservice.labels.models import ReaderIdentity
from qaservice.labels.selectors import sets_of_user
from qaservice.projects.models import Project, Role
from qaservice.projects.selectors import roles_of
from qaservice.review.models import Verdict
from qaservice.review.selectors import eligible_readers, implicated_sets


class Duty(StrEnum):
    """What somebody did about a finding, or in a project."""

    ANNOTATOR = "annotator"
    READER = "reader"


def duties_on(*, flag: Flag, user: User) -> frozenset[Duty]:
    """Return what ``user`` has done about the finding of ``flag``, in this round or an earlier one."""
    done = set()
    if not implicated_sets(flag=flag).isdisjoint(sets_of_user(project=flag.project, user=user)):
        done.add(Duty.ANNOTATOR)
    if Verdict.objects.filter(flag=flag, reader=user).exists():
        done.add(Duty.READER)
    return frozenset(done)


def duties_in(*, project: Project, user: User) -> frozenset[Duty]:
    """Return what ``user`` has done about any finding of ``project``."""
    done = set()
    if ReaderIdentity.objects.filter(project=project, user=user).exists():
        done.add(Duty.ANNOTATOR)
    if Verdict.objects.filter(flag__project=project, reader=user).exists():
        done.add(Duty.READER)
    return frozenset(done)


def refuse_to_read(*, flag: Flag, user: User) -> None:
    """Raise NotPermitted where ``user`` must not be asked about ``flag``.

    Nobody reads their own label. Where readers disagree, somebody decides who has not read the finding before, and in
    a regulated project somebody who has the role of adjudicator.
    """
    done = duties_on(flag=flag, user=user)
    if Duty.ANNOTATOR in done:
        raise NotPermitted("your own label is in question here; someone else must read it", code="own-label")
    if flag.state != FlagState.DISPUTED:
        return
    if Duty.READER in done:
        raise NotPermitted("you are one of the readers who disagree here; someone else must decide", code="read-before")
    if flag.project.regulated and Role.ADJUDICATOR not in roles_of(user=user, project=flag.project):
        raise NotPermitted(
            "readers disagree here; in a regulated project an adjudicator decides", code="adjudicator-decides"
        )


def deciders(*, flag: Flag) -> list[User]:
    """Return who may be asked to decide a flag on which readers disagree: adjudicators first, then by username."""
    able = [
        user for user in eligible_readers(flag=flag, among=None) if Duty.READER not in duties_on(flag=flag, user=user)
    ]
    chosen = {user.pk for user in able if Role.ADJUDICATOR in roles_of(user=user, project=flag.project)}
    if flag.project.regulated:
        able = [user for user in able if user.pk in chosen]
    return sorted(able, key=lambda user: (user.pk not in chosen, user.username))


def why_not_approve(*, project: Project, user: User) -> str:
    """Return why ``user`` must not approve what became of the project's findings, "" where they may."""
    done = duties_in(project=project, user=user)
    if Duty.ANNOTATOR in done:
        return "you labelled in this project; it is approved by somebody else (REQ-16)"
    if Duty.READER in done:
        return "you gave verdicts in this project; it is approved by somebody else (REQ-16)"
    return ""
