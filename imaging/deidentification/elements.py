"""Going through a data set, sequences and all, and treating every element by its rule.

The order of rules for one element: private and unknown ones go; UIDs are replaced; dates are moved; persons and names
of labels have rules of their own; then table E.1-1; and free text that no rule names stays only if it is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dicomanonymizer.simpledicomanonymizer import replace_element
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.report import Action, Tally
from imaging.deidentification.table import (
    Basic,
    basic_action,
    dictionary_vr,
    is_never_moved,
    keyword_of,
    names_a_class,
)
from imaging.deidentification.temporal import is_time, shifted_date, shifted_datetime
from imaging.deidentification.words import holds_identity, is_harmless

PIXEL_TAGS = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010})

# Identifiers that must stay apart from each other get a pseudonym; the profile's common dummy would make them one.
_PSEUDONYMOUS = {
    "TrackingID": "tracking",
    "ROIName": "label",
    "ROIObservationLabel": "label",
    "SegmentLabel": "label",
    "ClinicalTrialSubjectID": "subject",
}
_LABEL_TEXTS = frozenset(
    {
        "ContrastBolusAgent",
        "ContentLabel",
        "ContentDescription",
        "SegmentDescription",
        "StructureSetLabel",
        "ROIDescription",
    }
)
_FREE_TEXT_VRS = frozenset({"LT", "ST", "UT", "UR"})
_STRINGS = frozenset({"LO", "SH", "UC", "AE", "LT", "ST", "UT", "UR"})
_DUMMY_VRS = frozenset(
    {"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT", "AS", "UR", "DS", "IS", "FD", "FL", "SS", "US", "SL", "UL", "OB"}
)
_TEMPORAL = frozenset({"DA", "TM", "DT"})

# TID 1500 and 4019: what an identifier or a text says of a measurement, not of a person.
_TRACKING_IDENTIFIER = ("112039", "DCM")
_ALGORITHM_TEXTS = frozenset({("111001", "DCM"), ("111003", "DCM")})
REMOVED_TEXT = "removed"
_LONGEST_SHORT_STRING = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a file is about, as its elements are to be treated: pseudonym, days by which dates move back, and the words
    that identify someone in this file."""

    pseudonym: str
    days_back: int
    identities: frozenset[str]


