"""The basic profile's action for each element: table E.1-1 of PS3.15, as dicom-anonymizer generates it.

The table is taken from that library; its way over a data set is not, since it differs from Annex E in ways that matter
here (docs/decisions/0012 lists them, and tests hold each).
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_keyword, dictionary_VR

EDITION = "dicomfields_2026c"


class Basic(Enum):
    """Action codes of table E.1-1, compound ones as they are decided here.

    X/Z is decided as Z, and X/D, X/Z/D and Z/D as D: that keeps an object valid whatever type the element has in it.
    Sequences are the exception, since a dummy item would be invented content: X/D is X, X/Z and X/Z/D are Z.
    """

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    UID = "U"


_DECIDED = {
    "X_TAGS": Basic.REMOVE,
    "Z_TAGS": Basic.EMPTY,
    "X_Z_TAGS": Basic.EMPTY,
    "D_TAGS": Basic.REPLACE,
    "Z_D_TAGS": Basic.REPLACE,
    "X_D_TAGS": Basic.REPLACE,
    "X_Z_D_TAGS": Basic.REPLACE,
    "U_TAGS": Basic.UID,
    "X_Z_U_STAR_TAGS": Basic.UID,
}
_DECIDED_FOR_SEQUENCES = {"X_D_TAGS": Basic.REMOVE, "X_Z_D_TAGS": Basic.EMPTY}

# Dates for which table E.1-1 has no option that keeps them modified: they are the patient's own, or a device's.
_NEVER_MOVED = frozenset(
    {
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientBirthDateInAlternativeCalendar",
        "PatientDeathDateInAlternativeCalendar",
        "LastMenstrualDate",
        "DateOfManufacture",
        "DateOfInstallation",
        "ProductExpirationDateTime",
        "EthicsCommitteeApprovalEffectivenessStartDate",
        "EthicsCommitteeApprovalEffectivenessEndDate",
    }
)

# UIDs of classes, encodings and vocabularies. They say how something is written, in whatever root their owner has.
_CLASS_UIDS = frozenset(
    {
        "CodingSchemeUID",
        "ContextUID",
        "MappingResourceUID",
        "PrivateInformationCreatorUID",
        "ImplementationClassUID",
        "OriginalSpecializedSOPClassUID",
        "RelatedGeneralSOPClassUID",
    }
)


@cache
def _table() -> dict[tuple[int, int], Basic]:
    tags = dicom_anonymization_database_selector(EDITION)
    table: dict[tuple[int, int], Basic] = {}
    for name, action in _DECIDED.items():
        for tag in tags[name]:
            # Repeating groups (curves and overlays) have masks; those groups are removed as a whole.
            if len(tag) == 2:
                is_sequence = dictionary_vr(tag[0] << 16 | tag[1]) == "SQ"
                table[tag] = _DECIDED_FOR_SEQUENCES.get(name, action) if is_sequence else action
    return table


def basic_action(tag: int) -> Basic | None:
    """Return what the basic profile does to an element, None where it is not in the table and stays."""
    return _table().get((tag >> 16, tag & 0xFFFF))


def dictionary_vr(tag: int) -> str | None:
    """Return the value representation that DICOM gives a tag, the first of several; None for an unknown tag."""
    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        return None


def keyword_of(tag: int) -> str:
    """Return the keyword of a known tag, else a text that says where it lies and nothing more."""
    if tag >> 16 & 1:
        return "private elements"
    try:
        return dictionary_keyword(tag) or "unknown elements"
    except KeyError:
        return "unknown elements"


def is_never_moved(keyword: str) -> bool:
    """Tell whether a date is not a date of the examination, and goes as the basic profile says."""
    return keyword in _NEVER_MOVED or keyword.startswith("GPS")


def names_a_class(keyword: str) -> bool:
    """Tell whether a UID element names a class or an encoding, and stays whatever its root."""
    return "SOPClass" in keyword or "TransferSyntax" in keyword or keyword in _CLASS_UIDS
