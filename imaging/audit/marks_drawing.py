"""Small drawings of all readers' contours around a place, as SVG: line work alone, since there is no image.

Panels are neighbouring slices from the head downwards, pixels square, rows from the top as the image is stored. Beside
them a strip shows on which slices each reader's marks of the place lie. Readers differ by colour and by dash; the mark
in question is filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from imaging.marks.contours import distance, jumps
from imaging.marks.relations import meeting, step_of
from imaging.marks.types import Contour, Mark, MarkedScan, MarkIssue, Pixel, Place
from imaging.types import Category

COLOURS = ("#0060a8", "#c14a00", "#00795a", "#9a3b86")
"""Of readers 1 to 4, dark enough on white, and told apart by colour-blind eyes; further ones begin anew."""

DASHES = ("", "7 2.5", "2.2 2.2", "9 2.5 2 2.5")
PANEL = 176
STRIP = 84
_TOP, _BOTTOM, _APART = 20, 26, 8
_LEAST_PIXELS, _MOST_PIXELS, _FARTHEST_PIXELS = 24, 110, 240
_MOST_SLICES = 40


def drawing(*, scan: MarkedScan, issue: MarkIssue) -> str:
    """Return one ``<svg>`` element for an issue; it holds numbers only, nothing that a file's text could enter."""
    suspects = [mark for mark in scan.of(issue.reader) if mark.number in issue.marks]
    around = [mark for mark in scan.marks if mark in suspects or _meets(mark, suspects, scan)]
    slices = _slices(issue.place, suspects, scan)
    left, top, side = _window(issue.place, around, suspects, slices)
    shown = [mark for mark in scan.marks if _in_view(mark, slices, left, top, side)]
    width = STRIP + len(slices) * (PANEL + _APART)
    height = _TOP + PANEL + _BOTTOM
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Contours of all readers around the place, on {len(slices)} slices">',
        _strip(scan, issue, around or shown, slices),
    ]
    for number, z in enumerate(slices):
        x = STRIP + number * (PANEL + _APART)
        parts.append(_panel(scan, issue, shown, suspects, z, (left, top, side), x))
    scale = PANEL / side
    bar = 10 if side < 120 else 50
    bar_y = _TOP + PANEL + 10
    parts.append(
        f'<path class="bar" d="M{STRIP} {bar_y}h{bar * scale:.1f}"/>'
        f'<text x="{STRIP + bar * scale + 5:.1f}" y="{bar_y + 4}">{bar} pixels</text></svg>'
    )
    return "".join(parts)


def colour(reader: int) -> str:
    """Return a reader's colour, ``#rrggbb``."""
    return COLOURS[(reader - 1) % len(COLOURS)]


def dash(reader: int) -> str:
    """Return a reader's dash pattern, as SVG has it."""
    return DASHES[(reader - 1) % len(DASHES)]


def _panel(
    scan: MarkedScan,
    issue: MarkIssue,
    shown: Sequence[Mark],
    suspects: Sequence[Mark],
    z: float,
    window: tuple[float, float, float],
    x: float,
) -> str:
    left, top, side = window
    scale = PANEL / side
    here = abs(z - issue.place.z_mm) < 0.01
    drawn: list[str] = []
    # The mark in question lies beneath, thick, so that another reader's line on the same pixels is seen on it.
    for mark in sorted(shown, key=lambda one: (one not in suspects, -one.reader)):
        for contour in mark.contours:
            if abs(contour.z_mm - z) < 0.01 and _seen(contour, left, top, side):
                rank = suspects.index(mark) + 1 if mark in suspects else 0
                drawn.append(_contour(mark, contour, rank, scale))
    ring = ""
    at = (round(issue.place.x), round(issue.place.y))
    if here and not any(at in contour.enclosed for mark in suspects for contour in mark.contours if contour.z_mm == z):
        ring = (
            f'<circle class="ring" cx="{(issue.place.x + 0.5) * scale:.1f}" cy="{(issue.place.y + 0.5) * scale:.1f}" '
            f'r="{max(9.0, 2.2 * scale):.1f}"/>'
        )
    empty = "" if drawn else f'<text class="none" x="{PANEL / 2}" y="{PANEL / 2}">no mark here</text>'
    return (
        f'<text class="{"z here" if here else "z"}" x="{x}" y="{_TOP - 6}">z {z:g} mm</text>'
        f'<svg x="{x}" y="{_TOP}" width="{PANEL}" height="{PANEL}"><rect class="{"here" if here else "frame"}" '
        f'width="{PANEL}" height="{PANEL}"/>{empty}<g transform="translate({-left * scale:.1f} {-top * scale:.1f})">'
        f"{''.join(drawn)}{ring}</g></svg>"
    )


