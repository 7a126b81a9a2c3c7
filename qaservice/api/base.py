"""What every view of the API shares: the project of the address, checked for the caller's right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rest_framework.request import Request
from rest_framework.views import APIView

from compliance.recording import Actor
from qaservice.accounts.models import User
from qaservice.common.errors import InvalidInput
from qaservice.projects.models import Project
from qaservice.projects.selectors import project_for, require


class ApiView(APIView):
    """A view that translates: it checks the right, calls one service or selector, and answers."""

    def caller(self, request: Request) -> User:
        """Return the account that calls; authentication has been enforced before."""
        return cast(User, request.user)

    def project(self, request: Request, key: str, action: str) -> tuple[Project, Actor]:
        """Return the project and the caller as the record names them. Raises NotFound or NotPermitted."""
        user = self.caller(request)
        project = project_for(user=user, key=key)
        return project, self.allowed(request, project, action)

    def allowed(self, request: Request, project: Project, action: str) -> Actor:
        """Return the caller acting in the role that permits ``action``."""
        user = self.caller(request)
        role = require(user=user, project=project, action=action)
        return user.as_actor(role=role)

    def body(self, request: Request) -> Mapping[str, Any]:
        """Return the fields of the request's body. Raises InvalidInput where it is a list or a single value."""
        data = request.data
        if not isinstance(data, Mapping):
            raise InvalidInput("the body of this request is an object with named fields", code="body-not-an-object")
        return data

    def reason(self, request: Request) -> str:
        """Return the reason given with a change; blank is refused (REQ-13)."""
        data = request.data
        reason = str(data.get("reason", "")).strip() if isinstance(data, Mapping) else ""
        if not reason:
            raise InvalidInput("give a reason for this change in the field 'reason'", code="reason-missing")
        return reason
