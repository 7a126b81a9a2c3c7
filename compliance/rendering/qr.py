"""QR codes of text: byte mode, error correction M, versions 1 to 10 (up to 213 bytes). Source: ISO/IEC 18004.

Just what a proof card needs, so that it needs no package. The symbol is a square of modules, True for dark.
"""

from __future__ import annotations

from collections.abc import Iterator

# Version: (error correction codewords a block, data codewords of each block), level M, ISO/IEC 18004 table 9.
BLOCKS: dict[int, tuple[int, tuple[int, ...]]] = {
    1: (10, (16,)),
    2: (16, (28,)),
    3: (26, (44,)),
    4: (18, (32, 32)),
    5: (24, (43, 43)),
    6: (16, (27, 27, 27, 27)),
    7: (18, (31, 31, 31, 31)),
    8: (22, (38, 38, 39, 39)),
    9: (22, (36, 36, 36, 37, 37)),
    10: (26, (43, 43, 43, 43, 44)),
}
# Row and column coordinates of alignment patterns, annex E.
ALIGNMENT = {1: (), 2: (6, 18), 3: (6, 22), 4: (6, 26), 5: (6, 30), 6: (6, 34), 7: (6, 22, 38), 8: (6, 24, 42),
             9: (6, 26, 46), 10: (6, 28, 50)}  # fmt: skip
LEVEL_M = 0
QUIET = 4

Grid = list[list[bool]]


def qr_code(text: str) -> Grid:
    """Return the modules of the smallest symbol that holds ``text`` in UTF-8, without the quiet zone.

    Raises ValueError for text beyond 213 bytes.
    """
    data = text.encode()
    for version, (_, sizes) in BLOCKS.items():
        if 8 * sum(sizes) >= 4 + _count_bits(version) + 8 * len(data):
            break
    else:
        raise ValueError(f"{len(data)} bytes do not fit into a QR code of version 10")
    stream = _interleaved(version, _codewords(version, data))
    best: Grid = []
    least = 0
    for mask in range(8):
        grid = _drawn(version, stream, mask)
        found = _penalty(grid)
        if not best or found < least:
            best, least = grid, found
    return best


