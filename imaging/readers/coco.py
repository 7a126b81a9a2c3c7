"""COCO JSON onto the slices of a CT series: boxes, polygons and run-length masks, by people or by a model.

``images[].file_name`` says which slice an annotation lies on, through the names that the caller knows or as a SOP
Instance UID. Boxes are [x, y, width, height] from the upper left corner of the upper left pixel (see ``coco_masks``).
An annotation with a ``score`` is a prediction. COCO has no place for a model's identity; where ``info.algorithm`` with
``name`` and ``version`` is given, all of the file is that algorithm's. ``info.contributor`` is a reader, by pseudonym.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.geometry.affine import to_patient
from imaging.geometry.series import PlacedSeries
from imaging.masks.build import mask_from_voxels
from imaging.masks.measure import measure
from imaging.readers.coco_masks import polygons_of, segmentation_pixels
from imaging.readers.formats import ImageReferences, LabelFormat, ReadContext
from imaging.readers.json_text import items_of, mapping_of, number_in, numbers_in, parse_json, text_in
from imaging.readers.naming import (
    another_series,
    dangling,
    is_known,
    known_reader,
    references_of,
    set_id_of,
    slice_named,
)
from imaging.readers.redrawn import pixel_edges, worst_gap
from imaging.readers.shapes import NOTHING_MOVED, box_reach_mm, in_plane_longest_mm, outside_message, pixel_box
from imaging.types import (
    Algorithm,
    AnnotationImport,
    AnnotationSet,
    Box,
    Finding,
    Mask,
    Rejection,
    RoundTrip,
    SetKind,
)

SOURCE_FORMAT = "coco-json"


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """One file. ``images`` maps an image's id to its entry; ids are texts, since files use numbers and texts."""

    images: Mapping[str, Mapping[str, object]]
    categories: Mapping[str, str]
    annotations: tuple[Mapping[str, object], ...]
    algorithm: Algorithm | None
    contributor: str


def parse_coco(data: bytes) -> CocoDocument:
    """Return what a COCO file says. Raises UnreadableFile: ``not-json``, ``not-coco``.

    A bare list of results is read too, where ``image_id`` is the image's name itself.
    """
    document = parse_json(data)
    if isinstance(document, list):
        annotations = tuple(mapping_of(one) for one in document)
        if not annotations or not all("image_id" in one for one in annotations):
            raise UnreadableFile("not-coco", "The file is a JSON list, but not of COCO results.")
        names = {text_in(one, "image_id"): {"file_name": text_in(one, "image_id")} for one in annotations}
        return CocoDocument(names, {}, annotations, None, "")
    holder = mapping_of(document)
    if not isinstance(holder.get("images"), list) or not isinstance(holder.get("annotations"), list):
        raise UnreadableFile("not-coco", "The file is JSON, but has no lists of images and of annotations.")
    info = mapping_of(holder.get("info"))
    model = mapping_of(info.get("algorithm"))
    categories = [mapping_of(one) for one in items_of(holder.get("categories"))]
    images = [mapping_of(one) for one in items_of(holder.get("images"))]
    return CocoDocument(
        images={text_in(one, "id"): one for one in images},
        categories={text_in(one, "id"): text_in(one, "name") for one in categories},
        annotations=tuple(mapping_of(one) for one in items_of(holder.get("annotations"))),
        algorithm=Algorithm(text_in(model, "name"), text_in(model, "version")) if model else None,
        contributor=text_in(info, "contributor"),
    )


def read_coco(data: bytes, image: PlacedSeries, context: ReadContext) -> AnnotationImport:
    """Return a COCO file's annotations on a CT series: people's in one set, a model's (with a score) in another.

    Where a segmentation is given it is the shape, else the box is. Each annotation is one finding on its slice; nothing
    is joined across slices. Rejections: ``another-series`` (no image of the file is in it; nothing is taken),
    ``dangling-reference`` (images with annotations that no image at hand is called), ``size-disagrees``,
    ``unknown-image``, ``no-shape``, ``empty-mask``, ``empty-box``, ``segmentation-not-decoded``,
    ``label-outside-image`` and ``bad-confidence`` (that annotation is left out).
    Raises UnreadableFile as ``parse_coco`` does.
    """
    document = parse_coco(data)
    slices = {
        key: index
        for key, entry in document.images.items()
        if (index := slice_named((text_in(entry, "file_name"),), image, context)) is not None
    }
    if not slices:
        names = [text_in(entry, "file_name") for entry in document.images.values()]
        return AnnotationImport(SOURCE_FORMAT, image.series_instance_uid, (), (another_series(names),))
    return _Placer(document, slices, image, context, set_id_of("coco", data)).result()


