"""Texts of label files that no database stores and no page shows."""

from __future__ import annotations

import json

import pytest

from imaging.readers.formats import ImageReferences
from imaging.readers.label_files import image_references, read_labels
from imaging.readers.legible import legible, legible_text
from imaging.readers.sniff import Kind
from tests.imaging.readers.label_makers import MAKERS
from tests.imaging.readers.test_contract import IMAGE, context, findings_of, said

POISONS = ("\x00", "\ud800", "\u202e", "\x1b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nodule", "nodule"),
        ("Läsion rechts\u00a0oben 結節", "Läsion rechts\u00a0oben 結節"),
        ("two\r\nlines", "two lines"),
        ("a\x00b\ud800c\u202ed\x7f", "a?b?c?d?"),
    ],
)
def test_a_text_keeps_what_can_be_shown(text: str, shown: str) -> None:
    assert legible_text(text) == shown


def test_what_needs_no_change_is_the_same_object() -> None:
    found = read_labels("coco-json", MAKERS["coco-json"].valid(), IMAGE, context("coco-json"))
    assert legible(found) is found
    references = ImageReferences(image_names=frozenset({"a\x00"}))
    assert legible(references).image_names == {"a?"}


@pytest.mark.parametrize("kind", ["coco-json", "predictions-json", "monai-datalist"])
@pytest.mark.parametrize("poison", POISONS)
def test_no_text_of_a_document_that_cannot_be_stored_comes_out_of_its_reader(kind: Kind, poison: str) -> None:
    def poisoned(value: object) -> object:
        if isinstance(value, dict):
            return {key: poisoned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        return f"{value}{poison}" if value in {"nodule", "detector", "2.1"} else value

    document = json.loads(MAKERS[kind].valid())
    document.setdefault("categories", [{"id": 1, "name": "nodule"}])
    document.setdefault("labels", {"0": "nodule"})
    data = json.dumps(poisoned(document)).encode()
    found = read_labels(kind, data, IMAGE, context(kind))
    assert findings_of(found)
    assert poison not in said(found) and repr(poison)[1:-1] not in said(found)
    for name in image_references(kind, data, context(kind)).image_names:
        name.encode()
