"""A table (CSV) from an untrusted file: its columns by name and its rows by number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

from imaging.errors import UnreadableFile
from imaging.geometry.series import PlacedSeries
from imaging.readers.formats import ReadContext
from imaging.readers.json_text import GREATEST
from imaging.readers.naming import another_series, names_series
from imaging.types import Rejection

ROWS_AT_MOST = 5_000_000
"""LUNA16's candidates are three quarters of a million rows."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row. ``number`` is its line, the header being line 1; ``cells`` are by lower-case column name."""

    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a cell, empty where the row or the table lacks it."""
        return self.cells.get(column, "")

    def number_in(self, column: str) -> float | None:
        """Return a cell as a number of at most ``GREATEST``; None where it is none."""
        try:
            number = float(self.text(column))
        except ValueError:
            return None
        return number if math.isfinite(number) and abs(number) <= GREATEST else None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns as written and its rows in the order of the file."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def series_named(
    table: Table, *, column: str, image: PlacedSeries, context: ReadContext
) -> tuple[frozenset[str], Rejection | None]:
    """Return what ``column`` calls this series, and why nothing of the table can be taken where it does not name it.

    The rejection is ``empty-table`` or ``another-series``, None where there is a row of this series.
    """
    if not table.rows:
        message = "The table has no rows, so it does not say which scans it is about."
        return frozenset(), Rejection("empty-table", message)
    # Each name once: a table has a row for every finding of hundreds of scans.
    names = {row.text(column) for row in table.rows} - {""}
    own = frozenset(name for name in names if names_series(name, image, context))
    return own, None if own else another_series(names)


def parse_table(data: bytes, *, needs: frozenset[str]) -> Table:
    """Return a CSV file's rows. Columns are known by name, case ignored; empty rows are left out.

    Raises UnreadableFile: ``not-a-table`` (not text, no header, or a column of ``needs`` is missing: named),
    ``damaged-table`` (a row that CSV does not allow, or with more cells than columns: named by its line),
    ``too-many-rows``.
    """
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile("not-a-table", "The file is not a table in UTF-8.") from error
    if "\x00" in text:
        raise UnreadableFile("not-a-table", "The file is not a table: it holds zero bytes.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        written = next(reader, [])
        names = [name.strip().lower() for name in written]
        missing = sorted(needs - set(names))
        if missing:
            raise UnreadableFile("not-a-table", f"The table lacks the columns {', '.join(missing)}.")
        if len(set(names)) != len(names):
            raise UnreadableFile("damaged-table", "Two columns of the table have the same name.")
        rows: list[TableRow] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names):
                raise UnreadableFile(
                    "damaged-table", f"Line {reader.line_num} has {len(cells)} cells, the header {len(names)}."
                )
            if len(rows) == ROWS_AT_MOST:
                raise UnreadableFile("too-many-rows", f"The table has more than {ROWS_AT_MOST} rows.")
            stripped = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
            rows.append(TableRow(reader.line_num, stripped))
    except csv.Error as error:
        raise UnreadableFile("damaged-table", f"The table cannot be read at line {reader.line_num}.") from error
    return Table(tuple(name.strip() for name in written), tuple(rows))
