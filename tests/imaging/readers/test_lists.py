"""Tables and lists of scans: LUNA16, MONAI datalists, and predictions made elsewhere."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from imaging.errors import UnreadableFile
from imaging.geometry.affine import as_affine, to_index
from imaging.geometry.series import SeriesGeometry
from imaging.readers import datalist, luna16, predictions_csv, predictions_json
from imaging.readers.formats import LabelFormat, ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.shapes import patient_box
from imaging.readers.tables import parse_table
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import Algorithm, AnnotationImport, Category, Finding, Grid, SetKind
from tests.imaging.readers import test_segmentation
from tests.imaging.readers.label_makers import OTHER_SERIES
from tests.imaging.readers.made import SERIES, uid_of

IMAGE = test_segmentation.image()


def read(form: LabelFormat, data: bytes, *, names: dict[str, str] | None = None) -> AnnotationImport:
    context = ReadContext(
        "labels/x", LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold=0.5, image_names=names or {}
    )
    return form.read(data, IMAGE, context)


def findings(found: AnnotationImport) -> list[Finding]:
    return [finding for one in found.annotation_sets for finding in one.findings]


def codes(found: AnnotationImport) -> list[str]:
    return [rejection.code for rejection in found.rejections]


def table(*rows: str, head: str = "seriesuid,coordX,coordY,coordZ,diameter_mm") -> bytes:
    return "\n".join([head, *rows]).encode()


def test_luna16_rows_of_this_series_are_balls_and_the_others_are_left_alone() -> None:
    found = read(luna16.FORMAT, table(f"{SERIES},-1.5,-1,14.5,2.5", f"{OTHER_SERIES},0,0,0,5", f"{SERIES},0,0,13,4"))
    small, large = findings(found)
    assert small.sphere is not None
    assert (small.sphere.centre_mm, small.sphere.diameter_mm) == ((-1.5, -1.0, 14.5), 2.5)
    assert (small.category, large.category) == (Category.NODULE_LT_3MM, Category.NODULE_GE_3MM)
    assert small.sop_instance_uids == (uid_of(3),)  # planes at 13 and 16 mm lie beyond its radius of 1.25 mm
    assert codes(found) == []


def test_luna16_candidates_are_points_of_both_classes() -> None:
    head = "seriesuid,coordX,coordY,coordZ,class"
    found = read(luna16.FORMAT, table(f"{SERIES},0,0,13,1", f"{SERIES},0,0,14,0", f"{SERIES},0,0,14,7", head=head))
    nodule, other = findings(found)
    assert (nodule.category, other.category) == (Category.NODULE_GE_3MM, Category.NON_NODULE)
    assert other.point_mm == (0.0, 0.0, 14.0)
    assert [rejection.subjects for rejection in found.rejections] == [("line 4",)]


def test_luna16_rows_with_a_probability_are_predictions() -> None:
    head = "seriesuid,coordX,coordY,coordZ,probability"
    found = read(luna16.FORMAT, table(f"{SERIES},0,0,13,0.625", f"{SERIES},0,0,13,1.5", head=head))
    (one,) = found.annotation_sets
    assert one.kind is SetKind.ALGORITHM
    assert [finding.confidence for finding in one.findings] == [0.625]
    assert codes(found) == ["bad-confidence"]


@pytest.mark.parametrize("row", ["x,0,0,4", "nan,0,0,4", "inf,0,0,4", "0,0,0,-4", "0,0,0,zero", "0,0"])
def test_a_wrong_number_is_named_by_its_line(row: str) -> None:
    found = read(luna16.FORMAT, table(f"{SERIES},0,0,13,4", f"{SERIES},{row}"))
    assert len(findings(found)) == 1
    assert codes(found) == ["bad-number"]
    assert "line 3" in found.rejections[0].message


def test_a_place_outside_says_where_and_that_turned_signs_would_bring_it_in() -> None:
    found = read(luna16.FORMAT, table(f"{SERIES},3.8,2.4,14.5,3"))
    (rejection,) = found.rejections
    assert rejection.code == "label-outside-image"
    assert "(3.8, 2.4, 14.5) mm" in rejection.message
    assert "RAS instead of LPS" in rejection.message


def test_columns_that_are_not_understood_are_named() -> None:
    found = read(
        luna16.FORMAT, table(f"{SERIES},0,0,13,4,round", head="seriesuid,coordX,coordY,coordZ,diameter_mm,margin")
    )
    assert [rejection.subjects for rejection in found.rejections] == [("margin",)]


def test_a_table_without_rows_says_nothing_of_any_scan() -> None:
    found = read(luna16.FORMAT, table())
    assert found.annotation_sets == ()
    assert codes(found) == ["empty-table"]


def test_a_series_may_be_named_by_the_names_of_its_images() -> None:
    found = read(luna16.FORMAT, table("scan-17,0,0,13,4"), names={"scan-17": uid_of(0)})
    assert len(findings(found)) == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"a,b\n1,2", "not-a-table"),
        (b"seriesuid,a,a\n", "damaged-table"),
        (b'seriesuid\n"x\n', "damaged-table"),
        (b"seriesuid\n1,2\n", "damaged-table"),
        (b"seriesuid\n\xff\xfe\xfd\n", "not-a-table"),
    ],
)
def test_a_damaged_table_is_unreadable_by_name(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        parse_table(data, needs=frozenset({"seriesuid"}))
    assert refusal.value.code == code


def a_datalist(*boxes: list[float], more: dict[str, object] | None = None, **top: object) -> bytes:
    entry = {"image": f"{SERIES}/{SERIES}.nii.gz", "box": boxes, "label": [0] * len(boxes), **(more or {})}
    return json.dumps({"training": [], "validation": [entry], **top}).encode()


CENTRED = [-1.5, -1.0, 14.5, 3.0, 3.0, 3.0]


def test_cubes_by_centre_and_widths_are_told_from_corners() -> None:
    (finding,) = findings(read(datalist.FORMAT, a_datalist(CENTRED)))
    assert finding.box is not None
    assert np.allclose(sorted([finding.box.corner_mm, finding.box.opposite_corner_mm]), [(-3, -2.5, 13), (0, 0.5, 16)])
    assert (finding.source_label, finding.category) == ("nodule", Category.NODULE_GE_3MM)


def test_negative_widths_can_only_be_corners() -> None:
    (finding,) = findings(read(datalist.FORMAT, a_datalist([-3.0, -2.5, 13.0, -1.0, 0.5, 16.0])))
    assert finding.box is not None
    assert np.allclose(sorted([finding.box.corner_mm, finding.box.opposite_corner_mm]), [(-3, -2.5, 13), (-1, 0.5, 16)])


def test_boxes_that_can_be_both_are_refused_until_the_file_says_which() -> None:
    both = [-3.0, -2.5, 11.0, 1.0, 1.5, 16.0]
    assert codes(read(datalist.FORMAT, a_datalist(both))) == ["ambiguous-box-mode"]
    assert read(datalist.FORMAT, a_datalist(both)).annotation_sets == ()
    for said in (a_datalist(both, box_mode="xyzxyz"), a_datalist(both, more={"box_mode": "xyzxyz"})):
        (finding,) = findings(read(datalist.FORMAT, said))
        assert finding.box is not None
        assert np.allclose(finding.box.corner_mm, (-3, -2.5, 11))


def test_a_scan_with_an_empty_list_of_boxes_was_read_and_holds_nothing() -> None:
    found = read(datalist.FORMAT, a_datalist())
    (one,) = found.annotation_sets
    assert (one.read, one.findings, codes(found)) == (True, (), [])


def test_scores_make_predictions_and_their_number_must_be_that_of_the_boxes() -> None:
    (finding,) = findings(read(datalist.FORMAT, a_datalist(CENTRED, more={"label_scores": [0.5]})))
    assert finding.confidence == 0.5
    found = read(datalist.FORMAT, a_datalist(CENTRED, more={"label_scores": [0.5, 0.6]}))
    assert (codes(found), found.annotation_sets) == (["counts-disagree"], ())


def test_a_mask_that_a_datalist_names_is_left_to_be_read_as_its_own_file() -> None:
    document = {"training": [{"image": f"{SERIES}.nii.gz", "label": "labels/x.nii.gz"}]}
    found = read(datalist.FORMAT, json.dumps(document).encode())
    assert (codes(found), found.annotation_sets) == (["mask-named"], ())


def test_a_box_that_passes_the_end_of_the_scan_is_kept_and_named() -> None:
    found = read(datalist.FORMAT, a_datalist([-1.5, -1.0, 17.0, 6.0, 6.0, 6.0]))
    assert len(findings(found)) == 1
    assert codes(found) == ["passes-edge"]


def test_classes_keep_the_names_that_the_file_gives() -> None:
    data = a_datalist(CENTRED, CENTRED, more={"label": [1, 4]}, labels={"1": "lung lesion"})
    first, second = findings(read(datalist.FORMAT, data))
    assert (first.source_label, first.category) == ("lung lesion", Category.NODULE_GE_3MM)
    assert (second.source_label, second.category) == ("class 4", Category.STRUCTURE)


def test_a_box_along_the_patient_s_axes_is_enclosed_where_the_image_leans() -> None:
    angle = math.radians(10.0)
    matrix = np.array(
        [[0, -math.sin(angle), math.cos(angle), 0], [0, math.cos(angle), math.sin(angle), 0], [2, 0, 0, 0]]
    )
    leaning = SeriesGeometry(Grid((9, 90, 90), as_affine(np.vstack([matrix, [0, 0, 0, 1]])), "1.9"), SERIES, ())
    box, cost = patient_box(leaning.grid, corner_mm=(20.0, 20.0, 4.0), opposite_corner_mm=(40.0, 30.0, 8.0))
    ends = np.sort([to_index(leaning.grid, box.corner_mm), to_index(leaning.grid, box.opposite_corner_mm)], axis=0)
    given = [to_index(leaning.grid, (x, y, z)) for x in (20.0, 40.0) for y in (20.0, 30.0) for z in (4.0, 8.0)]
    assert np.allclose(ends, [np.min(given, axis=0), np.max(given, axis=0)])
    # About a turned rectangle of 20 x 10 mm a corner lies some sin(10 degrees) of a side from the nearest given one.
    assert cost.mm == pytest.approx(20.0 * math.sin(angle), rel=0.2)


PREDICTIONS_HEAD = (
    "series_instance_uid,shape,confidence,label,algorithm_name,algorithm_version,x_mm,y_mm,z_mm,diameter_mm,x2_mm,y2_mm,"
    "z2_mm,tracking_uid"
)


def test_a_table_of_predictions_gives_one_set_for_each_algorithm() -> None:
    data = table(
        f"{SERIES},point,0.4,nodule,alpha,1,0,0,14,,,,,",
        f"{SERIES},sphere,0.5,nodule,alpha,2,0,0,14,3.5,,,,2.25.7",
        f"{SERIES},box,0.6,rib,alpha,1,-3,-2,12,,0,0,16,",
        f"{SERIES},case,0.75,malignant,alpha,1,,,,,,,,",
        f"{SERIES},none,,,beta,3,,,,,,,,",
        head=PREDICTIONS_HEAD,
    )
    found = read(predictions_csv.FORMAT, data)
    assert codes(found) == []
    first, second, third = found.annotation_sets
    assert [one.algorithm for one in found.annotation_sets] == [
        Algorithm("alpha", "1"),
        Algorithm("alpha", "2"),
        Algorithm("beta", "3"),
    ]
    assert {one.kind for one in found.annotation_sets} == {SetKind.ALGORITHM}
    assert [finding.point_mm is not None for finding in first.findings] == [True, False]
    assert [finding.category for finding in first.findings] == [Category.NODULE_GE_3MM, Category.STRUCTURE]
    assert first.case_probabilities == {"malignant": 0.75}
    assert [finding.tracking_uid for finding in second.findings] == ["2.25.7"]
    assert (third.read, third.findings) == (True, ())


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("line,0.4,nodule,alpha,1,0,0,14,,,,,", "bad-shape"),
        ("point,1.4,nodule,alpha,1,0,0,14,,,,,", "bad-confidence"),
        ("point,,nodule,alpha,1,0,0,14,,,,,", "bad-confidence"),
        ("point,0.4,nodule,alpha,1,0,east,14,,,,,", "bad-number"),
        ("sphere,0.4,nodule,alpha,1,0,0,14,,,,,", "bad-number"),
        ("box,0.4,nodule,alpha,1,0,0,14,,1,1,13,", "bad-number"),
        ("box,0.4,nodule,alpha,1,0,0,14,,1,1,,", "bad-number"),
        ("point,0.4,nodule,,1,0,0,14,,,,,", "no-algorithm"),
        ("point,0.4,nodule,alpha,1,0,0,14,,,,,lesion A", "bad-tracking-uid"),
        ("case,,malignant,alpha,1,,,,,,,,", "bad-confidence"),
        ("point,0.4,nodule,alpha,1,0,0,140,,,,,", "label-outside-image"),
    ],
)
def test_a_wrong_prediction_is_named_by_its_line_and_the_others_stay(row: str, code: str) -> None:
    sound = f"{SERIES},point,0.4,nodule,alpha,1,0,0,14,,,,,"
    found = read(predictions_csv.FORMAT, table(sound, f"{SERIES},{row}", sound, head=PREDICTIONS_HEAD))
    assert len(findings(found)) == 2
    assert codes(found) == [code]
    assert found.rejections[0].subjects == ("line 3",)


def a_document(*predictions: dict[str, object], **changes: object) -> bytes:
    case = {"series_instance_uid": SERIES, "predictions": predictions}
    algorithm = {"name": "alpha", "version": "1"}
    whole = {"format": "label-qa-predictions", "version": 1, "algorithm": algorithm, "cases": [case]}
    return json.dumps(whole | changes).encode()


BOX: dict[str, object] = {
    "shape": "box",
    "corner_mm": [-3, -2, 12],
    "opposite_corner_mm": [0, 0, 16],
    "label": "nodule",
    "confidence": 0.5,
}


def test_a_document_of_predictions_says_the_same_as_a_table() -> None:
    row = f"{SERIES},box,0.5,nodule,alpha,1,-3,-2,12,,0,0,16,"
    (listed,) = findings(read(predictions_csv.FORMAT, table(row, head=PREDICTIONS_HEAD)))
    (written,) = findings(read(predictions_json.FORMAT, a_document(BOX)))
    assert (listed.box, listed.category, listed.confidence) == (written.box, written.category, written.confidence)
    assert listed.sop_instance_uids == written.sop_instance_uids == tuple(uid_of(number) for number in (2, 3, 4))


def test_what_a_document_s_predictions_do_not_say_or_say_wrongly_is_named() -> None:
    wrong = {**BOX, "confidence": "high", "colour": "red"}
    case = {"series_instance_uid": SERIES, "predictions": [BOX, wrong], "class_probabilities": {"a": 2, "b": 0.5}}
    found = read(predictions_json.FORMAT, a_document(cases=[case, {"predictions": []}], reviewed=True))
    assert len(findings(found)) == 1
    assert dict(found.annotation_sets[0].case_probabilities) == {"b": 0.5}
    assert sorted(codes(found)) == ["bad-confidence", "bad-confidence", "no-series", "unknown-keys", "unknown-keys"]
    assert {"colour", "reviewed"} <= {subject for rejection in found.rejections for subject in rejection.subjects}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": "other"}, "not-predictions"),
        ({"version": 2}, "not-predictions"),
        ({"cases": {}}, "not-predictions"),
        ({"algorithm": {"version": "1"}}, "no-algorithm"),
    ],
)
def test_a_document_of_another_layout_or_without_an_author_is_unreadable(changes: dict[str, object], code: str) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read(predictions_json.FORMAT, a_document(**changes))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"[" * 100 + b"]" * 100, b'{"a": NaN}', b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_json_that_would_trip_the_parser_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read(predictions_json.FORMAT, data)
    assert refusal.value.code == "not-json"
