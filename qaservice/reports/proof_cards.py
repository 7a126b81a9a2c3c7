"""Proof cards: one flag's or finding's last state, proved to stand in the ledger, without any other patient's data."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection, models

from compliance.card_pages import card_page
from compliance.checkpoint_files import kept_note, kept_sizes, require_place
from compliance.checkpoints import key_history, publish
from compliance.ledger.canonical import canonical_bytes
from compliance.ledger.note import Checkpoint, VerifierKey
from compliance.proofs import NotProvable, last_row, proof_card
from compliance.recording import Actor, record_event
from compliance.rendering.card_pdf import CardPage, render_card
from compliance.rendering.typesetting import RenderingError
from compliance.rendering.typst_pdf import EMBEDDED_DATABASE
from qaservice.analysis.models import Flag
from qaservice.common.errors import Conflict, NotFound, Unavailable
from qaservice.labels.models import FindingRevision
from qaservice.projects.models import Project


@dataclass(frozen=True, slots=True)
class ProofCard:
    """A card that was made: its file, its page, and where in the ledger its event stands."""

    data: bytes
    pdf: bytes
    index: int
    size: int
    key: str


def export_proof_card(
    *,
    project: Project,
    flag: int | None,
    finding: str,
    show: Collection[str],
    actor: Actor,
    reason: str,
) -> ProofCard:
    """Return the proof card of a flag by its number, or of a finding by its tracking UID, and record its export.

    ``show`` names the fields of the event's payload to disclose. Publishes a checkpoint first: not for use inside a
    transaction. Raises NotFound for what the project does not have, Unavailable if the page cannot be typeset.
    """
    row = _row(project=project, flag=flag, finding=finding)
    checkpoint = publish()
    card = proof_card(row, checkpoint=checkpoint, key=_key(), show=show)
    data = canonical_bytes(card) + b"\n"
    try:
        pdf = render_card(card_page(card, marks=_marks()))
    except RenderingError as error:
        raise Unavailable(str(error), code="not-typeset") from error
    index, size = int(str(card["index"])), Checkpoint.parse(checkpoint.text).size
    record_event(
        "proof.exported",
        actor=actor,
        reason=reason,
        subject=("flag" if flag is not None else "finding", str(getattr(row, "id", row.pk))),
        project_key=project.key,
        payload={"event": index, "size": size, "sha256": hashlib.sha256(data).hexdigest()},
    )
    return ProofCard(data=data, pdf=pdf, index=index, size=size, key=str(card["key"]))


def shown_proof_card(*, project: Project, flag: int | None, finding: str) -> CardPage:
    """Return the proof card of a flag or finding as a page shows it, under the newest checkpoint; nothing is recorded.

    No field of the event's payload is disclosed. Raises NotFound as ``export_proof_card`` does, Conflict
    ``not-covered-yet`` while the record's last event is younger than that checkpoint.
    """
    row = _row(project=project, flag=flag, finding=finding)
    place = require_place()
    newest = max(kept_sizes(place), default=0)
    try:
        if not newest:
            raise NotProvable("no checkpoint was published yet")
        card = proof_card(row, checkpoint=kept_note(place, newest), key=_key(), show=())
    except NotProvable as error:
        raise Conflict(
            "the last change of this record is younger than the newest checkpoint; one is written every "
            f"{place.seconds} seconds, or at once with the download of the card",
            code="not-covered-yet",
        ) from error
    return card_page(card, marks=_marks())


def _key() -> VerifierKey:
    return [key for _, key, fault in key_history() if not fault][-1]


def _marks() -> tuple[str, ...]:
    return (EMBEDDED_DATABASE,) if connection.vendor == "sqlite" else ()


def _row(*, project: Project, flag: int | None, finding: str) -> models.Model:
    if flag is not None:
        found = Flag.objects.filter(project=project, number=flag).first()
        if found is None:
            raise NotFound(f"there is no flag {flag} in this project", code="no-such-flag")
        return last_row(Flag, found.pk)
    revisions = FindingRevision.objects.filter(finding__annotation_set__project=project, finding__tracking_uid=finding)
    newest = revisions.order_by("-number").first()
    if newest is None:
        raise NotFound("there is no such finding in this project", code="no-such-finding")
    return newest
