"""A small way of drawing a chart as SVG: a frame with axes, and lines, bands, dots and bars in it.

Text stays text, in fonts that a browser and the typesetter of reports both have. Nothing is told by colour alone:
shapes and words say it too. Colours have a contrast of at least 4.5:1 on white where they carry text (WCAG AA).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

INK, SOFT, RULE, PAPER = "#16222c", "#4c5b67", "#d3dbe1", "#ffffff"
BLUE, PALE_BLUE, ORANGE = "#0b5a8a", "#cfe2ee", "#a34a00"
FONT = "Noto Sans, DejaVu Sans, Libertinus Serif, sans-serif"
SMALL, NORMAL, TITLE = 12.0, 13.0, 15.0

LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 76.0, 56.0
"""Margins around the frame, in pixels: room for tick labels, axis titles, the chart's title and its two-line key."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its title, its ends in data units, and where its ticks are with what they say."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, 0 to 1 within its ends."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass
class Chart:
    """A chart being drawn, ``width`` x ``height`` pixels; ``title`` and ``description`` also serve those who cannot see
    it. ``key`` says what is drawn, in at most two lines above the frame, where nothing can lie over it. Values outside
    the axes are drawn at their ends."""

    title: str
    key: tuple[str, ...]
    description: str
    horizontal: Axis
    vertical: Axis
    width: float
    height: float
    _parts: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Return the pixel column of a value."""
        return LEFT + min(1.0, max(0.0, self.horizontal.share(value))) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the pixel row of a value; rows run downwards."""
        return self.height - BOTTOM - min(1.0, max(0.0, self.vertical.share(value))) * (self.height - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], *, colour: str, thickness: float, dashes: str = "") -> None:
        """Draw a line through data points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thickness:g}"{dashed} '
            'stroke-linejoin="round"/>'
        )

    def band(self, lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], *, colour: str) -> None:
        """Fill the area between two lines of data points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in (*lower, *reversed(upper)))
        self._parts.append(f'<polygon points="{path}" fill="{colour}" stroke="none"/>')

    def dot(self, x: float, y: float, *, colour: str, radius: float, filled: bool) -> None:
        """Draw a dot of ``radius`` pixels at a data point."""
        self._parts.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:g}" '
            f'fill="{colour if filled else PAPER}" stroke="{colour}" stroke-width="1.6"/>'
        )

    def diamond(self, x: float, y: float, *, colour: str, radius: float) -> None:
        """Draw a filled diamond at a data point."""
        column, row = self.x(x), self.y(y)
        corners = ((0.0, -radius), (radius, 0.0), (0.0, radius), (-radius, 0.0))
        path = " ".join(f"{column + dx:.1f},{row + dy:.1f}" for dx, dy in corners)
        self._parts.append(f'<polygon points="{path}" fill="{colour}" stroke="{PAPER}" stroke-width="1"/>')

    def whisker(self, x: float, low: float, high: float, *, colour: str) -> None:
        """Draw an interval as an upright line with two ends."""
        column = self.x(x)
        self._rule(column, self.y(low), column, self.y(high), colour, 1.6)
        for end in (low, high):
            self._rule(column - 5.0, self.y(end), column + 5.0, self.y(end), colour, 1.6)

    def bar(self, left: float, right: float, bottom: float, top: float, *, colour: str) -> None:
        """Fill a rectangle given by data values."""
        column, row = self.x(left), self.y(top)
        self._parts.append(
            f'<rect x="{column:.1f}" y="{row:.1f}" width="{max(0.5, self.x(right) - column):.1f}" '
            f'height="{max(0.0, self.y(bottom) - row):.1f}" fill="{colour}"/>'
        )

    def note(self, x: float, y: float, text: str, *, anchor: str, dx: float, dy: float, colour: str) -> None:
        """Write small text at a data point, moved by (``dx``, ``dy``) pixels; ``anchor``: start, middle or end."""
        self._text(self.x(x) + dx, self.y(y) + dy, text, anchor=anchor, size=SMALL, colour=colour)

    def svg(self) -> bytes:
        """Return the chart as an SVG document, UTF-8."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.height:g}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-labelledby="title description">'
            f'<title id="title">{escape(self.title)}</title><desc id="description">{escape(self.description)}</desc>'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>'
        )
        drawn = self._parts
        self._parts = []
        self._frame()
        frame, self._parts = self._parts, drawn
        return (head + "".join(frame) + "".join(drawn) + "</svg>").encode()

    def _frame(self) -> None:
        left, right = LEFT, self.width - RIGHT
        bottom, top = self.height - BOTTOM, TOP
        self._text(left, 22.0, self.title, anchor="start", size=TITLE, colour=INK, bold=True)
        for number, line in enumerate(self.key):
            self._text(left, 42.0 + 17.0 * number, line, anchor="start", size=SMALL, colour=SOFT)
        for value, label in self.vertical.ticks:
            self._rule(left, self.y(value), right, self.y(value), RULE, 1.0)
            self._text(left - 8.0, self.y(value) + 4.0, label, anchor="end", size=SMALL, colour=SOFT)
        for value, label in self.horizontal.ticks:
            self._rule(self.x(value), bottom, self.x(value), bottom + 5.0, SOFT, 1.0)
            self._text(self.x(value), bottom + 19.0, label, anchor="middle", size=SMALL, colour=SOFT)
        self._rule(left, bottom, right, bottom, SOFT, 1.2)
        self._rule(left, top, left, bottom, SOFT, 1.2)
        middle = (left + right) / 2
        self._text(middle, self.height - 14.0, self.horizontal.title, anchor="middle", size=NORMAL, colour=INK)
        row = (top + bottom) / 2
        self._text(18.0, row, self.vertical.title, anchor="middle", size=NORMAL, colour=INK, turned=True)

    def _rule(self, x1: float, y1: float, x2: float, y2: float, colour: str, thickness: float) -> None:
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{thickness:g}"/>'
        )

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str,
        size: float,
        colour: str,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-family="{FONT}" font-size="{size:g}"{weight} fill="{colour}" '
            f'text-anchor="{anchor}"{turn}>{escape(text)}</text>'
        )
