"""The trail, the register of looks, the life of one record, and the check that nothing in it was altered."""

from __future__ import annotations

from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.models import Event
from compliance.recording import OPERATOR, SYSTEM, registered_events
from compliance.verification import verify_live
from qaservice.accounts.models import User
from qaservice.common.errors import InvalidInput
from qaservice.portal.access import Visit, page, person, reason_of, sentence, show, show_site, visit
from qaservice.portal.trail_rows import rows_of_looks, rows_of_trail, shown_life
from qaservice.projects.models import Project, Role
from qaservice.trail.access import ACTION, SITE, require_audit, require_site_audit
from qaservice.trail.exporting import Export, export_record, export_trail
from qaservice.trail.life import life_of
from qaservice.trail.looks import TAKEN_OUT, VIEWED, looks_found
from qaservice.trail.paging import NEWEST_FIRST, EventPage, page_of
from qaservice.trail.records import SUBJECTS, kind_of
from qaservice.trail.search import Search, events_found, read_search

ROWS_A_PAGE = 100
FILTERS = ("since", "until", "actor", "role", "kind", "type", "subject", "text", "series", "what", "ordering")
ORDER_WORDS = (
    ("-time", "newest first"),
    ("time", "oldest first"),
    ("person", "by person"),
    ("role", "by role"),
    ("action", "by action"),
    ("record", "by record"),
    ("reason", "by reason"),
)
SITE_SUBJECTS = (
    ("user", "account"),
    ("login", "name or address"),
    ("alert", "alert"),
    ("certification", "certification to FDA"),
    ("ledger", "key of the ledger"),
    ("witness", "witness"),
    ("backup", "backup"),
    ("site", "the site"),
)
_MACHINES = [(one.id, one.name) for one in (SYSTEM, OPERATOR)]
ROLES = (*Role.choices, ("system", "system"), ("operator", "operator"))


@require_GET
@page
def trail(request: HttpRequest, key: str) -> HttpResponse:
    """Everything that happened in the project: who, when, what, to which record, and the reason."""
    here = _auditing(request, key)
    asked, problem, found = _asked(request), "", EventPage((), "", "")
    try:
        found = _page(request, events_found(_search(here.project, asked)))
    except InvalidInput as error:
        problem = sentence(error.message)
    context = _shared(here, asked, found, problem) | {
        "rows": rows_of_trail(found.events),
        "kinds": _kinds(),
        "types": [(name, kind_of(model)) for name, model in sorted(SUBJECTS.items())],
        "roles": ROLES,
        "here": reverse("portal:trail", args=[key]),
        "target": reverse("portal:trail-export", args=[key]),
        "site_too": Role.AUDITOR in here.roles,
    }
    return show(request, here, "trail.html", context, status=400 if problem else 200)


@require_GET
@page
def site_trail(request: HttpRequest) -> HttpResponse:
    """What happened to accounts and to the site itself, in no project: logins, locks, factors, keys, and roles."""
    _, roles_in = require_site_audit(user=person(request))
    asked, problem, found = _asked(request), "", EventPage((), "", "")
    try:
        found = _page(request, events_found(_site_search(asked, roles_in)))
    except InvalidInput as error:
        problem = sentence(error.message)
    context = _searched(asked, found, problem) | {
        "people": [*_named(User.objects.order_by("display_name", "username")), *_MACHINES],
        "rows": rows_of_trail(found.events),
        "kinds": _kinds(),
        "types": SITE_SUBJECTS,
        "roles": (
            *ROLES,
            ("administrator", "administrator"),
            ("user", "user"),
            ("signer", "signer"),
            ("none", "not logged in"),
        ),
        "here": reverse("portal:site-trail"),
        "target": reverse("portal:site-trail-export"),
    }
    return show_site(request, "trail.html", context, status=400 if problem else 200)


@require_POST
@page
def hand_out_site(request: HttpRequest) -> HttpResponseBase:
    """Hand out what a search of the site's trail finds; it is recorded."""
    role, roles_in = require_site_audit(user=person(request))
    asked = {name: request.POST.get(name, "").strip() for name in FILTERS}
    return _sent(
        export_trail(
            project=None,
            search=_site_search(asked, roles_in),
            looks=None,
            series="",
            form=request.POST.get("format", ""),
            actor=person(request).as_actor(role=role),
            reason=reason_of(request),
        )
    )