def _contour(mark: Mark, contour: Contour, rank: int, scale: float) -> str:
    """``rank``: 0 for a mark that is not in question, else its place among those that are."""
    suspect = rank > 0
    stroke = colour(mark.reader)
    if len(set(contour.points)) == 1:
        return _point(mark, contour.points[0], rank, scale)
    pattern = dash(mark.reader)
    style = f'stroke="{stroke}" stroke-width="{2.4 if suspect else 1.3}"'
    if pattern and not suspect:
        style += f' stroke-dasharray="{pattern}"'
    fill = f'fill="{stroke}" fill-opacity="{0.13 if suspect and contour.inclusion else 0}"'
    if not contour.inclusion:
        style = f'stroke="{stroke}" stroke-width="{1.8 if suspect else 1.1}" stroke-dasharray="1 2.6"'
    open_at = [jump for jump in jumps(contour.points) if jump.pixels > 2]
    path = _path(contour.points, scale, closed=not open_at)
    if open_at:
        # What an interrupted contour holds is the question; nothing is filled in for the reader.
        fill = 'fill="none"'
    return f'<path d="{path}" {fill} {style}/>'


def _path(points: Sequence[Pixel], scale: float, *, closed: bool) -> str:
    chain = [*points, points[0]] if closed else list(points)
    kept = [chain[0]]
    for before, at, after in zip(chain, chain[1:], chain[2:], strict=False):
        straight = (at[0] - before[0], at[1] - before[1]) == (after[0] - at[0], after[1] - at[1])
        if not straight:
            kept.append(at)
    kept.append(chain[-1])
    at_pixels = [((x + 0.5) * scale, (y + 0.5) * scale) for x, y in kept]
    said = f"M{at_pixels[0][0]:.1f} {at_pixels[0][1]:.1f}"
    broken = {(a, b) for a, b in pairwise(points) if max(abs(a[0] - b[0]), abs(a[1] - b[1])) > 2}
    for number, (x, y) in enumerate(at_pixels[1:], start=1):
        said += f"{'M' if (kept[number - 1], kept[number]) in broken else 'L'}{x:.1f} {y:.1f}"
    return said + ("Z" if closed else "")


def _point(mark: Mark, at: Pixel, rank: int, scale: float) -> str:
    x, y = (at[0] + 0.5) * scale, (at[1] + 0.5) * scale
    # Sizes differ, so that marks on one pixel are all seen.
    size, line = (4.5 + 4 * rank, 2.8 - 0.5 * (rank - 1)) if rank else (7.6 - 1.1 * ((mark.reader - 1) % 4), 1.5)
    stroke = colour(mark.reader)
    if mark.category is Category.NON_NODULE:
        shape = f"M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}M{x - size:.1f} {y + size:.1f}"
        return f'<path d="{shape}L{x + size:.1f} {y - size:.1f}" stroke="{stroke}" stroke-width="{line}" fill="none"/>'
    if mark.outlined:
        shape = f"M{x:.1f} {y - size:.1f}l{size:.1f} {size:.1f}l{-size:.1f} {size:.1f}l{-size:.1f} {-size:.1f}Z"
        return f'<path d="{shape}" fill="{stroke}"/>'
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" stroke="{stroke}" stroke-width="{line}" fill="none"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.3" fill="{stroke}"/>'
    )