def as_svg(grid: Grid) -> bytes:
    """Return a symbol with its quiet zone as SVG, one unit a module."""
    side = len(grid) + 2 * QUIET
    runs = "".join(
        f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, row in enumerate(grid) for x, dark in enumerate(row) if dark
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
    return f'{head}<rect width="{side}" height="{side}" fill="#fff"/><path d="{runs}" fill="#000"/></svg>'.encode()


def _count_bits(version: int) -> int:
    return 8 if version < 10 else 16


def _codewords(version: int, data: bytes) -> bytes:
    """Return the data codewords: mode, length, bytes, terminator and padding (section 7.4)."""
    capacity = sum(BLOCKS[version][1])
    bits = f"0100{len(data):0{_count_bits(version)}b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, 8 * capacity - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    padding = b"\xec\x11" * capacity
    return words + padding[: capacity - len(words)]


def _interleaved(version: int, words: bytes) -> bytes:
    """Return data and error correction codewords in the order in which they are drawn (section 7.6)."""
    extra, sizes = BLOCKS[version]
    blocks, start = [], 0
    for size in sizes:
        blocks.append(words[start : start + size])
        start += size
    corrections = [reed_solomon(block, extra) for block in blocks]
    stream = [block[at] for at in range(max(sizes)) for block in blocks if at < len(block)]
    return bytes(stream + [block[at] for at in range(extra) for block in corrections])


def reed_solomon(data: bytes, count: int) -> bytes:
    """Return ``count`` error correction codewords over GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1 (section 7.5)."""
    generator = [1]
    for power in range(count):
        root = _power(power)
        generator = [
            (generator[at] if at < len(generator) else 0) ^ (_times(generator[at - 1], root) if at else 0)
            for at in range(len(generator) + 1)
        ]
    rest = [0] * count
    for byte in data:
        factor = byte ^ rest[0]
        rest = [left ^ _times(part, factor) for left, part in zip([*rest[1:], 0], generator[1:], strict=True)]
    return bytes(rest)


def _times(one: int, other: int) -> int:
    result = 0
    while other:
        if other & 1:
            result ^= one
        one, other = one << 1 ^ (0x11D if one & 0x80 else 0), other >> 1
    return result


def _power(exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = _times(result, 2)
    return result


def _drawn(version: int, stream: bytes, mask: int) -> Grid:
    """Return the symbol with function patterns, data under one mask, and format information."""
    side = 17 + 4 * version
    grid: list[list[bool | None]] = [[None] * side for _ in range(side)]
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        for y in range(-1, 8):
            for x in range(-1, 8):
                if 0 <= top + y < side and 0 <= left + x < side:
                    ring = max(abs(y - 3), abs(x - 3))
                    grid[top + y][left + x] = ring not in (2, 4)
    for at in range(8, side - 8):
        grid[6][at] = grid[at][6] = at % 2 == 0
    centres = ALIGNMENT[version]
    corners = ((6, 6), (6, side - 7), (side - 7, 6))
    for row in centres:
        for column in centres:
            if (row, column) not in corners:
                for y in range(-2, 3):
                    for x in range(-2, 3):
                        grid[row + y][column + x] = max(abs(y), abs(x)) != 1
    _draw_format(grid, mask)
    if version >= 7:
        bits = version << 12 | _remainder(version, 12, 0x1F25)
        for at in range(18):
            dark = bool(bits >> at & 1)
            grid[at // 3][side - 11 + at % 3] = grid[side - 11 + at % 3][at // 3] = dark
    bits_left = (bool(byte >> shift & 1) for byte in stream for shift in range(7, -1, -1))
    for y, x in _path(side):
        if grid[y][x] is None:
            # What is left over after the last codeword is light before masking.
            grid[y][x] = next(bits_left, False) != _masked(mask, y, x)
    return [[bool(module) for module in row] for row in grid]


def _draw_format(grid: list[list[bool | None]], mask: int) -> None:
    """Draw both copies of the format information, and the dark module (section 7.9)."""
    side = len(grid)
    data = LEVEL_M << 3 | mask
    bits = (data << 10 | _remainder(data, 10, 0x537)) ^ 0x5412
    for at in range(15):
        dark = bool(bits >> at & 1)
        first = (at if at < 6 else at + 1 if at < 8 else 8, 8) if at < 8 else (8, 7 if at == 8 else 14 - at)
        grid[first[0]][first[1]] = dark
        if at < 8:
            grid[8][side - 1 - at] = dark
        else:
            grid[side - 15 + at][8] = dark
    grid[side - 8][8] = True


def _remainder(data: int, degree: int, generator: int) -> int:
    """Return the check bits of a BCH code."""
    rest = data << degree
    for at in range(rest.bit_length() - 1, degree - 1, -1):
        if rest >> at & 1:
            rest ^= generator << (at - degree)
    return rest


def _path(side: int) -> Iterator[tuple[int, int]]:
    """Yield (row, column) in the order of the data: two columns at a time, up and down, from the right."""
    upward = True
    for right in (*range(side - 1, 6, -2), 5, 3, 1):
        for y in range(side - 1, -1, -1) if upward else range(side):
            yield y, right
            yield y, right - 1
        upward = not upward


def _masked(mask: int, y: int, x: int) -> bool:
    """Tell whether a mask turns a module over (table 10)."""
    return (
        (y + x) % 2,
        y % 2,
        x % 3,
        (y + x) % 3,
        (y // 2 + x // 3) % 2,
        y * x % 2 + y * x % 3,
        (y * x % 2 + y * x % 3) % 2,
        ((y + x) % 2 + y * x % 3) % 2,
    )[mask] == 0


def _penalty(grid: Grid) -> int:
    """Return how hard a symbol is to read (section 7.8.3): runs, blocks, finder-like patterns, imbalance."""
    side, total = len(grid), 0
    finder = [True, False, True, True, True, False, True]
    light = [False] * 4
    for lines in (grid, [list(column) for column in zip(*grid, strict=True)]):
        for line in lines:
            run = 1
            for at in range(1, side + 1):
                if at < side and line[at] == line[at - 1]:
                    run += 1
                else:
                    total += run - 2 if run >= 5 else 0
                    run = 1
            for at in range(side - 10):
                total += 40 * (line[at : at + 11] in (finder + light, light + finder))
    for y in range(side - 1):
        for x in range(side - 1):
            total += 3 * (grid[y][x] == grid[y][x + 1] == grid[y + 1][x] == grid[y + 1][x + 1])
    dark = sum(map(sum, grid))
    return total + 10 * (abs(20 * dark - 10 * side * side) // (side * side))