@require_GET
@page
def looks(request: HttpRequest, key: str) -> HttpResponse:
    """Who looked at which images, and who took images or identifying data out (REQ-40)."""
    here = _auditing(request, key)
    asked, problem, found = _asked(request), "", EventPage((), "", "")
    try:
        search = _search(here.project, asked)
        found = _page(request, looks_found(search, series=asked["series"], what=asked["what"]))
    except InvalidInput as error:
        problem = sentence(error.message)
    context = _shared(here, asked, found, problem) | {
        "rows": rows_of_looks(found.events),
        "kinds": _kinds(*VIEWED, *TAKEN_OUT),
        "here": reverse("portal:looks", args=[key]),
    }
    return show(request, here, "looks.html", context, status=400 if problem else 200)


@require_GET
@page
def record(request: HttpRequest, key: str, table: str, record_id: str) -> HttpResponse:
    """The life of one record: its states with what changed, what belongs to it, and where each event is sealed."""
    here = _auditing(request, key)
    life = life_of(project=here.project, table=table, key=record_id)
    return show(request, here, "record.html", {"life": shown_life(life)})


@require_POST
@page
def hand_out(request: HttpRequest, key: str) -> HttpResponseBase:
    """Hand out what a search of the trail or of the register finds; it is recorded."""
    here = _auditing(request, key)
    asked = {name: request.POST.get(name, "").strip() for name in FILTERS}
    return _sent(
        export_trail(
            project=here.project,
            search=_search(here.project, asked),
            looks=asked["what"] if request.POST.get("register") else None,
            series=asked["series"],
            form=request.POST.get("format", ""),
            actor=here.actor(ACTION),
            reason=reason_of(request),
        )
    )


@require_POST
@page
def hand_out_record(request: HttpRequest, key: str, table: str, record_id: str) -> HttpResponseBase:
    """Hand out the life of one record; it is recorded."""
    here = _auditing(request, key)
    return _sent(
        export_record(
            project=here.project,
            table=table,
            key=record_id,
            form=request.POST.get("format", ""),
            actor=here.actor(ACTION),
            reason=reason_of(request),
        )
    )


@require_POST
@page
def verify(request: HttpRequest, key: str) -> HttpResponse:
    """Recompute every hash of the record and say whether anything was altered."""
    here = _auditing(request, key)
    return show(request, here, "verification.html", {"result": verify_live()})


def _sent(export: Export) -> StreamingHttpResponse:
    return StreamingHttpResponse(export.pieces, content_type=export.media_type, headers=export.headers)


def _auditing(request: HttpRequest, key: str) -> Visit:
    here = visit(request, key=key, action=ACTION)
    require_audit(user=person(request), project=here.project)
    return here


def _asked(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").strip() for name in FILTERS}


def _search(project: Project, asked: dict[str, str]) -> Search:
    return read_search(asked, kinds=[asked["kind"]], projects=[project.key])


def _page(request: HttpRequest, rows: QuerySet[Event]) -> EventPage:
    ordering = request.GET.get("ordering", "").strip() or NEWEST_FIRST
    return page_of(rows, ordering=ordering, cursor=request.GET.get("cursor", ""), size=ROWS_A_PAGE)


def _site_search(asked: dict[str, str], roles_in: tuple[str, ...]) -> Search:
    return read_search(asked, kinds=[asked["kind"]], projects=[SITE], roles_in=roles_in)


def _shared(here: Visit, asked: dict[str, str], found: EventPage, problem: str) -> dict[str, object]:
    return _searched(asked, found, problem) | {"people": _people(here.project, asked["actor"])}


def _searched(asked: dict[str, str], found: EventPage, problem: str) -> dict[str, object]:
    kept = urlencode({name: value for name, value in asked.items() if value})
    return {
        "asked": asked,
        "problem": problem,
        "found": found,
        "query": f"{kept}&" if kept else "",
        "orderings": ORDER_WORDS,
        "narrowed": any(value for name, value in asked.items() if name != "ordering"),
    }


def _named(rows: QuerySet[User]) -> list[tuple[str, str]]:
    return [(str(one.pk), str(one)) for one in rows]


def _people(project: Project, asked: str) -> list[tuple[str, str]]:
    """Return who may be searched for: those who ever had a role here, and whoever is being searched for."""
    rows = User.objects.filter(memberships__project=project).distinct().order_by("display_name", "username")
    people = [*_named(rows), *_MACHINES]
    if asked and asked not in {key for key, _ in people}:
        named = (
            Event.objects.filter(project_key=project.key, actor_id=asked).values_list("actor_name", flat=True).first()
        )
        people.append((asked, named or asked))
    return people


def _kinds(*wanted: str) -> list[tuple[str, str]]:
    """Return the registered kinds of event with what they mean, all of them unless some are named."""
    return [(one.kind, one.description) for one in registered_events() if not wanted or one.kind in wanted]
