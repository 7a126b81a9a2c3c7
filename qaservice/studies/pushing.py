"""Deliveries that grow: instances are pushed into one, each durable before its sender hears so, until it is closed.

Nothing is written to the database for an instance: its bytes are synced into the delivery's folder under a name that
follows from them, so that sending it again changes nothing. Once the delivery is closed it is read as any other.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from django.conf import settings
from django.db import transaction

from compliance.recording import SYSTEM, Actor, change
from qaservice.common.errors import Conflict, InvalidInput, ServiceError, Unavailable
from qaservice.common.transitions import step
from qaservice.jobs.services import enqueue
from qaservice.projects.models import Project
from qaservice.storage.files import sync_all, sync_folder
from qaservice.studies import identity, looked_at, uploads
from qaservice.studies.examining import Examined
from qaservice.studies.ingest import terms_of
from qaservice.studies.models import Ingest, IngestState
from qaservice.studies.reading import examined_files
from qaservice.studies.services import INGEST_JOB
from qaservice.studies.sources import DELIVERY_LIMITS
from qaservice.studies.states import INGEST

JOINT_NAME = "pushed instances"
"""The delivery of a project that instances join which are pushed without naming one."""

QUIET_SECONDS = 15 * 60
"""A delivery into which nothing was pushed for so long is closed: its sender is done, or gone."""

INSTANCES_AT_ONCE = 10_000
STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one pushed instance. ``outcome`` is ``received``, ``already-received`` or ``refused``.

    Whether it is stored, and under which verdict, the delivery says once it has been read.
    """

    outcome: str
    sha256: str
    kind: str
    sop_instance_uid: str
    code: str = ""
    message: str = ""


def open_delivery(*, project: Project, name: str, actor: Actor, reason: str) -> Ingest:
    """Open a delivery into which instances can be pushed, and return its row."""
    source_name = identity.name_in_records(project, name)[-200:]
    ingest = Ingest(project=project, source_name=source_name, state=IngestState.OPEN)
    place = uploads.pushed_folder() / str(ingest.pk)
    ingest.source_path = str(place)
    place.mkdir(parents=True)
    sync_folder(place.parent)
    try:
        with change(
            "ingest.opened",
            actor=actor,
            reason=reason,
            subject=("ingest", str(ingest.pk)),
            project_key=project.key,
        ):
            ingest.save()
    except BaseException:
        place.rmdir()
        raise
    return ingest


def joint_delivery(*, project: Project, actor: Actor) -> Ingest:
    """Return the project's open delivery for instances that name none, opened now if there is none."""
    with transaction.atomic():
        # The project's row is the queue in which two first senders get one delivery.
        Project.objects.select_for_update().get(pk=project.pk)
        known = Ingest.objects.filter(project=project, state=IngestState.OPEN, source_name=JOINT_NAME).first()
        if known is not None:
            return known
        return open_delivery(
            project=project, name=JOINT_NAME, actor=actor, reason="instances were pushed without naming a delivery"
        )


def push(*, ingest: Ingest, instances: Iterable[Iterable[bytes]]) -> list[Pushed]:
    """Take instances into an open delivery, each given as its bytes in pieces; return what became of each, in order.

    When this returns, the bytes of every instance that was received are on disk. If it raises, none were received.
    Raises Conflict ``delivery-closed``, InvalidInput ``instance-too-large``, ``too-many-instances``, ``nothing-sent``,
    and whatever ``instances`` raises.
    """
    _require_open(ingest)
    folder = Path(ingest.source_path)
    waiting = uploads.pushed_folder() / f".incoming-{uuid.uuid4().hex}"
    waiting.mkdir(parents=True)
    try:
        places = [_kept(waiting / str(number), pieces) for number, pieces in enumerate(_bounded(instances))]
        if not places:
            raise InvalidInput("the request holds no instance", code="nothing-sent")
        terms = terms_of(ingest.project, folder=None)
        found = examined_files(places, terms)
        sync_all(waiting)
        pushed = [_take(folder, place, one) for place, one in zip(places, found, strict=True)]
        sync_folder(folder)
        new = [one for one, said in zip(found, pushed, strict=True) if said.outcome == "received"]
        looked_at.keep(folder, {_name(one): one for one in new}, terms)
    except FileNotFoundError as error:
        raise _closed() from error
    except OSError as error:
        raise Unavailable(f"the data folder cannot be written ({error.strerror})", code="cannot-store") from error
    finally:
        rmtree(waiting, ignore_errors=True)
    # Closed in between, it may have been read without these: the sender is told, and sends them into another.
    _require_open(ingest)
    return pushed


