"""LIDC reader files: what each session says, placed on the slices that it names."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.errors import UnreadableFile
from imaging.geometry.affine import as_affine, to_patient, voxel_to_patient
from imaging.geometry.series import SeriesGeometry
from imaging.masks.build import full_voxels
from imaging.readers.lidc import parse_lidc_xml, read_lidc_xml
from imaging.types import AnnotationImport, Category, Grid

NAMESPACE = 'xmlns="http://www.nih.gov"'


def an_image(slices: int = 6) -> SeriesGeometry:
    matrix = voxel_to_patient(
        position_mm=(-10.0, -20.0, -30.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing_mm=(0.5, 0.5),
        slice_step_mm=2.0,
    )
    return SeriesGeometry(
        Grid((slices, 40, 50), as_affine(matrix), "1.9"), "1.2.3", tuple(f"1.2.3.{n}" for n in range(slices))
    )


def roi(slice_index: int, points: list[tuple[int, int]], *, inclusion: str = "TRUE", z: float | None = None) -> str:
    height = -30.0 + 2.0 * slice_index if z is None else z
    edge = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return (
        f"<roi><imageZposition>{height} </imageZposition><imageSOP_UID>1.2.3.{slice_index}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edge}</roi>"
    )


def nodule(*rois: str, ratings: str = "") -> str:
    return (
        f"<unblindedReadNodule><noduleID>Nodule 001</noduleID><characteristics>{ratings}</characteristics>"
        f"{''.join(rois)}</unblindedReadNodule>"
    )


def message(*sessions: str, series: str = "1.2.3", root: str = "LidcReadMessage", header: str = "") -> bytes:
    read = "".join(
        f"<readingSession><annotationVersion>3.12</annotationVersion>"
        f"<servicingRadiologistID>{100 + number}</servicingRadiologistID>{content}</readingSession>"
        for number, content in enumerate(sessions)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{root} uid="1.7" {NAMESPACE}><ResponseHeader>'
        f"<SeriesInstanceUid>{series}</SeriesInstanceUid><StudyInstanceUID>1.2</StudyInstanceUID>{header}"
        f"</ResponseHeader>{read}</{root}>"
    ).encode()


def read(*sessions: str, image: SeriesGeometry | None = None) -> AnnotationImport:
    return read_lidc_xml(message(*sessions), image or an_image())


def square(left: int, top: int, size: int) -> list[tuple[int, int]]:
    """A contour of adjacent pixels, ``size`` pixels wide, closed."""
    right, bottom = left + size - 1, top + size - 1
    edge = [(x, top) for x in range(left, right)] + [(right, y) for y in range(top, bottom)]
    edge += [(x, bottom) for x in range(right, left, -1)] + [(left, y) for y in range(bottom, top, -1)]
    return [*edge, edge[0]]


def test_contour_pixels_do_not_belong_to_the_nodule() -> None:
    found = read(nodule(roi(2, square(10, 20, 6)), roi(3, square(11, 21, 4))))
    (finding,) = found.annotation_sets[0].findings
    assert finding.category is Category.NODULE_GE_3MM
    assert finding.mask is not None
    whole = full_voxels(finding.mask)
    expected = np.zeros((6, 40, 50), dtype=np.bool_)
    expected[2, 21:25, 11:15] = True
    expected[3, 22:24, 12:14] = True
    assert np.array_equal(whole, expected)
    assert finding.sop_instance_uids == ("1.2.3.2", "1.2.3.3")
    assert found.rejections == ()


def test_an_exclusion_takes_away_its_interior_and_its_contour() -> None:
    found = read(nodule(roi(2, square(13, 23, 3), inclusion="FALSE"), roi(2, square(10, 20, 10))))
    (finding,) = found.annotation_sets[0].findings
    assert finding.mask is not None
    expected = np.zeros((6, 40, 50), dtype=np.bool_)
    expected[2, 21:29, 11:19] = True
    expected[2, 23:26, 13:16] = False
    assert np.array_equal(full_voxels(finding.mask), expected)


def test_two_outlines_on_one_slice_are_both_the_nodule() -> None:
    found = read(nodule(roi(2, square(10, 20, 4)), roi(2, square(20, 20, 4))))
    (finding,) = found.annotation_sets[0].findings
    assert finding.mask is not None
    assert finding.mask.count == 8


def test_a_single_point_is_a_nodule_below_three_millimetres_at_its_voxel() -> None:
    image = an_image()
    (finding,) = read(nodule(roi(4, [(7, 9)])), image=image).annotation_sets[0].findings
    assert finding.category is Category.NODULE_LT_3MM
    assert finding.point_mm == to_patient(image.grid, (4, 9, 7))
    assert finding.mask is None


def test_a_non_nodule_is_a_point() -> None:
    mark = (
        "<nonNodule><nonNoduleID>N1</nonNoduleID><imageZposition>-28.0</imageZposition>"
        "<imageSOP_UID>1.2.3.1</imageSOP_UID><locus><xCoord>3</xCoord><yCoord>5</yCoord></locus></nonNodule>"
    )
    (finding,) = read(mark).annotation_sets[0].findings
    assert (finding.category, finding.source_label) == (Category.NON_NODULE, "N1")
    assert finding.point_mm == (-8.5, -17.5, -28.0)


def test_read_and_nothing_found_is_told_from_not_read() -> None:
    found = read("", nodule(roi(4, [(7, 9)])))
    empty, other = found.annotation_sets
    assert (empty.read, empty.findings) == (True, ())
    assert (empty.reader_label, other.reader_label) == ("session 1: 100", "session 2: 101")
    assert len({one.set_id for one in found.annotation_sets}) == 2


def test_ratings_of_zero_and_blanks_are_left_out() -> None:
    ratings = "<subtlety>5</subtlety><margin>0</margin><texture></texture><malignancy> 3 </malignancy>"
    (finding,) = read(nodule(roi(2, square(10, 20, 6)), ratings=ratings)).annotation_sets[0].findings
    assert finding.characteristics == {"subtlety": 5, "malignancy": 3}


def test_an_outline_without_an_interior_is_kept_as_a_point_and_said_so() -> None:
    found = read(nodule(roi(2, [(10, 10), (11, 10), (11, 11), (10, 11)])))
    (finding,) = found.annotation_sets[0].findings
    assert finding.category is Category.NODULE_GE_3MM
    assert finding.mask is None
    assert finding.point_mm == pytest.approx((-4.75, -14.75, -26.0))
    assert [rejection.code for rejection in found.rejections] == ["outline-without-interior"]


def test_a_slice_on_which_the_rule_leaves_nothing_is_named() -> None:
    found = read(nodule(roi(2, square(10, 20, 6)), roi(3, [(12, 22)])))
    assert [(one.code, one.subjects[1:]) for one in found.rejections] == [("slice-without-interior", ("1.2.3.3",))]


def test_a_reference_to_an_image_that_is_not_there_is_reported_and_the_rest_kept() -> None:
    found = read(nodule(roi(2, square(10, 20, 6)), roi(9, square(10, 20, 6))), nodule(roi(8, [(1, 1)])))
    first, second = found.annotation_sets
    assert first.findings[0].sop_instance_uids == ("1.2.3.2",)
    assert second.findings == ()
    assert [(one.code, one.subjects[1]) for one in found.rejections] == [
        ("dangling-reference", "1.2.3.9"),
        ("dangling-reference", "1.2.3.8"),
    ]


def test_slices_are_found_by_instance_and_a_wrong_z_is_remarked_on_in_millimetres() -> None:
    found = read(nodule(roi(2, square(10, 20, 6), z=-16.0)))
    assert found.annotation_sets[0].findings[0].sop_instance_uids == ("1.2.3.2",)
    (remark,) = found.rejections
    assert remark.code == "z-disagrees"
    assert "-16.00 mm" in remark.message
    assert "-26.00 mm" in remark.message


def test_points_outside_the_image_are_refused_with_their_number() -> None:
    found = read(nodule(roi(2, [(48, 5), (52, 5), (52, 9), (48, 9)])))
    assert found.annotation_sets[0].findings == ()
    assert (found.rejections[0].code, "2 of 4" in found.rejections[0].message) == ("label-outside-image", True)


def test_a_file_about_another_series_gives_nothing_but_the_reason() -> None:
    found = read_lidc_xml(message(nodule(roi(9, [(1, 1)])), series="9.9.9"), an_image())
    assert (found.annotation_sets, [one.code for one in found.rejections]) == ((), ["another-series"])


def test_a_chest_x_ray_read_is_recognised_and_refused() -> None:
    data = message(root="IdriReadMessage", header="<Modality>CXR</Modality>")
    found = read_lidc_xml(data, an_image())
    assert (found.annotation_sets, [one.code for one in found.rejections]) == ((), ["chest-x-ray"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-xml"),
        (message("")[:-30], "not-xml"),
        (b"<report/>", "not-lidc"),
        (b'<?xml version="1.0" encoding="no-such"?><LidcReadMessage/>', "not-xml"),
        (
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><LidcReadMessage>&b;</LidcReadMessage>',
            "unsafe-xml",
        ),
    ],
    ids=["empty", "cut short", "another root", "unknown encoding", "an external entity"],
)
def test_what_is_no_reader_file_is_refused_by_name(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        parse_lidc_xml(data)
    assert caught.value.code == code


def test_coordinates_that_are_no_numbers_are_counted() -> None:
    broken = nodule(roi(2, square(10, 20, 6))).replace("<xCoord>10</xCoord>", "<xCoord>ten</xCoord>", 1)
    found = read(broken)
    assert [one.code for one in found.rejections] == ["unread-coordinates"]
    assert "1 points" in found.rejections[0].message
