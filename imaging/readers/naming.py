"""From what a label file calls an image to the slice or the series that it means."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ImageReferences, ReadContext
from imaging.readers.pseudonyms import reader_pseudonym
from imaging.types import Rejection

_PSEUDONYM = re.compile(r"reader [0-9a-f]{8}|reader|consensus")
# Four parts and more, or a UUID written as a UID (PS3.5 B.2): "1.2.3" is too likely a version number.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}|2\.25\.[0-9]{20,}")
_ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mhd", ".mha", ".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_ENDINGS_OF_LABELS = (".xml", ".json", ".csv")
NAMED_AT_MOST = 100
"""Subjects of one rejection; the message says how many there are in all."""


def forms_of(name: str) -> tuple[str, ...]:
    """Return what a name may be looked up by: as it stands, its last part, and each part without its ending."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in reversed(path.parts) if part not in ("/", ".", "..")]
    found = [name, *(form for part in parts for form in (part, without_ending(part)))]
    return tuple(dict.fromkeys(form for form in found if form))


def without_ending(name: str) -> str:
    """Return a file name without its ending; a UID, which is full of points, keeps all of it."""
    lowered = name.lower()
    for ending in (*_ENDINGS, *_ENDINGS_OF_LABELS):
        if lowered.endswith(ending):
            return name[: -len(ending)]
    return name


def uids_in(name: str) -> frozenset[str]:
    """Return the parts of a path that are UIDs, with or without an ending."""
    return frozenset(form for form in forms_of(name) if len(form) <= 64 and _UID.fullmatch(form))


def telling_form(name: str) -> str:
    """Return the UID in a name, else its last part: folders are more often called after people than files are."""
    uids = sorted(uids_in(name), key=len)
    return uids[-1] if uids else PurePosixPath(name.replace("\\", "/")).name


def slice_named(names: Iterable[str], image: PlacedSeries, context: ReadContext) -> int | None:
    """Return the index of the slice that the first telling name means; None if it is not in this series."""
    index_of = {uid: index for index, uid in enumerate(image.sop_instance_uids)}
    for name in names:
        for form in forms_of(name):
            index = index_of.get(context.image_names.get(form, form))
            if index is not None:
                return index
    return None


def names_series(name: str, image: PlacedSeries, context: ReadContext) -> bool:
    """Tell whether a name means this series: by its UID, or by the name or UID of any of its images."""
    if image.series_instance_uid in forms_of(name):
        return True
    return slice_named((name,), image, context) is not None


def is_known(name: str, context: ReadContext) -> bool:
    """Tell whether a name is that of some image at hand, in this series or another."""
    return any(form in context.image_names for form in forms_of(name))


def references_of(names: Iterable[str]) -> ImageReferences:
    """Return names as references; a UID in a path may be a series', a study's or an image's, so it is all three."""
    listed = frozenset(name for name in names if name)
    uids = frozenset(uid for name in listed for uid in uids_in(name))
    forms = frozenset(form for name in listed for form in forms_of(name))
    return ImageReferences(
        study_instance_uids=uids, series_instance_uids=uids, sop_instance_uids=uids, image_names=forms
    )


def dangling(names: Iterable[str], *, of: int) -> Rejection:
    """Return the rejection for images that a file names and that are not at hand; ``of``: how many it names in all."""
    listed = sorted({telling_form(name) for name in names})
    message = f"{len(listed)} of {of} images that the file names are not in the series."
    return Rejection("dangling-reference", message, tuple(listed[:NAMED_AT_MOST]))


def another_series(names: Iterable[str]) -> Rejection:
    """Return the rejection for a file that says nothing of this series."""
    listed = sorted({telling_form(name) for name in names})
    message = f"The file describes another series: none of the {len(listed)} that it names is this one."
    return Rejection("another-series", message, tuple(listed[:NAMED_AT_MOST]))


def set_id_of(prefix: str, data: bytes) -> str:
    """Return an annotation set's identity within a case: the kind of file and the first digits of its SHA-256."""
    return f"{prefix}-{hashlib.sha256(data).hexdigest()[:12]}"


def known_reader(name: str) -> str:
    """Return what a reader is called here: the pseudonym of a name, a pseudonym as it is, nothing for no name."""
    if not name.strip() or _PSEUDONYM.fullmatch(name.strip()):
        return name.strip()
    return reader_pseudonym(name)
