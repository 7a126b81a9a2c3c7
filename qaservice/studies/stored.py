"""Reading stored instances again, in child processes: what they say of themselves, and the voxels of a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Never

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError, UnreadableFile
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import InspectedInstance
from qaservice.common.errors import Conflict, Unavailable
from qaservice.storage import derived
from qaservice.storage.files import path_of
from qaservice.studies.assessment import HOUNSFIELD, HOUNSFIELD_VERSION
from qaservice.studies.examining import BLOB_ALTERED, BLOB_MISSING, CANNOT_STORE, Stored, reexamine, write_volume
from qaservice.studies.parsers import CHILDREN, PARSER_LIMITS, VOLUME_LIMITS, parsers

BATCH = 16
"""Stored instances that one call looks at."""


def inspect_stored(digests: Mapping[str, str]) -> dict[str, InspectedInstance]:
    """Return what stored instances say of themselves, by SOP Instance UID; ``digests`` maps these to SHA-256.

    Raises Unavailable where the bytes are no longer what was stored, or cannot be read now as they could before.
    """
    found: dict[str, InspectedInstance] = {}
    places = _places(digests)
    uids = list(places)
    batches = [
        Stored(tuple(places[uid] for uid in uids[start : start + BATCH]), CT_READ_LIMITS)
        for start in range(0, len(uids), BATCH)
    ]
    if not batches:
        return found
    with parsers(PARSER_LIMITS, children=CHILDREN) as sandbox:
        for answer in sandbox.map(reexamine, batches):
            if answer.error is not None:
                _raise(answer.error)
            found.update({one.header.sop_instance_uid: one for one in answer.result()})
    return found


def hounsfield_of(*, digests: Callable[[], Mapping[str, str]], input_digest: str) -> NDArray[np.int16]:
    """Return the voxels of an accepted series, (slices, rows, columns) int16, from the cache or the stored bytes.

    ``digests`` gives SHA-256 by SOP Instance UID, and ``input_digest`` is the root over them. Raises Unavailable where
    the bytes are no longer what was stored, Conflict with the fault's code where no volume can be built from them.
    """

    def write(target: Path) -> None:
        with parsers(VOLUME_LIMITS, children=1) as sandbox:
            try:
                sandbox.call(write_volume, _places(digests()), str(target), CT_READ_LIMITS)
            except ImagingError as error:
                _raise(error)

    return derived.written_array(
        input_digest=input_digest, operation=HOUNSFIELD, version=HOUNSFIELD_VERSION, write=write
    )


def _places(digests: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {uid: (str(path_of(sha256)), sha256) for uid, sha256 in digests.items()}


def _raise(error: ImagingError) -> Never:
    if isinstance(error, UnreadableFile) and error.code in (CANNOT_STORE, BLOB_MISSING, BLOB_ALTERED):
        raise Unavailable(error.message, code=error.code) from error
    raise Conflict(f"the stored series cannot be read: {error.message}", code=error.code) from error
