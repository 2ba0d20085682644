"""How wide a text gets where nobody can measure it: a picture is made without the fonts that will show it.

The widths are those of a wide font (DejaVu Sans), in parts of the size of the letters, so that text fits its box in
any that is usual.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from fsmflow.values import dataclass

_WIDTHS: Final = {
    **dict.fromkeys("ijl.,:;'|! ", 0.33),
    **dict.fromkeys('ftrI()[]-/\\"', 0.43),
    **dict.fromkeys("mwMW%@&", 0.95),
    **dict.fromkeys("_", 0.5),
}
_LOWER: Final = 0.61
_UPPER: Final = 0.72
_WIDE: Final = 1.25
#: How much wider bold letters are.
_BOLD: Final = 1.08
_MORE: Final = "\N{HORIZONTAL ELLIPSIS}"
#: From line to line.
_LEADING: Final = 1.36


@dataclass(frozen=True)
class Line:
    """A line of text: how large, as what it is styled, and where it leads to."""

    text: str
    size: float
    css: str
    bold: bool = False
    href: str = ""

    @property
    def width(self) -> float:
        return width(self.text, self.size, bold=self.bold)

    @property
    def height(self) -> float:
        return self.size * _LEADING


def width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a line gets at most."""
    return sum(map(_width, text)) * size * (_BOLD if bold else 1.0)


def _width(char: str) -> float:
    if char in _WIDTHS:
        return _WIDTHS[char]
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF" or ord(char) >= 0x1F000:
        return _WIDE
    return _UPPER if char.isupper() else _LOWER


def wrapped(text: str, size: float, within: float, *, lines: int, bold: bool = False) -> list[str]:
    """A text in at most so many lines, broken at blanks, or where there is none near enough at underscores, or
    anywhere; what does not fit ends in an ellipsis."""
    found: list[str] = []
    left = text
    while left:
        if width(left, size, bold=bold) <= within:
            return [*found, left]
        fits = _fitting(left, size, within, bold)
        if len(found) == lines - 1:
            return [*found, left[: max(1, fits - 1)].rstrip() + _MORE]
        at = _break(left, fits)
        found.append(left[:at].rstrip())
        left = left[at:].lstrip()
    return found


def _fitting(text: str, size: float, within: float, bold: bool) -> int:
    """How many characters fit into a line: one at least."""
    used = 0.0
    for place, char in enumerate(text):
        used += width(char, size, bold=bold)
        if used > within:
            return max(1, place)
    return len(text)


def _break(text: str, fits: int) -> int:
    for mark in " _":
        at = text.rfind(mark, fits // 3, fits)
        if at > 0:
            return at + 1
    return fits