class ElementRules:
    """Treats data sets of one file in place."""

    def __init__(self, *, keys: ProjectKeys, profile: Profile, subject: Subject, tally: Tally) -> None:
        self._keys = keys
        self._profile = profile
        self._subject = subject
        self._tally = tally
        self._moves_dates = Option.MODIFIED_DATES in profile.options
        self._keeps_labels = Option.CLEAN_DESCRIPTORS in profile.options
        self._keeps_content = Option.CLEAN_STRUCTURED_CONTENT in profile.options

    def treat(self, dataset: Dataset) -> None:
        """De-identify a data set and everything in its sequences. Raises NotDeidentifiable ``not-parsable``."""
        for tag in list(dataset.keys()):
            if tag not in PIXEL_TAGS:
                self._treat_element(dataset, tag)

    def _treat_element(self, dataset: Dataset, tag: int) -> None:
        keyword = keyword_of(tag)
        expected = dictionary_vr(tag)
        group = tag >> 16
        if tag & 0xFFFF == 0:  # a group's length, which would be wrong now
            del dataset[tag]
            return
        if group & 1 or expected is None or group & 0xFF00 in (0x5000, 0x6000):
            self._remove(dataset, tag, keyword)
            return
        try:
            element = dataset[tag]
            empty = element.is_empty
        # A lazily parsed element raises here whatever its damaged bytes provoke.
        except Exception as error:
            raise NotDeidentifiable(
                "not-parsable", f"{keyword} cannot be read ({type(error).__name__}), so nobody can tell what it says."
            ) from error
        if element.VR == "UN" or (element.VR == "SQ") != (expected == "SQ"):
            self._remove(dataset, tag, keyword)
        elif element.VR == "SQ":
            self._sequence(dataset, element, keyword)
        elif empty:
            return
        elif "UI" in (element.VR, expected):
            self._uids(dataset, element, keyword)
        elif expected in _TEMPORAL or element.VR in _TEMPORAL:
            self._temporal(dataset, element, keyword, expected if expected in _TEMPORAL else element.VR)
        elif "PN" in (element.VR, expected):
            self._person(dataset, element, keyword)
        else:
            self._other(dataset, element, keyword)

    def _sequence(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        # A verified report must keep its observers (PS3.3 C.17.2); all that their items may hold has its own action.
        action = None if keyword == "VerifyingObserverSequence" else basic_action(element.tag)
        if keyword == "ContentSequence":
            if not self._keeps_content:
                raise NotDeidentifiable(
                    "structured-content", "The profile does not keep structured content, of which the object consists."
                )
            action = None
        if action is Basic.REMOVE:
            self._remove(dataset, element.tag, keyword)
        elif action is Basic.EMPTY:
            if element.value:
                element.value = []
                self._tally.note(Action.EMPTIED, keyword)
        elif action is Basic.REPLACE:
            # A dummy item would be an invented person, and none is required by the objects that are taken here.
            self._remove(dataset, element.tag, keyword)
        else:
            for item in element.value or ():
                self.treat(item)

    def _uids(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        if basic_action(element.tag) is Basic.REMOVE:
            self._remove(dataset, element.tag, keyword)
        elif not names_a_class(keyword):
            before = _texts(element)
            after = [self._keys.uid(uid) for uid in before]
            if after != before:
                self._tally.note(Action.REMAPPED, keyword)
            self._set(dataset, element, after, vr="UI")

    def _temporal(self, dataset: Dataset, element: DataElement, keyword: str, vr: str) -> None:
        action = basic_action(element.tag)
        if self._moves_dates and not is_never_moved(keyword):
            before = _texts(element)
            after = [self._moved(value, vr) for value in before]
            if None in after:
                self._drop(dataset, element, keyword, action)
                return
            if vr != "TM":
                self._tally.note(Action.SHIFTED, keyword)
            self._set(dataset, element, [value or "" for value in after], vr=element.VR)
        elif action is Basic.REPLACE:
            replace_element(element)
            self._tally.note(Action.REPLACED, keyword)
        else:
            self._drop(dataset, element, keyword, action)

    def _moved(self, value: str, vr: str) -> str | None:
        if not value:
            return ""
        if vr == "DA":
            return shifted_date(value, days_back=self._subject.days_back)
        if vr == "DT":
            return shifted_datetime(value, days_back=self._subject.days_back)
        return value if is_time(value) else None

    def _person(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        action = basic_action(element.tag)
        if keyword == "PatientName":
            self._tally.crossed("patient-name", str(element.value), self._subject.pseudonym)
            self._set(dataset, element, [self._subject.pseudonym], vr=element.VR)
            self._tally.note(Action.REPLACED, keyword)
        elif action in (Basic.REMOVE, Basic.EMPTY):
            self._drop(dataset, element, keyword, action)
        else:
            self._set(dataset, element, [self._reader(name) for name in _texts(element)], vr=element.VR)
            self._tally.note(Action.REPLACED, keyword)

    def _reader(self, name: str) -> str:
        pseudonym = self._keys.reader(name)
        self._tally.crossed("person", name, pseudonym)
        return pseudonym

    def _other(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        action = basic_action(element.tag)
        if keyword == "PatientID":
            self._set(dataset, element, [self._subject.pseudonym], vr=element.VR)
            self._tally.note(Action.REPLACED, keyword)
        elif keyword == "TextValue":
            self._content_text(dataset, element)
        elif keyword == "CodeMeaning":
            self._code_meaning(dataset, element)
        elif keyword in _PSEUDONYMOUS and (self._keeps_labels or keyword == "ClinicalTrialSubjectID"):
            self._label(dataset, element, keyword, _PSEUDONYMOUS[keyword])
        elif keyword in _LABEL_TEXTS and self._keeps_labels and self._is_kept(_texts(element)):
            self._tally.note(Action.CLEANED, keyword)
        elif keyword in _LABEL_TEXTS and element.VR == "CS":
            self._set(dataset, element, ["REMOVED"], vr=element.VR)
            self._tally.note(Action.REPLACED, keyword)
        elif action is Basic.REMOVE or action is Basic.EMPTY:
            self._drop(dataset, element, keyword, action)
        elif action is Basic.REPLACE:
            self._dummy(dataset, element, keyword)
        else:
            self._unlisted(dataset, element, keyword)

    def _unlisted(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        if element.VR not in _STRINGS:
            return
        texts = _texts(element)
        free = element.VR in _FREE_TEXT_VRS
        if (free and not self._is_kept(texts)) or self._names_someone(texts):
            # Not removed: an element that the profile does not list may be one that its object needs.
            self._set(dataset, element, [REMOVED_TEXT], vr=element.VR)
            self._tally.note(Action.REPLACED, keyword)
            return
        mapped = [self._keys.map_uids_in(text) for text in texts]
        if mapped != texts:
            self._set(dataset, element, mapped, vr=element.VR)
            self._tally.note(Action.REMAPPED, keyword)

    def _content_text(self, dataset: Dataset, element: DataElement) -> None:
        concept = _concept(dataset)
        texts = _texts(element)
        if concept == _TRACKING_IDENTIFIER:
            self._label(dataset, element, "TextValue", "tracking")
        elif self._is_kept(texts) or (concept in _ALGORITHM_TEXTS and not self._names_someone(texts)):
            self._tally.note(Action.CLEANED, "TextValue")
        else:
            self._set(dataset, element, [REMOVED_TEXT], vr=element.VR)
            self._tally.note(Action.REPLACED, "TextValue")

    def _code_meaning(self, dataset: Dataset, element: DataElement) -> None:
        designator = str(dataset.get("CodingSchemeDesignator") or "").strip().upper()
        private = not designator or designator.startswith(("99", "L"))
        if private and designator != "LN" and not self._is_kept(_texts(element)):
            self._label(dataset, element, "CodeMeaning", "code")

    def _label(self, dataset: Dataset, element: DataElement, keyword: str, prefix: str) -> None:
        texts = _texts(element)
        if self._is_kept(texts):
            self._tally.note(Action.CLEANED, keyword)
            return
        kept = [text if self._is_kept([text]) else self._pseudonym(text, prefix, element.VR) for text in texts]
        self._set(dataset, element, kept, vr=element.VR)
        self._tally.note(Action.REPLACED, keyword)

    def _pseudonym(self, text: str, prefix: str, vr: str) -> str:
        pseudonym = self._keys.name(text, prefix=prefix)
        if vr == "SH":
            pseudonym = pseudonym[:_LONGEST_SHORT_STRING]
        self._tally.crossed("label", text, pseudonym)
        return pseudonym

    def _is_kept(self, texts: Sequence[str]) -> bool:
        return all(
            self._profile.keeps(text) or is_harmless(text, identities=self._subject.identities) for text in texts
        )

    def _names_someone(self, texts: Sequence[str]) -> bool:
        return any(holds_identity(text, identities=self._subject.identities) for text in texts)

    def _dummy(self, dataset: Dataset, element: DataElement, keyword: str) -> None:
        if element.VR not in _DUMMY_VRS:
            self._remove(dataset, element.tag, keyword)
            return
        replace_element(element)
        self._tally.note(Action.REPLACED, keyword)

    def _drop(self, dataset: Dataset, element: DataElement, keyword: str, action: Basic | None) -> None:
        if action is Basic.REMOVE:
            self._remove(dataset, element.tag, keyword)
        else:
            element.value = b"" if element.VR in {"OB", "OW", "OF", "OD", "OL", "OV"} else None
            self._tally.note(Action.EMPTIED, keyword)

    def _remove(self, dataset: Dataset, tag: int, keyword: str) -> None:
        del dataset[tag]
        self._tally.note(Action.REMOVED, keyword)

    def _set(self, dataset: Dataset, element: DataElement, values: Sequence[str], *, vr: str) -> None:
        # A new element: the old one may hold the value's original bytes beside the value.
        dataset[element.tag] = DataElement(element.tag, vr, values[0] if len(values) == 1 else list(values))


def texts_of(dataset: Dataset, wanted: Callable[[int, str | None], bool]) -> list[str]:
    """Return the texts of all elements, in sequences too, that ``wanted(tag, dictionary VR)`` chooses.

    Elements that cannot be parsed give none.
    """
    found: list[str] = []
    waiting = [dataset]
    while waiting:
        current = waiting.pop()
        for tag in list(current.keys()):
            expected = dictionary_vr(tag)
            if expected != "SQ" and not wanted(tag, expected):
                continue
            try:
                element = current[tag]
                if element.VR == "SQ":
                    waiting.extend(element.value or ())
                elif expected != "SQ" and not element.is_empty:
                    found.extend(_texts(element))
            # As above: whatever damaged bytes provoke.
            except Exception:  # noqa: S112 - what cannot be parsed is refused where it is treated
                continue
    return found


def _texts(element: DataElement) -> list[str]:
    value = element.value
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1").strip().strip("\x00")]
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    if element.VR == "PN":
        parts = [value] if not isinstance(value, list | tuple) and not hasattr(value, "append") else list(value)
    return [str(part).strip().strip("\x00").strip() for part in parts]


def _concept(item: Dataset) -> tuple[str, str]:
    names = item.get("ConceptNameCodeSequence")
    if not names:
        return "", ""
    return str(names[0].get("CodeValue") or ""), str(names[0].get("CodingSchemeDesignator") or "")
