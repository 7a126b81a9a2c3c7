"""Imaging measurement reports: where their regions lie, what they say, and nothing dropped in silence."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from highdicom import sr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as SrCode
from pydicom.uid import SegmentationStorage

from imaging.errors import UnreadableFile
from imaging.masks.build import full_voxels
from imaging.masks.measure import measure
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.structured_report import FORMAT
from imaging.readers.structured_report_codes import (
    LIDC_CONCEPTS,
    LIDC_SCHEME,
    LIDC_VALUES,
    Code,
    characteristic_of,
    rating_of,
)
from imaging.readers.vocabulary import LabelVocabulary
from imaging.types import Algorithm, AnnotationImport, Category, Finding, ReportedMeasurement, SetKind
from tests.imaging.readers.made import FRAME, SERIES, STUDY, a_dataset, a_file, uid_of, written
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import a_segmentation, image, region

SLICES = 6
SEG_UID = "1.2.826.0.1.3680043.10.5.1"
PERSON = sr.PersonObserverIdentifyingAttributes(name="Reader^Known")


def observed(person: bool = True) -> sr.ObservationContext:
    """Who observed: a person, or a device called finder."""
    if person:
        return sr.ObservationContext(
            observer_person_context=sr.ObserverContext(codes.DCM.Person, PERSON),
        )
    device = sr.DeviceObserverIdentifyingAttributes(uid="1.2.3", name="finder", model_name="finder one")
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))


Group = (
    sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | sr.MeasurementsAndQualitativeEvaluations
)


def a_report(*groups: Group, context: sr.ObservationContext | None = None) -> Dataset:
    content = sr.MeasurementReport(
        observation_context=context or observed(),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=list(groups) or None,
        title=codes.DCM.ImagingMeasurementReport,
    )
    images = [a_dataset(number=number) for number in range(SLICES)]
    report = sr.Comprehensive3DSR(
        evidence=[*images, a_segmentation(region())],
        content=content[0],
        series_instance_uid="1.2.826.0.1.3680043.10.6",
        series_number=6,
        sop_instance_uid="1.2.826.0.1.3680043.10.6.1",
        instance_number=1,
        manufacturer="Made",
    )
    return dcmread(io.BytesIO(written(report)))  # plain items, which tests may change


def on_image(kind: str, points: Sequence[tuple[float, float]], number: int) -> sr.ImageRegion:
    """A region on slice ``number``; points are (column, row), the corner of the first pixel (0, 0)."""
    return sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues(kind),
        graphic_data=np.array(points, dtype=np.float64),
        source_image=sr.SourceImageForRegion("1.2.840.10008.5.1.4.1.1.2", uid_of(number)),
    )


def in_space(kind: str, points: Sequence[tuple[float, float, float]], frame: str = FRAME) -> sr.ImageRegion3D:
    return sr.ImageRegion3D(sr.GraphicTypeValues3D(kind), np.array(points, dtype=np.float64), frame)


def planar(
    where: sr.ImageRegion | sr.ImageRegion3D | None = None,
    *,
    finding: SrCode = codes.SCT.Nodule,
    measurements: Sequence[sr.Measurement] = (),
    evaluations: Sequence[sr.QualitativeEvaluation] = (),
    algorithm: sr.AlgorithmIdentification | None = None,
    segment: sr.ReferencedSegmentationFrame | None = None,
) -> Group:
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_region=where,
        referenced_segment=segment,
        finding_type=finding,
        finding_sites=[sr.FindingSite(anatomic_location=codes.SCT.Lung)],
        measurements=list(measurements) or None,
        qualitative_evaluations=list(evaluations) or None,
        algorithm_id=algorithm,
    )


def read(dataset: Dataset, companion: dict[str, bytes] | None = None) -> AnnotationImport:
    return FORMAT.read(written(dataset), image(), context_with(companion=(companion or {}).get))


def only(found: AnnotationImport) -> Finding:
    (one,) = found.annotation_sets
    (finding,) = one.findings
    return finding


def voxels(finding: Finding) -> NDArray[np.bool_]:
    assert finding.mask is not None
    return full_voxels(finding.mask)


SQUARE = [(2.0, 1.0), (8.0, 1.0), (8.0, 7.0), (2.0, 7.0), (2.0, 1.0)]
"""Along the edges of pixels: columns 2 to 7, rows 1 to 6."""


def a_square() -> NDArray[np.bool_]:
    whole = np.zeros((SLICES, 8, 12), dtype=np.bool_)
    whole[3, 1:7, 2:8] = True
    return whole


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


def a_length(points: Sequence[tuple[float, float]]) -> sr.Measurement:
    line = sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(points, dtype=np.float64),
        source_image=sr.SourceImageForRegion("1.2.840.10008.5.1.4.1.1.2", uid_of(3)),
    )
    return sr.Measurement(codes.SCT.Length, 4.0, codes.UCUM.Millimeter, referenced_coordinates=[line])


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


def of_segment(number: int = 1) -> Group:
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.3.4.5", identifier="lesion 1"),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=SEG_UID,
            segment_number=number,
            source_series=sr.SourceSeriesForSegmentation(SERIES),
        ),
        finding_type=codes.SCT.Nodule,
    )


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


def test_measurements_keep_their_units_their_derivation_and_what_qualifies_them() -> None:
    mean = sr.Measurement(
        SrCode("112031", "DCM", "Attenuation Coefficient"),
        37.5,
        codes.UCUM.HounsfieldUnit,
        derivation=codes.SCT.Mean,
        method=SrCode("126030", "DCM", "Sum of segmented voxel volumes"),
    )
    volume = sr.Measurement(codes.SCT.Volume, 70.25, SrCode("mm3", "UCUM", "cubic millimetre"))
    finding = only(read(a_report(planar(on_image("POLYLINE", SQUARE, 3), measurements=[mean, volume]))))
    assert finding.measurements == (
        ReportedMeasurement("Attenuation Coefficient, Mean", 37.5, "[hnsf'U]"),
        ReportedMeasurement("Volume", 70.25, "mm3"),
    )
    assert "Sum of segmented voxel volumes" in finding.attributes.values()


def coded(code: Code) -> SrCode:
    return SrCode(code.value, code.scheme, code.meaning)


@pytest.mark.parametrize("name", sorted(LIDC_CONCEPTS))
def test_every_rating_of_every_lidc_characteristic_is_read_back_from_its_code(name: str) -> None:
    for rating, code in LIDC_VALUES[name].items():
        evaluation = sr.QualitativeEvaluation(coded(LIDC_CONCEPTS[name]), coded(code))
        finding = only(read(a_report(planar(on_image("POLYLINE", SQUARE, 3), evaluations=[evaluation]))))
        assert finding.characteristics == {name: rating}


def test_lidc_concepts_are_known_under_their_later_names_and_by_what_the_rating_says() -> None:
    assert characteristic_of(Code("x", "99OTHER", "Lobular Pattern")) == "lobulation"
    assert rating_of("lobulation", Code("y", "99OTHER", "4 out of 5")) == 4
    assert rating_of("calcification", Code("z", "99OTHER", "absent")) == 6
    assert rating_of("malignancy", Code("905", "99OTHER", "certain")) is None
    assert rating_of("calcification", Code("RID5827", "RadLex", "Central")) == 5
    assert characteristic_of(Code("RID36042", "RadLex", "Cancer")) == "malignancy"
    assert rating_of("internalStructure", Code("005", LIDC_SCHEME, "5 out of 5")) is None


def test_other_evaluations_are_kept_in_words() -> None:
    evaluation = sr.QualitativeEvaluation(codes.DCM.LevelOfSignificance, codes.SCT.NotSignificant)
    finding = only(read(a_report(planar(on_image("POLYLINE", SQUARE, 3), evaluations=[evaluation]))))
    assert finding.attributes["Level of Significance"].lower() == "not significant"
    assert finding.characteristics == {}


def test_what_is_no_nodule_is_kept_as_a_structure_whatever_it_is_tracked_as() -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3), finding=codes.SCT.Aorta))
    finding = only(read(dataset))
    assert (finding.category, finding.source_label) == (Category.STRUCTURE, "lesion 1")
    own = LabelVocabulary(nodule="nodul", non_nodule="non", exact={"Lesion 1": Category.NON_NODULE})
    context = dataclasses.replace(context_with(), vocabulary=own)
    assert only(FORMAT.read(written(dataset), image(), context)).category is Category.NON_NODULE


def test_a_person_is_a_pseudonym_and_a_device_an_algorithm() -> None:
    where = on_image("POLYLINE", SQUARE, 3)
    (person,) = read(a_report(planar(where))).annotation_sets
    assert (person.kind, person.algorithm) == (SetKind.READER, None)
    assert person.reader_label == "reader " + hashlib.sha256(b"Reader^Known").hexdigest()[:8]
    (device,) = read(a_report(planar(where), context=observed(person=False))).annotation_sets
    assert (device.kind, device.algorithm) == (SetKind.ALGORITHM, Algorithm("finder", ""))
    identity = sr.AlgorithmIdentification(name="outliner", version="2.1")
    (named,) = read(a_report(planar(where, algorithm=identity), context=observed(person=False))).annotation_sets
    assert named.algorithm == Algorithm("outliner", "2.1")


def test_a_person_s_report_without_any_group_was_read_and_nothing_found() -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)))
    del dataset.ContentSequence[-1].ContentSequence
    (one,) = read(dataset).annotation_sets
    assert (one.read, one.findings, one.kind) == (True, (), SetKind.READER)


def strange(value_type: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [sr.CodedConcept("42", "99MADE", "Strange thing")]
    return item


@pytest.mark.parametrize("level", ["report", "measurements", "group"])
def test_an_item_that_is_not_understood_is_named_wherever_it_stands(level: str) -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)))
    container = dataset
    if level != "report":
        container = dataset.ContentSequence[-1]
    if level == "group":
        container = container.ContentSequence[0]
    container.ContentSequence.append(strange("WAVEFORM"))
    found = read(dataset)
    (rejection,) = found.rejections
    assert rejection.code == "content-not-understood"
    assert rejection.subjects[0].startswith("Strange thing (42, 99MADE) at 1.")
    assert np.array_equal(voxels(only(found)), a_square())


def test_a_measurement_without_a_value_and_a_region_without_an_image_are_named() -> None:
    volume = sr.Measurement(codes.SCT.Volume, 70.25, SrCode("mm3", "UCUM", "cubic millimetre"))
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3), measurements=[volume]))
    group = dataset.ContentSequence[-1].ContentSequence[0]
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            item.MeasuredValueSequence = []
    found = read(dataset)
    assert [rejection.code for rejection in found.rejections] == ["measurement-without-value"]
    for item in group.ContentSequence:
        if item.ValueType == "SCOORD":
            del item.ContentSequence
    found = read(dataset)
    assert "region-without-image" in [rejection.code for rejection in found.rejections]
    assert found.annotation_sets == ()


def test_a_circle_with_one_point_is_not_a_circle() -> None:
    dataset = a_report(planar(on_image("CIRCLE", [(6.0, 4.0), (6.0, 7.5)], 3)))
    for item in dataset.ContentSequence[-1].ContentSequence[0].ContentSequence:
        if item.ValueType == "SCOORD":
            item.GraphicData = [6.0, 4.0]
    assert [one.code for one in read(dataset).rejections] == ["unknown-graphic", "group-without-place"]


def test_coordinates_given_by_reference_are_read_once_where_they_stand() -> None:
    volume = sr.Measurement(codes.SCT.Volume, 70.25, SrCode("mm3", "UCUM", "cubic millimetre"))
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3), measurements=[volume]))
    report = dataset.ContentSequence
    group = report[-1].ContentSequence[0].ContentSequence
    place = next(number for number, item in enumerate(group, start=1) if item.ValueType == "SCOORD")
    number = next(item for item in group if item.ValueType == "NUM")
    by_reference, in_a_circle = Dataset(), Dataset()
    by_reference.RelationshipType = in_a_circle.RelationshipType = "INFERRED FROM"
    by_reference.ReferencedContentItemIdentifier = [1, len(report), 1, place]
    in_a_circle.ReferencedContentItemIdentifier = [1, len(report)]
    number.ContentSequence = [by_reference, in_a_circle]
    found = read(dataset)
    assert [rejection.code for rejection in found.rejections] == ["content-not-understood"]
    assert np.array_equal(voxels(only(found)), a_square())


def test_a_report_of_another_template_is_refused_by_its_title() -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)))
    dataset.ConceptNameCodeSequence = [sr.CodedConcept("113701", "DCM", "X-Ray Radiation Dose Report")]
    (rejection,) = read(dataset).rejections
    assert rejection.code == "another-report"
    assert "X-Ray Radiation Dose Report" in rejection.subjects[0]


def test_the_images_that_a_report_names_are_told_also_through_its_segmentation() -> None:
    dataset = a_report(planar(on_image("POLYLINE", SQUARE, 3)))
    named = FORMAT.references(written(dataset), context_with())
    assert named.sop_instance_uids == {uid_of(number) for number in range(SLICES)}
    assert named.series_instance_uids == {SERIES}
    assert named.study_instance_uids == {STUDY}
    bare = a_report(of_segment())
    del bare.CurrentRequestedProcedureEvidenceSequence
    without = FORMAT.references(written(bare), context_with())
    assert without.sop_instance_uids == frozenset()
    companion = {SEG_UID: written(a_segmentation(region()))}.get
    through = FORMAT.references(written(bare), context_with(companion=companion))
    assert through.sop_instance_uids == {uid_of(number) for number in range(SLICES)}
    assert LABEL_FORMATS["dicom-sr"] is FORMAT


def test_our_reading_of_a_report_agrees_with_highdicom_s() -> None:
    mean = sr.Measurement(codes.SCT.Diameter, 12.5, codes.UCUM.Millimeter)
    data = written(a_report(planar(on_image("POLYLINE", SQUARE, 3), measurements=[mean])))
    (theirs,) = sr.Comprehensive3DSR.from_dataset(dcmread(io.BytesIO(data))).content.get_planar_roi_measurement_groups()
    ours = only(FORMAT.read(data, image(), context_with()))
    assert ours.tracking_uid == theirs.tracking_uid
    assert ours.source_label == theirs.tracking_identifier
    (measured,) = theirs.get_measurements()
    assert [(one.name, one.value, one.unit) for one in ours.measurements] == [
        (measured.name.meaning, measured.value, measured.unit.value)
    ]


def test_what_is_no_report_is_unreadable() -> None:
    for take in (
        lambda: FORMAT.read(a_file(), image(), context_with()),
        lambda: FORMAT.references(a_file(), context_with()),
    ):
        with pytest.raises(UnreadableFile) as caught:
            take()
        assert caught.value.code == "not-a-report"


@functools.lru_cache(maxsize=1)
def a_sound_file() -> bytes:
    return written(a_report(planar(on_image("POLYLINE", SQUARE, 3)), of_segment()))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8),
    keep=st.floats(0.2, 1.0) | st.just(1.0),
)
def test_a_damaged_report_is_read_or_refused_by_name(changes: list[tuple[float, bytes]], keep: float) -> None:
    data = bytearray(a_sound_file())
    for place, replacement in changes:
        at = 132 + int(place * (len(data) - 140))
        data[at : at + len(replacement)] = replacement
    damaged = bytes(data[: max(140, int(keep * len(data)))])
    for take in (
        lambda: FORMAT.read(damaged, image(), context_with()),
        lambda: FORMAT.references(damaged, context_with()),
    ):
        try:
            take()
        except UnreadableFile as error:
            assert error.code
            assert error.message
