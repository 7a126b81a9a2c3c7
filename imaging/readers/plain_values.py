"""The values of plain elements straight from their bytes: what most headers consist of, at a fraction of the time.

pydicom makes an object with a validator of every element that is looked at. Where the bytes of a text or a number are
plain ASCII there is one way to read them; everything else is left to pydicom.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

_TEXT = frozenset({"CS", "SH", "LO", "DA", "TM", "DT", "AS"})
_PADDED = frozenset({"SH", "LO"})
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_DECIMAL = rb" *[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *"
_WHOLE = rb" *[+-]?[0-9]+ *"
_UID = re.compile(rb"[0-9.]*")
_MOST_BYTES = 1024
_NUMBERS = {
    "DS": re.compile(rb"(?:%b(?:\\%b)*)?" % (_DECIMAL, _DECIMAL)),
    "IS": re.compile(rb"(?:%b(?:\\%b)*)?" % (_WHOLE, _WHOLE)),
}


class _Elsewhere:
    """Says that only pydicom can tell."""


ELSEWHERE = _Elsewhere()


def plain_value(dataset: Dataset, keyword: str) -> object:
    """Return an element's value, None if absent; ``ELSEWHERE`` unless it is plain.

    A text is a str without its padding, and so are numbers that are written as text (DS, IS); several values are a
    list of such. US and SS are whole numbers, of one value only.
    """
    tag, known_vr = _tag_and_vr(keyword)
    if tag is None:
        return ELSEWHERE
    if tag not in dataset:
        return None
    element = dataset.get_item(tag)
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return ELSEWHERE
    return _value(known_vr if element.VR is None else str(element.VR), element.value, element.is_little_endian)


def _value(vr: str, data: bytes, little: bool) -> object:
    if vr in ("US", "SS"):
        if len(data) != 2:
            return ELSEWHERE
        return int.from_bytes(data, "little" if little else "big", signed=vr == "SS")
    pattern = _PRINTABLE if vr in _TEXT else _UID if vr == "UI" else _NUMBERS.get(vr)
    text = data.rstrip(b" \x00")
    if pattern is None or len(data) > _MOST_BYTES or not pattern.fullmatch(text):
        return ELSEWHERE
    values = text.decode("ascii").split("\\")
    if vr in _NUMBERS:
        values = [value.strip() for value in values]
    elif vr in _PADDED:
        values = [value.rstrip() for value in values]
    return values[0] if len(values) == 1 else values


@lru_cache(maxsize=1024)
def _tag_and_vr(keyword: str) -> tuple[int | None, str]:
    tag = tag_for_keyword(keyword)
    return tag, "" if tag is None else str(dictionary_VR(tag))
