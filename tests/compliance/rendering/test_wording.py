"""How figures and foreign text are put on paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from compliance.rendering import wording
from compliance.rendering.document import Fact, Measure, Proportion, plain


def proportion(count: int, total: int) -> Proportion:
    return Proportion(count=count, total=total, lower=None, upper=None, method="")


def test_shares_are_percentages_with_one_decimal():
    assert wording.share_of(proportion(3, 14)) == "21.4\u00a0%"
    assert wording.share_of(proportion(2, 2)) == "100.0\u00a0%"
    assert wording.share_of(proportion(1, 3000)) == "0.0\u00a0%"


def test_a_share_of_nothing_is_a_dash_and_its_interval_says_so():
    assert wording.share_of(proportion(0, 0)) == "–"
    assert wording.interval_of(proportion(0, 0)) == "no interval"


def test_a_measure_without_a_value_is_not_given():
    missing = Measure("kappa", None, None, None, "", "2 flags", "Not given: too few.")
    assert (wording.value_of(missing), wording.limits_of(missing)) == ("not given", "–")
    given = Measure("HD95", Decimal("1.4"), Decimal("1.0"), Decimal("2.2"), "mm", "", "")
    assert (wording.value_of(given), wording.limits_of(given)) == ("1.4\u00a0mm", "1.0 to 2.2")


def test_times_are_printed_in_utc_whatever_zone_they_came_in():
    there = timezone(timedelta(hours=9))
    assert wording.moment(datetime(2026, 3, 4, 0, 30, tzinfo=there)) == "3 Mar 2026, 15:30:00 UTC"


def test_long_words_may_break_after_separators_and_short_ones_may_not():
    name = "derived/some-very-long-folder-name/and_a_file.dcm"
    loosened = wording.breakable(f"see {name} now")
    assert loosened.replace("\u200b", "") == f"see {name} now"
    assert max(len(piece) for piece in loosened.replace(" ", "\u200b").split("\u200b")) <= wording.LONGEST_UNBROKEN + 1
    assert wording.breakable("a short/name.dcm") == "a short/name.dcm"


def test_a_run_without_separators_breaks_too():
    assert wording.breakable("x" * 100).split("\u200b") == ["x" * 34, "x" * 34, "x" * 32]


def test_titles_are_cut_at_a_word_and_marked_as_cut():
    assert wording.shortened("one two three four", 12) == "one two…"
    assert wording.shortened("one  two", 12) == "one two"


@pytest.mark.parametrize("number, words", [(0, "0 flags"), (1, "1 flag"), (2, "2 flags")])
def test_counts_agree_with_their_noun(number: int, words: str):
    assert wording.count_of(number, "flag", "flags") == words


def test_control_characters_are_written_out_and_line_breaks_stay():
    shown = wording.displayable("a\tb\r\nc\u200fd\ue000", lambda _: True)
    assert shown == "a b\nc‹U+200F›d‹U+E000›"


def test_decomposed_letters_are_put_together_before_they_are_judged():
    assert wording.displayable("e\u0301", lambda character: character == "é") == "é"


def test_a_model_card_keeps_its_headings_items_rows_and_paragraphs():
    card = "# Card\n\nTrained on **synthetic**\nscans.\n\n- one `item`\n  goes on\n- two\n\n"
    card += "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert wording.card_blocks(card) == [
        {"kind": "heading", "text": "Card"},
        {"kind": "text", "text": "Trained on synthetic scans."},
        {"kind": "item", "text": "one item goes on"},
        {"kind": "item", "text": "two"},
        {"kind": "row", "cells": ["a", "b"]},
        {"kind": "row", "cells": ["1", "2"]},
    ]


def test_plain_data_keeps_decimals_and_times_as_text_and_pictures_as_digests():
    assert plain(Decimal("0.50")) == "0.50"
    assert plain(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"
    assert plain(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert plain((Fact("a", "b"),)) == [{"label": "a", "text": "b", "exact": False}]
    assert plain({"n": None, "ok": True, "count": 3}) == {"n": None, "ok": True, "count": 3}


def test_a_float_has_no_place_in_a_document():
    with pytest.raises(TypeError, match="float"):
        plain({"share": 0.1})
