"""Projects that refuse identities: which files count as identified, by names of elements alone."""

from __future__ import annotations

import pytest

from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.identified import identifying, is_dummy
from imaging.deidentification.receiving import IdentityTerms, receive
from imaging.readers.limits import CT_READ_LIMITS
from tests.imaging.deidentification.identified import KEYS, PROFILE, SECRETS, cleaned, identified, item, written
from tests.imaging.deidentification.test_label_files import LIDC
from tests.imaging.readers.made import a_file


def found_in(**changes: object) -> tuple[str, ...]:
    """What names someone in a file that says that it names nobody."""
    source = a_file(**{"PatientIdentityRemoved": "YES", "PatientName": "", "PatientID": "case-17", **changes})
    return identifying(source, "dicom-image", CT_READ_LIMITS)


def test_what_identifies_is_told_by_name_and_not_by_value() -> None:
    found = identifying(written(identified()), "dicom-image", CT_READ_LIMITS)
    assert {"AccessionNumber", "PatientAddress", "PatientBirthDate", "PatientName", "ReferringPhysicianName"} <= set(
        found
    )
    assert "PatientIdentityRemoved is not YES" in found
    assert not any(secret in " ".join(found) for secret in SECRETS)


def test_what_was_deidentified_here_does_not_identify() -> None:
    assert identifying(cleaned(identified()).data, "dicom-image", CT_READ_LIMITS) == ()


def test_saying_so_is_needed_and_is_not_enough() -> None:
    assert found_in() == ()
    assert found_in(PatientIdentityRemoved="NO") == ("PatientIdentityRemoved is not YES",)
    assert found_in(PatientName="Mustermann^Erika") == ("PatientName",)


@pytest.mark.parametrize(
    "name", ["case-17", "CASE-17", "LIDC-IDRI-0001", "ANONYMOUS", "Anonymized^Patient", "XXXX", ""]
)
def test_a_code_or_a_dummy_is_no_name(name: str) -> None:
    assert found_in(PatientName=name) == ()


def test_names_inside_sequences_count() -> None:
    assert found_in(RequestAttributesSequence=[item(RequestingPhysician="Quincke")]) == ("RequestingPhysician",)


def test_dates_descriptions_and_devices_do_not_count() -> None:
    assert found_in(StudyDate="20230517", StudyDescription="Thorax", DeviceSerialNumber="5521", PatientAge="061Y") == ()


def test_burned_in_writing_counts() -> None:
    assert found_in(BurnedInAnnotation="YES") == ("burned-in-annotation",)


@pytest.mark.parametrize("value", ["", "X", "xxxx", "0000", "Removed by CTP", "anonymous", "N/A", "^^"])
def test_dummies(value: str) -> None:
    assert is_dummy(value)


@pytest.mark.parametrize("value", ["Mustermann", "ACC-1", "17", "Max"])
def test_no_dummies(value: str) -> None:
    assert not is_dummy(value)


def test_label_files_are_judged_by_their_fields_for_people() -> None:
    assert identifying(LIDC.encode(), "lidc-xml", CT_READ_LIMITS) == ("RequestingSite", "servicingRadiologistID")
    coded = LIDC.replace(">Quincke<", ">540461523<").replace(">Charitable<", ">removed<")
    assert identifying(coded.encode(), "lidc-xml", CT_READ_LIMITS) == ()


def test_the_policy_that_refuses_keeps_nothing_of_an_identified_file_and_leaves_another_as_it_is() -> None:
    terms = IdentityTerms("refuse")
    with pytest.raises(NotDeidentifiable) as refused:
        receive(written(identified()), "dicom-image", terms, CT_READ_LIMITS)
    assert refused.value.code == "identifies-a-person"
    assert not any(secret in refused.value.message for secret in SECRETS)
    harmless = cleaned(identified()).data
    received = receive(harmless, "dicom-image", terms, CT_READ_LIMITS)
    assert (received.data, received.original_sha256) == (harmless, "")


def test_the_policy_that_keeps_changes_nothing() -> None:
    source = written(identified())
    assert receive(source, "dicom-image", IdentityTerms("keep"), CT_READ_LIMITS).data == source


def test_a_project_that_deidentifies_needs_its_keys() -> None:
    with pytest.raises(ValueError, match="keys"):
        IdentityTerms("de-identify")
    assert IdentityTerms("de-identify", KEYS, PROFILE).name("Mustermann.dcm") != "Mustermann.dcm"
    assert IdentityTerms("keep").name("Mustermann.dcm") == "Mustermann.dcm"
