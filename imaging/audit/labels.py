"""The label side of an audit: which files hold labels, on which series each lies, and what was refused of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imaging.audit.scan import FoundSeries, LeftOut, Progress, Scan
from imaging.errors import ImagingError
from imaging.readers.delivery import DELIVERY_LIMITS, EntryUnreadable, open_delivery
from imaging.readers.formats import ImageReferences, ReadContext
from imaging.readers.label_files import (
    HeldObjects,
    image_references,
    is_dicom,
    label_format,
    label_object_header,
    other_subject,
    read_labels,
)
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import HEAD_BYTES, kind_of, kind_of_whole, needs_whole
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.sandbox import Sandbox
from imaging.types import AnnotationImport, AnnotationSet, Category, Finding, Rejection

FRACTION_THRESHOLD = 0.5
"""Where a fractional segment's edge is drawn: half of the greatest value, which moves no edge to either side."""

COMPANION_BYTES = 1 << 30
"""The most that objects to which label files refer may hold together."""

OTHER_SUBJECT = "chest-x-ray"
"""Refusal code of a sound file that describes no CT."""

_ONE_IMAGE_KINDS = frozenset({"voc-xml"})
"""Formats whose files describe one image each: all of one delivery on a series are one reading."""

_READ_FIRST = ("dicom-seg", "dicom-rtstruct")


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLabels:
    """What one file says of one series."""

    series_instance_uid: str
    labels: AnnotationImport


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """One label file with its outcome. ``refusal`` says why nothing of it was taken; empty where something was."""

    number: int
    name: str
    sha256: str
    kind: str
    title: str
    placed: tuple[PlacedLabels, ...]
    refusal: str
    refusal_code: str

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """Everything in it that was not taken, on whatever series."""
        return tuple(rejection for one in self.placed for rejection in one.labels.rejections)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """All label files of an audit, and the files that are none."""

    files: tuple[LabelFile, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourcedSet:
    """An annotation set with the numbers of the files that it came in and what they are called."""

    annotation_set: AnnotationSet
    file_numbers: tuple[int, ...]
    title: str
    sha256: str


def read_label_files(
    *, paths: Sequence[Path], scan: Scan, nodule_names: Sequence[str], sandbox: Sandbox, progress: Progress
) -> Labels:
    """Return every label file of some files, folders and archives with what it says of the scan's accepted series.

    Files are parsed in the sandbox's children. A file that names series or images belongs to those; one that names
    none to the first series on which it fits. ``nodule_names`` are label names that mean nodules here, beside those
    that the vocabulary for lung CT knows. Raises UnreadableFile where a path as a whole cannot be read.
    """
    left_out: list[LeftOut] = []
    contents = [content for path in paths for content in _label_bytes(path, left_out)]
    files = read_label_contents(
        contents=contents, scan=scan, nodule_names=nodule_names, sandbox=sandbox, progress=progress
    )
    return Labels(files=files, left_out=tuple(left_out))


def read_label_contents(
    *,
    contents: Sequence[tuple[str, str, bytes]],
    scan: Scan,
    nodule_names: Sequence[str],
    sandbox: Sandbox,
    progress: Progress,
) -> tuple[LabelFile, ...]:
    """Return what label files say of a scan, as ``read_label_files`` does; each is given as (name, kind, bytes)."""
    read = sorted(contents, key=lambda item: (item[1] not in _READ_FIRST, item[1], item[0]))
    progress(f"reading {len(read)} label file{'' if len(read) == 1 else 's'}")
    companions = _companions(read, sandbox)
    names = scan.image_names()
    exact = dict.fromkeys(nodule_names, Category.NODULE_GE_3MM)
    files = []
    for number, (name, kind, data) in enumerate(read, start=1):
        context = ReadContext(
            file_name=name,
            vocabulary=replace(LUNG_CT_VOCABULARY, exact=exact),
            limits=CT_READ_LIMITS,
            fraction_threshold=FRACTION_THRESHOLD,
            image_names=names,
            companion=HeldObjects(companions),
        )
        files.append(_label_file(number, name, kind, data, context, scan, sandbox))
    return tuple(files)


def sets_on(*, labels: Labels, series_instance_uid: str) -> tuple[SourcedSet, ...]:
    """Return the annotation sets on one series, ids unique; those of formats of one image each joined by reader."""
    sets: list[SourcedSet] = []
    joined: dict[tuple[str, str], int] = {}
    for file in labels.files:
        for placed in file.placed:
            if placed.series_instance_uid != series_instance_uid:
                continue
            for one in placed.labels.annotation_sets:
                renamed = _renamed(one, file.number)
                key = (file.kind, one.reader_label)
                if file.kind in _ONE_IMAGE_KINDS and key in joined:
                    known = sets[joined[key]]
                    findings = (*known.annotation_set.findings, *renamed.findings)
                    sets[joined[key]] = replace(
                        known,
                        annotation_set=replace(known.annotation_set, findings=findings),
                        file_numbers=(*known.file_numbers, file.number),
                    )
                    continue
                joined[key] = len(sets)
                sets.append(SourcedSet(renamed, (file.number,), file.title, file.sha256))
    return tuple(sets)


def rejections_on(*, labels: Labels, series_instance_uid: str) -> tuple[Rejection, ...]:
    """Return what was refused on one series, each naming the set that the checks know it by."""
    return tuple(
        replace(rejection, subjects=tuple(_name(subject, file.number, placed) for subject in rejection.subjects))
        for file in labels.files
        for placed in file.placed
        if placed.series_instance_uid == series_instance_uid
        for rejection in placed.labels.rejections
    )


def _label_bytes(path: Path, left_out: list[LeftOut]) -> Iterator[tuple[str, str, bytes]]:
    with open_delivery(path, DELIVERY_LIMITS) as entries:
        for entry in entries:
            try:
                head = entry.read(HEAD_BYTES)
                kind = kind_of_whole(entry.read(None)) if needs_whole(head) else kind_of(head)
                if kind not in LABEL_FORMATS:
                    message = "no label file of a format that is read here"
                    left_out.append(LeftOut(entry.name, "not-a-label-file", message))
                    continue
                yield entry.name, kind, entry.read(None)
            except EntryUnreadable as error:
                left_out.append(LeftOut(entry.name, error.code, error.message))


def _companions(read: Sequence[tuple[str, str, bytes]], sandbox: Sandbox) -> Mapping[str, bytes]:
    """Return the DICOM label objects at hand by SOP Instance UID; reports measure what others of them outline."""
    if not any(kind == "dicom-sr" for _, kind, _ in read):
        return {}
    found: dict[str, bytes] = {}
    held = 0
    for _, kind, data in read:
        if not is_dicom(kind) or kind == "dicom-sr" or held + len(data) > COMPANION_BYTES:
            continue
        try:
            found[sandbox.call(label_object_header, data, CT_READ_LIMITS).sop_instance_uid] = data
        except ImagingError:
            continue
        held += len(data)
    return found


def _label_file(
    number: int, name: str, kind: str, data: bytes, context: ReadContext, scan: Scan, sandbox: Sandbox
) -> LabelFile:
    digest = hashlib.sha256(data).hexdigest()
    title = label_format(kind).title
    try:
        other = sandbox.call(other_subject, kind, data)
        if other:
            return LabelFile(number, name, digest, kind, title, (), f"{other[0].upper()}{other[1:]}.", OTHER_SUBJECT)
        references = sandbox.call(image_references, kind, data, context)
        certain, likely = _meant(references, scan, context.image_names)
        tried = certain or likely
        if not tried:
            code, refused = _without_image(references, scan, context.image_names)
            return LabelFile(number, name, digest, kind, title, (), refused, code)
        placed: list[PlacedLabels] = []
        for one in tried:
            geometry = one.geometry
            if geometry is None:
                continue
            labels = sandbox.call(read_labels, kind, data, geometry, context)
            if labels.annotation_sets or not placed:
                placed = (
                    [*placed, PlacedLabels(one.series_instance_uid, labels)]
                    if certain
                    else [PlacedLabels(one.series_instance_uid, labels)]
                )
            if labels.annotation_sets and not (certain and label_format(kind).many_series):
                break
    except ImagingError as error:
        return LabelFile(number, name, digest, kind, title, (), error.message, error.code)
    with_labels = [one for one in placed if one.labels.annotation_sets]
    kept = tuple(with_labels or placed)
    if with_labels:
        return LabelFile(number, name, digest, kind, title, kept, "", "")
    every = [rejection for one in kept for rejection in one.labels.rejections]
    message = " ".join(dict.fromkeys(rejection.message for rejection in every)) or "The file holds no labels."
    return LabelFile(number, name, digest, kind, title, kept, message, every[0].code if every else "no-labels")


def _without_image(references: ImageReferences, scan: Scan, image_names: Mapping[str, str]) -> tuple[str, str]:
    """Return (code, message) for a file that means no accepted series."""
    named = references.sop_instance_uids | {image_names[one] for one in references.image_names if one in image_names}
    refused = [one for one in scan.series if one.geometry is None]
    if any(
        named.intersection(one.names) or one.series_instance_uid in references.series_instance_uids for one in refused
    ):
        return (
            "series-refused",
            "The geometry gate refused the series that it describes, so nothing can be placed in it.",
        )
    if len(refused) == len(scan.series):
        return (
            "images-not-given",
            "No series here was accepted by the geometry gate, so there is nothing to place it in.",
        )
    return "images-not-given", "It names images or series that are not among those given."


def _meant(
    references: ImageReferences, scan: Scan, image_names: Mapping[str, str]
) -> tuple[list[FoundSeries], list[FoundSeries]]:
    """Return the accepted series that a file names, and those that it may mean where it names none."""
    accepted = [one for one in scan.series if one.geometry is not None]
    named = {image_names[name] for name in references.image_names if name in image_names}
    images = references.sop_instance_uids | named
    certain = [one for one in accepted if images.intersection(one.names)]
    certain += [
        one for one in accepted if one not in certain and one.series_instance_uid in references.series_instance_uids
    ]
    if certain:
        return certain, []
    of_study = [one for one in accepted if one.study_instance_uid in references.study_instance_uids]
    of_frame = [
        one
        for one in accepted
        if one.verdict.grid is not None
        and one.verdict.grid.frame_of_reference_uid in references.frame_of_reference_uids
    ]
    likely = [*of_frame, *(one for one in of_study if one not in of_frame)]
    if likely or references.grid is None:
        # A file that names what is not here is not laid on something else, but one that names nothing may belong.
        says = references.study_instance_uids or references.sop_instance_uids or references.image_names
        return [], likely if likely or says else accepted
    shaped = [
        one
        for one in accepted
        if one.verdict.grid is not None and sorted(one.verdict.grid.shape) == sorted(references.grid.shape)
    ]
    return [], shaped or (accepted if len(accepted) == 1 else [])


def _renamed(one: AnnotationSet, number: int) -> AnnotationSet:
    # Two files may call their sets alike; within a case every id is unique.
    findings = tuple(replace(finding, finding_id=_numbered(finding, number)) for finding in one.findings)
    return replace(one, set_id=f"{number}:{one.set_id}", findings=findings)


def _numbered(finding: Finding, number: int) -> str:
    return f"{number}:{finding.finding_id}"


def _name(subject: str, number: int, placed: PlacedLabels) -> str:
    known = {one.set_id for one in placed.labels.annotation_sets}
    known |= {finding.finding_id for one in placed.labels.annotation_sets for finding in one.findings}
    begun = any(subject.startswith(f"{one}/") for one in known)
    return f"{number}:{subject}" if subject in known or begun else subject
