"""Opening projects and giving people roles in them."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.core.exceptions import ValidationError

from compliance.recording import Actor, change
from qaservice.accounts.models import User, UserKind
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import amend
from qaservice.projects.models import Membership, Project, Role
from qaservice.projects.policies import checked, require_stricter
from qaservice.projects.rules import PERMISSIONS, clash
from qaservice.projects.selectors import granted_roles
from qaservice.projects.training import current_trainings, trainings_needed


def create_project(
    *,
    key: str,
    title: str,
    actor: Actor,
    reason: str,
    required_votes: int = 3,
    agreeing_votes: int = 2,
    regulated: bool = False,
) -> Project:
    """Open a project. Raises InvalidInput for an unusable key or protocol, Conflict where the key is taken.

    A regulated project is refused on the embedded database: there the trail is evidence, not prevention.
    """
    if regulated and settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        raise InvalidInput("a regulated project needs PostgreSQL; this site runs on SQLite", code="regulated-on-sqlite")
    if Project.objects.filter(key=key).exists():
        raise Conflict(f"there is already a project {key!r}", code="project-exists")
    project = Project(
        key=key,
        title=title.strip(),
        regulated=regulated,
        required_votes=required_votes,
        agreeing_votes=agreeing_votes,
    )
    try:
        project.full_clean(exclude=["id"], validate_unique=False)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), code="unusable-project") from error
    with change(
        "project.created", actor=actor, reason=reason, subject=("project", str(project.pk)), project_key=key
    ) as running:
        running.payload.update({"required_votes": required_votes, "agreeing_votes": agreeing_votes})
        project.save()
    return project


def set_policies(*, project: Project, policies: Mapping[str, object], actor: Actor, reason: str) -> Project:
    """Change what a project lets pass; return it as it now stands. ``policies``: see ``policies.POLICIES``.

    What was judged before keeps its verdict: a policy speaks about what arrives, or is tried again, from now on.
    Policies that are already so are left alone, and where all are, nothing is recorded. Raises InvalidInput for a
    policy that does not exist or that no truthful volume could be built under, Conflict ``policy-would-loosen`` where
    a project that has had deliveries would come to hold more of people's identities than before.
    """
    wanted = checked(policies)
    before = {name: getattr(project, name) for name in wanted}
    changes = {name: value for name, value in wanted.items() if value != before[name]}
    if not changes:
        return project
    if project.ingests.exists():
        require_stricter(before=before, after=changes)
    if "training_policy" in changes:
        _require_a_lead_awake(project=project, policy=changes["training_policy"])
    with change(
        "project.policies-changed",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
        payload={name: {"before": before[name], "after": value} for name, value in changes.items()},
    ):
        return amend(project, expected_revision=project.revision, changes=changes)


def set_gate_policy(*, project: Project, policy: Mapping[str, str], actor: Actor, reason: str) -> Project:
    """Say what the geometry gate's findings mean in a project: code to accept, warn or quarantine.

    The whole policy is replaced; codes that are not named have their default. Raises as ``set_policies`` does.
    """
    return set_policies(project=project, policies={"gate_policy": dict(policy)}, actor=actor, reason=reason)


def _require_a_lead_awake(*, project: Project, policy: object) -> None:
    """Raise Conflict for a training policy under which nobody could lead the project any more."""
    wanted = Project(regulated=project.regulated, training_policy=policy)
    needed = set(trainings_needed(project=wanted, role=Role.QA_LEAD))
    for member in Membership.objects.filter(project=project, role=Role.QA_LEAD, active=True).select_related("user"):
        if member.user.is_active and (
            member.user.kind != UserKind.PERSON or needed <= current_trainings(user=member.user, project=project)
        ):
            return
    raise Conflict(
        f"every QA lead here would lack a training: {', '.join(sorted(needed))}; have it recorded first",
        code="policy-would-lock-out",
    )


def grant(*, project: Project, user: User, role: str, actor: Actor, reason: str) -> Membership:
    """Give ``user`` a role in ``project``; a withdrawn role is made active again, a held one stays as it is.

    Raises NotPermitted for a simulated actor in a regulated project, for an administrator who would review, and for
    roles that would end a reader's blindness.
    """
    if role not in Role.values:
        raise InvalidInput(f"{role!r} is not a role; roles are {', '.join(Role.values)}", code="no-such-role")
    if project.regulated and user.is_simulated:
        raise NotPermitted("simulated actors are refused in a regulated project", code="simulated-refused")
    if user.is_administrator and role in {Role.READER, Role.ADJUDICATOR}:
        raise NotPermitted("an administrator has no review rights", code="administrator-reviews")
    held = granted_roles(user=user, project=project)
    clashing = clash(held=held, wanted=role)
    if clashing is not None:
        raise NotPermitted(
            f"someone who is {clashing} here cannot also be {role}: reads would not be blind", code="roles-clash"
        )
    if role in PERMISSIONS["review"] and _has_inspected(project=project, user=user):
        raise NotPermitted(
            "someone who led or audited here has seen what checks and readers said: their reads would not be blind",
            code="was-not-blind",
        )
    membership = Membership.objects.filter(project=project, user=user, role=role).first()
    if membership is not None and membership.active:
        return membership
    with change(
        "membership.granted",
        actor=actor,
        reason=reason,
        subject=("user", str(user.pk)),
        project_key=project.key,
        payload={"role": role},
    ):
        if membership is not None:
            return amend(membership, expected_revision=membership.revision, changes={"active": True})
        membership = Membership(project=project, user=user, role=role)
        membership.save()
    return membership


def _has_inspected(*, project: Project, user: User) -> bool:
    """Return whether ``user`` ever held a role, withdrawn since or not, that shows flags with their scores."""
    return Membership.objects.filter(project=project, user=user, role__in=PERMISSIONS["inspect"]).exists()


def withdraw(*, membership: Membership, actor: Actor, reason: str) -> Membership:
    """Take a role away, at once."""
    with change(
        "membership.withdrawn",
        actor=actor,
        reason=reason,
        subject=("user", str(membership.user_id)),
        project_key=membership.project.key,
        payload={"role": membership.role},
    ):
        return amend(membership, expected_revision=membership.revision, changes={"active": False})
