"""The dataset as a whole: concerns that have no place in an image, what became of them, and which checks ran."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from qaservice.analysis.concerns import ConcernView, concern_for, concerns_of, may_not_settle, settle_concern
from qaservice.analysis.dataset_models import Concern, ConcernState, DatasetPass
from qaservice.common.errors import InvalidInput
from qaservice.portal.access import Visit, carried_out, page, reason_of, show, visit
from qaservice.portal.paging import paged
from qaservice.portal.places import SeriesLink, series_links
from qaservice.projects.label_rules import current_rules
from qaservice.projects.models import Project

EVERY = "all"
SHOWN_SERIES = 6

CHECKS = {
    "near_duplicate": "The same images or labels twice",
    "out_of_distribution": "Images and labels unlike the rest",
    "confident_learning": "Labels that all the others speak against",
    "taxonomy_drift": "Categories and ratings used in different ways",
}
KINDS = {
    "same-image-twice": "The same images are held twice",
    "same-patient-in-two-splits": "One patient lies in several parts of the dataset",
    "copied-labels": "One set of labels stands on two series",
    "image-unlike-the-rest": "An image looks unlike the rest",
    "rare-acquisition": "A rare way of scanning",
    "outside-the-model": "Series on which the QA model has no opinion",
    "rule-broken": "A rule of this project is broken",
}
BY_FACTOR = {"reader": "from reader to reader", "guideline": "between guidelines", "time": "over time"}
SETTLED = {ConcernState.CONFIRMED: "something is wrong", ConcernState.DISMISSED: "nothing is wrong"}
DECISIONS = {ConcernState.CONFIRMED: "is confirmed", ConcernState.DISMISSED: "is dismissed"}


@dataclass(frozen=True)
class Decision:
    """Who settled a concern as it stands, when and why."""

    person: str
    role: str
    at: object
    reason: str
    meaning: str


@dataclass(frozen=True)
class ConcernRow:
    """One concern on the page. ``why_not``: why this visitor may not settle it, "" where they may."""

    view: ConcernView
    title: str
    check: str
    about: str
    series: tuple[SeriesLink, ...]
    more: tuple[SeriesLink, ...]
    seen_before: bool
    decision: Decision | None
    why_not: str


@dataclass(frozen=True)
class CheckRow:
    """How one check over the dataset ended in the newest run."""

    name: str
    title: str
    version: str
    status: str
    issues: int
    detail: str
    is_rule: bool


@require_GET
@page
def dataset(request: HttpRequest, key: str) -> HttpResponse:
    """Concerns with their newest evidence, open ones unless others are asked for, and how each check ended."""
    here = visit(request, key=key, action="inspect")
    counts = dict(Concern.objects.filter(project=here.project).order_by().values_list("state").annotate(n=Count("pk")))
    asked = request.GET.get("state", ConcernState.OPEN)
    if asked not in {*ConcernState.values, EVERY}:
        raise InvalidInput(f"there is no state {asked[:40]!r} of concerns", code="no-such-state")
    views = concerns_of(project=here.project, state="" if asked == EVERY else asked)
    newest = _newest_pass(here.project)
    listed = paged(request, views)
    standing = current_rules(project=here.project)
    context = {
        "state": asked,
        "filters": [
            *((state.value, state.label, counts.get(state.value, 0)) for state in ConcernState),
            (EVERY, "all", sum(counts.values())),
        ],
        "listed": listed,
        "concerns": _rows(here, list(listed.page), newest),
        "any": sum(counts.values()),
        "newest": newest,
        "checks": [] if newest is None else [_check_row(one) for one in newest.checks],
        "rules_since": newest is not None and standing is not None and newest.rules_id != standing.pk,
    }
    return show(request, here, "dataset.html", context)


@require_POST
@page
def settle(request: HttpRequest, key: str, concern_id: uuid.UUID) -> HttpResponseBase:
    """Confirm or dismiss a concern."""
    here = visit(request, key=key, action="manage")
    concern = concern_for(project=here.project, concern_id=concern_id)
    back = request.POST.get("back", "")
    shown = reverse("portal:dataset", args=[key])
    if not (back.startswith("?") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)):
        back = ""

    def work() -> str:
        decision = request.POST.get("decision", "")
        settled = settle_concern(
            concern=concern,
            decision=decision,
            expected_revision=_revision(request.POST.get("revision", "")),
            actor=here.actor("manage"),
            reason=reason_of(request),
        )
        return f"{settled} {DECISIONS[ConcernState(settled.state)]}."

    return carried_out(request, work=work, back=shown + back)


def _rows(here: Visit, views: Sequence[ConcernView], newest: DatasetPass | None) -> list[ConcernRow]:
    uids = [str(uid) for view in views for uid in view.observation.series]
    links = series_links(project=here.project, uids=uids)
    return [_row(here, view, links, newest) for view in views]


def _row(here: Visit, view: ConcernView, links: Mapping[str, SeriesLink], newest: DatasetPass | None) -> ConcernRow:
    named = [links[str(uid)] for uid in view.observation.series]
    # One more link takes no more room than the words "1 more".
    cut = SHOWN_SERIES if len(named) > SHOWN_SERIES + 1 else len(named)
    return ConcernRow(
        view=view,
        title=_title(view.concern),
        check=_check_title(view.concern.check_name),
        # Where the subject is the series themselves, the links name them already.
        about="" if links.keys() >= set(view.concern.subject.split()) else view.concern.subject,
        series=tuple(named[:cut]),
        more=tuple(named[cut:]),
        seen_before=newest is not None and view.observation.run_id != newest.run_id,
        decision=_decision(view.concern),
        why_not=may_not_settle(concern=view.concern, actor=here.actor("manage")) if here.may["manage"] else "",
    )


def _title(concern: Concern) -> str:
    what, _, factor = concern.kind.partition("-by-")
    if factor:
        used = "A category is used" if what == "category" else "Ratings are given"
        return f"{used} differently {BY_FACTOR.get(factor, f'by {factor}')}"
    return KINDS.get(concern.kind, concern.kind.replace("-", " ").capitalize())


def _decision(concern: Concern) -> Decision | None:
    if concern.state == ConcernState.OPEN:
        return None
    row = concern.history.order_by("-revision").first()
    return Decision(
        person=row.actor_name,
        role=row.actor_role,
        at=row.history_date,
        reason=concern.settled_because,
        meaning=SETTLED[ConcernState(concern.state)],
    )


def _newest_pass(project: Project) -> DatasetPass | None:
    passes = DatasetPass.objects.filter(run__project=project).select_related("run", "rules", "event")
    return passes.order_by("-run__number").first()


def _check_row(one: Mapping[str, object]) -> CheckRow:
    name = str(one.get("check", ""))
    is_rule = name.startswith("rule:")
    issues = one.get("issue_count", 0)
    return CheckRow(
        name=name,
        title=_check_title(name),
        version=str(one.get("version", "")),
        status=str(one.get("status", "")),
        issues=issues if isinstance(issues, int) else 0,
        detail=str(one.get("detail", "")),
        is_rule=is_rule,
    )


def _check_title(name: str) -> str:
    if name.startswith("rule:"):
        return f"Rule {name.removeprefix('rule:')}"
    return CHECKS.get(name, name.replace("_", " "))


def _revision(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidInput("the form does not say which state of the concern it was about", code="revision-missing")
    return int(text)
