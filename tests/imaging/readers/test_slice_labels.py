"""Labels drawn on single images: Pascal-VOC boxes, COCO boxes, polygons and run lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.errors import UnreadableFile
from imaging.geometry.affine import to_index
from imaging.masks.build import full_voxels
from imaging.readers import coco, voc
from imaging.readers.coco_masks import segmentation_pixels, unpacked_runs
from imaging.readers.formats import LabelFormat, ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import AnnotationImport, Box, Category, Finding, SetKind
from tests.imaging.readers import test_segmentation
from tests.imaging.readers.label_makers import ABSENT
from tests.imaging.readers.made import uid_of

IMAGE = test_segmentation.image()
NAMES = {"scan-3.png": uid_of(3), "scan-4": uid_of(4)}


def read(form: LabelFormat, data: bytes, *, name: str = "labels/x") -> AnnotationImport:
    context = ReadContext(name, LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold=0.5, image_names=NAMES)
    return form.read(data, IMAGE, context)


def only(found: AnnotationImport) -> Finding:
    (one,) = found.annotation_sets
    (finding,) = one.findings
    return finding


def edges(box: Box | None) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Both corners as (slice, row, column)."""
    assert box is not None
    return to_index(IMAGE.grid, box.corner_mm), to_index(IMAGE.grid, box.opposite_corner_mm)


def a_voc(*, box: str = "<xmin>3</xmin><ymin>2</ymin><xmax>9</xmax><ymax>7</ymax>", more: str = "") -> bytes:
    return f"<annotation>{more}<object><name>nodule</name><bndbox>{box}</bndbox></object></annotation>".encode()


def a_coco(*annotations: dict[str, object], info: dict[str, object] | None = None) -> bytes:
    images = [
        {"id": 1, "file_name": "png/scan-3.png", "width": 12, "height": 8},
        {"id": 2, "file_name": "scan-4.jpg"},
        {"id": 3, "file_name": f"{ABSENT}.dcm"},
    ]
    categories = [{"id": 5, "name": "lung nodule"}, {"id": 6, "name": "rib"}]
    whole = {"info": info or {}, "images": images, "categories": categories, "annotations": annotations}
    return json.dumps(whole).encode()


def test_voc_counts_from_one_and_both_ends_belong() -> None:
    finding = only(read(voc.FORMAT, a_voc(more="<filename>scan-3.png</filename>")))
    low, high = edges(finding.box)
    assert low == pytest.approx((2.5, 0.5, 1.5))
    assert high == pytest.approx((3.5, 6.5, 8.5))
    assert finding.sop_instance_uids == (uid_of(3),)


def test_a_voc_coordinate_of_zero_shows_edges_counted_from_zero() -> None:
    data = a_voc(
        box="<xmin>0</xmin><ymin>2</ymin><xmax>12</xmax><ymax>7</ymax>", more=f"<path>c:\\{uid_of(3)}.jpg</path>"
    )
    found = read(voc.FORMAT, data)
    low, high = edges(only(found).box)
    assert low == pytest.approx((2.5, 1.5, -0.5))
    assert high == pytest.approx((3.5, 6.5, 11.5))
    assert [rejection.code for rejection in found.rejections] == ["counts-from-zero"]


def test_the_voc_file_s_own_name_says_which_image_where_nothing_else_does() -> None:
    more = "<filename>Unknow</filename><path>Unknow</path>"
    finding = only(read(voc.FORMAT, a_voc(more=more), name=f"Annotation/A0002/{uid_of(2)}.xml"))
    assert finding.sop_instance_uids == (uid_of(2),)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (a_voc(box="<xmin>9</xmin><ymin>2</ymin><xmax>3</xmax><ymax>7</ymax>"), "empty-box"),
        (a_voc(box="<xmin>x</xmin><ymin>2</ymin><xmax>3</xmax><ymax>7</ymax>"), "bad-number"),
        (a_voc(box=""), "bad-number"),
        (a_voc(box="<xmin>3</xmin><ymin>2</ymin><xmax>13</xmax><ymax>7</ymax>"), "label-outside-image"),
    ],
)
def test_a_voc_box_that_makes_no_sense_is_left_out_by_name(data: bytes, code: str) -> None:
    found = read(voc.FORMAT, data, name=f"{uid_of(3)}.xml")
    assert [len(one.findings) for one in found.annotation_sets] == [0]
    assert [rejection.code for rejection in found.rejections] == [code]


