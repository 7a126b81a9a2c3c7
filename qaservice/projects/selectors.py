"""Projects as one person may see them."""

from __future__ import annotations

from django.db.models import QuerySet

from qaservice.accounts.models import User
from qaservice.common.errors import NotFound, NotPermitted
from qaservice.projects.models import Membership, Project
from qaservice.projects.rules import PERMISSIONS, permits


def roles_of(*, user: User, project: Project) -> frozenset[str]:
    """Return the active roles of ``user`` in ``project``."""
    if not user.is_active:
        return frozenset()
    rows = Membership.objects.filter(user=user, project=project, active=True)
    return frozenset(rows.values_list("role", flat=True))


def projects_of(*, user: User) -> QuerySet[Project]:
    """Return the projects in which ``user`` has an active role, by key."""
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

    Raises NotFound for someone without any role here, NotPermitted for someone whose roles do not allow it.
    """
    roles = roles_of(user=user, project=project)
    if not roles:
        raise NotFound(f"there is no project {project.key!r} for you", code="no-such-project")
    if not permits(roles=roles, action=action):
        needed = ", ".join(sorted(PERMISSIONS[action]))
        raise NotPermitted(f"this takes one of these roles in the project: {needed}", code="role-missing")
    return sorted(PERMISSIONS[action].intersection(roles))[0]


def project_by_key(*, key: str) -> Project:
    """Return the project of that key, for commands run by the server's operator. Raises NotFound."""
    project = Project.objects.filter(key=key).first()
    if project is None:
        raise NotFound(f"there is no project {key!r}", code="no-such-project")
    return project
