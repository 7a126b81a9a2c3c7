"""Projects as one person may see them."""

from __future__ import annotations

from django.db.models import QuerySet

from qaservice.accounts.models import User
from qaservice.common.errors import NotFound, NotPermitted
from qaservice.projects.models import Membership, Project
from qaservice.projects.rules import PERMISSIONS, permits
from qaservice.projects.training import awake, missing_trainings


def roles_of(*, user: User, project: Project) -> frozenset[str]:
    """Return the roles in which ``user`` may act in ``project`` now: granted, and with every training they need."""
    return frozenset(role for role, missing in granted_roles(user=user, project=project).items() if not missing)


def granted_roles(*, user: User, project: Project) -> dict[str, tuple[str, ...]]:
    """Return the roles that ``user`` was given, each with the trainings for want of which it sleeps (REQ-18)."""
    if not user.is_active:
        return {}
    roles = list(
        Membership.objects.filter(user=user, project=project, active=True)
        .order_by("role")
        .values_list("role", flat=True)
    )
    if user.is_administrator:
        # Refused when a role is given; this holds for whoever became an administrator later (REQ-15).
        roles = [role for role in roles if role not in PERMISSIONS["review"]]
    return missing_trainings(user=user, project=project, roles=roles)


def holders(*, project: Project, action: str) -> list[User]:
    """Return the people whose roles, awake now, let them do ``action`` in ``project``, by username."""
    given = Membership.objects.filter(project=project, active=True, role__in=PERMISSIONS[action], user__is_active=True)
    if action == "review":
        given = given.filter(user__is_administrator=False)
    members = awake(project=project, members=given.select_related("user").order_by("user__username", "role"))
    return list({member.user_id: member.user for member in members}.values())


def projects_of(*, user: User) -> QuerySet[Project]:
    """Return the projects in which ``user`` was given a role, asleep or awake, by key."""
    held = Membership.objects.filter(user=user, active=True).values("project")
    return Project.objects.filter(pk__in=held).order_by("key")


def project_for(*, user: User, key: str) -> Project:
    """Return the project of that key. Raises NotFound where the user has no role there, as if it did not exist."""
    project = projects_of(user=user).filter(key=key).first()
    if project is None:
        raise NotFound(f"there is no project {key!r} for you", code="no-such-project")
    return project


def require(*, user: User, project: Project, action: str) -> str:
    """Return the role in which ``user`` may do ``action`` here.

    Raises NotFound for someone without any role here, NotPermitted for someone whose roles do not allow it, or whose
    role sleeps for want of a training.
    """
    granted = granted_roles(user=user, project=project)
    if not granted:
        # Whoever came by a thing's id must not learn the key of its project.
        raise NotFound("there is no such thing for you", code="no-such-project")
    roles = [role for role, missing in granted.items() if not missing]
    if not permits(roles=roles, action=action):
        asleep = sorted({name for role, missing in granted.items() if role in PERMISSIONS[action] for name in missing})
        if asleep:
            raise NotPermitted(
                f"your role here sleeps until a current training is on record: {', '.join(asleep)}; ask the QA lead",
                code="training-missing",
                details={"trainings": asleep},
            )
        needed = ", ".join(sorted(PERMISSIONS[action]))
        raise NotPermitted(f"this takes one of these roles in the project: {needed}", code="role-missing")
    return sorted(PERMISSIONS[action].intersection(roles))[0]


def project_by_key(*, key: str) -> Project:
    """Return the project of that key, for commands run by the server's operator. Raises NotFound."""
    project = Project.objects.filter(key=key).first()
    if project is None:
        raise NotFound(f"there is no project {key!r}", code="no-such-project")
    return project
