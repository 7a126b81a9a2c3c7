"""Beside "nothing found" stands what the model found of what was there, in counts."""

import pytest

from imaging.inference.detectability import (
    NOT_STATED,
    Detectability,
    Row,
    detectability_content,
    read_detectability,
    rows_at,
    rows_over_all,
    silence_in_words,
)

JUDGED = {
    "4-6 mm, solid, 1 mm": "7/8",
    "4-6 mm, ground-glass, 1 mm": "1/4",
    "6-8 mm, solid, 1 mm": "9/9",
    "4-6 mm, solid, 2.5 mm": "3/8",
    "over 30 mm, solid, 1 mm": "1/1",
    "under 3 mm, solid, 1 mm": "0/1",
    "8-12 mm, solid, 1 mm": "0/0",
}


@pytest.fixture
def table() -> Detectability:
    content = detectability_content(judged=JUDGED, source="40 synthetic scans", false_per_scan=1.0)
    table = read_detectability(content)
    assert table is not None
    return table


def test_a_judgement_becomes_a_table_of_counts(table: Detectability) -> None:
    assert [(cell.diameter_mm, cell.kind, cell.slice_step_mm, cell.found, cell.of) for cell in table.cells] == [
        ((4.0, 6.0), "solid", 1.0, 7, 8),
        ((4.0, 6.0), "ground-glass", 1.0, 1, 4),
        ((6.0, 8.0), "solid", 1.0, 9, 9),
        ((4.0, 6.0), "solid", 2.5, 3, 8),
    ]


def test_a_scan_is_shown_the_slice_step_that_is_nearest_to_its_own(table: Detectability) -> None:
    assert rows_at(detectability=table, slice_step_mm=2.2) == (2.5, (Row("solid", (4.0, 6.0), 3, 8),))
    step, rows = rows_at(detectability=table, slice_step_mm=0.7)
    assert step == 1.0
    assert rows[0] == Row("ground-glass", (4.0, 6.0), 1, 4)
    assert rows_at(detectability=table, slice_step_mm=1.75)[0] == 2.5, "of two equally near, the thicker"


def test_over_all_slice_steps_the_counts_add_up(table: Detectability) -> None:
    assert Row("solid", (4.0, 6.0), 10, 16) in rows_over_all(table)


def test_silence_is_put_into_words_by_size(table: Detectability) -> None:
    assert silence_in_words(detectability=table, slice_step_mm=1.0) == (
        "Where it reports nothing, there may still be something: on 40 synthetic scans at a slice step of 1 mm, at 1 "
        "false candidate a scan, it found 8 of 12 nodules of 4 to 6 mm and 9 of 9 nodules of 6 to 8 mm."
    )
    assert "11 of 20 nodules of 4 to 6 mm" in silence_in_words(detectability=table, slice_step_mm=None)


def test_without_a_table_it_is_said_that_nothing_is_known(table: Detectability) -> None:
    assert read_detectability(None) is None
    assert silence_in_words(detectability=None, slice_step_mm=1.0) == NOT_STATED
    empty = Detectability(table.source, table.false_per_scan, ())
    assert silence_in_words(detectability=empty, slice_step_mm=1.0) == NOT_STATED


@pytest.mark.parametrize(
    "cell",
    [
        {"diameter_mm": [4.0, 6.0], "kind": "solid", "slice_step_mm": 1.0, "found": 9, "of": 8},
        {"diameter_mm": [6.0, 4.0], "kind": "solid", "slice_step_mm": 1.0, "found": 1, "of": 8},
        {"diameter_mm": [4.0], "kind": "solid", "slice_step_mm": 1.0, "found": 1, "of": 8},
    ],
)
def test_a_table_that_cannot_be_is_refused(cell: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        read_detectability({"source": "x", "false_per_scan": 1.0, "cells": [cell]})


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="most"):
        detectability_content(judged={"4-6 mm, solid, 1 mm": "most"}, source="x", false_per_scan=1.0)
