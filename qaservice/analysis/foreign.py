"""Bundles that others made: registered by path, kept as blobs, and run in confinement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from django.conf import settings

from compliance.recording import Actor, change
from imaging.errors import BundleError, UnreadableFile
from imaging.inference.foreign.archive import ORDINARY
from imaging.inference.foreign.exchange import ChildLimits
from imaging.inference.foreign.inspection import InspectedBundle, inspect_in_order
from imaging.inference.foreign.mapping import mapping_from_json
from imaging.inference.foreign.running import ForeignBundle, ForeignResult, check_weights, run_foreign
from imaging.sandbox import Sandbox, SandboxLimits
from imaging.types import ModelIdentity, PointMm, Volume
from qaservice.analysis.models import QAModel
from qaservice.common.errors import InvalidInput, Unavailable
from qaservice.storage.files import path_of
from qaservice.storage.services import BlobWriter, store_blobs

READING = SandboxLimits(seconds=600.0, memory_bytes=2 * 1024**3)
"""Bounds on reading a bundle as text; its files are hostile until somebody has looked at them."""

_MEDIA_TYPE = "application/octet-stream"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Registered:
    """A registered bundle, and whether it was known before."""

    model: QAModel
    known: bool


def register_foreign(
    *, source: Path, fallback_name: str, given: Mapping[str, Any], actor: Actor, reason: str
) -> Registered:
    """Register the MONAI bundle at ``source`` (folder or zip): read as text, every file kept and pinned, nothing run.

    ``fallback_name``: what it is called where its metadata do not say. ``given``: what its output means where it does
    not say so itself. A bundle whose files are known is returned as it is. Its weights are looked at in a confined
    process, as tensors alone. Raises InvalidInput where it cannot be read as a bundle; one with faults is registered
    with them, and cannot be approved.
    """
    with BlobWriter() as writer:
        folder = writer.folder / "bundle"
        folder.mkdir()
        found = _read(source=source, into=folder, given=given, fallback_name=fallback_name)
        inspection = found.inspection
        known = QAModel.objects.filter(bundle_sha256=inspection.bundle_sha256).first()
        if known is not None:
            return Registered(known, known=True)
        content = inspection.as_json()
        content["weight_check"] = _weight_check(source=folder, names=inspection.weights)
        items = [
            writer.adopt(incoming=folder / file.name, sha256=file.sha256, size=file.size, media_type=_MEDIA_TYPE)
            for file in inspection.files
        ]
        writer.settle()
        model = QAModel(
            name=inspection.described.name,
            version=inspection.described.version,
            bundle_sha256=inspection.bundle_sha256,
            metadata=_plain(found.metadata),
            model_card=inspection.described.model_card,
            foreign=True,
            files=content.pop("files"),
            inspection=_plain(content),
        )
        with change(
            "model.registered",
            actor=actor,
            reason=reason,
            subject=("model", str(model.pk)),
            payload={
                "bundle_sha256": model.bundle_sha256,
                "name": model.name,
                "version": model.version,
                "foreign": True,
                "files": len(items),
            },
        ):
            store_blobs(items=items)
            model.save()
    return Registered(model, known=False)


class Readable(Protocol):
    """What an upload is read from."""

    def read(self, count: int, /) -> bytes: ...


def register_upload(
    *, stream: Readable, filename: str, given: Mapping[str, Any], actor: Actor, reason: str
) -> Registered:
    """Register a bundle that is sent as a zip, as ``register_foreign`` does; the zip itself is not kept."""
    with TemporaryDirectory(prefix="bundle-", dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / "bundle.zip"
        size = 0
        with path.open("xb") as kept:
            while block := stream.read(_BLOCK):
                size += len(block)
                if size > settings.MAX_UPLOAD_BYTES:
                    raise InvalidInput(
                        f"the upload has more than {settings.MAX_UPLOAD_BYTES} bytes; nothing was kept",
                        code="upload-too-large",
                    )
                kept.write(block)
        return register_foreign(
            source=path,
            fallback_name=Path(filename).stem[:80] or "bundle",
            given=given,
            actor=actor,
            reason=reason,
        )


def foreign_result(
    *, model: QAModel, volume: Volume, places: Sequence[PointMm], progress: Callable[[int, int, str], None]
) -> ForeignResult:
    """Return what a registered foreign bundle makes of a volume, run in confinement from the bytes that were pinned.

    The caller has seen to the approval. Raises BundleError; ``bundle-altered`` where the kept bytes are no longer
    those that were approved.
    """
    bundle = ForeignBundle(
        files={str(file["name"]): path_of(str(file["sha256"])) for file in model.files},
        identity=ModelIdentity(name=model.name, version=model.version, bundle_sha256=model.bundle_sha256),
        configuration=str(model.inspection["configuration"]),
        mapping=mapping_from_json(model.inspection["mapping"]),
    )
    return run_foreign(
        volume,
        bundle,
        places=places,
        progress=progress,
        limits=child_limits(),
        archive_limits=ORDINARY,
        scratch=settings.DERIVED_DIR / "foreign",
    )


def child_limits() -> ChildLimits:
    """Return the bounds of one run, as the site has set them."""
    return ChildLimits(
        seconds=float(settings.FOREIGN_SECONDS),
        memory_bytes=settings.FOREIGN_MEMORY_BYTES,
        file_bytes=4 * 1024**3,
        work_bytes=8 * 1024**3,
        threads=settings.INFERENCE_THREADS,
    )


def _read(*, source: Path, into: Path, given: Mapping[str, Any], fallback_name: str) -> InspectedBundle:
    try:
        with Sandbox(READING) as sandbox:
            return sandbox.call(inspect_in_order, source, into, ORDINARY, dict(given), fallback_name)
    except BundleError as error:
        raise InvalidInput(error.message, code=error.code, details={"subjects": list(error.subjects[:20])}) from error
    except UnreadableFile as error:
        raise InvalidInput(f"the bundle cannot be read: {error.message}", code=error.code) from error


def _weight_check(*, source: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return which weights load as tensors alone; a check that could not be made says why, and bars the approval."""
    if not names:
        return {"done": True, "why": "", "files": {}}
    try:
        files = check_weights(
            source=source,
            names=names,
            limits=child_limits(),
            archive_limits=ORDINARY,
            scratch=settings.DERIVED_DIR / "foreign",
        )
    except BundleError as error:
        return {"done": False, "why": error.message, "files": {}}
    return {"done": True, "why": "", "files": files}


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return content as both databases take it: numbers that JSON has, and no NUL in any text."""
    try:
        text = json.dumps(content, allow_nan=False, default=str)
        plain: dict[str, Any] = json.loads(text.replace("\\u0000", ""))
    except (ValueError, RecursionError) as error:
        raise Unavailable("the bundle's metadata hold what no record can hold", code="bundle-unreadable") from error
    return plain
