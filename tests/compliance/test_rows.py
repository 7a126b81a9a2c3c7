"""A stored row as canonical values: every column type, and nothing that two readers could take for the same."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest
from django.db import models

from compliance.ledger.canonical import Json
from compliance.rows import (
    _column,
    _document,
    altered_field,
    digest_and_marks,
    field_marks,
    row_digest,
    row_values,
    utc_text,
)
from tests.compliance.scenes import open_case
from tests.compliance.testapp.models import Case

NOON = datetime.datetime(2026, 1, 2, 12, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (models.TextField(), "a", "a"),
        (models.BooleanField(), True, True),
        (models.IntegerField(), 7, 7),
        (models.BigIntegerField(), 2**53, "9007199254740992"),
        (models.FloatField(), 0.1, "0.1"),
        (models.FloatField(), float("inf"), "inf"),
        (models.DecimalField(), Decimal("1.50"), "1.50"),
        (models.UUIDField(), uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (models.DateTimeField(), NOON, "2026-01-02T10:00:00.000000Z"),
        (models.DateField(), datetime.date(2026, 1, 2), "2026-01-02"),
        (models.TimeField(), datetime.time(1, 2, 3), "01:02:03"),
        (models.DurationField(), datetime.timedelta(seconds=1, microseconds=5), "0:00:01.000005"),
        (models.BinaryField(), b"\x00\xff", "00ff"),
        (models.BinaryField(), memoryview(b"\x01"), "01"),
        (models.JSONField(), [1.5, "1.5", None, True], [{"$float": "1.5"}, "1.5", None, True]),
        (models.JSONField(), {"a": 2**60}, {"a": {"$integer": "1152921504606846976"}}),
        (models.JSONField(), {"$float": "1.5", "b": 3}, {"$$float": "1.5", "b": 3}),
        (models.TextField(), None, None),
    ],
)  # fmt: skip
def test_each_column_type_has_one_canonical_value(field: models.Field, value: object, text: object) -> None:
    assert _column(field, value) == text


def test_what_has_no_canonical_value_is_refused_by_name() -> None:
    field = models.TextField(name="odd")
    with pytest.raises(TypeError, match="odd: a column of set"):
        _column(field, {1})
    with pytest.raises(TypeError, match="set"):
        _document([{1}])


def test_a_number_and_its_text_in_a_document_stay_apart() -> None:
    texts = [_document(value) for value in (1.5, "1.5", {"$float": "1.5"}, 1)]
    assert len({str(text) for text in texts}) == len(texts)


def test_marks_name_the_altered_field_and_stay_silent_where_they_cannot() -> None:
    values = {"b": 1, "a": "x"}
    marks = field_marks(values)
    assert altered_field(values, marks) == ""
    assert altered_field({**values, "b": 2}, marks) == "b"
    assert altered_field({**values, "c": 2}, marks) == ""


@pytest.mark.requirement("REQ-12")
def test_times_are_written_in_utc_with_microseconds_whatever_their_zone() -> None:
    assert utc_text(NOON) == "2026-01-02T10:00:00.000000Z"


def test_the_digest_of_a_row_read_twice_is_the_same_on_both_databases(database: str) -> None:
    case = open_case(title="\u00dcberblick")
    first, second = (row_values(row) for row in (case.history.get(), Case.history.get()))
    assert row_digest(first) == row_digest(second)
    assert (first["size_mm"], first["score"], first["tags"]) == ("4.25", "0.1", ["a", 1, {"b": {"$float": "0.5"}}])


@pytest.mark.parametrize(
    "values", [{}, {"b": "x", "a": None, "c": [1, "\u00e4"]}, {"\ufb33": 1, "\U0001f600": "2", "a": {"b": 1}}]
)
def test_digest_and_marks_at_once_are_those_of_each(values: dict[str, Json]) -> None:
    assert digest_and_marks(values) == (row_digest(values), field_marks(values))
