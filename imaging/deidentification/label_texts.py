"""De-identifying label files that are text: XML, JSON and tables, field by field."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from imaging.deidentification.fields import FieldRules
from imaging.deidentification.keys import ProjectKeys
from imaging.errors import UnreadableFile
from imaging.readers.json_text import parse_json
from imaging.readers.sniff import Kind
from imaging.readers.xml_text import name_of, parse_xml

_SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
_LONGEST_FIELD = 1 << 24


def map_uids(data: bytes, *, keys: ProjectKeys) -> bytes:
    """Return a text with every UID-looking token mapped and nothing else changed; UIDs of the standard stay.

    For texts that are known to hold no other identity. UTF-8, or UTF-16 with its mark; other bytes are taken as
    Latin-1, in which every byte is a letter, so that nothing is lost.
    """
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return keys.map_uids_in(text).encode(encoding)
    return keys.map_uids_in(data.decode("latin-1")).encode("latin-1")


def clean_xml(data: bytes, rules: FieldRules) -> bytes:
    """Return an XML label file with its fields cleaned; comments and instructions are left out. UTF-8.

    Raises UnreadableFile as ``parse_xml`` does.
    """
    root = parse_xml(data)
    _clean_element(root, "", rules)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _clean_element(element: Element, parent: str, rules: FieldRules) -> None:
    name = name_of(element)
    for key in list(element.attrib):
        if key.startswith(_SCHEMA_INSTANCE):
            # Says where a schema lies, as a rule on some hospital's server.
            del element.attrib[key]
        else:
            element.attrib[key] = rules.clean(element.attrib[key], name=key.rpartition("}")[2], parent=name)
    if element.text is not None and element.text.strip():
        element.text = rules.clean(element.text, name=name, parent=parent)
    for child in element:
        _clean_element(child, name, rules)
        if child.tail is not None and child.tail.strip():
            child.tail = rules.clean(child.tail, name="", parent=name)


def clean_json(data: bytes, rules: FieldRules) -> bytes:
    """Return a JSON label file with its texts and keys cleaned, numbers as they are where no patient has them.

    Raises UnreadableFile as ``parse_json`` does.
    """
    document = _clean_value(parse_json(data), "", "", rules)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _clean_value(value: object, name: str, parent: str, rules: FieldRules) -> object:
    if isinstance(value, Mapping):
        return {
            rules.clean_key(str(key)): _clean_value(inner, str(key), name or parent, rules)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_clean_value(inner, name, parent, rules) for inner in value]
    if isinstance(value, str):
        return rules.clean(value, name=name, parent=parent)
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
        cleaned = rules.clean(text, name=name, parent=parent)
        return value if cleaned == text else cleaned
    return value


def clean_table(data: bytes, rules: FieldRules) -> bytes:
    """Return a comma-separated table with its cells cleaned by their columns' names. UTF-8.

    Raises UnreadableFile ``not-csv``.
    """
    try:
        csv.field_size_limit(_LONGEST_FIELD)
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(
            "not-csv", f"The table cannot be read as text in columns ({type(error).__name__})."
        ) from error
    if not rows:
        raise UnreadableFile("not-csv", "The table is empty.")
    columns = rows[0]
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([rules.clean_key(column.strip()) for column in columns])
    for row in rows[1:]:
        writer.writerow(
            [rules.clean(cell, name=columns[at] if at < len(columns) else "") for at, cell in enumerate(row)]
        )
    return written.getvalue().encode()


CLEANERS: Mapping[Kind, Callable[[bytes, FieldRules], bytes]] = {
    "lidc-xml": clean_xml,
    "voc-xml": clean_xml,
    "coco-json": clean_json,
    "monai-datalist": clean_json,
    "predictions-json": clean_json,
    "luna16-csv": clean_table,
    "predictions-csv": clean_table,
}
