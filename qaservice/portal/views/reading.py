"""The reader's way: the worklist, a batch picked from it, and one case after another."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET

from qaservice.common.errors import InvalidInput
from qaservice.portal.access import page, person, show, visit
from qaservice.portal.paging import paged
from qaservice.review.blinding import assignment_for
from qaservice.review.models import AssignmentState
from qaservice.review.selectors import next_waiting, worklist
from qaservice.studies.withdrawn import require_pixels

LARGEST_BATCH = 40
ORDERINGS = (
    ("number", "flag number"),
    ("case", "patient, then image"),
    ("state", "state"),
    ("-number", "newest first"),
)


@require_GET
@page
def reading_list(request: HttpRequest, key: str) -> HttpResponse:
    """The person's own cases. Nothing here tells which check raised a flag or how sure it was."""
    here = visit(request, key=key, action="review")
    state, ordering = request.GET.get("state", "waiting"), request.GET.get("ordering", "number")
    rows = worklist(user=here.user, project=here.project, state="" if state == "all" else state, ordering=ordering)
    return show(
        request,
        here,
        "worklist.html",
        {
            "rows": paged(request, rows),
            "states": [("waiting", "waiting for you"), *AssignmentState.choices, ("all", "all")],
            "orderings": ORDERINGS,
            "state": state,
            "ordering": ordering,
            "largest_batch": LARGEST_BATCH,
        },
    )


@require_GET
@page
def start_batch(request: HttpRequest, key: str) -> HttpResponseBase:
    """Begin with the first of the picked cases; the address carries the others."""
    visit(request, key=key, action="review")
    picked = request.GET.getlist("case")
    if not picked:
        messages.info(request, "Pick at least one case.")
        return redirect(reverse("portal:worklist", args=[key]))
    batch = _batch(",".join(picked[:LARGEST_BATCH]))
    return redirect(_case_address(key, batch[0], batch))


@require_GET
@page
@ensure_csrf_cookie
def case(request: HttpRequest, key: str, assignment_id: uuid.UUID) -> HttpResponse:
    """One case in the viewer. What may be seen of it comes from the API, which keeps the reader blind."""
    here = visit(request, key=key, action="review")
    assignment = assignment_for(user=here.user, assignment_id=str(assignment_id))
    require_pixels(assignment.flag.series)
    batch = _batch(request.GET.get("batch", ""))
    position = batch.index(str(assignment.pk)) + 1 if str(assignment.pk) in batch else 0
    following = batch[position] if 0 < position < len(batch) else ""
    if following:
        next_url, next_text = _case_address(key, following, batch), f"Next case ({position + 1} of {len(batch)})"
    elif position:
        next_url, next_text = reverse("portal:worklist", args=[key]), "Batch finished: back to the worklist"
    else:
        next_url, next_text = reverse("portal:next-case", args=[key, assignment.pk]), "Next case"
    context = {
        "assignment": assignment,
        "position": position,
        "batch": batch,
        "next_url": next_url,
        "next_text": next_text,
    }
    return show(request, here, "case.html", context)


@require_GET
@page
def next_case(request: HttpRequest, key: str, assignment_id: uuid.UUID) -> HttpResponseBase:
    """Go to the person's next waiting case, or back to the worklist when there is none."""
    visit(request, key=key, action="review")
    assignment = assignment_for(user=person(request), assignment_id=str(assignment_id))
    following = next_waiting(assignment=assignment)
    if following is None:
        messages.success(request, "No more cases wait for you here.")
        return redirect(reverse("portal:worklist", args=[key]))
    return redirect(_case_address(key, str(following.pk), []))


def _batch(text: str) -> list[str]:
    """Return the ids of a batch as the address carries them. Raises InvalidInput for anything else."""
    try:
        return [str(uuid.UUID(part)) for part in text.split(",") if part][:LARGEST_BATCH]
    except ValueError as error:
        raise InvalidInput("this batch is not one that the worklist made", code="unusable-batch") from error


def _case_address(key: str, assignment_id: str, batch: list[str]) -> str:
    address = reverse("portal:case", args=[key, assignment_id])
    return f"{address}?batch={','.join(batch)}" if batch else address
