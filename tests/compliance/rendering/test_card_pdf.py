"""The proof card on paper, and the QR code on it, read back by a reader that knows nothing of its writer."""

from __future__ import annotations

import re

import pypdfium2 as pdfium
import pytest

from compliance.rendering.card_pdf import CardFact, CardPage, render_card
from compliance.rendering.qr import BLOCKS, as_svg, qr_code, reed_solomon

PAGE = CardPage(
    title="Proof card: analysis_flag 1",
    introduction="This card shows that one record was written.",
    event=(CardFact("Reason", "two of three agree \u2603 \U0001f600"),),
    record=(CardFact("Table", "analysis_flag", exact=True),),
    checkpoint="label-qa/0011\n42\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u2014 label-qa/0011 AAAA\n",
    proof=(CardFact("Root", "ab" * 32, exact=True),),
    instructions=("Run: python verify_proof.py",),
    marks=("Embedded SQLite",),
    code="label-qa/0011\n42\n" + "ab" * 32,
    timestamp=1_767_348_000,
)


def test_the_page_says_what_it_proves_and_is_the_same_each_time() -> None:
    pdf = render_card(PAGE)
    assert pdf == render_card(PAGE)
    text = " ".join(re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in pdfium.PdfDocument(pdf))
    for part in (
        "Proof card",
        "two of three agree",
        "analysis_flag",
        "Embedded SQLite",
        "Not for clinical use",
        "Page 1",
    ):
        assert part in text


def test_error_correction_is_that_of_the_published_example() -> None:
    # "HELLO WORLD" at 1-M, as the standard's tutorials have it.
    data = bytes([32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17])
    assert list(reed_solomon(data, 10)) == [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]


def read_back(grid: list[list[bool]]) -> bytes:
    """Read a symbol: format, mask, codewords, blocks. Alignment and function modules come from the standard's rules."""
    side = len(grid)
    version = (side - 17) // 4
    bits = "".join("1" if grid[8][x] else "0" for x in (0, 1, 2, 3, 4, 5, 7, 8))
    bits += "".join("1" if grid[y][8] else "0" for y in (7, 5, 4, 3, 2, 1, 0))
    level_and_mask = int(bits, 2) ^ 0b101010000010010
    assert level_and_mask >> 13 == 0, "level M"
    mask = level_and_mask >> 10 & 0b111
    count = version // 7 + 2 if version > 1 else 0
    step = 0 if count < 2 else (side - 13) // (count - 1)
    centres = [6, *[side - 7 - step * n for n in range(count - 1)][::-1]] if count else []

    def function(y: int, x: int) -> bool:
        finder = (y < 9 and x < 9) or (y < 9 and x >= side - 8) or (y >= side - 8 and x < 9)
        informs = version >= 7 and ((y < 6 and x >= side - 11) or (x < 6 and y >= side - 11))
        aligns = any(
            abs(y - row) <= 2 and abs(x - column) <= 2
            for row in centres
            for column in centres
            if (row, column) not in ((6, 6), (6, side - 7), (side - 7, 6))
        )
        return finder or informs or aligns or y == 6 or x == 6

    rules = (
        lambda y, x: (y + x) % 2, lambda y, x: y % 2, lambda y, x: x % 3, lambda y, x: (y + x) % 3,
        lambda y, x: (y // 2 + x // 3) % 2, lambda y, x: (y * x) % 2 + (y * x) % 3,
        lambda y, x: ((y * x) % 2 + (y * x) % 3) % 2, lambda y, x: ((y + x) % 2 + (y * x) % 3) % 2,
    )  # fmt: skip
    stream, column, upward = [], side - 1, True
    while column > 0:
        column -= column == 6
        for y in range(side - 1, -1, -1) if upward else range(side):
            stream += [grid[y][x] != (rules[mask](y, x) == 0) for x in (column, column - 1) if not function(y, x)]
        column, upward = column - 2, not upward
    words = [int("".join("01"[bit] for bit in stream[at : at + 8]), 2) for at in range(0, len(stream) - 7, 8)]
    extra, sizes = BLOCKS[version]
    blocks: list[list[int]] = [[] for _ in sizes]
    reading = iter(words)
    for at in range(max(sizes)):
        for block, size in zip(blocks, sizes, strict=True):
            if at < size:
                block.append(next(reading))
    corrections = [[next(reading) for _ in range(0)] for _ in sizes]
    for _ in range(extra):
        for correction in corrections:
            correction.append(next(reading))
    for block, correction in zip(blocks, corrections, strict=True):
        assert reed_solomon(bytes(block), extra) == bytes(correction)
    data = "".join(f"{word:08b}" for block in blocks for word in block)
    head = 4 + (8 if version < 10 else 16)
    assert data[:4] == "0100"
    length = int(data[4:head], 2)
    return bytes(int(data[at : at + 8], 2) for at in range(head, head + 8 * length, 8))


@pytest.mark.parametrize("length", [0, 1, 14, 15, 26, 42, 62, 84, 106, 122, 152, 180, 181, 213])
def test_every_version_is_read_back_by_the_standards_rules(length: int) -> None:
    # One character of two bytes, where there is room for it.
    text = ("\u00fc" if length > 1 else "") + ("label-qa/" * 40)[: max(length - 2, length % 2)]
    assert len(text.encode()) == length
    grid = qr_code(text)
    assert read_back(grid) == text.encode()
    assert len(grid) % 4 == 1
    assert as_svg(grid).startswith(b"<svg")


def test_a_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="214 bytes do not fit"):
        qr_code("x" * 214)