class _Placer:
    def __init__(
        self,
        document: CocoDocument,
        slices: Mapping[str, int],
        image: PlacedSeries,
        context: ReadContext,
        set_id: str,
    ) -> None:
        self._document, self._slices, self._image, self._context = document, slices, image, context
        self._set_id = set_id
        self._rejections: list[Rejection] = []
        self._absent: set[str] = set()
        self._misfits = self._other_sizes()

    def result(self) -> AnnotationImport:
        drawn: list[Finding] = []
        predicted: list[Finding] = []
        for number, annotation in enumerate(self._document.annotations, start=1):
            finding = self._finding(annotation, number)
            if finding is not None:
                (drawn if finding.confidence is None else predicted).append(finding)
        if self._absent:
            self._rejections.append(dangling(self._absent, of=len(self._document.images)))
        algorithm = self._document.algorithm
        if algorithm is not None:
            drawn, predicted = [], [*drawn, *predicted]
        sets: list[AnnotationSet] = []
        if drawn or (not predicted and algorithm is None):
            reader = known_reader(self._document.contributor) or "COCO annotations"
            sets.append(AnnotationSet(self._set_id, reader, SetKind.READER, True, tuple(drawn)))
        if predicted or algorithm is not None:
            algorithm = algorithm or Algorithm("", "")
            label = f"{algorithm.name} {algorithm.version}".strip() or "COCO predictions"
            set_id = f"{self._set_id}-predicted"
            sets.append(AnnotationSet(set_id, label, SetKind.ALGORITHM, True, tuple(predicted), algorithm))
        return AnnotationImport(SOURCE_FORMAT, self._image.series_instance_uid, tuple(sets), tuple(self._rejections))

    def _other_sizes(self) -> frozenset[str]:
        """The images whose pixels are not those of the slice that they name."""
        rows, columns = self._image.grid.shape[1:]
        misfits: set[str] = set()
        for key, index in self._slices.items():
            entry = self._document.images[key]
            size = (number_in(entry.get("width")), number_in(entry.get("height")))
            if None not in size and size != (columns, rows):
                misfits.add(key)
                message = (
                    f"The image was {size[0]:.0f} x {size[1]:.0f} pixels when it was labelled, not {columns} x {rows}."
                )
                self._reject("size-disagrees", message, self._image.sop_instance_uids[index])
        return frozenset(misfits)

    def _finding(self, annotation: Mapping[str, object], number: int) -> Finding | None:
        key = text_in(annotation, "image_id")
        name = f"annotation {text_in(annotation, 'id') or number}"
        entry = self._document.images.get(key)
        if entry is None:
            self._reject("unknown-image", f"The image {key!r} of {name} is not in the file's list of images.", name)
            return None
        index = self._slices.get(key)
        if index is None:
            # An image of another series at hand is none of this reading's business.
            if not is_known(text_in(entry, "file_name"), self._context):
                self._absent.add(text_in(entry, "file_name"))
            return None
        if key in self._misfits:
            return None
        finding_id = f"{self._set_id}/annotation-{number:05d}"
        score = annotation.get("score")
        confidence = number_in(score)
        if score is not None and (confidence is None or not 0.0 <= confidence <= 1.0):
            self._reject("bad-confidence", f"The score of {name} is not a number from 0 to 1.", finding_id)
            return None
        try:
            shape = self._shape(annotation, index, name)
        except UnreadableFile as error:
            self._reject(error.code, f"In {name}, {error.message}.", finding_id, self._image.sop_instance_uids[index])
            return None
        if shape is None:
            return None
        mask, box, round_trip, longest = shape
        label = self._document.categories.get(text_in(annotation, "category_id"), "")
        return Finding(
            finding_id,
            self._context.vocabulary.category(label, longest_mm=longest),
            mask=mask,
            box=box,
            source_label=label or f"category {text_in(annotation, 'category_id')}",
            sop_instance_uids=(self._image.sop_instance_uids[index],),
            confidence=confidence,
            round_trip=round_trip,
        )

    def _shape(
        self, annotation: Mapping[str, object], index: int, name: str
    ) -> tuple[Mask | None, Box | None, RoundTrip, float] | None:
        grid = self._image.grid
        uid = self._image.sop_instance_uids[index]
        segmentation = annotation.get("segmentation")
        if segmentation:
            pixels = segmentation_pixels(segmentation, (grid.shape[1], grid.shape[2]))
            mask = mask_from_voxels(grid=grid, voxels=pixels[None], origin=(index, 0, 0))
            if not mask.count:
                self._reject("empty-mask", f"The segmentation of {name} holds no pixel's centre.", name, uid)
                return None
            return mask, None, self._redrawn(segmentation, pixels), measure(mask).long_axis_mm
        numbers = numbers_in(annotation.get("bbox"), 4)
        if numbers is None:
            self._reject("no-shape", f"There is neither a segmentation nor a box of four numbers in {name}.", name, uid)
            return None
        left, top, width, height = numbers
        if width <= 0 or height <= 0:
            self._reject("empty-box", f"The box of {name} encloses nothing.", name, uid)
            return None
        edges = (left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5)
        box, round_trip = pixel_box(
            grid, slice_index=index, left=edges[0], top=edges[1], right=edges[2], bottom=edges[3]
        )
        reach = box_reach_mm(grid, box)
        # Detectors' boxes pass the edge by fractions of a pixel.
        if reach > max(grid.spacing_mm[1:]):
            centre = to_patient(grid, (index, edges[1] + height / 2, edges[0] + width / 2))
            self._reject("label-outside-image", outside_message(grid, f"The box of {name}", centre, reach), name, uid)
            return None
        return None, box, round_trip, in_plane_longest_mm(grid, box)

    def _redrawn(self, segmentation: object, pixels: NDArray[np.bool_]) -> RoundTrip:
        """How far at worst a polygon's points lie from the outline of the pixels that are held."""
        if isinstance(segmentation, dict):
            return NOTHING_MOVED
        points = np.concatenate(polygons_of(segmentation))[:, ::-1] - 0.5
        return worst_gap(points, pixel_edges(pixels), self._image.grid.spacing_mm[1:])

    def _reject(self, code: str, message: str, *subjects: str) -> None:
        self._rejections.append(Rejection(code, message, subjects))


def _references(data: bytes, context: ReadContext) -> ImageReferences:
    return references_of(text_in(entry, "file_name") for entry in parse_coco(data).images.values())


FORMAT = LabelFormat(
    source_format=SOURCE_FORMAT,
    title="COCO annotations and results (JSON)",
    many_series=True,
    references=_references,
    read=read_coco,
)
