"""Who may read the trail: it tells scores, votes and outcomes, so nobody who still reads in the project (REQ-33)."""

from __future__ import annotations

from qaservice.accounts.models import User
from qaservice.common.errors import NotPermitted
from qaservice.projects.models import Project, Role
from qaservice.projects.rules import permits
from qaservice.projects.selectors import projects_of, require, roles_of

ACTION = "audit"
SITE = ""
"""What events that belong to no project have in the place of its key."""


def require_audit(*, user: User, project: Project) -> str:
    """Return the role in which ``user`` reads the project's trail.

    Raises NotFound for someone without any role here, NotPermitted where the roles do not allow it, or where they
    allow reading cases beside it: roles that end blindness are not given to readers, and this holds if one ever is.
    """
    role = require(user=user, project=project, action=ACTION)
    if permits(roles=roles_of(user=user, project=project), action="review"):
        raise NotPermitted("whoever still reads cases in a project does not see its trail", code="still-reads")
    return role


def audited_projects(*, user: User) -> list[Project]:
    """Return the projects whose trail ``user`` may read, by key."""
    held = ((project, roles_of(user=user, project=project)) for project in projects_of(user=user))
    return [
        project
        for project, roles in held
        if permits(roles=roles, action=ACTION) and not permits(roles=roles, action="review")
    ]


def require_site_audit(*, user: User) -> tuple[str, tuple[str, ...]]:
    """Return the role in which ``user`` reads the events of no project, and the projects of which they see with these
    how roles were given and taken: an administrator all of them, an auditor those that they audit.

    Raises NotPermitted for everybody else: what happened to accounts is no business of those who work with them.
    """
    if user.is_administrator:
        return "administrator", tuple(Project.objects.order_by("key").values_list("key", flat=True))
    audited = [one for one in audited_projects(user=user) if Role.AUDITOR in roles_of(user=user, project=one)]
    if not audited:
        raise NotPermitted("the trail of the site takes an auditor or an administrator", code="role-missing")
    return Role.AUDITOR.value, tuple(project.key for project in audited)
