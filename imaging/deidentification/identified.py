"""Does a file show who someone is? For projects that refuse identities instead of removing them.

The rule for DICOM. A file counts as identified unless both hold:

1. Patient Identity Removed (0012,0062) is YES.
2. No element that table E.1-1 removes, empties or replaces, and that names a person, says more than a dummy does. Which
   these are: every person name (VR PN); and the numbers, addresses and places of ``NAMING_ELEMENTS``, for which the
   standard has no option that would let them stay. Dates, UIDs, descriptions, devices and a patient's characteristics
   do not count, since options of Annex E let them stay. Patient ID does not count either: once (1) holds it is a
   pseudonym, which nobody can tell from a number. Patient's Name may be that same pseudonym, or a code: one word with a
   digit in it; any person may be called as ``ProjectKeys.reader`` calls people.

A dummy is nothing, or the letters X, zeros and signs, or a text that begins with one of ``DUMMY_WORDS``.

In label files that are text, a field counts if its name says that it holds a patient, a person, an institution or its
number, and its value is no dummy; a person may be called by a code.

Beside that, an object that says that writing is burned into its pixels counts as identified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.fields import FieldRules, Holds, kind_of_field
from imaging.deidentification.guard import refuse_what_cannot_be_cleaned
from imaging.deidentification.keys import SECRET_BYTES, ProjectKeys
from imaging.deidentification.label_texts import CLEANERS
from imaging.deidentification.profile import LABEL_QA_OPTIONS, Profile
from imaging.deidentification.report import Tally
from imaging.deidentification.table import Basic, basic_action, dictionary_vr, keyword_of
from imaging.readers.dataset import open_dataset, text_of
from imaging.readers.limits import ReadLimits
from imaging.readers.sniff import Kind

NAMING_ELEMENTS = frozenset(
    {
        "AccessionNumber",
        "AdmissionID",
        "CountryOfResidence",
        "CurrentPatientLocation",
        "FillerOrderNumberImagingServiceRequest",
        "InsurancePlanIdentification",
        "IssuerOfPatientID",
        "MedicalRecordLocator",
        "MilitaryRank",
        "OrderCallbackPhoneNumber",
        "OtherPatientIDs",
        "PatientAddress",
        "PatientBirthDate",
        "PatientComments",
        "PatientInstitutionResidence",
        "PatientReligiousPreference",
        "PatientTelecomInformation",
        "PatientTelephoneNumbers",
        "PersonAddress",
        "PersonTelecomInformation",
        "PersonTelephoneNumbers",
        "PlacerOrderNumberImagingServiceRequest",
        "ReferringPhysicianAddress",
        "ReferringPhysicianTelephoneNumbers",
        "RegionOfResidence",
        "ServiceEpisodeID",
    }
)
DUMMY_WORDS = ("anon", "removed", "deleted", "dummy", "de-ident", "deident", "unknown", "none", "n/a", "no name")

_NOTHING = re.compile(r"[xX0\s^.,*_=?-]*")
_CODE = re.compile(r"[A-Za-z0-9_.-]*\d[A-Za-z0-9_.-]*")
_OURS = re.compile(r"READER\^[0-9A-F]{12}")  # as ``ProjectKeys.reader`` writes it
_NO_SECRET = bytes(SECRET_BYTES)


def identifying(data: bytes, kind: Kind, limits: ReadLimits) -> tuple[str, ...]:
    """Return the names of the elements or fields by which a file shows who someone is, never their values.

    DICOM by the rule above; label files that are text by their fields for patients, persons, places and numbers. For
    volumes (NIfTI, NRRD) nothing is found, since no field of theirs is for a person. Arguments are by position, as a
    sandbox's call has them. Raises UnreadableFile for bytes that cannot be read.
    """
    if kind.startswith("dicom-"):
        return _in_dicom(data, limits)
    return _in_text(data, kind)


def _in_dicom(data: bytes, limits: ReadLimits) -> tuple[str, ...]:
    opened = open_dataset(data, limits, with_pixels=True)
    dataset = opened.dataset
    found: set[str] = set()
    if text_of(dataset, "PatientIdentityRemoved").upper() != "YES":
        found.add("PatientIdentityRemoved is not YES")
    patient_id = text_of(dataset, "PatientID").casefold()
    for keyword, value in _naming_values(dataset):
        is_pseudonym = keyword == "PatientName" and (value.casefold() == patient_id or _CODE.fullmatch(value))
        if not (is_dummy(value) or is_pseudonym or _OURS.fullmatch(value)):
            found.add(keyword)
    try:
        refuse_what_cannot_be_cleaned(dataset, has_pixels=opened.pixel_bytes is not None)
    except NotDeidentifiable as error:
        found.add(error.code)
    return tuple(sorted(found))


def is_dummy(value: str) -> bool:
    """Tell whether a value is nothing, or a word that stands where a name was."""
    return _NOTHING.fullmatch(value) is not None or value.strip().casefold().startswith(DUMMY_WORDS)


def _naming_values(dataset: Dataset) -> Iterator[tuple[str, str]]:
    waiting = [dataset]
    while waiting:
        current = waiting.pop()
        for tag in list(current.keys()):
            vr = dictionary_vr(tag)
            keyword = keyword_of(tag)
            names = basic_action(tag) in (Basic.REMOVE, Basic.EMPTY, Basic.REPLACE) and (
                vr == "PN" or keyword in NAMING_ELEMENTS
            )
            if vr == "SQ" or names:
                try:
                    value = current[tag].value
                # What cannot be parsed cannot be shown to be harmless.
                except Exception:
                    yield keyword, "not parsable"
                    continue
                if vr == "SQ":
                    waiting.extend(value if isinstance(value, list) or hasattr(value, "append") else ())
                elif value is not None:
                    yield keyword, str(value).strip().strip("\x00")


def _in_text(data: bytes, kind: Kind) -> tuple[str, ...]:
    cleaner = CLEANERS.get(kind)
    if cleaner is None:
        return ()
    noted = _Noted()
    cleaner(data, FieldRules(ProjectKeys(_NO_SECRET), Profile(LABEL_QA_OPTIONS), noted))
    return tuple(sorted(noted.fields))


class _Noted(Tally):
    """Remembers which fields for persons, places and numbers would have been changed."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: set[str] = set()

    def changed(self, name: str, before: str) -> None:
        holds = kind_of_field(name)
        is_pseudonym = holds is Holds.PERSON and _CODE.fullmatch(before) is not None
        if holds in (Holds.PATIENT, Holds.PERSON, Holds.PLACE_OR_NUMBER) and not (is_dummy(before) or is_pseudonym):
            self.fields.add(name)
