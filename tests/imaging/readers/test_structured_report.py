"""Imaging measurement reports: where their regions lie, in voxels, or why they lie nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from imaging.masks.measure import measure
from imaging.types import Category, ReportedMeasurement
from tests.imaging.readers.made import FRAME, a_file, uid_of, written
from tests.imaging.readers.made_reports import (
    SEG_UID,
    SLICES,
    SQUARE,
    a_length,
    a_report,
    a_square,
    in_space,
    of_segment,
    on_image,
    only,
    planar,
    read,
    voxels,
)
from tests.imaging.readers.test_segmentation import a_segmentation, region


def test_a_closed_polyline_on_an_image_becomes_the_pixels_that_it_encloses() -> None:
    found = read(a_report(planar(on_image("POLYLINE", SQUARE, 3))))
    assert found.rejections == ()
    finding = only(found)
    assert np.array_equal(voxels(finding), a_square())
    assert (finding.category, finding.source_label) == (Category.NODULE_GE_3MM, "lesion 1")
    assert (finding.tracking_uid, finding.sop_instance_uids) == ("1.2.3.4.5", (uid_of(3),))
    assert finding.attributes["Finding Site"] == "Lung"
    assert finding.round_trip is not None
    assert finding.round_trip.mm == pytest.approx(0.0, abs=1e-6)


def test_the_same_outline_in_patient_space_gives_the_same_voxels() -> None:
    # The centre of the first pixel is (-4, -3) and half a pixel before it lies its corner.
    polygon = [(-4.25 + 0.5 * column, -3.25 + 0.5 * row, 14.5) for column, row in SQUARE]
    assert np.array_equal(voxels(only(read(a_report(planar(in_space("POLYGON", polygon)))))), a_square())


def test_circles_and_ellipses_are_filled_to_their_area() -> None:
    circle = only(read(a_report(planar(on_image("CIRCLE", [(6.0, 4.0), (6.0, 7.5)], 3)))))
    ellipse = only(read(a_report(planar(on_image("ELLIPSE", [(1, 4), (11, 4), (6, 1), (6, 7)], 3)))))
    rows, columns = np.mgrid[0:8, 0:12] + 0.5
    assert np.array_equal(voxels(circle)[3], np.hypot(rows - 4.0, columns - 6.0) <= 3.5)
    assert np.array_equal(voxels(ellipse)[3], ((rows - 4) / 3) ** 2 + ((columns - 6) / 5) ** 2 <= 1.0)
    for finding in (circle, ellipse):
        assert finding.round_trip is not None
        assert 0.0 < finding.round_trip.voxels <= 0.5


def test_an_ellipse_in_patient_space_lies_on_its_slice() -> None:
    points = [(-3.75, -1.25, 14.5), (1.25, -1.25, 14.5), (-1.25, -2.75, 14.5), (-1.25, 0.25, 14.5)]
    ellipse = only(read(a_report(planar(in_space("ELLIPSE", points)))))
    flat = only(read(a_report(planar(on_image("ELLIPSE", [(1, 4), (11, 4), (6, 1), (6, 7)], 3)))))
    assert np.array_equal(voxels(ellipse), voxels(flat))


def test_a_point_stays_where_it_was_set() -> None:
    flat = only(read(a_report(planar(on_image("POINT", [(6.5, 4.5)], 2)))))
    free = only(read(a_report(planar(in_space("POINT", [(-1.0, -1.0, 13.7)])))))
    assert flat.point_mm == pytest.approx((-1.0, -1.0, 13.0))
    assert free.point_mm == pytest.approx((-1.0, -1.0, 13.7))
    assert free.sop_instance_uids == (uid_of(2),)
    for finding in (flat, free):
        assert finding.round_trip is not None
        assert finding.round_trip.mm == pytest.approx(0.0)


def test_an_ellipsoid_is_filled_in_three_dimensions() -> None:
    centre, (a, b, c) = np.array([-1.25, -1.25, 13.75]), (2.0, 1.5, 2.5)
    ends = [
        centre + sign * length * axis for length, axis in zip((a, b, c), np.eye(3), strict=True) for sign in (1, -1)
    ]
    surface = sr.VolumeSurface(
        graphic_type=sr.GraphicTypeValues3D.ELLIPSOID,
        graphic_data=np.array(ends),
        frame_of_reference_uid=FRAME,
        source_images=[sr.SourceImageForSegmentation("1.2.840.10008.5.1.4.1.1.2", uid_of(2))],
    )
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_volume_surface=surface,
        finding_type=codes.SCT.Nodule,
    )
    found = read(a_report(group))
    assert found.rejections == ()
    finding = only(found)
    assert finding.mask is not None
    z, y, x = np.mgrid[0:SLICES, 0:8, 0:12].astype(np.float64)
    place = np.stack([x * 0.5 - 4.0, y * 0.5 - 3.0, z * 1.5 + 10.0], axis=-1) - centre
    assert np.array_equal(voxels(finding), ((place / np.array([a, b, c])) ** 2).sum(axis=-1) <= 1.0)
    assert measure(finding.mask).volume_mm3 == pytest.approx(4 / 3 * np.pi * a * b * c, rel=0.1)


def test_regions_on_several_slices_are_one_volume() -> None:
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_regions=[on_image("POLYLINE", SQUARE, number) for number in (2, 3)],
        finding_type=codes.SCT.Nodule,
    )
    finding = only(read(a_report(group)))
    assert np.array_equal(voxels(finding), a_square() | np.roll(a_square(), -1, axis=0))


def test_an_open_outline_of_a_region_is_closed_and_that_is_said() -> None:
    found = read(a_report(planar(on_image("POLYLINE", SQUARE[:-1], 3))))
    assert [rejection.code for rejection in found.rejections] == ["outline-closed"]
    assert np.array_equal(voxels(only(found)), a_square())


def test_a_line_is_kept_as_its_middle_and_the_round_trip_says_how_far_its_ends_are() -> None:
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        finding_type=codes.SCT.Nodule,
        measurements=[a_length([(2.5, 4.5), (10.5, 4.5)])],
    )
    found = read(a_report(group))
    assert [rejection.code for rejection in found.rejections] == ["kept-as-point"]
    finding = only(found)
    assert finding.point_mm == pytest.approx((-1.0, -1.0, 14.5))
    assert finding.round_trip is not None
    assert (finding.round_trip.voxels, finding.round_trip.mm) == (pytest.approx(4.0), pytest.approx(2.0))
    assert finding.measurements == (ReportedMeasurement("Length", 4.0, "mm"),)


def test_a_line_beside_an_outline_is_left_out_by_name() -> None:
    line = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.6", identifier="lesion 2"),
        measurements=[a_length([(2.5, 4.5), (10.5, 4.5)])],
    )
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)), line)
    outlined, measured = dataset.ContentSequence[-1].ContentSequence
    outlined.ContentSequence.extend(item for item in measured.ContentSequence if item.ValueType == "NUM")
    del dataset.ContentSequence[-1].ContentSequence[1]
    found = read(dataset)
    assert [rejection.code for rejection in found.rejections] == ["region-not-kept"]
    assert np.array_equal(voxels(only(found)), a_square())


def test_a_segment_of_a_segmentation_at_hand_is_the_outline() -> None:
    found = read(a_report(of_segment()), {SEG_UID: written(a_segmentation(region()))})
    assert found.rejections == ()
    assert np.array_equal(voxels(only(found)), region())


def test_single_frames_of_a_segmentation_give_their_slices_alone() -> None:
    dataset = a_segmentation(region())
    heights = [
        float(f.PlanePositionSequence[0].ImagePositionPatient[2]) for f in dataset.PerFrameFunctionalGroupsSequence
    ]
    frame = sr.ReferencedSegmentationFrame(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=SEG_UID,
        frame_number=1,
        segment_number=1,
        source_image=sr.SourceImageForSegmentation("1.2.840.10008.5.1.4.1.1.2", uid_of(3)),
    )
    finding = only(read(a_report(planar(segment=frame)), {SEG_UID: written(dataset)}))
    expected = region()
    expected[np.arange(SLICES) != round((heights[0] - 10.0) / 1.5)] = False
    assert np.array_equal(voxels(finding), expected)


@pytest.mark.parametrize(
    ("companion", "number", "code"),
    [
        ({}, 1, "dangling-reference"),
        ({SEG_UID: written(a_segmentation(region()))}, 2, "segment-not-held"),
        ({SEG_UID: a_file()}, 1, "not-a-segmentation"),
    ],
    ids=["not at hand", "no such segment", "no segmentation"],
)
def test_a_group_whose_segment_cannot_be_had_is_named_with_the_uid(
    companion: dict[str, bytes], number: int, code: str
) -> None:
    found = read(a_report(of_segment(number)), companion)
    assert found.annotation_sets == ()
    assert [rejection.code for rejection in found.rejections] == [code, "group-without-place"]
    assert SEG_UID in found.rejections[0].subjects
    assert "lesion 1" in found.rejections[1].subjects


@pytest.mark.parametrize(
    ("where", "code", "words"),
    [
        (on_image("POLYLINE", [(x + 20, y) for x, y in SQUARE], 3), "label-outside-image", "8.0 mm beyond its edge"),
        (in_space("POINT", [(0, 0, 40)]), "label-outside-image", "21.8 mm beyond its slices"),
        (in_space("POINT", [(0, 0, 14)], FRAME + ".1"), "another-frame-of-reference", "another frame"),
        (
            in_space("POLYGON", [(-2, -2, 14), (1, -2, 14), (1, 0, 14), (-2, -2, 14)]),
            "contour-between-slices",
            "0.50 mm from the nearest",
        ),
        (
            in_space("POLYGON", [(-2, -2, 13), (1, -2, 13), (1, 0, 16), (-2, 0, 16), (-2, -2, 13)]),
            "contour-not-in-slice",
            "spans 3.0 mm",
        ),
    ],
    ids=["beside", "above", "another frame", "between slices", "across slices"],
)
def test_a_region_that_fits_nowhere_is_refused_in_millimetres_and_its_group_named(
    where: sr.ImageRegion | sr.ImageRegion3D, code: str, words: str
) -> None:
    found = read(a_report(planar(where), planar(on_image("POLYLINE", SQUARE, 3))))
    rejections = {rejection.code: rejection for rejection in found.rejections}
    assert set(rejections) >= {code, "group-without-place"}
    assert words in rejections[code].message
    assert only(found).finding_id.endswith("group-002")


def test_a_region_on_an_image_that_is_not_here_is_named_by_that_image() -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)))
    for item in dataset.ContentSequence[-1].ContentSequence[0].ContentSequence:
        if item.ValueType == "SCOORD":
            item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.77"
    found = read(dataset)
    assert found.annotation_sets == ()
    assert [one.code for one in found.rejections] == ["dangling-reference", "group-without-place", "dangling-reference"]
    assert all("1.2.3.77" in one.subjects for one in found.rejections if one.code == "dangling-reference")
