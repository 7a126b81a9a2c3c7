"""Nothing is released that does not read back as it was meant.

Every file is read again by our own reader of its kind, under a vocabulary that says what the file's own words mean,
and what comes back is compared with what was to be written: outlines voxel by voxel, other shapes to a stated distance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imaging.errors import UnreadableFile, WriteMismatch
from imaging.readers.formats import ReadContext
from imaging.readers.label_files import HeldObjects, read_labels
from imaging.readers.limits import ReadLimits
from imaging.readers.sniff import kind_of_whole
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY, LabelVocabulary
from imaging.types import AnnotationImport, Category
from imaging.writers.comparing import compare
from imaging.writers.contract import LabelledSeries, LabelWriter, WriteContext, Written, WrittenFile


@dataclass(frozen=True, slots=True)
class ReleaseTolerance:
    """How far the centre or a corner of a sphere, box or point may read back from where it was, in mm.

    A sphere's diameter may differ by as much. Outlines have no tolerance.
    """

    mm: float


RELEASE_TOLERANCE = ReleaseTolerance(mm=0.01)
"""What the service releases under; callers pass it on purpose.

Reports hold coordinates in single precision and tables with six decimals: a hundredth of a millimetre is well above
what these round, and far below a voxel.
"""

_HALF = 0.5


def release(
    *,
    writer: LabelWriter,
    labelled: LabelledSeries,
    context: WriteContext,
    limits: ReadLimits,
    tolerance: ReleaseTolerance,
) -> Written:
    """Return what a writer makes of a series, once every file of it was read back and compared.

    Raises WriteMismatch, with the finding and the difference, where something reads back otherwise or our own reader
    refuses it (``another-kind``, ``unreadable``, ``finding-lost``, ``finding-made-up``, ``shape-differs``,
    ``mask-differs``, ``place-differs``, ``tracking-differs``, ``category-differs``, ``name-differs``,
    ``characteristics-differ``, ``confidence-differs``); and whatever ``writer.write`` raises.
    """
    written = writer.write(labelled, context)
    companions = {one.sop_instance_uid: one.data for one in written.files if one.sop_instance_uid}
    for one in written.files:
        if one.read_as is not None:
            _check(one, labelled, limits, companions, tolerance)
    return written


def _check(
    file: WrittenFile,
    labelled: LabelledSeries,
    limits: ReadLimits,
    companions: Mapping[str, bytes],
    tolerance: ReleaseTolerance,
) -> None:
    read = _read_back(file, labelled, limits, companions)
    found = [finding for one in read.annotation_sets for finding in one.findings]
    try:
        compare(
            expected=file.content,
            found=found,
            carries=file.carries,
            grid=labelled.image.grid,
            tolerance_mm=tolerance.mm,
        )
    except WriteMismatch as error:
        refused = " ".join(f"{one.code}: {one.message}" for one in read.rejections[:3])
        message = f"{file.name} does not read back as it was meant. {error.message}"
        message += f" Our reader refused: {refused}" if refused else ""
        raise WriteMismatch(error.code, message, subjects=error.subjects) from error


def _read_back(
    file: WrittenFile, labelled: LabelledSeries, limits: ReadLimits, companions: Mapping[str, bytes]
) -> AnnotationImport:
    image = labelled.image
    names = {name: uid for uid, name in labelled.slice_names.items()}
    names |= {f"{uid}.dcm": uid for uid in image.sop_instance_uids if uid not in labelled.slice_names}
    names |= {labelled.image_name: image.sop_instance_uids[0]} if labelled.image_name else {}
    context = ReadContext(
        file_name=file.name,
        vocabulary=_vocabulary(file),
        limits=limits,
        fraction_threshold=_HALF,
        image_names=names,
        companion=HeldObjects(companions),
    )
    kind = kind_of_whole(file.data)
    if kind != file.read_as:
        message = f"{file.name} is taken for {kind} instead of {file.read_as}."
        raise WriteMismatch("another-kind", message)
    try:
        return read_labels(kind, file.data, image, context)
    except UnreadableFile as error:
        raise WriteMismatch("unreadable", f"{file.name} cannot be read back. {error.message}") from error


def _vocabulary(file: WrittenFile) -> LabelVocabulary:
    """What the words of a file mean that we wrote ourselves: our categories, and the names of its findings."""
    exact = {category.value: category for category in Category}
    if file.carries.names:
        exact |= {one.source_label: one.category for one in file.content}
    return replace(LUNG_CT_VOCABULARY, exact=exact)
