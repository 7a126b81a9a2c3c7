"""De-identified DICOM objects: what is gone, what stays, and what two files of one patient still have in common."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging.deidentification.dicom import deidentify_dicom
from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.files import deidentify
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.report import Action
from imaging.errors import ImagingError, UnreadableFile
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import read_header
from tests.imaging.deidentification.identified import (
    KEYS,
    PROFILE,
    SECRETS,
    cleaned,
    code,
    identified,
    item,
    read,
    written,
)


@pytest.mark.requirement("REQ-17")
def test_nothing_that_identifies_is_left_anywhere_in_the_bytes() -> None:
    source = written(identified())
    assert all(secret.encode() in source for secret in SECRETS), "the file must hold what is looked for"
    data = cleaned(identified()).data
    assert [secret for secret in SECRETS if secret.encode() in data] == []


def test_sequences_are_treated_as_deep_as_they_go() -> None:
    innermost = item(PatientName="Mustermann^Erika", StudyDate="20230517")
    for _ in range(6):
        innermost = item(SharedFunctionalGroupsSequence=Sequence([innermost]))
    dataset = identified(SharedFunctionalGroupsSequence=Sequence([innermost]))
    result = cleaned(dataset)
    assert b"Mustermann" not in result.data
    assert result.report.counts[Action.REPLACED]["PatientName"] == 2


def test_private_elements_go_wherever_they_are() -> None:
    result = cleaned(identified())
    found = [element.tag for element in read(result.data).iterall() if element.tag.is_private]
    assert found == []
    # A creator and an element at the top, and the same in a sequence.
    assert result.report.counts[Action.REMOVED]["private elements"] == 4


def test_an_element_that_no_dictionary_knows_goes() -> None:
    dataset = identified()
    dataset.add_new(0x00100F0F, "LO", "Mustermann")
    result = cleaned(dataset)
    assert b"Mustermann" not in result.data
    assert result.report.counts[Action.REMOVED]["unknown elements"] == 1


def test_the_same_file_and_key_give_the_same_bytes() -> None:
    first, second = cleaned(identified()), cleaned(identified())
    assert first.data == second.data
    assert (first.sha256, first.original_sha256) == (second.sha256, second.original_sha256)
    assert first.sha256 != first.original_sha256


def test_another_project_gives_other_pseudonyms_uids_and_dates() -> None:
    other = read(cleaned(identified(), keys=ProjectKeys(b"x" * 32)).data)
    one = read(cleaned(identified()).data)
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "StudyDate"):
        assert one[keyword].value != other[keyword].value


def test_uids_are_consistent_over_files_references_and_file_meta() -> None:
    one = read(cleaned(identified(number=0)).data)
    other = read(cleaned(identified(number=6)).data)
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    # Both name slice 6 as a reference, at the top and inside a sequence.
    inner = one.SharedFunctionalGroupsSequence[0].ReferencedImageSequence[0]
    assert one.ReferencedImageSequence[0].ReferencedSOPInstanceUID == other.SOPInstanceUID
    assert inner.ReferencedSOPInstanceUID == other.SOPInstanceUID
    assert len(set(one.IrradiationEventUID)) == 2
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in one.IrradiationEventUID)


def test_uids_of_the_standard_and_of_classes_stay() -> None:
    dataset = identified(
        FrameOfReferenceUID="1.2.840.10008.1.4.1.1",
        ReferencedImageSequence=Sequence([item(ReferencedSOPClassUID="1.2.826.0.1.3680043.10.77.1")]),
    )
    result = read(cleaned(dataset).data)
    assert result.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert result.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert result.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.826.0.1.3680043.10.77.1"


@pytest.mark.requirement("REQ-17")
def test_intervals_between_a_patients_studies_stay_and_the_dates_do_not() -> None:
    first = read(cleaned(identified(StudyDate="20230517")).data)
    second = read(cleaned(identified(StudyDate="20240229", number=1)).data)
    days = [datetime.date.fromisoformat(one.StudyDate) for one in (first, second)]
    assert days[1] - days[0] == datetime.date(2024, 2, 29) - datetime.date(2023, 5, 17)
    assert datetime.date(2023, 5, 17) - days[0] >= datetime.timedelta(days=366)
    someone_else = read(cleaned(identified(PatientID="another")).data)
    assert someone_else.StudyDate != first.StudyDate


def test_dates_with_times_many_values_and_odd_forms_move_alike() -> None:
    result = read(cleaned(identified(ContentDate="2023.05.17", AcquisitionDate="last week", SeriesDate="")).data)
    assert result.ContentDate == result.StudyDate
    assert result.AcquisitionDateTime == f"{result.StudyDate}101502.250000", "the offset from UTC tells a place"
    first, second = (datetime.date.fromisoformat(day) for day in result.DateOfLastCalibration)
    assert second - first == datetime.timedelta(days=1)
    assert result.AcquisitionDate == "", "what is no date cannot be moved and must not stay"
    assert result.SeriesDate == ""
    assert result.StudyTime == "101500"
    assert result.PatientBirthDate == ""


def test_a_patient_is_known_again_by_the_pseudonym() -> None:
    one, other = read(cleaned(identified()).data), read(cleaned(identified(StudyInstanceUID="1.2.3.4.5")).data)
    assert one.PatientID == other.PatientID == KEYS.patient("MRN4711-08")
    assert str(one.PatientName) == one.PatientID


def test_files_without_a_patient_id_belong_together_by_study() -> None:
    one = read(cleaned(identified(PatientID="")).data)
    same = read(cleaned(identified(PatientID=None, number=3)).data)
    other = read(cleaned(identified(PatientID="", StudyInstanceUID="1.2.3.4.5")).data)
    assert one.PatientID == same.PatientID != other.PatientID


def test_codes_say_which_profile_and_options_were_applied() -> None:
    result = read(cleaned(identified()).data)
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [(one.CodeValue, one.CodingSchemeDesignator) for one in result.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113104", "DCM"), ("113105", "DCM"), ("113107", "DCM")]
    assert "PS3.15" in result.DeidentificationMethod


def test_without_its_option_a_date_goes_as_the_basic_profile_says() -> None:
    result = read(cleaned(identified(), profile=Profile(frozenset())).data)
    assert result.StudyDate == ""
    assert "DateOfLastCalibration" not in result
    assert result.SeriesDate == "00010101"
    assert result.LongitudinalTemporalInformationModified == "REMOVED"
    assert [one.CodeValue for one in result.DeidentificationMethodCodeSequence] == ["113100"]


def test_what_label_quality_assurance_needs_stays() -> None:
    before, after = (
        read_header(written(identified()), CT_READ_LIMITS),
        read_header(cleaned(identified()).data, CT_READ_LIMITS),
    )
    assert after.acquisition == before.acquisition
    result = read(cleaned(identified()).data)
    kept = {
        "ConvolutionKernel": "B31f",
        "KVP": 120,
        "SliceThickness": 1.5,
        "PixelSpacing": [0.5, 0.5],
        "Manufacturer": "Made",
    }
    assert {keyword: result[keyword].value for keyword in kept} == kept
    assert result.ImagePositionPatient == [-4.0, -3.0, 10.0]


def test_the_pixels_stay_bit_for_bit() -> None:
    stored = np.arange(96, dtype=np.int16).reshape(8, 12)
    assert read(cleaned(identified(PixelData=stored.tobytes())).data).PixelData == stored.tobytes()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_transfer_syntax_stays(syntax: str) -> None:
    dataset = identified()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    source = read(buffer.getvalue())
    result = cleaned(source)
    assert read(result.data).file_meta.TransferSyntaxUID == syntax
    assert read(result.data).StudyInstanceUID == KEYS.uid(dataset.StudyInstanceUID)


def test_file_meta_and_preamble_are_written_anew() -> None:
    result = cleaned(identified()).data
    assert result[:128] == bytes(128)
    assert "SourceApplicationEntityTitle" not in read(result).file_meta


def test_free_text_that_no_rule_names_stays_only_if_it_is_harmless() -> None:
    kept = read(cleaned(identified(PositionReferenceIndicator="SN", CommentsOnRadiationDose="seen by Quincke")).data)
    assert kept.PositionReferenceIndicator == "SN"
    assert "CommentsOnRadiationDose" not in kept
    named = read(cleaned(identified(PositionReferenceIndicator="Mustermann SN")).data)
    assert named.PositionReferenceIndicator == "removed", "it held the patient's name, and some object may need it"


def test_a_report_names_elements_and_no_values() -> None:
    report = cleaned(identified()).report
    told = "\n".join(report.lines())
    assert [secret for secret in SECRETS if secret in told] == []
    assert "PatientBirthDate (1)" in told
    assert report.counts[Action.REMAPPED]["StudyInstanceUID"] == 1
    assert report.remarks == {}


def test_a_file_that_does_not_say_whether_writing_is_burned_in_is_remarked_on() -> None:
    assert list(cleaned(identified(BurnedInAnnotation=None)).report.remarks.values()) == [1]


def test_the_crosswalk_says_what_stands_behind_pseudonyms() -> None:
    entries = {(one.kind, one.original): one.replacement for one in cleaned(identified()).crosswalk}
    assert entries["patient", "MRN4711-08"] == KEYS.patient("MRN4711-08")
    assert entries["patient-name", "Mustermann^Erika"] == KEYS.patient("MRN4711-08")
    assert entries["instance", "1.2.826.0.1.3680043.10.1.1"].startswith("2.25.")
    assert "MRN4711" not in repr(cleaned(identified()))


def test_a_secret_is_not_shown_and_has_its_length() -> None:
    assert "AAAA" not in repr(ProjectKeys(b"A" * 32))
    with pytest.raises(ValueError, match="32 bytes"):
        ProjectKeys(b"short")


@pytest.mark.parametrize(
    "changes",
    [
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"ConversionType": "SI", "ImageType": ["DERIVED", "SECONDARY", "DIGITIZED"]},
        {"ConversionType": "DF"},
    ],
)
def test_pixels_that_may_show_a_name_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(NotDeidentifiable) as refused:
        cleaned(identified(**changes))
    assert refused.value.code == "burned-in-annotation"


def test_an_overlay_that_is_drawn_on_is_refused_and_an_empty_one_removed() -> None:
    empty = identified()
    empty.add_new(0x60000010, "US", 8)
    empty.add_new(0x60003000, "OW", bytes(12))
    assert not any(element.tag.group == 0x6000 for element in read(cleaned(empty).data))
    drawn = identified()
    drawn.add_new(0x60000010, "US", 8)
    drawn.add_new(0x60003000, "OW", b"\x01" + bytes(11))
    hidden = identified()
    hidden.add_new(0x60000010, "US", 8)
    hidden.add_new(0x60000102, "US", 12)
    for dataset in (drawn, hidden):
        with pytest.raises(NotDeidentifiable) as refused:
            cleaned(dataset)
        assert refused.value.code == "burned-in-annotation"


def test_a_document_inside_an_object_is_refused() -> None:
    with pytest.raises(NotDeidentifiable) as refused:
        cleaned(identified(EncapsulatedDocument=b"%PDF Mustermann "))
    assert refused.value.code == "encapsulated-document"
    assert "Mustermann" not in refused.value.message


def test_damaged_bytes_are_refused_without_quoting_them() -> None:
    with pytest.raises(UnreadableFile) as refused:
        deidentify_dicom(written(identified())[:-40], keys=KEYS, profile=PROFILE, limits=CT_READ_LIMITS)
    assert refused.value.code == "truncated"
    assert not any(secret in refused.value.message for secret in SECRETS)


@pytest.mark.parametrize(
    ("tag", "vr", "raw"),
    [
        (0x00100010, "DS", b"12345678"),
        (0x00100020, "AT", b"12345678"),
        (0x00080018, "UI", b"1.2.3\\1.2.4 "),
        (0x00080016, "UI", b"1.2.3\\1.2.4 "),
    ],
)
def test_a_value_that_its_element_cannot_hold_is_refused_or_cleaned_and_nothing_else(
    tag: int, vr: str, raw: bytes
) -> None:
    dataset = identified()
    dataset._dict[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr, len(raw), raw, 0, False, True)
    data = written(dataset)
    try:
        done = deidentify(data, "dicom-image", KEYS, PROFILE, CT_READ_LIMITS)
    except ImagingError as error:
        assert error.code
        assert not any(secret in error.message for secret in SECRETS)
    else:
        assert [secret for secret in SECRETS if secret.encode() in done.data] == []


def test_names_of_labels_stay_if_they_name_tissue_or_the_project_declared_them() -> None:
    rois = ["Tumor_c40", "GTV Mustermann", "Huber", "left lung"]
    names = Sequence([item(ROINumber=number, ROIName=name) for number, name in enumerate(rois)])
    dataset = identified(StructureSetROISequence=names)
    kept = [one.ROIName for one in read(cleaned(dataset).data).StructureSetROISequence]
    assert kept[0] == "Tumor_c40"
    assert kept[3] == "left lung"
    assert kept[1].startswith("label-")
    assert kept[2].startswith("label-")
    declared = Profile(PROFILE.options, frozenset({"HUBER"}))
    assert read(cleaned(dataset, profile=declared).data).StructureSetROISequence[2].ROIName == "Huber"
    basic = read(cleaned(dataset, profile=Profile(frozenset({Option.MODIFIED_DATES}))).data)
    assert {one.ROIName for one in basic.StructureSetROISequence} == {""}


def test_a_reports_content_keeps_measurements_and_loses_people_and_prose() -> None:
    number = item(
        ValueType="NUM",
        ConceptNameCodeSequence=Sequence([code("118565006", "Volume", "SCT")]),
        MeasuredValueSequence=Sequence(
            [item(NumericValue="67.6", MeasurementUnitsCodeSequence=Sequence([code("ml", "ml", "UCUM")]))]
        ),
    )
    person = item(
        ValueType="PNAME",
        ConceptNameCodeSequence=Sequence([code("121008", "Person Observer Name")]),
        PersonName="Dr Quincke",
    )
    prose = item(
        ValueType="TEXT",
        ConceptNameCodeSequence=Sequence([code("121106", "Comment")]),
        TextValue="Erika Mustermann was cheerful",
    )
    tracking = item(
        ValueType="TEXT",
        ConceptNameCodeSequence=Sequence([code("112039", "Tracking Identifier")]),
        TextValue="Mustermann nodule",
    )
    algorithm = item(
        ValueType="TEXT", ConceptNameCodeSequence=Sequence([code("111001", "Algorithm Name")]), TextValue="NoduleNet v2"
    )
    private = item(ValueType="CODE", ConceptCodeSequence=Sequence([code("M1", "Mustermann finding", "99HOSP")]))
    group = item(ValueType="CONTAINER", ContentSequence=Sequence([number, person, prose, tracking, algorithm, private]))
    content = read(cleaned(identified(ContentSequence=Sequence([group]))).data).ContentSequence[0].ContentSequence
    assert content[0].MeasuredValueSequence[0].NumericValue == 67.6
    assert content[0].ConceptNameCodeSequence[0].CodeMeaning == "Volume"
    assert str(content[1].PersonName) == KEYS.reader("Dr Quincke")
    assert content[2].TextValue == "removed"
    assert content[3].TextValue == KEYS.name("Mustermann nodule", prefix="tracking")
    assert content[4].TextValue == "NoduleNet v2"
    assert content[5].ConceptCodeSequence[0].CodeValue == "M1"
    assert content[5].ConceptCodeSequence[0].CodeMeaning.startswith("code-")


def test_a_report_is_refused_where_its_content_may_not_be_cleaned() -> None:
    dataset = identified(ContentSequence=Sequence([item(ValueType="TEXT", TextValue="x")]))
    with pytest.raises(NotDeidentifiable) as refused:
        cleaned(dataset, profile=Profile(frozenset()))
    assert refused.value.code == "structured-content"
