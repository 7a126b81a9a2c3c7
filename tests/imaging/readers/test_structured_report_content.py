"""Imaging measurement reports: what they say of a finding, who says it, and nothing dropped in silence."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io

import numpy as np
import pytest
from highdicom import sr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as SrCode

from imaging.errors import UnreadableFile
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
from imaging.types import Algorithm, Category, ReportedMeasurement, SetKind
from tests.imaging.readers.made import SERIES, STUDY, a_file, uid_of, written
from tests.imaging.readers.made_reports import (
    SEG_UID,
    SLICES,
    SQUARE,
    a_report,
    a_square,
    observed,
    of_segment,
    on_image,
    only,
    planar,
    read,
    voxels,
)
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import a_segmentation, image, region


def coded(code: Code) -> SrCode:
    return SrCode(code.value, code.scheme, code.meaning)


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
