"""The quarantine: files that were not taken, by reason, and trying them again."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.portal.paging import paged
from qaservice.studies.quarantine import (
    QuarantineState,
    ReasonGroup,
    chosen,
    open_count,
    quarantined,
    reason_groups,
    retry,
)
from qaservice.studies.storing import keeps_bytes

ADVICE = {
    "images-not-held": "Send the images that the file describes; then try it again.",
    "series-refused": "Look at what the geometry gate says of the series. Once its images are mended or the project's "
    "policy accepts them, try the file again.",
    "same-uid-other-bytes": "Two different files carry one SOP Instance UID. Find out at the source which is right; "
    "the one held first stays as it is, and trying again changes nothing while it does.",
    "series-in-two-studies": "One series is said to belong to two studies. This has to be mended at the source.",
    "readings-already-held": "The series has the readings of another file. Readers are not counted twice.",
    "wrong-modality": "Labels are checked on CT here. There is nothing to do, unless the file names its modality "
    "wrongly.",
    "label-outside-image": "The label does not lie on the image that it names. Mend it at its source and "
    "send it again.",
    "not-read-here": "This version does not read such files. Try them again after an update.",
    "parser-took-too-long": "The file kept its parser busy beyond the limit. Try it again when the machine is less "
    "busy; a second failure means that the file is damaged.",
    "parser-out-of-memory": "Reading the file took more memory than is allowed for one file.",
    "parser-died": "The file ended the program that read it; it is damaged, or made to do harm.",
    "missing-slices": "Slices are missing from the series. Send them: the series is judged anew with what is held.",
    "too-few-slices": "There are too few slices for a volume. Send the others: the series is judged anew.",
}
ANYTHING_ELSE = (
    "Read what is wrong below. Mend the file at its source and send it again; or try it again after a change of the "
    "project's policy or of this software."
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason with what can be done about it."""

    group: ReasonGroup
    advice: str


@require_GET
@page
def quarantine(request: HttpRequest, key: str) -> HttpResponse:
    """Every file that was not taken, by reason: what is wrong, what helps, and a button to try again."""
    here = visit(request, key=key, action="ingest")
    state: QuarantineState = "resolved" if request.GET.get("state") == "resolved" else "open"
    code = request.GET.get("code", "")
    groups = reason_groups(project=here.project, state=state)
    rows = quarantined(project=here.project, state=state, code=code)
    return show(
        request,
        here,
        "quarantine.html",
        {
            "state": state,
            "code": code,
            "reasons": [Reason(group, ADVICE.get(group.code, ANYTHING_ELSE)) for group in groups],
            "items": paged(request, rows),
            "open_files": open_count(here.project),
            "keeps": keeps_bytes(here.project),
        },
    )


@require_POST
@page
def try_again(request: HttpRequest, key: str) -> HttpResponseBase:
    """Try files again: the marked ones, or all with one reason."""
    here = visit(request, key=key, action="ingest")

    def work() -> str:
        reason = reason_of(request)
        items = chosen(project=here.project, item_ids=request.POST.getlist("item"), code=request.POST.get("code", ""))
        made = retry(project=here.project, items=items, actor=here.actor("ingest"), reason=reason)
        number = sum(1 for item in items if item.kept_id)
        left = len(items) - number
        files = "1 file is" if number == 1 else f"{number} files are"
        told = f"{files} being tried again, in {len(made)} deliver{'y' if len(made) == 1 else 'ies'}."
        return told + (f" {left} without kept bytes stay here: send them again." if left else "")

    return carried_out(request, work=work, back=reverse("portal:quarantine", args=[key]))
