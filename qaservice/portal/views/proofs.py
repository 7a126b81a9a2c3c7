"""Proofs to hand out and to take: checkpoints, their continuation, witnesses, and the card of one flag or finding."""

from __future__ import annotations

import base64

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.checkpoint_files import configured, kept_note, kept_sizes, require_place
from compliance.checkpoints import key_history
from compliance.errors import RecordError
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.merkle import IncompleteTree
from compliance.ledger.note import MOST_BYTES, Checkpoint
from compliance.proofs import consistency_proof
from compliance.rendering.qr import as_svg, qr_code
from compliance.sealing import size as sealed_size
from compliance.timestamps import stamped_sizes
from compliance.witnesses import take_cosigned, witnesses
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.reports.proof_cards import export_proof_card, shown_proof_card


@require_GET
@page
def proofs(request: HttpRequest, key: str) -> HttpResponse:
    """The newest checkpoint, the ledger's keys, who co-signs, and where a card is asked for."""
    here = visit(request, key=key, action="audit")
    place = configured()
    sizes = [] if place is None else kept_sizes(place)
    newest = kept_note(place, sizes[-1]) if place is not None and sizes else None
    return show(
        request,
        here,
        "proofs.html",
        {
            "note": "" if newest is None else str(newest),
            "head": None if newest is None else Checkpoint.parse(newest.text),
            "sizes": sizes[-50:][::-1],
            "count": len(sizes),
            "sealed": sealed_size(),
            "stamped": 0 if place is None else len(stamped_sizes(place)),
            "keys": [(index, str(one)) for index, one, fault in key_history() if not fault],
            "witnesses": [] if place is None else witnesses(),
        },
    )


@require_GET
@page
def checkpoint_file(request: HttpRequest, key: str) -> HttpResponse:
    """The newest checkpoint as a file, or the proof that it continues the one of ``since`` events."""
    visit(request, key=key, action="audit")
    place = require_place()
    sizes = kept_sizes(place)
    if not sizes:
        raise NotFound("no checkpoint was published yet", code="no-checkpoint")
    since = request.GET.get("since", "")
    if not since:
        return _download(str(kept_note(place, sizes[-1])).encode(), f"{sizes[-1]}.checkpoint", "text/plain")
    try:
        proof = consistency_proof(first=int(since), second=sizes[-1])
    except (IncompleteTree, ValueError) as error:
        raise InvalidInput(f"there is no tree of {since} events within {sizes[-1]}", code="no-such-size") from error
    return _download(canonical_bytes(proof) + b"\n", f"{since}-to-{sizes[-1]}.json", "application/json")


@require_POST
@page
def cosign(request: HttpRequest, key: str) -> HttpResponseBase:
    """Take a checkpoint that a witness co-signed."""
    here = visit(request, key=key, action="audit")

    def work() -> str:
        reason = reason_of(request)
        file = request.FILES.get("note")
        if file is None or (file.size or 0) > MOST_BYTES:
            raise InvalidInput("send the checkpoint as witness_checkpoint printed it", code="no-note")
        try:
            kept = take_cosigned(file.read(), actor=here.actor("audit"), reason=reason)
        except RecordError as error:
            raise InvalidInput(str(error), code="not-taken") from error
        return f"The signature of {', '.join(one.name for one in kept)} is kept beside the checkpoint."

    return carried_out(request, work=work, back=reverse("portal:proofs", args=[key]))


@require_GET
@page
def card(request: HttpRequest, key: str) -> HttpResponse:
    """The proof card of one flag or finding, under the newest checkpoint."""
    here = visit(request, key=key, action="export")
    flag, finding = _named(request.GET.get("flag", ""), request.GET.get("finding", ""))
    shown = shown_proof_card(project=here.project, flag=flag, finding=finding)
    picture = base64.b64encode(as_svg(qr_code(shown.code))).decode("ascii")
    context = {"card": shown, "picture": f"data:image/svg+xml;base64,{picture}", "flag": flag, "finding": finding}
    return show(request, here, "proof_card.html", context)


@require_POST
@page
def card_file(request: HttpRequest, key: str) -> HttpResponse:
    """The card as a file that verifies, or on paper; that it was handed out is recorded."""
    here = visit(request, key=key, action="export")
    flag, finding = _named(request.POST.get("flag", ""), request.POST.get("finding", ""))
    made = export_proof_card(
        project=here.project,
        flag=flag,
        finding=finding,
        show=(),
        actor=here.actor("export"),
        reason=reason_of(request),
    )
    if request.POST.get("form") == "pdf":
        return _download(made.pdf, f"proof-card-{made.index}.pdf", "application/pdf")
    return _download(made.data, f"proof-card-{made.index}.json", "application/json")


def _named(flag: str, finding: str) -> tuple[int | None, str]:
    # As pages call it: F-0012.
    flag, finding = flag.strip().upper().removeprefix("F-"), finding.strip()
    if bool(flag) == bool(finding) or (flag and not (flag.isascii() and flag.isdecimal() and len(flag) < 10)):
        raise InvalidInput("name one flag by its number, or one finding by its tracking UID", code="no-subject")
    return (int(flag) if flag else None), finding


def _download(data: bytes, name: str, media_type: str) -> HttpResponse:
    response = HttpResponse(data, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
