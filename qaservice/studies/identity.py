"""A project's identity policy at work: its terms for the reading of files, its secret, its crosswalk, its report."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.db import IntegrityError, transaction

from compliance.models import Event
from compliance.recording import SYSTEM, Actor, change, record_event
from imaging.deidentification.keys import SECRET_BYTES, ProjectKeys
from imaging.deidentification.profile import LABEL_QA_OPTIONS, Profile
from imaging.deidentification.receiving import KEEP_IDENTITIES, IdentityTerms
from imaging.deidentification.report import CrosswalkEntry, Report, merged, report_from_json
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.projects.models import CrosswalkPolicy, IdentityPolicy, Project
from qaservice.studies.models import CrosswalkPage, IdentityKey, Ingest
from qaservice.studies.sealed import key_mark, seal, unseal

_SEALED = "sealed:"
_LONGEST_PATH = 700
"""What still fits into ``Ingest.source_path`` once it is sealed."""


class Treated(Protocol):
    """A file of a delivery with what de-identification did to it."""

    @property
    def identity_report(self) -> Report | None: ...

    @property
    def crosswalk(self) -> tuple[CrosswalkEntry, ...]: ...


def terms_of(project: Project) -> IdentityTerms:
    """Return a project's policy as the reading of files takes it; the project's secret is made on first use.

    Raises Unavailable where the project de-identifies and the site has no key.
    """
    if project.identity_policy == IdentityPolicy.DEIDENTIFY:
        return IdentityTerms("de-identify", keys_of(project), _profile(project))
    return _terms_without_keys(project)


def terms_for_a_trial(project: Project) -> IdentityTerms:
    """Return the same for a trial that must leave nothing behind: without a secret yet, one that is thrown away."""
    if project.identity_policy != IdentityPolicy.DEIDENTIFY:
        return _terms_without_keys(project)
    made = IdentityKey.objects.filter(project=project).exists()
    keys = keys_of(project) if made else ProjectKeys(secrets.token_bytes(SECRET_BYTES))
    return IdentityTerms("de-identify", keys, _profile(project))


def _terms_without_keys(project: Project) -> IdentityTerms:
    return IdentityTerms("refuse") if project.identity_policy == IdentityPolicy.REFUSE else KEEP_IDENTITIES


def _profile(project: Project) -> Profile:
    # What the QA lead has declared to be a label's name is kept as one.
    return Profile(LABEL_QA_OPTIONS, frozenset(project.label_terms))


def keys_of(project: Project) -> ProjectKeys:
    """Return the secret by which a project replaces identities, made now if there is none. Raises as ``sealed``."""
    known = IdentityKey.objects.filter(project=project).first()
    if known is None:
        try:
            known = _make_key(project)
        except IntegrityError:
            # Another worker was quicker; there is one secret a project.
            known = IdentityKey.objects.get(project=project)
    return ProjectKeys(unseal(known.sealed, purpose=_key_purpose(project)))


def _make_key(project: Project) -> IdentityKey:
    sealed = seal(secrets.token_bytes(SECRET_BYTES), purpose=_key_purpose(project))
    key = IdentityKey(project=project, sealed=sealed, site_key=key_mark())
    with (
        transaction.atomic(),
        change(
            "identity.key-made",
            actor=SYSTEM,
            reason="the project de-identifies what arrives",
            subject=("project", str(project.pk)),
            project_key=project.key,
            payload={"site_key": key.site_key},
        ),
    ):
        key.save()
    return key


def name_in_records(project: Project, name: str) -> str:
    """Return what a delivery or file is called in the records of a project."""
    return terms_of(project).name(name)


def concealed_path(project: Project, path: str) -> str:
    """Return where a delivery lies as the record may hold it: folders are called after patients, and history stays.

    Raises InvalidInput ``path-too-long``.
    """
    if project.identity_policy != IdentityPolicy.DEIDENTIFY:
        return path
    if len(path) > _LONGEST_PATH:
        raise InvalidInput(f"the path is longer than {_LONGEST_PATH} characters", code="path-too-long")
    return _SEALED + seal(path.encode("utf-8", "surrogateescape"), purpose=_path_purpose(project))


def revealed_path(ingest: Ingest) -> str:
    """Return where a delivery lies, for the worker that reads it."""
    if not ingest.source_path.startswith(_SEALED):
        return ingest.source_path
    sealed = ingest.source_path.removeprefix(_SEALED)
    return unseal(sealed, purpose=_path_purpose(ingest.project)).decode("utf-8", "surrogateescape")


def record_removal(*, ingest: Ingest, files: Iterable[Treated]) -> None:
    """Record what was removed from files that are stored now, and keep the crosswalk where the project does.

    Inside the transaction that stores them; nothing where no file was de-identified.
    """
    treated = [file for file in files if file.identity_report is not None]
    if not treated:
        return
    report = merged(file.identity_report for file in treated if file.identity_report is not None)
    project = ingest.project
    with change(
        "identity.removed",
        actor=SYSTEM,
        reason="the project's identity policy",
        subject=("ingest", str(ingest.pk)),
        project_key=project.key,
        payload=report.as_json(),
    ):
        if project.crosswalk_policy == CrosswalkPolicy.KEPT:
            _keep_crosswalk(ingest, [entry for file in treated for entry in file.crosswalk])


def _keep_crosswalk(ingest: Ingest, entries: Sequence[CrosswalkEntry]) -> None:
    rows = sorted({(entry.kind, entry.original, entry.replacement) for entry in entries})
    if not rows:
        return
    page = CrosswalkPage(project=ingest.project, ingest=ingest, entries=len(rows), site_key=key_mark())
    plain = json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogateescape")
    page.sealed = seal(plain, purpose=_page_purpose(page))
    page.save()


def report_of(*, project: Project, ingest: Ingest | None = None) -> Report:
    """Return what was removed from a project's files, or from one delivery's, as the ledger has it."""
    events = Event.objects.filter(kind="identity.removed", project_key=project.key)
    if ingest is not None:
        events = events.filter(subject_id=str(ingest.pk))
    return merged(report_from_json(payload) for payload in events.values_list("payload", flat=True))


@dataclass(frozen=True, slots=True)
class Revealed:
    """What stands behind a pseudonym. For the eyes of whoever asked, and for no log."""

    kind: str
    original: str


def reidentify(*, project: Project, pseudonym: str, actor: Actor, reason: str) -> list[Revealed]:
    """Return what stands behind a pseudonym or a replaced UID. That it was looked up is recorded, before it is told.

    Raises InvalidInput ``crosswalk-not-kept`` or ``pseudonym-blank``, NotFound ``no-such-pseudonym`` (recorded too),
    Unavailable where the site's key is missing or another.
    """
    wanted = pseudonym.strip()
    if not wanted:
        raise InvalidInput("say which pseudonym is to be looked up", code="pseudonym-blank")
    pages = CrosswalkPage.objects.filter(project=project)
    if not pages.exists():
        raise InvalidInput("this project keeps no crosswalk; nobody can look this up here", code="crosswalk-not-kept")
    found: set[tuple[str, str]] = set()
    for page in pages.iterator():
        for kind, original, replacement in json.loads(unseal(page.sealed, purpose=_page_purpose(page))):
            if replacement == wanted:
                found.add((kind, original))
    record_event(
        "identity.revealed",
        actor=actor,
        reason=reason,
        subject=("project", str(project.pk)),
        project_key=project.key,
        # Only what is known to be a pseudonym here: anything else that was typed may be a name.
        payload={"pseudonym": wanted if found else "", "found": len(found)},
    )
    if not found:
        raise NotFound("nothing here was replaced by that", code="no-such-pseudonym")
    return [Revealed(kind, original) for kind, original in sorted(found)]


def _key_purpose(project: Project) -> str:
    return f"project secret {project.pk}"


def _path_purpose(project: Project) -> str:
    return f"source path {project.pk}"


def _page_purpose(page: CrosswalkPage) -> str:
    return f"crosswalk page {page.project_id} {page.pk}"