def close(*, ingest: Ingest, actor: Actor, reason: str) -> Ingest:
    """Close a delivery and queue the reading of it. Raises Conflict ``wrong-state``, or ``empty-delivery``."""
    if ingest.state == IngestState.OPEN and _is_empty(ingest):
        raise Conflict("nothing was pushed into this delivery yet", code="empty-delivery")
    with change(
        "ingest.closed",
        actor=actor,
        reason=reason,
        subject=("ingest", str(ingest.pk)),
        project_key=ingest.project.key,
    ):
        closed = step(ingest, machine=INGEST, name="close", expected_revision=ingest.revision)
        enqueue(
            kind=INGEST_JOB,
            subject_id=str(ingest.pk),
            project_key=ingest.project.key,
            dedupe_key=f"{INGEST_JOB}:{ingest.pk}",
        )
    return closed


def close_quiet() -> int:
    """Close deliveries into which nothing was pushed for ``QUIET_SECONDS``; return how many.

    One into which nothing was pushed at all, and what a crash left behind, is removed after a day.
    """
    closed = 0
    for ingest in Ingest.objects.select_related("project").filter(state=IngestState.OPEN):
        quiet = _seconds_quiet(Path(ingest.source_path))
        try:
            if quiet >= QUIET_SECONDS and not _is_empty(ingest):
                close(ingest=ingest, actor=SYSTEM, reason=f"nothing was pushed for {QUIET_SECONDS // 60} minutes")
                closed += 1
            elif quiet >= STALE_SECONDS:
                _give_up(ingest)
        except Conflict:
            continue  # somebody else closed it first
    _sweep()
    return closed


def _give_up(ingest: Ingest) -> None:
    with change(
        "ingest.failed",
        actor=SYSTEM,
        reason="nothing was pushed into it for a day",
        subject=("ingest", str(ingest.pk)),
        project_key=ingest.project.key,
    ):
        step(
            ingest,
            machine=INGEST,
            name="fail",
            expected_revision=ingest.revision,
            changes={"failure": "nothing was pushed into it for a day", "source_path": ""},
        )
        uploads.drop_on_commit(ingest.source_path)


def _bounded(instances: Iterable[Iterable[bytes]]) -> Iterator[Iterable[bytes]]:
    total = 0

    def counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal total
        size = 0
        for piece in pieces:
            size += len(piece)
            total += len(piece)
            if size > DELIVERY_LIMITS.file_bytes:
                raise InvalidInput(
                    f"an instance has more than {DELIVERY_LIMITS.file_bytes} bytes; nothing was kept",
                    code="instance-too-large",
                )
            if total > settings.MAX_UPLOAD_BYTES:
                raise InvalidInput(
                    f"the request has more than {settings.MAX_UPLOAD_BYTES} bytes; nothing was kept",
                    code="upload-too-large",
                )
            yield piece

    for number, pieces in enumerate(instances):
        if number >= INSTANCES_AT_ONCE:
            raise InvalidInput(
                f"at most {INSTANCES_AT_ONCE} instances are taken at once; nothing was kept", code="too-many-instances"
            )
        yield counted(pieces)


def _kept(place: Path, pieces: Iterable[bytes]) -> Path:
    """Write an instance down, not yet synced, and return where."""
    with place.open("xb") as stream:
        for piece in pieces:
            stream.write(piece)
    return place


def _take(folder: Path, place: Path, found: Examined) -> Pushed:
    sha256 = found.original_sha256 or found.sha256
    if not _is_taken(found):
        code, message = found.code or "not-dicom", found.message or "not a DICOM file: the mark DICM is missing"
        return Pushed("refused", sha256, found.kind, found.uid, code, message)
    target = folder / _name(found)
    if target.exists():
        return Pushed("already-received", sha256, found.kind, found.uid)
    place.replace(target)
    return Pushed("received", sha256, found.kind, found.uid)


def _is_taken(found: Examined) -> bool:
    return not found.code and found.kind.startswith("dicom-")


def _name(found: Examined) -> str:
    """Return the name of an instance in its delivery: the digest of its bytes as they came."""
    return f"{found.original_sha256 or found.sha256}.dcm"


def _require_open(ingest: Ingest) -> None:
    if not Ingest.objects.filter(pk=ingest.pk, state=IngestState.OPEN).exists():
        raise _closed()


def _closed() -> ServiceError:
    return Conflict("this delivery is closed; send the instances into another one", code="delivery-closed")


def _is_empty(ingest: Ingest) -> bool:
    place = Path(ingest.source_path)
    return not place.is_dir() or next(place.iterdir(), None) is None


def _seconds_quiet(place: Path) -> float:
    try:
        # A folder's own time is that of the last name put into it.
        return time.time() - place.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sweep() -> None:
    around = uploads.pushed_folder()
    old = [place for place in around.iterdir() if _seconds_quiet(place) > STALE_SECONDS] if around.is_dir() else []
    if old:
        wanted = set(Ingest.objects.exclude(source_path="").values_list("source_path", flat=True))
        for place in old:
            if str(place).removesuffix(".looked-at") not in wanted:
                rmtree(place, ignore_errors=True)
