"""The report on paper: its marks, its standard, its sameness, and that nothing runs off the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pypdfium2 as pdfium
import pytest

from compliance.rendering.document import ReportDocument
from compliance.rendering.typesetting import RenderingError
from compliance.rendering.typst_pdf import DRAFT, EMBEDDED_DATABASE, SIMULATED_READERS, render

MARKS = (DRAFT, EMBEDDED_DATABASE, SIMULATED_READERS)
POINTS_PER_MM = 72 / 25.4
LEFT_MM, RIGHT_MM = 20, 190

Fabricate = Callable[[int], ReportDocument]


def pages_of(pdf: bytes) -> list[str]:
    document = pdfium.PdfDocument(pdf)
    # Text is read with spaces of one kind, as a person reads it.
    return [re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in document]


@pytest.mark.parametrize("flags", [0, 1, 300])
def test_every_page_says_what_it_is_and_is_numbered(fabricate: Fabricate, flags: int):
    pages = pages_of(render(fabricate(flags), marks=MARKS))
    for number, text in enumerate(pages, start=1):
        for mark in (*MARKS, "Not for clinical use", f"Page {number} of {len(pages)}"):
            assert mark in text, f"page {number} lacks {mark!r}"


def test_a_mark_that_does_not_apply_is_not_printed(fabricate: Fabricate):
    for text in pages_of(render(fabricate(2), marks=(DRAFT,))):
        assert DRAFT in text
        assert EMBEDDED_DATABASE not in text
        assert SIMULATED_READERS not in text


@pytest.mark.requirement("REQ-03")
def test_every_flag_is_listed_with_its_votes_and_decision(fabricate: Fabricate):
    document = fabricate(300)
    text = " ".join(pages_of(render(document, marks=MARKS)))
    for flag in document.flags:
        assert f"{flag.label}: {flag.suspicion}" in text
    assert text.count("Final verdict, after the reveal") >= sum(bool(flag.votes) for flag in document.flags)
    assert text.count("A round opacity of about 6 mm") == sum(len(flag.votes) for flag in document.flags)


@pytest.mark.requirement("REQ-30")
def test_a_vote_changed_after_the_reveal_is_marked_and_simulated_readers_are_named_so(fabricate: Fabricate):
    text = " ".join(pages_of(render(fabricate(1), marks=MARKS)))
    assert "Label is wrong changed after the reveal" in text
    assert "Dr Ada Example 2 (simulated)" in text
    assert "Dr Ada Example 1 (simulated)" not in text


def test_equal_documents_give_equal_bytes_and_another_gives_others(fabricate: Fabricate):
    first = render(fabricate(3), marks=MARKS)
    assert render(fabricate(3), marks=MARKS) == first
    changed = fabricate(3)
    changed = replace(changed, synopsis=replace(changed.synopsis, acceptance="Another sentence."))
    assert render(changed, marks=MARKS) != first


def test_the_file_claims_pdf_a_2a_and_pdf_ua_and_is_tagged(fabricate: Fabricate):
    pdf = render(fabricate(1), marks=MARKS)
    assert b"<pdfaid:part>2</pdfaid:part>" in pdf
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in pdf
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    assert pdfium.PdfDocument(pdf).is_tagged()


def test_the_creation_date_is_the_documents_own(fabricate: Fabricate):
    assert "20260304090507" in pdfium.PdfDocument(render(fabricate(0), marks=MARKS)).get_metadata_value("CreationDate")


def test_no_text_runs_over_the_margins(fabricate: Fabricate):
    document = pdfium.PdfDocument(render(fabricate(6), marks=MARKS))
    for number, page in enumerate(document, start=1):
        text = page.get_textpage()
        assert text.count_rects() > 10
        for index in range(text.count_rects()):
            left, bottom, right, top = text.get_rect(index)
            words = text.get_text_bounded(left, bottom, right, top)
            assert left >= (LEFT_MM - 0.5) * POINTS_PER_MM, f"page {number}: {words!r}"
            assert right <= (RIGHT_MM + 0.5) * POINTS_PER_MM, f"page {number}: {words!r}"
            assert bottom >= 5 * POINTS_PER_MM, f"page {number}: {words!r}"


def test_uids_and_digests_can_be_copied_whole(fabricate: Fabricate):
    document = fabricate(1)
    text = " ".join(pages_of(render(document, marks=MARKS)))
    for fact in document.flags[0].identifiers:
        assert fact.text in text
    assert document.audit.ledger_head in text


def test_characters_without_a_glyph_are_printed_as_their_number_and_none_can_turn_the_text_around(
    fabricate: Fabricate,
):
    document = fabricate(0)
    document = replace(document, identity=replace(document.identity, generated_by="王 Łukasz \u202eDr\x07"))
    text = " ".join(pages_of(render(document, marks=MARKS)))
    assert "‹U+738B› Łukasz ‹U+202E›Dr‹U+0007›" in text


def test_markup_in_a_name_is_text_and_never_run(fabricate: Fabricate):
    document = fabricate(0)
    title = '#panic("x") $x$ *bold* <label> @ref \\ // /* "quoted"'
    document = replace(document, identity=replace(document.identity, project_title=title))
    assert title in " ".join(pages_of(render(document, marks=MARKS)))


def test_a_very_long_rationale_goes_on_over_pages_with_its_table_heading(fabricate: Fabricate):
    document = fabricate(1)
    flag = document.flags[0]
    long = replace(flag.votes[0], rationale=" ".join(f"word{number}" for number in range(2500)))
    document = replace(document, flags=(replace(flag, votes=(long, *flag.votes[1:])),))
    pages = pages_of(render(document, marks=MARKS))
    text = " ".join(pages)
    assert all(f"word{number} " in text for number in range(2500))
    assert sum("Blind verdict Final verdict" in page for page in pages) >= 2


def test_a_document_that_cannot_be_set_says_so_without_repeating_its_text(fabricate: Fabricate):
    document = fabricate(1)
    flag = document.flags[0]
    assert flag.picture is not None
    broken = replace(flag, picture=replace(flag.picture, png=b"not a picture"))
    with pytest.raises(RenderingError, match="could not be typeset"):
        render(replace(document, flags=(broken,)), marks=MARKS)
