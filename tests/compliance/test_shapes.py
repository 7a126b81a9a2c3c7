"""Digests taken before a model gained a column stay good; a column that they cover may not disappear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import models

from compliance import checks, events, recorded_history
from compliance.checkpoints import publish
from compliance.evidence import build_kit
from compliance.ledger.canonical import Json
from compliance.models import Event, RowShape
from compliance.registry import recorded_models
from compliance.rows import row_reader, row_values, shape_id
from compliance.shapes import current_columns, keep_shapes, known_shapes
from compliance.verification import verify_live
from tests.compliance.databases import past_the_triggers
from tests.compliance.kits import checked, contents, lines, second_opinion
from tests.compliance.scenes import open_case
from tests.compliance.testapp.models import Case, Slice

pytestmark = pytest.mark.requirement("REQ-01")

LATER = {"testapp_historicalcase": "score", "testapp_slice": "facts"}


@contextmanager
def before_a_migration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Record as a release did whose models did not have the columns in LATER yet, and keep that release's shapes."""

    def columns(model: type[models.Model]) -> tuple[str, ...]:
        gone = LATER.get(model._meta.db_table)
        return tuple(name for name in current_columns(model) if name != gone)

    def shape(model: type[models.Model]) -> str:
        return shape_id(table=model._meta.db_table, columns=columns(model))

    def reader(model: type[models.Model]) -> Callable[[Sequence[object]], dict[str, Json]]:
        read, kept = row_reader(model), columns(model)
        return lambda values: {name: value for name, value in read(values).items() if name in kept}

    with monkeypatch.context() as patch:
        patch.setattr(events, "current_shape", shape)
        patch.setattr(events, "row_values", lambda row: row_values(row, columns=columns(type(row))))
        patch.setattr(recorded_history, "row_reader", reader)
        rows: models.QuerySet[RowShape] = models.QuerySet(RowShape)
        rows.bulk_create(
            [
                RowShape(id=shape(model), table=model._meta.db_table, columns=list(columns(model)))
                for model in recorded_models()
                if model._meta.db_table in LATER
            ]
        )
        yield


def test_a_column_that_a_model_gains_leaves_earlier_rows_verifiable(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with before_a_migration(monkeypatch):
        open_case(title="early", slices=3)
    open_case(title="late", slices=2)
    note = publish()
    assert verify_live().ok
    kit = build_kit(tmp_path / "kit.zip", files={}, facts={}, checkpoint=note)
    assert checked(kit.path)[0] == second_opinion(kit.path)[0] == 0
    records = lines(contents(kit.path)["records.jsonl"])
    titles = {one["values"]["title"]: "score" in one["values"] for one in records if one["table"] == "testapp_case"}
    assert titles == {"early": False, "late": True}
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE testapp_historicalcase SET state = 'x' WHERE title = 'early'")
    assert verify_live().first.field == "state"


def test_every_migrate_keeps_the_shapes_once(database: str) -> None:
    kept = RowShape.objects.count()
    assert kept == len(recorded_models())
    keep_shapes(recorded_models())
    assert RowShape.objects.count() == kept
    assert str(RowShape.objects.get(table="testapp_slice")).startswith("testapp_slice: ")
    assert {row["shape"] for row in open_event_rows()} <= set(RowShape.objects.values_list("pk", flat=True))


def open_event_rows() -> list[dict[str, Any]]:
    open_case(slices=1)
    return list(Event.objects.get().rows)


def test_an_altered_shape_is_named_and_not_believed(database: str) -> None:
    shape = RowShape.objects.get(table="testapp_slice")
    for columns in ('["id"]', "{}", "[1]"):
        with past_the_triggers() as cursor:
            cursor.execute(f"UPDATE compliance_rowshape SET columns = '{columns}' WHERE id = '{shape.pk}'")
        assert verify_live().first.message == f"compliance_rowshape {shape.pk}: the columns it lists were altered"
        assert len(known_shapes([Slice])[shape.pk]) > 3


def test_a_row_whose_columns_are_not_known_any_more_is_named_and_the_check_says_so_first(
    sqlite_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks.no_recorded_column_is_lost(databases=["default"]) == []
    with monkeypatch.context() as patch:
        patch.setattr(events, "current_shape", lambda model: "0" * 16)
        case = open_case()
    first = verify_live().first
    assert (first.record_id, first.field) == (str(case.pk), "")
    assert "columns that are not known any more" in first.message
    rows: models.QuerySet[RowShape] = models.QuerySet(RowShape)
    columns = ["gone", "id"]
    key = shape_id(table="testapp_slice", columns=columns)
    rows.bulk_create([RowShape(id=key, table="testapp_slice", columns=columns)])
    (error,) = checks.no_recorded_column_is_lost(databases=["default"])
    assert error.id == "compliance.E009"
    assert "testapp_slice.gone is covered by the digests" in error.msg
    assert checks.no_recorded_column_is_lost(databases=[]) == []
    assert Case.objects.exists()
