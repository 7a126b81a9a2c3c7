"""Signing: a record is put before a person for a short time, and signed by who proves to be that person.

Single use, bound to person, record hash, version and meaning (11.70); password every time, and the second factor with a
session's first signature (11.200(a)(1)). Who may say what of which record is asked twice: before and when it is signed.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction

from compliance.checkpoints import publish
from compliance.errors import CheckpointRefused, SealingRefused
from compliance.recording import change
from qaservice.accounts.alerts import raise_alert
from qaservice.accounts.models import User
from qaservice.common import clock
from qaservice.common.errors import Conflict, NotFound, NotPermitted
from qaservice.projects.models import Project
from qaservice.projects.selectors import roles_of
from qaservice.signatures import proving, sessions
from qaservice.signatures.events import GIVEN, PREPARED
from qaservice.signatures.models import SecondFactor, Signature, SigningIntent
from qaservice.signatures.readiness import Ready, require_ready
from qaservice.signatures.selectors import certification, intent_of, signatures_on
from qaservice.signatures.signables import Meaning, SignableRecord, load_record, signable_of
from qaservice.signatures.standing import binding, judged

logger = logging.getLogger(__name__)

LIFETIME = timedelta(minutes=5)


def prepare(*, user: User, session: SessionBase, subject_type: str, subject_id: str, meaning: str) -> SigningIntent:
    """Put a record before ``user`` to be signed within five minutes, and return the intent.

    Raises NotFound where there is no such record for this person, NotPermitted for who may not say this of it, and
    Conflict where other signatures have to come first, or this one was given.
    """
    sessions.require_own(session, user=user)
    require_ready(user=user)
    record = load_record(subject_type=subject_type, subject_id=subject_id)
    wanted = signable_of(subject_type).meaning(meaning)
    role = _require_may(user=user, record=record, meaning=wanted)
    now = clock.now()
    intent = SigningIntent(
        user=user,
        project=record.project,
        subject_type=subject_type,
        subject_id=subject_id,
        subject_version=record.version,
        record_sha256=record.sha256,
        meaning=wanted.code,
        prepared_at=now,
        expires_at=now + LIFETIME,
    )
    with change(
        PREPARED,
        actor=user.as_actor(role=role),
        reason=f"to be signed: {wanted.words}",
        subject=(subject_type, subject_id),
        project_key=record.project.key,
        payload={"intent": str(intent.pk), "meaning": wanted.code, "record_sha256": record.sha256},
    ):
        intent.save()
    return intent


def sign(*, user: User, session: SessionBase, intent_id: uuid.UUID, password: str, code: str) -> Signature:
    """Sign what an intent put before ``user``, and return the signature; its event is sealed at once.

    ``code`` is asked for with the first signature of a session and may be empty later. Not for use inside a
    transaction: failures are counted, and sealing commits. Raises NotFound for nobody's or somebody else's intent,
    Conflict for one that expired, was used, or whose record changed since; NotPermitted for a wrong password or code,
    a locked account, and whoever may not sign this.
    """
    sessions.require_own(session, user=user)
    intent = intent_of(user=user, intent_id=intent_id)
    if intent is None:
        raise NotFound("there is nothing of that kind for you to sign", code="no-such-intent")
    require_usable(intent)
    ready = require_ready(user=user)
    factors = _prove(user=user, session=session, password=password, code=code, factor=ready.factor)
    signature = _give(user=user, intent=intent, ready=ready, factors=factors)
    sessions.note_shown(session, factor=ready.factor)
    _seal()
    return signature


def needs_code(*, session: SessionBase, factor: SecondFactor) -> bool:
    """Return whether the next signature of the session takes the second factor too."""
    return not sessions.has_shown(session, factor=factor)


@dataclass(frozen=True)
class Offer:
    """A meaning, and why a person cannot say it of a record now, "" where they can."""

    meaning: Meaning
    obstacle: str


def offers(*, user: User, record: SignableRecord) -> tuple[Offer, ...]:
    """Return what a signature of ``user`` on ``record`` could mean, in the order in which they are given."""
    return tuple(
        Offer(meaning, _obstacle(user=user, record=record, meaning=meaning))
        for meaning in signable_of(record.subject_type).meanings
    )


def _obstacle(*, user: User, record: SignableRecord, meaning: Meaning) -> str:
    try:
        _require_may(user=user, record=record, meaning=meaning)
    except (Conflict, NotPermitted) as error:
        return error.message
    return ""


def _require_may(*, user: User, record: SignableRecord, meaning: Meaning) -> str:
    """Return the role in which ``user`` may say this of ``record``."""
    held = roles_of(user=user, project=record.project)
    if not held:
        raise NotFound("there is no such record for you", code="no-such-record")
    roles = held & meaning.roles
    if not roles:
        raise NotPermitted(
            f"{meaning.words!r} takes one of these roles in the project: {', '.join(sorted(meaning.roles))}",
            code="role-missing",
        )
    if record.project.regulated and certification() is None:
        raise NotPermitted(
            "no certification to FDA is on record (21 CFR 11.100(c)); an administrator notes it before the first "
            "signature of a regulated project",
            code="not-certified",
        )
    why = meaning.obstacle(user, record)
    if why:
        raise NotPermitted(why, code="may-not-sign-this")
    _require_order(user=user, record=record, meaning=meaning)
    return sorted(roles)[0]


def _require_order(*, user: User, record: SignableRecord, meaning: Meaning) -> None:
    on_it = judged(signatures_on(subject_type=record.subject_type, subject_id=record.subject_id))
    standing = [one.signature for one in on_it if one.valid]
    words = {one.code: one.words for one in signable_of(record.subject_type).meanings}
    missing = [words[code] for code in meaning.after if code not in {one.meaning for one in standing}]
    if missing:
        raise Conflict(
            f"{meaning.words!r} comes after {' and '.join(repr(one) for one in missing)}", code="signed-too-early"
        )
    for one in standing:
        if one.signer_id == user.pk and one.meaning == meaning.code:
            raise Conflict("you have signed this already", code="already-signed")
        if one.signer_id == user.pk and one.meaning in meaning.apart_from:
            raise NotPermitted(
                f"you signed {one.meaning_words!r} on this; {meaning.words!r} takes somebody else",
                code="signed-by-the-same",
            )


def require_usable(intent: SigningIntent) -> None:
    """Raise Conflict where an intent was used, or its time is over."""
    if Signature.objects.filter(intent=intent).exists():
        raise Conflict("this was signed already; every signature is prepared anew", code="intent-used")
    if clock.now() >= intent.expires_at:
        raise Conflict("the time to sign this is over; begin again", code="intent-expired")


def _prove(*, user: User, session: SessionBase, password: str, code: str, factor: SecondFactor) -> tuple[str, ...]:
    if needs_code(session=session, factor=factor):
        return proving.prove_both(user=user, password=password, code=code, factor=factor)
    return proving.prove_password(user=user, password=password)


def _give(*, user: User, intent: SigningIntent, ready: Ready, factors: tuple[str, ...]) -> Signature:
    with transaction.atomic():
        # The project's row is the queue in which rules about who signed what else are asked.
        Project.objects.select_for_update().get(pk=intent.project_id)
        require_usable(intent)
        record = load_record(subject_type=intent.subject_type, subject_id=intent.subject_id)
        if (record.version, record.sha256) != (intent.subject_version, intent.record_sha256):
            raise Conflict("the record changed since it was put before you; read it again", code="record-changed")
        meaning = signable_of(intent.subject_type).meaning(intent.meaning)
        role = _require_may(user=user, record=record, meaning=meaning)
        signature = Signature(
            signer=user,
            printed_name=user.display_name,
            role=role,
            meaning=meaning.code,
            meaning_words=meaning.words,
            signed_at=clock.now(),
            project=record.project,
            subject_type=record.subject_type,
            subject_id=record.subject_id,
            subject_version=record.version,
            subject_title=record.title,
            record_sha256=record.sha256,
            intent=intent,
            factors=list(factors),
            second_factor=ready.factor,
            attestation=ready.attestation,
        )
        try:
            with change(
                GIVEN,
                actor=user.as_actor(role=role),
                reason=meaning.words,
                subject=(record.subject_type, record.subject_id),
                project_key=record.project.key,
                payload=binding(signature),
            ):
                signature.save()
        except IntegrityError as error:
            raise Conflict("this was signed already; every signature is prepared anew", code="intent-used") from error
    return signature


def _seal() -> None:
    try:
        publish()
    except (CheckpointRefused, SealingRefused):
        # The signature is committed and stays; that the ledger cannot be sealed is somebody else's to look into.
        logger.exception("a signature waits to be sealed")
        raise_alert(
            kind="signature-not-sealed",
            about=("ledger", "head"),
            words="A signature was given, and the ledger could not be sealed after it. Run verify_ledger.",
        )