def _strip(scan: MarkedScan, issue: MarkIssue, marks: Sequence[Mark], slices: Sequence[float]) -> str:
    """On which slices each reader's marks of the place lie, from the head downwards."""
    step = step_of(scan)
    zs = [contour.z_mm for mark in marks for contour in mark.contours] + list(slices)
    low = max(min(zs), issue.place.z_mm - _MOST_SLICES * step / 2)
    high = min(max(zs), issue.place.z_mm + _MOST_SLICES * step / 2)
    rows = max(1, round((high - low) / step)) + 1
    pitch = min(14.0, PANEL / rows)
    parts = []
    for reader in range(1, scan.readers + 1):
        x = 4 + (reader - 1) * 16
        held = "r asked" if reader == issue.reader else "r"
        parts.append(f'<text class="{held}" x="{x + 6}" y="{_TOP - 6}" style="fill:{colour(reader)}">{reader}</text>')
        there = {round((high - one.z_mm) / step) for mark in marks if mark.reader == reader for one in mark.contours}
        for row in range(rows):
            if row in there:
                parts.append(
                    f'<rect x="{x}" y="{_TOP + row * pitch:.1f}" width="12" height="{max(1.5, pitch - 1.2):.1f}" '
                    f'fill="{colour(reader)}"/>'
                )
    y = _TOP + round((high - issue.place.z_mm) / step) * pitch + pitch / 2
    across = 4 + scan.readers * 16
    parts.append(f'<path class="level" d="M0 {y:.1f}h{across}"/>')
    return "".join(parts)


def _slices(place: Place, suspects: Sequence[Mark], scan: MarkedScan) -> list[float]:
    """The place's slice between the next above and below, or, where the mark has a gap there, the gap and its edges."""
    step = step_of(scan)
    known = sorted({z for z, _ in scan.slices})

    def at(z: float) -> float:
        nearest = min(known, key=lambda one: abs(one - z))
        return nearest if abs(nearest - z) < step / 2 else round(z, 2)

    for mark in suspects:
        for low, high in pairwise(mark.planes):
            if low == place.z_mm and 1.5 * step < high - low < 3.5 * step:
                between = [at(low + number * step) for number in range(1, round((high - low) / step))]
                return [high, *reversed(between), low]
    return [at(place.z_mm + step), place.z_mm, at(place.z_mm - step)]


def _window(
    place: Place, marks: Iterable[Mark], suspects: Sequence[Mark], slices: Sequence[float]
) -> tuple[float, float, float]:
    """Return the left and top edge and the side, in pixels, of a square that shows the marks of the place.

    It reaches further for the mark in question than for others, so that a stray is seen with what it strayed from.
    """
    points = [
        pixel
        for mark in marks
        for contour in mark.contours
        if contour.z_mm in slices
        and distance(contour.points, place.x, place.y) < (_FARTHEST_PIXELS if mark in suspects else _MOST_PIXELS / 2)
        for pixel in contour.points
    ] + [(round(place.x), round(place.y))]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    side = min(_FARTHEST_PIXELS, max(_LEAST_PIXELS, 1.25 * (max(max(xs) - min(xs), max(ys) - min(ys)) + 1) + 4))
    x, y = (min(xs) + max(xs) + 1) / 2, (min(ys) + max(ys) + 1) / 2
    # What is asked about stays in view where not all fits.
    x = min(max(x, place.x + 5 - side / 2), place.x - 4 + side / 2)
    y = min(max(y, place.y + 5 - side / 2), place.y - 4 + side / 2)
    return x - side / 2, y - side / 2, side


def _in_view(mark: Mark, slices: Sequence[float], left: float, top: float, side: float) -> bool:
    return any(one.z_mm in slices and _seen(one, left, top, side) for one in mark.contours)


def _seen(contour: Contour, left: float, top: float, side: float) -> bool:
    return any(left <= x <= left + side and top <= y <= top + side for x, y in contour.points)


def _meets(mark: Mark, suspects: Sequence[Mark], scan: MarkedScan) -> bool:
    return any(meeting(one=mark, other=one, scan=scan) is not None for one in suspects)
