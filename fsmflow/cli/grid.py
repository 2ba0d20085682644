"""Tables and sentences on a terminal. Where it is too narrow, long texts of a table stand below their row, and its last
columns where that is not enough. Sentences are broken between words, addresses and states never."""

from __future__ import annotations

import os
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

import click

from fsmflow.definition.names import FAILED, FINISHED, WORKING
from fsmflow.values import dataclass

_COLOURS: Final = {FAILED: "red", FINISHED: "green", WORKING: "cyan"}
#: The columns of sentences, which stand last.
_SENTENCES: Final = {"DETAIL", "FAILURE"}
#: The columns of names, which may be broken: the first ones between words alone, as they are copied.
_WHOLE_NAMES: Final = {"ADDRESS", "STATE"}
_NAMES: Final = {*_WHOLE_NAMES, "VALUE", "MODULE", "QUEUES"}
_GAP: Final = "  "
_BELOW: Final = "    "
_LEAST: Final = 12
#: An address has so many places at least, and two thirds of the terminal.
_ADDRESS: Final = 48
#: What a sentence is not broken in, with the blanks before it: a word, or a command in quotes.
_WHOLE: Final = re.compile(r"\s*(?:'fsmflow [^']*'\S*|\S+)")


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], wide: int) -> Iterator[str]:
    """The lines of a table for a terminal that is so wide: a heading, and one or more for each row.
    Nothing is left out but columns in which there is nothing, and the middle of an address that would make all rows
    as long as itself: an ellipsis stands there, and a pipe or --json has it whole."""
    rows = _bounded(columns, rows, wide)
    cut = _cut(columns, rows, wide)
    yield _line([columns[at] for at in cut.shown], cut.widths, bold=True)
    if cut.lower:
        yield _BELOW + _line([columns[at] for at in cut.lower], cut.lower_widths, bold=True)
    if cut.is_below:
        yield _BELOW + _styled(columns[-1], bold=True)
    for row in rows:
        cells = [_broken(row[at], width) for at, width in zip(cut.shown, cut.widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            yield _line(parts, cut.widths)
        if cut.lower:
            yield _BELOW + _line([row[at] for at in cut.lower], cut.lower_widths)
        if cut.is_below and row[-1]:
            yield from textwrap.wrap(row[-1], wide, initial_indent=_BELOW, subsequent_indent=_BELOW + _GAP)


def hanging(text: str, wide: int, indent: int, command: str = "") -> Iterator[str]:
    """A line of text, and a command right after it, as lines of a terminal that is so wide: what follows the first one
    stands so far to the right. Nothing is lost but blanks, and no command is broken, so that each can be copied."""
    line = ""
    for part in [*_WHOLE.findall(text), f"{text[len(text.rstrip()) :]}{command}"]:
        if line.strip() and _cells(line + part) > wide:
            yield line
            line = " " * indent + part.lstrip()
        else:
            line += part
    yield line


def coloured() -> bool:
    """Whether people want colours."""
    return not os.environ.get("NO_COLOR")


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """Which columns are shown, how wide each is, which stand in a line below, and whether the last one stands below
    that."""

    shown: list[int]
    widths: list[int]
    lower: list[int]
    lower_widths: list[int]
    is_below: bool


def _bounded(columns: Sequence[str], rows: Sequence[Sequence[str]], wide: int) -> Sequence[Sequence[str]]:
    at, most = columns.index("ADDRESS") if "ADDRESS" in columns else -1, max(_ADDRESS, wide * 2 // 3)
    if at < 0 or all(_cells(row[at]) <= most for row in rows):
        return rows
    return [[*row[:at], _middle_out(row[at], most), *row[at + 1 :]] for row in rows]


def _middle_out(text: str, most: int) -> str:
    """The beginning and the end of a text, in so many places."""
    if _cells(text) <= most:
        return text
    head, tail = text[: most // 2], text[-(most // 2) :]
    while _cells(head) + _cells(tail) >= most:
        head, tail = (head[:-1], tail) if _cells(head) >= _cells(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def _cut(columns: Sequence[str], rows: Sequence[Sequence[str]], wide: int) -> _Cut:
    widths = [max(map(_cells, cells)) for cells in zip(columns, *rows, strict=True)]
    shown = list(range(len(columns)))
    if _total(widths) > wide:
        shown = [at for at in shown if any(row[at] for row in rows)]
    is_below = _total([widths[at] for at in shown]) > wide and columns[shown[-1]] in _SENTENCES
    if is_below:
        shown.pop()
    least = {at: _least(columns[at], [row[at] for row in rows]) for at in shown if columns[at] in _NAMES}
    while (narrower := [at for at in shown if widths[at] > least.get(at, widths[at])]) and _over(shown, widths, wide):
        widths[max(narrower, key=widths.__getitem__)] -= 1
    lower: list[int] = []
    while len(shown) > 1 and _over(shown, widths, wide):
        lower.insert(0, shown.pop())
    return _Cut(
        shown=shown,
        widths=[widths[at] for at in shown],
        lower=lower,
        lower_widths=[widths[at] for at in lower],
        is_below=is_below,
    )


def _least(column: str, cells: Sequence[str]) -> int:
    """How narrow a column of names may be at least."""
    words = [word for cell in (column, *cells) for word in cell.split()]
    return max(map(_cells, words), default=_LEAST) if column in _WHOLE_NAMES else _LEAST


def _over(shown: Sequence[int], widths: Sequence[int], wide: int) -> bool:
    return _total([widths[at] for at in shown]) > wide


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _broken(cell: str, width: int) -> list[str]:
    if _cells(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_on_hyphens=False)


def _line(cells: Sequence[str], widths: Sequence[int], *, bold: bool = False) -> str:
    parts = [_styled(cell, bold=bold) + " " * (width - _cells(cell)) for cell, width in zip(cells, widths, strict=True)]
    return _GAP.join(parts).rstrip()


def _styled(cell: str, *, bold: bool) -> str:
    colour = _COLOURS.get(cell)
    return click.style(cell, bold=bold or None, fg=colour) if bold or colour else cell


def _cells(text: str) -> int:
    """How many places of a terminal a text takes."""
    return sum(_places(char) for char in text)


def _places(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
