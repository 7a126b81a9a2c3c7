"""Destroying the pixel data of a study, verifiably: ordered on the record, carried out, looked for, and confirmed.

Ordered and carried out are two steps: a file cannot be removed within a transaction. From the order on nobody reads the
data; a removal that a crash cut short is taken up again. The rows that name the bytes stay, with their digests, so the
record verifies as before.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError

from compliance.ledger import merkle
from compliance.recording import SYSTEM, Actor, change
from qaservice.common.clock import now
from qaservice.common.transitions import step
from qaservice.retention.models import DataUse, Destruction, DestructionState, Disposition
from qaservice.retention.selectors import holds_on
from qaservice.retention.states import DESTRUCTION
from qaservice.storage import derived, files
from qaservice.storage.models import Blob, DestroyedBlob
from qaservice.storage.services import record_destroyed
from qaservice.studies.models import IngestItem, Instance, PixelRemoval, RemovalCause, Series, Study
from qaservice.studies.withdrawn import image_instances

CHUNK = 500


def remove_access(*, study: Study, cause: str) -> None:
    """Say, inside the running change, that nobody reads a study's pixel data any more."""
    if not PixelRemoval.objects.filter(study=study).exists():
        PixelRemoval(study=study, cause=cause).save()


def order(*, study: Study, cause: str, disposition: Disposition | None, actor: Actor, reason: str) -> Destruction:
    """Order the destruction of a study's pixel data; carry it out with ``carry_out`` once this has been committed.

    Files that another study holds too stay for it, and are counted.
    """
    digests = _digests(study)
    needed = _needed_elsewhere(study, digests)
    going = sorted(set(digests) - needed)
    sizes = dict(_sizes(going))
    root = merkle.root([bytes.fromhex(digest) for digest in going]).hex()
    with change(
        "retention.destruction-ordered",
        actor=actor,
        reason=reason,
        subject=("study", str(study.pk)),
        project_key=study.project.key,
        payload={"cause": cause, "files": len(going), "bytes": sum(sizes.values()), "root": root, "kept": len(needed)},
    ):
        remove_access(study=study, cause=cause)
        record_destroyed(digests=going, cause=cause)
        destruction = Destruction(
            project=study.project,
            study=study,
            cause=cause,
            disposition=disposition,
            blobs=len(going),
            size=sum(sizes.values()),
            root=root,
            shared=len(needed),
        )
        destruction.save()
    return destruction


def carry_out(destruction: Destruction) -> Destruction:
    """Remove the files and derived arrays, look for them, and record that they are gone.

    Safe to repeat. What is still there keeps it ordered: it is tried again by the housekeeping. Not for use inside a
    transaction.
    """
    going = _going(destruction)
    for digest in going:
        files.remove(digest)
    inputs = list(Series.objects.filter(study_id=destruction.study_id).values_list("input_digest", flat=True))
    arrays = sum(derived.drop(input_digest=one) for one in inputs)
    left = sum(files.path_of(digest).exists() for digest in going)
    left += sum(derived.held(input_digest=one) for one in inputs)
    destruction = Destruction.objects.select_related("project").get(pk=destruction.pk)
    if left or destruction.state == DestructionState.DONE:
        return destruction
    with change(
        "retention.destroyed",
        actor=SYSTEM,
        reason="the order was carried out, and the files were looked for",
        subject=("study", str(destruction.study_id)),
        project_key=destruction.project.key,
        payload={
            "files": len(going),
            "root": merkle.root([bytes.fromhex(digest) for digest in going]).hex(),
            "derived": arrays,
            "found": 0,
        },
    ):
        return step(
            destruction,
            machine=DESTRUCTION,
            name="finish",
            expected_revision=destruction.revision,
            changes={"done_at": now()},
        )


def finish() -> int:
    """Take up what waits: destructions that were cut short, and withdrawals whose legal hold was lifted."""
    done = 0
    for destruction in Destruction.objects.filter(state=DestructionState.ORDERED).order_by("pk"):
        done += carry_out(destruction).state == DestructionState.DONE
    waiting = DataUse.objects.exclude(withdrawn_at=None).filter(study__destruction=None)
    for use in waiting.select_related("study__project").order_by("pk"):
        if holds_on(use.study).exists():
            continue
        try:
            ordered = order(
                study=use.study,
                cause=RemovalCause.WITHDRAWN,
                disposition=None,
                actor=SYSTEM,
                reason="consent was withdrawn, and no legal hold stands in the way any more",
            )
        except IntegrityError:
            # Another worker was first.
            continue
        done += carry_out(ordered).state == DestructionState.DONE
    return done


def listed(destruction: Destruction) -> list[str]:
    """Return the SHA-256 of every file that a destruction destroyed, ascending."""
    return _going(destruction)


def _going(destruction: Destruction) -> list[str]:
    digests = _digests(destruction.study)
    found: list[str] = []
    for start in range(0, len(digests), CHUNK):
        rows = DestroyedBlob.objects.filter(blob_id__in=digests[start : start + CHUNK])
        found += rows.values_list("blob_id", flat=True)
    return sorted(found)


def _digests(study: Study) -> list[str]:
    """Return the digests of a study's pixel data, files kept apart under its instances' names among them."""
    instances = image_instances(study)
    kept = IngestItem.objects.filter(
        ingest__project=study.project, uid__in=instances.values("sop_instance_uid"), kind="dicom-image"
    ).exclude(kept=None)
    return sorted({*instances.values_list("blob_id", flat=True), *kept.values_list("kept_id", flat=True)} - {None})


def _needed_elsewhere(study: Study, digests: Sequence[str]) -> set[str]:
    needed: set[str] = set()
    for start in range(0, len(digests), CHUNK):
        part = digests[start : start + CHUNK]
        others = Instance.objects.filter(blob_id__in=part).exclude(study=study).filter(study__pixel_removal=None)
        needed |= set(others.values_list("blob_id", flat=True))
        apart = IngestItem.objects.filter(kept_id__in=part).exclude(ingest__project_id=study.project_id)
        needed |= {digest for digest in apart.values_list("kept_id", flat=True) if digest is not None}
    return needed


def _sizes(digests: Sequence[str]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for start in range(0, len(digests), CHUNK):
        found += Blob.objects.filter(pk__in=digests[start : start + CHUNK]).values_list("sha256", "size")
    return found