@pytest.mark.parametrize("form", [voc.FORMAT, coco.FORMAT])
def test_boxes_drawn_on_an_image_of_another_size_are_refused(form: LabelFormat) -> None:
    if form is voc.FORMAT:
        more = "<filename>scan-3.png</filename><size><width>512</width><height>512</height></size>"
        found = read(form, a_voc(more=more))
    else:
        data = a_coco({"id": 1, "image_id": 1, "category_id": 5, "bbox": [2, 1, 7, 6]})
        found = read(form, data.replace(b'"width": 12', b'"width": 24'))
    assert [finding for one in found.annotation_sets for finding in one.findings] == []
    assert [rejection.code for rejection in found.rejections] == ["size-disagrees"]


def test_an_xml_that_defines_entities_is_refused() -> None:
    data = b'<!DOCTYPE a [<!ENTITY b "c">]><annotation><filename>&b;</filename></annotation>'
    with pytest.raises(UnreadableFile) as refusal:
        read(voc.FORMAT, data)
    assert refusal.value.code == "unsafe-xml"


def test_a_coco_box_starts_at_the_upper_left_corner_of_its_first_pixel() -> None:
    found = read(coco.FORMAT, a_coco({"id": 1, "image_id": 1, "category_id": 5, "bbox": [2, 1, 7, 6]}))
    low, high = edges(only(found).box)
    assert low == pytest.approx((2.5, 0.5, 1.5))
    assert high == pytest.approx((3.5, 6.5, 8.5))
    assert only(found).category is Category.NODULE_GE_3MM


def pixels(*, rows: slice, columns: slice) -> NDArray[np.bool_]:
    plane = np.zeros((8, 12), dtype=np.bool_)
    plane[rows, columns] = True
    return plane


def test_a_coco_polygon_holds_the_pixels_whose_centres_it_holds() -> None:
    around = [2.0, 1.0, 9.0, 1.0, 9.0, 7.0, 2.0, 7.0]
    data = a_coco({"id": 1, "image_id": 2, "category_id": 6, "segmentation": [around, [10, 1, 12, 1, 12, 3, 10, 3]]})
    finding = only(read(coco.FORMAT, data))
    assert finding.mask is not None
    expected = pixels(rows=slice(1, 7), columns=slice(2, 9)) | pixels(rows=slice(1, 3), columns=slice(10, 12))
    assert np.array_equal(full_voxels(finding.mask)[4], expected)
    assert finding.category is Category.STRUCTURE
    assert finding.round_trip is not None
    assert finding.round_trip.mm == pytest.approx(0.0)


def test_a_coco_polygon_between_pixels_says_how_far_its_points_moved() -> None:
    around = [2.25, 1.25, 8.75, 1.25, 8.75, 6.75, 2.25, 6.75]
    data = a_coco({"id": 1, "image_id": 2, "category_id": 5, "segmentation": [around]})
    finding = only(read(coco.FORMAT, data))
    assert finding.round_trip is not None
    assert finding.round_trip.voxels == pytest.approx(0.25)
    assert finding.round_trip.mm == pytest.approx(0.25 * 0.5 * np.sqrt(2))


# An 8 x 12 image with rows 1 to 6 of columns 2 to 8: 17 pixels outside, then 6 in and 2 out in turn, 25 at last.
PLAIN = [17, *([6, 2] * 6), 6, 25]


def packed(runs: list[int]) -> str:
    """The COCO API's packing, written again from its description (rleToString)."""
    text = ""
    for position, run in enumerate(runs):
        value = run - runs[position - 2] if position > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr(48 + (bits | (0x20 if more else 0)))
    return text


