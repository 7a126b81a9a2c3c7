"""A project's own rules: as they stand, an editor, a test run over what the project holds, and putting into force."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from imaging.checks.rules import RuleRehearsal
from imaging.checks.rules_document import MOST_CHARACTERS
from qaservice.analysis.rehearsing import Rehearsal, rehearse_rules
from qaservice.common.errors import Conflict, InvalidInput, ServiceError
from qaservice.portal.access import Visit, page, reason_of, sentence, show, status_of, visit
from qaservice.portal.places import Example, examples_of
from qaservice.portal.rule_words import (
    EXAMPLE,
    FIELDS,
    RuleChanges,
    RuleWords,
    changes_between,
    operators_in_words,
    rules_in_words,
    severities,
)
from qaservice.projects.label_rules import current_rules, rule_set, rules_from_text, rules_history, set_rules
from qaservice.projects.models import LabelRules


@dataclass(frozen=True)
class Tried:
    """One rule of a test run: in words, what it would raise, its examples, and where it speaks by group."""

    words: RuleWords
    told: RuleRehearsal | None
    examples: tuple[Example, ...]
    groups: tuple[tuple[str, tuple[tuple[str, int, int], ...]], ...]


@dataclass(frozen=True)
class Trial:
    """A document on trial. ``rehearsal`` is None where there is nothing to try it on, and ``why_not`` says so."""

    text: str
    rules: tuple[Tried, ...]
    changes: RuleChanges
    rehearsal: Rehearsal | None
    why_not: str


@dataclass(frozen=True)
class Fault:
    """Why a document was not taken. ``rule`` and ``field`` are "" where no single one is at fault."""

    message: str
    rule: str
    field: str


@require_http_methods(["GET", "POST"])
@page
def rules(request: HttpRequest, key: str) -> HttpResponseBase:
    """The rules as they stand with every version before; what the lead sends is tried or put into force."""
    if request.method != "POST":
        here = visit(request, key=key, action="inspect")
        return _shown(request, here, typed=None)
    here = visit(request, key=key, action="manage")
    typed = request.POST.get("text", "").replace("\r\n", "\n")
    force = request.POST.get("step") == "force"
    tried, fault, status = None, None, 200
    try:
        typed = _uploaded(request) or typed
        tried = _tried(here, typed)
        if force:
            _see_that_nobody_was_quicker(here, request.POST.get("standing", ""))
            made = set_rules(project=here.project, text=typed, actor=here.actor("manage"), reason=reason_of(request))
            number = f"{made.rule_count} rule{'' if made.rule_count == 1 else 's'}"
            messages.success(request, f"Version {made.number} with {number} is in force from the next run on.")
            return redirect(reverse("portal:rules", args=[key]))
    except ServiceError as error:
        fault, status = _fault(error), status_of(error)
    return _shown(request, here, typed=typed, tried=tried, fault=fault, status=status)


def _shown(
    request: HttpRequest,
    here: Visit,
    *,
    typed: str | None,
    tried: Trial | None = None,
    fault: Fault | None = None,
    status: int = 200,
) -> HttpResponse:
    standing = current_rules(project=here.project)
    context = {
        "standing": standing,
        "standing_words": rules_in_words(rule_set(standing)),
        "history": list(rules_history(project=here.project)),
        "text": typed if typed is not None else standing.text if standing is not None else "",
        "tried": tried,
        "unchanged": tried is not None and standing is not None and tried.text == standing.text,
        "fault": fault,
        "typed_reason": request.POST.get("reason", ""),
        "example": EXAMPLE,
        "fields": FIELDS,
        "operators": operators_in_words(),
        "severities": severities(),
    }
    return show(request, here, "rules.html", context, status=status)


def _tried(here: Visit, text: str) -> Trial:
    if not text.strip():
        raise InvalidInput(
            "there is nothing to try: write rules or choose a file; to take all rules back write “rules: []”",
            code="rules-missing",
        )
    asked = rules_from_text(text)
    words = rules_in_words(asked)
    changes = changes_between(standing=rule_set(current_rules(project=here.project)), tried=asked)
    try:
        rehearsal = rehearse_rules(project=here.project, text=text)
    except Conflict as nothing:
        untried = tuple(Tried(one, None, (), ()) for one in words)
        return Trial(text, untried, changes, None, sentence(nothing.message))
    examples = examples_of(project=here.project, rules=rehearsal.rules)
    rows = tuple(
        Tried(one, told, tuple(shown), _groups(told))
        for one, told, shown in zip(words, rehearsal.rules, examples, strict=True)
    )
    return Trial(text, rows, changes, rehearsal, "")


def _groups(told: RuleRehearsal) -> tuple[tuple[str, tuple[tuple[str, int, int], ...]], ...]:
    """Return the groups in which a rule about labels would speak; groups where it is silent are left out."""
    found = []
    for grouping, groups in told.by_group.items():
        struck = tuple((name, broken, labels) for name, (broken, labels) in groups.items() if broken)
        if struck:
            found.append((grouping, struck))
    return tuple(found)


def _uploaded(request: HttpRequest) -> str:
    upload = request.FILES.get("file")
    if not isinstance(upload, UploadedFile):
        return ""
    # A character takes at most four bytes; one more than may be is enough to tell.
    data: bytes = upload.read(4 * MOST_CHARACTERS + 1)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InvalidInput("the file is no text in UTF-8", code="rules-not-text") from error
    if not text.strip():
        raise InvalidInput("the file is empty", code="rules-missing")
    return text


def _see_that_nobody_was_quicker(here: Visit, seen: str) -> None:
    standing: LabelRules | None = current_rules(project=here.project)
    if seen != (str(standing.number) if standing is not None else "0"):
        raise Conflict(
            "somebody else put rules into force since your test run; look at what stands now and try yours again",
            code="rules-changed-meanwhile",
        )


def _fault(error: ServiceError) -> Fault:
    rule, field = (str(error.details.get(name, "")) for name in ("rule", "field"))
    where, colon, why = error.message.partition(": ")
    told = why if rule and colon and where.startswith(rule) else error.message
    return Fault(message=sentence(told), rule="" if rule == "document" else rule, field=field)
