"""Reading label files in a child process: what a file describes, and what it says of one series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from imaging.geometry.header import SliceHeader
from imaging.geometry.series import SeriesGeometry
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
from imaging.readers.sniff import HEAD_BYTES, kind_of
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.sandbox import Sandbox, SandboxLimits
from imaging.types import AnnotationImport, Category
from qaservice.labels.described import Described, series_described
from qaservice.labels.image_names import ImageNames
from qaservice.labels.models import AnnotationSet, FindingRevision
from qaservice.projects.models import Project
from qaservice.storage.models import Blob
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import AnnotationFile, Instance, Series
from qaservice.studies.selectors import grid_of, sop_instance_uids_of

FRACTION_THRESHOLD = 0.5
"""Where a fractional segment's edge is drawn: half of the greatest value, which moves no edge to either side."""

PARSER_LIMITS = SandboxLimits(
    # A segmentation of a whole chest, a hundred segments, takes some ten seconds and a gigabyte or two.
    seconds=180.0,
    memory_bytes=6 << 30,
)

NAMES_VOLUMES = frozenset({"monai-datalist", "predictions-csv", "predictions-json"})
"""Formats that name whole scans, by a file or folder; the others name single images."""

COMPANION_BYTES = 1 << 30
"""The most that objects to which one label file refers may hold together."""


class LabelReader:
    """Reads the label files of a project, one after another, in one child process; use it in a ``with`` block.

    ``waiting`` are label files of the delivery that are not brought in yet: a report may measure one of them.
    """

    def __init__(self, project: Project, *, waiting: Sequence[AnnotationFile]) -> None:
        self._project = project
        self._at_hand = {file.uid: file for file in waiting if file.uid and is_dicom(file.kind)}
        self._reports: dict[str, frozenset[str]] = {}
        self._sandbox = Sandbox(PARSER_LIMITS)
        self._names = ImageNames(project)
        terms = {str(name): Category(word) for name, word in project.label_terms.items()}
        self._vocabulary = replace(LUNG_CT_VOCABULARY, exact=terms)

    def __enter__(self) -> Self:
        self._sandbox.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    def header(self, data: bytes) -> SliceHeader:
        """Return what a DICOM label object says of itself. Raises UnreadableFile."""
        return self._sandbox.call(label_object_header, data, CT_READ_LIMITS)

    def other_subject(self, file: AnnotationFile, data: bytes) -> str:
        """Return what a file describes if that is no CT, "" where it may be one. Raises UnreadableFile."""
        return self._sandbox.call(other_subject, file.kind, data)

    def described(self, file: AnnotationFile, data: bytes) -> tuple[Described, ReadContext]:
        """Return which series a file describes, and the context in which it is to be read. Raises UnreadableFile."""
        context = self._context(file.name, {}, {})
        references = self._sandbox.call(image_references, file.kind, data, context)
        companions = self._companions(references)
        for content in companions.values():
            references = _joined(references, self._of_companion(content))
        names = self._names.resolve(references.image_names, ingest=file.ingest_id, volumes=file.kind in NAMES_VOLUMES)
        found = series_described(
            project=self._project,
            references=references,
            image_names=names,
            several=label_format(file.kind).many_series,
        )
        return found, self._context(file.name, names, companions)

    def labels(self, file: AnnotationFile, data: bytes, series: Series, context: ReadContext) -> AnnotationImport:
        """Return what a file says of one series. Raises UnreadableFile."""
        geometry = SeriesGeometry(grid_of(series), series.series_instance_uid, sop_instance_uids_of(series))
        return self._sandbox.call(read_labels, file.kind, data, geometry, context)

    def outlines_in_reports(self, series: Series, segmentation_uid: str) -> frozenset[str]:
        """Return the digests of the masks on a series that reports brought in from one segmentation."""
        rows = AnnotationSet.objects.filter(series=series, source_format="dicom-sr", read=True)
        measuring = [
            source
            for source in rows.values_list("source_id", flat=True).distinct()
            if segmentation_uid in self._measured_by(source)
        ]
        found = FindingRevision.objects.filter(
            finding__annotation_set__series=series, finding__annotation_set__source_id__in=measuring, number=1
        )
        return frozenset(str(digest) for digest in found.values_list("mask_id", flat=True) if digest)

    def _measured_by(self, digest: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of the segmentations that a stored report measures."""
        if digest not in self._reports:
            context = self._context("", {}, {})
            found = self._sandbox.call(image_references, "dicom-sr", read_blob(digest), context)
            self._reports[digest] = found.companion_uids
        return self._reports[digest]

    def _context(self, name: str, names: Mapping[str, str], companions: Mapping[str, bytes]) -> ReadContext:
        return ReadContext(
            file_name=name,
            vocabulary=self._vocabulary,
            limits=CT_READ_LIMITS,
            fraction_threshold=FRACTION_THRESHOLD,
            image_names=dict(names),
            companion=HeldObjects(dict(companions)),
        )

    def _companions(self, references: ImageReferences) -> dict[str, bytes]:
        """Return the held label objects to which a file refers, by SOP Instance UID."""
        wanted = sorted(references.companion_uids)
        images = Series.objects.filter(project=self._project).values("series_instance_uid")
        rows: list[tuple[str, str]] = []
        for start in range(0, len(wanted), 500):
            found = Instance.objects.filter(project=self._project, sop_instance_uid__in=wanted[start : start + 500])
            rows += found.exclude(series_instance_uid__in=images).values_list("sop_instance_uid", "blob_id")
        sizes = dict(Blob.objects.filter(pk__in=[digest for _, digest in rows]).values_list("sha256", "size"))
        held = {uid for uid, _ in rows}
        for file in (self._at_hand[uid] for uid in wanted if uid in self._at_hand and uid not in held):
            rows.append((file.uid, file.sha256))
            sizes[file.sha256] = file.size
        contents: dict[str, bytes] = {}
        total = 0
        for uid, digest in rows:
            total += sizes[digest]
            if total > COMPANION_BYTES:
                break
            contents[uid] = read_blob(digest)
        return contents

    def _of_companion(self, content: bytes) -> ImageReferences:
        kind = kind_of(content[:HEAD_BYTES])
        return self._sandbox.call(image_references, kind, content, self._context("", {}, {}))


def _joined(first: ImageReferences, second: ImageReferences) -> ImageReferences:
    return ImageReferences(
        study_instance_uids=first.study_instance_uids | second.study_instance_uids,
        series_instance_uids=first.series_instance_uids | second.series_instance_uids,
        sop_instance_uids=first.sop_instance_uids | second.sop_instance_uids,
        frame_of_reference_uids=first.frame_of_reference_uids | second.frame_of_reference_uids,
        image_names=first.image_names | second.image_names,
        grid=first.grid or second.grid,
        companion_uids=first.companion_uids | second.companion_uids,
    )
