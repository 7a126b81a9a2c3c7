"""What people and programs are shown goes on record before it is sent (REQ-40).

Every address is taken to show identifying data, so that a new one is recorded without anybody's thinking of it. The
two lists here name those of which that is not true, or which record themselves; a test walks all addresses and reads
what they answer.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from qaservice.accounts.models import User
from qaservice.projects.models import Project
from qaservice.trail.access import audited_projects
from qaservice.trail.viewing import record_viewing

# Recorded by the view with what it knows of the image or the file: which slice, which digest.
RECORDED_BY_THEMSELVES = frozenset(
    {
        "api:case",
        "api:outline-change",
        "api:report-kit",
        "api:slice",
        "portal:access-register",
        "portal:site-register",
    }
)
# People of the site, projects, models, rules and figures: nothing of a patient, of a study or of a delivered file.
WITHOUT_IDENTITIES = frozenset(
    {
        "api:access-register",
        "api:access-reviews",
        "api:adjudication",
        "api:alerts",
        "api:checkpoint",
        "api:consistency",
        "api:dataset-versions",
        "api:flag-counts",
        "api:label-rules",
        "api:me",
        "api:model",
        "api:model-fitness",
        "api:models",
        "api:my-signing",
        "api:own-sessions",
        "api:own-tokens",
        "api:policies",
        "api:progress",
        "api:project",
        "api:projects",
        "api:record-signatures",
        "api:report",
        "api:reports",
        "api:run",
        "api:runs",
        "api:schema",
        "api:session",
        "api:signature-certification",
        "api:signatures",
        "api:site-events",
        "api:training-needs",
        "api:training-records",
        "portal:access",
        "portal:account",
        "portal:account-of",
        "portal:administration",
        "portal:alerts",
        "portal:checkpoint-file",
        "portal:enrol-factor",
        "portal:factors",
        "portal:home",
        "portal:login",
        "portal:model",
        "portal:models",
        "portal:overview",
        "portal:password",
        "portal:people",
        "portal:plot",
        "portal:proofs",
        "portal:reports",
        "portal:sign",
        "portal:signatures",
        "portal:signed-record",
        "portal:signing",
        "portal:site-access",
        "portal:site-trail",
        "portal:training",
    }
)
# Answers to a POST that change nothing and show what is there.
SHOWN_ON_POST = frozenset({"api:label-rules-rehearsal", "portal:rules"})


class ViewingsOnRecord:
    """Middleware that records who was shown which page; what cannot be recorded is not sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        match, user = request.resolver_match, request.user
        if match is None or response.status_code != 200 or not isinstance(user, User):
            return response
        page = match.view_name
        if page in WITHOUT_IDENTITIES or page in RECORDED_BY_THEMSELVES:
            return response
        if request.method == "GET" or page in SHOWN_ON_POST:
            record_viewing(user=user, page=page, arguments=match.kwargs, projects=_several(request, page, user))
        return response


def _several(request: HttpRequest, page: str, user: User) -> list[Project]:
    """Return the projects of a page that shows several: the trail over all that one may audit."""
    if page != "api:trail":
        return []
    asked = request.GET.getlist("project")
    return [project for project in audited_projects(user=user) if not asked or project.key in asked]