def test_run_lengths_go_down_the_columns_plain_and_packed() -> None:
    expected = pixels(rows=slice(1, 7), columns=slice(2, 9))
    assert sum(PLAIN) == 96
    for counts in (PLAIN, packed(PLAIN)):
        found = segmentation_pixels({"size": [8, 12], "counts": counts}, (8, 12))
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("runs", [[0, 96], [5, 1, 90], [17, 6, 2, 6, 65], [3, 300, 2, 5, 70000, 12, 1]])
def test_packed_run_lengths_unpack_to_what_was_packed(runs: list[int]) -> None:
    assert unpacked_runs(packed(runs)) == runs


@pytest.mark.parametrize(
    ("segmentation", "code"),
    [
        ({"size": [8, 12], "counts": [96, 1]}, "segmentation-not-decoded"),
        ({"size": [8, 12], "counts": [-1, 97]}, "segmentation-not-decoded"),
        ({"size": [12, 8], "counts": [0, 96]}, "segmentation-not-decoded"),
        ({"size": [8, 12], "counts": "~~~"}, "segmentation-not-decoded"),
        ({"size": [8, 12], "counts": [96]}, "empty-mask"),
        ([[1, 2, 3]], "segmentation-not-decoded"),
        ([[1, 2, 3, 4, 5, None]], "segmentation-not-decoded"),
        ([[1, 1, 30, 1, 30, 5]], "label-outside-image"),
        ([[3.6, 3.6, 3.8, 3.6, 3.7, 3.8]], "empty-mask"),
    ],
)
def test_a_segmentation_that_makes_no_sense_is_left_out_by_name(segmentation: object, code: str) -> None:
    found = read(coco.FORMAT, a_coco({"id": 1, "image_id": 1, "category_id": 5, "segmentation": segmentation}))
    assert [len(one.findings) for one in found.annotation_sets] == [0]
    assert [rejection.code for rejection in found.rejections] == [code]


def test_a_score_makes_a_prediction_and_people_s_annotations_stay_apart() -> None:
    shared = {"image_id": 1, "category_id": 5, "bbox": [2, 1, 7, 6]}
    found = read(coco.FORMAT, a_coco({"id": 1, **shared}, {"id": 2, "score": 0.75, **shared}))
    drawn, predicted = found.annotation_sets
    assert (drawn.kind, predicted.kind) == (SetKind.READER, SetKind.ALGORITHM)
    assert [finding.confidence for finding in (*drawn.findings, *predicted.findings)] == [None, 0.75]


def test_a_file_that_names_its_algorithm_is_that_algorithm_s_even_where_it_found_nothing() -> None:
    info: dict[str, object] = {"algorithm": {"name": "detector", "version": "2"}}
    (one,) = read(coco.FORMAT, a_coco(info=info)).annotation_sets
    assert one.kind is SetKind.ALGORITHM
    assert one.algorithm is not None
    assert (one.algorithm.name, one.algorithm.version, one.findings) == ("detector", "2", ())


@pytest.mark.parametrize("score", [1.2, -0.1, "high", True])
def test_a_score_that_is_no_probability_is_refused(score: object) -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 5, "bbox": [2, 1, 7, 6], "score": score}
    found = read(coco.FORMAT, a_coco(annotation))
    assert [rejection.code for rejection in found.rejections] == ["bad-confidence"]


def test_a_list_of_coco_results_finds_its_images_by_name() -> None:
    results = [{"image_id": uid_of(3), "category_id": 1, "bbox": [2, 1, 7, 6], "score": 0.5}]
    finding = only(read(coco.FORMAT, json.dumps(results).encode()))
    assert finding.sop_instance_uids == (uid_of(3),)
    assert finding.source_label == "category 1"


def test_images_with_labels_that_nothing_here_is_called_are_dangling_once_and_others_are_not() -> None:
    annotations: list[dict[str, object]] = [
        {"id": number, "image_id": image, "category_id": 5, "bbox": [2, 1, 7, 6]}
        for number, image in enumerate((1, 3, 3, 9))
    ]
    found = read(coco.FORMAT, a_coco(*annotations))
    assert {rejection.code: rejection.subjects for rejection in found.rejections} == {
        "dangling-reference": (ABSENT,),
        "unknown-image": ("annotation 3",),
    }
