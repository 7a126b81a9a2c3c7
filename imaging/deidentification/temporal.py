"""Moving dates back by whole days. Times of day stay, so that order and intervals within a day stay exact.

DICOM value representations DA, DT and TM, PS3.5 section 6.2.
"""

from __future__ import annotations

import datetime
import re

_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
_DATETIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?")
_TIME = re.compile(r"\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?")


def shifted_date(value: str, *, days_back: int) -> str | None:
    """Return a DA value (YYYYMMDD, or with separators as files of older systems have it) moved back.

    None where it is no date, or would lie before the year 1.
    """
    found = _DATE.fullmatch(value.strip().strip("\x00").strip())
    if found is None:
        return None
    moved = _moved(int(found[1]), int(found[2]), int(found[3]), days_back)
    return None if moved is None else f"{moved:%Y%m%d}".rjust(8, "0")


def shifted_datetime(value: str, *, days_back: int) -> str | None:
    """Return a DT value moved back, with the precision it had. None where it is no date with time.

    A value without a day is moved from its first day. The offset from UTC is left out: it tells where, and the basic
    profile removes the element that says the same (0008,0201).
    """
    found = _DATETIME.fullmatch(value.strip().strip("\x00").strip())
    if found is None or (found[4] is not None and found[3] is None):
        return None
    moved = _moved(int(found[1]), int(found[2] or 1), int(found[3] or 1), days_back)
    if moved is None:
        return None
    day = f"{moved:%Y%m%d}".rjust(8, "0")
    if found[3] is not None:
        return day + (found[4] or "")
    return day[:6] if found[2] is not None else day[:4]


def is_time(value: str) -> bool:
    """Tell whether a TM value is a time of day, and so nothing else."""
    return _TIME.fullmatch(value.strip().strip("\x00").strip()) is not None


def _moved(year: int, month: int, day: int, days_back: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day) - datetime.timedelta(days=days_back)
    except (ValueError, OverflowError):
        return None
