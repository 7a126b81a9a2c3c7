"""One field of a label file that is not DICOM: what may stay in it, judged by the field's name and its value.

The rule is to replace: a text stays only where the field or the text itself is known to hold no identity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from imaging.deidentification.keys import STANDARD_UID_ROOT, ProjectKeys
from imaging.deidentification.paths import clean_path, looks_like_a_path
from imaging.deidentification.profile import Option, Profile
from imaging.deidentification.report import Action, Tally
from imaging.deidentification.words import is_harmless

_NOBODY: frozenset[str] = frozenset()


class Holds(Enum):
    """What a field holds, by its name."""

    PATIENT = "patient"
    PERSON = "person"
    PLACE_OR_NUMBER = "place or number"
    MOMENT = "moment"
    FREE_TEXT = "free text"
    PATH = "path"
    MODEL = "model"
    TERM = "term"
    DIGEST = "digest"
    PIXELS = "pixels"
    ANYTHING = "anything"


# Looked for in a field's name without case, blanks and underscores; the first that fits decides.
_BY_NAME: tuple[tuple[Holds, re.Pattern[str]], ...] = (
    (Holds.PIXELS, re.compile(r"^counts$")),
    (Holds.DIGEST, re.compile(r"sha(1|256|512)$|^md5$|digest|checksum")),
    (Holds.MODEL, re.compile(r"^model|^algorithm|^bundle|^software|^network|^tensorimagesize$")),
    (Holds.PATIENT, re.compile(r"patient|subject(id|name)?$|^mrn$|^pid$|^case(id|name)?$")),
    (
        Holds.PERSON,
        re.compile(
            r"radiologist|reader|annotator|observer|physician|reviewer|operator|author|contributor|creator|rater"
            r"|^users?(name)?$|^owner|login|e?mail|createdby|labell?edby|person|doctor"
        ),
    ),
    (
        Holds.PLACE_OR_NUMBER,
        re.compile(r"site$|institution|hospital|department|address|phone|station|accession|url$"),
    ),
    (Holds.MOMENT, re.compile(r"date|time|birth")),
    (
        Holds.FREE_TEXT,
        re.compile(r"description|comment|note|remark|reason|^title$|summary|caption|history|messageid|license"),
    ),
    (Holds.PATH, re.compile(r"file|path|folder|^images?$|^labels?$|^mask$|^seg(mentation)?$|^source$|^database$")),
    (
        Holds.TERM,
        re.compile(
            r"^modality$|version$|^format$|^shape$|^type$|^pose$|^numbering$|^inclusion$|^encoding$|^spaces?$|^units?$"
            r"|^supercategory$"
        ),
    ),
)
_INHERITING = frozenset({"", "name", "id", "label", "title", "value", "version", "key"})
_PLAIN = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_VERSION = re.compile(r"v?\d{1,4}(?:\.\d{1,6}){1,3}")
_DATE = re.compile(
    r".*(?<!\d)(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?(?!\d).*|.*(?<!\d)\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d(?!\d).*"
)
_MODEL = re.compile(r"[\w][\w .:+/@-]{0,119}")
_TERM = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_HEXADECIMAL = re.compile(r"(?:sha256:)?[0-9a-fA-F]{32,128}")
_RUN_LENGTHS = re.compile(r"[\x21-\x7e]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,63}")


@dataclass(frozen=True, slots=True)
class FieldRules:
    """Treats the fields of one file."""

    keys: ProjectKeys
    profile: Profile
    tally: Tally

    def clean(self, value: str, *, name: str, parent: str = "") -> str:
        """Return what a field of that name may say; ``parent`` is the field around it, where there is one."""
        text = value.strip()
        if not text:
            return value
        holds = kind_of_field(name, parent)
        cleaned = self._cleaned(text, holds)
        if cleaned == text:
            return value
        self._note(text, cleaned, holds, name)
        return cleaned

    def clean_key(self, key: str) -> str:
        """Return what may stand where a field's name stands: a plain identifier, a known phrase, a mapped UID."""
        if _IDENTIFIER.fullmatch(key) or is_harmless(key, identities=_NOBODY):
            return key
        mapped = self.keys.map_uids_in(key)
        if mapped != key and is_harmless(re.sub(r"2\.25\.\d+", "", mapped), identities=_NOBODY):
            self.tally.note(Action.REMAPPED, "keys")
            return mapped
        self.tally.note(Action.REPLACED, "keys")
        return self.keys.name(key, prefix="key")

    def _cleaned(self, text: str, holds: Holds) -> str:
        by_kind = self._by_kind(text, holds)
        if by_kind is not None:
            return by_kind
        if _DATE.fullmatch(text):
            return ""
        if _NUMBER.fullmatch(text) or _VERSION.fullmatch(text):
            return text
        mapped = self.keys.map_uids_in(text)
        if mapped.startswith((STANDARD_UID_ROOT, "2.25.")) and " " not in mapped and not looks_like_a_path(text):
            return mapped
        if self.profile.keeps(text) or is_harmless(text, identities=_NOBODY):
            return text if Option.CLEAN_DESCRIPTORS in self.profile.options else self.keys.name(text, prefix="text")
        if holds is Holds.PATH or looks_like_a_path(text):
            return clean_path(text, keys=self.keys)
        return self.keys.name(text, prefix="text")

    def _by_kind(self, text: str, holds: Holds) -> str | None:
        """What the field's name alone decides, None where the value has to be looked at."""
        if holds is Holds.PATIENT:
            return self.keys.uid(text) if self.keys.map_uids_in(text) == self.keys.uid(text) else self._patient(text)
        if holds is Holds.PERSON:
            return text if is_harmless(text, identities=_NOBODY) else self.keys.reader(text)
        if holds in (Holds.PLACE_OR_NUMBER, Holds.MOMENT):
            return ""
        if holds is Holds.FREE_TEXT:
            return text if is_harmless(text, identities=_NOBODY) else ""
        allowed = {
            Holds.MODEL: _MODEL,
            Holds.TERM: _TERM,
            Holds.DIGEST: _HEXADECIMAL,
            Holds.PIXELS: _RUN_LENGTHS,
        }.get(holds)
        return text if allowed is not None and allowed.fullmatch(text) else None

    def _patient(self, text: str) -> str:
        return text if is_harmless(text, identities=_NOBODY) and not text.isdigit() else self.keys.patient(text)

    def _note(self, text: str, cleaned: str, holds: Holds, name: str) -> None:
        self.tally.changed(name, text)
        shown = name if _IDENTIFIER.fullmatch(name) else "fields"
        if not cleaned:
            self.tally.note(Action.EMPTIED, shown)
        elif cleaned == self.keys.map_uids_in(text):
            self.tally.note(Action.REMAPPED, shown)
        else:
            self.tally.note(Action.REPLACED, shown)
            kind = {Holds.PATIENT: "patient", Holds.PERSON: "person", Holds.PATH: "file"}.get(holds, "label")
            self.tally.crossed(kind, text, cleaned)


def kind_of_field(name: str, parent: str = "") -> Holds:
    """Return what a field of that name holds. A name that says nothing itself (``name``, ``id``) means its parent's."""
    plain = _PLAIN.sub("", name.lower())
    if plain in _INHERITING and parent:
        inherited = kind_of_field(parent)
        if inherited in (Holds.PATIENT, Holds.PERSON, Holds.MODEL):
            return inherited
    for holds, pattern in _BY_NAME:
        if pattern.search(plain):
            return holds
    return Holds.ANYTHING
