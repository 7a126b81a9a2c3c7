"""Where dicom-anonymizer's own way over a data set differs from Annex E, which is why only its table is used.

Each test shows what the library does and what is done here. A test that fails after an upgrade means that the library
does better now, and that docs/decisions/0012 is to be read again.
"""

from __future__ import annotations

import pytest
from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, initialize_actions
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence

from imaging.deidentification.table import Basic, basic_action
from tests.imaging.deidentification.identified import cleaned, code, identified, item, read


def by_library(dataset: FileDataset) -> FileDataset:
    """What the library makes of a dataset, by the edition of the table that is used here."""
    anonymize_dataset(dataset, base_rules_gen=lambda: initialize_actions("dicomfields_2026c"))
    return dataset


def by_us(dataset: FileDataset) -> FileDataset:
    return read(cleaned(dataset).data)


def test_names_inside_sequences_are_left_by_the_library() -> None:
    inner = by_library(identified()).SharedFunctionalGroupsSequence[0]
    assert inner.PatientName == "Mustermann^Erika"
    assert by_us(identified()).SharedFunctionalGroupsSequence[0].PatientName != "Mustermann^Erika"


def test_the_library_invents_uids_that_are_others_every_time() -> None:
    from dicomanonymizer import simpledicomanonymizer

    one = by_library(identified()).StudyInstanceUID
    simpledicomanonymizer.dictionary.clear()
    assert by_library(identified()).StudyInstanceUID != one
    assert by_us(identified()).StudyInstanceUID == by_us(identified()).StudyInstanceUID


def test_the_library_replaces_uids_that_the_standard_defines() -> None:
    well_known = "1.2.840.10008.1.4.1.1"
    assert by_library(identified(FrameOfReferenceUID=well_known)).FrameOfReferenceUID != well_known
    assert by_us(identified(FrameOfReferenceUID=well_known)).FrameOfReferenceUID == well_known


def test_the_library_breaks_references_between_images() -> None:
    broken = by_library(identified()).ReferencedImageSequence[0]
    assert broken.ReferencedSOPInstanceUID == ""
    assert by_us(identified()).ReferencedImageSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")


def test_the_library_writes_a_dummy_date_where_one_is_to_be_emptied_or_removed() -> None:
    result = by_library(identified(AdmittingDate="20230516"))
    assert (result.PatientBirthDate, result.AdmittingDate) == ("00010101", "00010101")
    assert by_us(identified()).PatientBirthDate == ""


def test_the_library_makes_one_date_of_many() -> None:
    assert by_library(identified()).DateOfLastCalibration == "00010101"
    assert len(by_us(identified()).DateOfLastCalibration) == 2


def test_the_library_overwrites_the_content_of_a_report() -> None:
    content = Sequence([item(ValueType="CODE", ConceptCodeSequence=Sequence([code("M-1", "Mass")]))])
    assert by_library(identified(ContentSequence=content)).ContentSequence[0].ValueType == "ANONYMIZED"
    content = Sequence([item(ValueType="CODE", ConceptCodeSequence=Sequence([code("M-1", "Mass")]))])
    assert by_us(identified(ContentSequence=content)).ContentSequence[0].ConceptCodeSequence[0].CodeValue == "M-1"


def test_the_library_gives_up_on_some_value_representations() -> None:
    dataset = identified()
    dataset.add_new(0x00340007, "OV", b"12345678")  # Frame Origin Timestamp, written with a VR it does not expect
    with pytest.raises(NotImplementedError):
        by_library(dataset)
    again = identified()
    again.add_new(0x00340007, "OV", b"12345678")
    assert "FrameOriginTimestamp" not in by_us(again)


def test_the_library_leaves_the_rest_of_an_overlay_and_the_preamble() -> None:
    dataset = identified()
    dataset.add_new(0x60001500, "LO", "Mustermann")
    result = by_library(dataset)
    assert result[0x60001500].value == "Mustermann"
    assert result.preamble.startswith(b"Mustermann")
    again = identified()
    again.add_new(0x60001500, "LO", "Mustermann")
    assert 0x60001500 not in by_us(again)


def test_the_library_does_not_say_that_it_removed_anything() -> None:
    assert "PatientIdentityRemoved" not in by_library(identified())
    assert "DeidentificationMethodCodeSequence" in by_us(identified())


def test_the_librarys_table_is_the_one_of_the_standard_for_well_known_elements() -> None:
    assert basic_action(0x00100010) is Basic.EMPTY
    assert basic_action(0x00100020) is Basic.REPLACE
    assert basic_action(0x00101040) is Basic.REMOVE
    assert basic_action(0x0020000D) is Basic.UID
    assert basic_action(0x00180060) is None, "kVp stays"
    assert basic_action(0x00181210) is None, "the convolution kernel stays"
