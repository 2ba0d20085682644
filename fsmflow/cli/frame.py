"""Lays ``fsmflow top`` out: sections below each other, or side by side, in as many lines as a terminal has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from fsmflow.cli import output
from fsmflow.cli.sections import Item, Section
from fsmflow.values import dataclass

#: From this width on there are two columns of sections.
WIDE: Final = 120
#: Smaller than this nothing can be read.
LEAST_WIDE: Final = 40
LEAST_HIGH: Final = 12
_GAP: Final = "  "
_MARK: Final = "> "
_NO_MARK: Final = "  "
_BETWEEN: Final = 3
#: How much a text keeps before others are cut, and after that; and how much a name keeps.
_READABLE: Final = 24
_CUT: Final = 8
_NAMED: Final = 18
_TITLE: Final = "bold cyan"
_CHOSEN: Final = "reverse"
#: Which sections stand at the left, where there are two columns.
_LEFT: Final = ("STATES", "RUNNING")


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a terminal, or a part of it, in places and lines."""

    width: int
    height: int

    @property
    def is_enough(self) -> bool:
        """Whether anything can be read in it."""
        return self.width >= LEAST_WIDE and self.height >= LEAST_HIGH


def overview(sections: Sequence[Section], chosen: Item | None, size: Size) -> list[Text]:
    """The sections in lines of that width, at most so many."""
    if size.width < WIDE:
        return _column(sections, chosen, size)
    left, right = _halves(sections)
    wanted = max(sum(_natural(section)) + len(_GAP) * len(section.columns) for section in left)
    width = min(wanted, (size.width - _BETWEEN) // 2)
    rest = size.width - _BETWEEN - width
    of_left = _column(left, chosen, Size(width=width, height=size.height))
    return _beside(of_left, _column(right, chosen, Size(width=rest, height=size.height)), width)


def in_order(sections: Sequence[Section], width: int) -> list[Item]:
    """The rows in the order in which they stand there."""
    every = sections if width < WIDE else [each for half in _halves(sections) for each in half]
    return [item for section in every for item in section.items]


def _halves(sections: Sequence[Section]) -> tuple[list[Section], list[Section]]:
    left = [section for section in sections if section.title in _LEFT]
    return left, [section for section in sections if section.title not in _LEFT]


def _beside(left: list[Text], right: list[Text], width: int) -> list[Text]:
    lines = []
    for number in range(max(len(left), len(right))):
        line = left[number].copy() if number < len(left) else Text()
        line.append(" " * (width + _BETWEEN - line.cell_len))
        lines.append(line.append_text(right[number]) if number < len(right) else line)
    return lines


def _column(sections: Sequence[Section], chosen: Item | None, size: Size) -> list[Text]:
    """Where there is little room, sections in which there is nothing are left out, and blank lines between them."""
    wanted = sum(max(len(section.items), 1) + 2 for section in sections) - 1
    is_tight = wanted > size.height
    shown = [section for section in sections if section.items or not is_tight] or list(sections[:1])
    gaps = 0 if is_tight else len(shown) - 1
    rows = _shares([len(section.items) for section in shown], size.height - len(shown) - gaps)
    lines: list[Text] = []
    for number, (section, room) in enumerate(zip(shown, rows, strict=True)):
        lines += [Text()] if number and gaps else []
        lines += rows_of(section, chosen, Size(width=size.width, height=room + 1))
    return lines[: size.height]


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many rows each gets: one after the other in turn, until there is no room, or all have enough."""
    shares = [0] * len(wanted)
    while room > 0 and any(share < most for share, most in zip(shares, wanted, strict=True)):
        for number, most in enumerate(wanted):
            if shares[number] < most and room > 0:
                shares[number] += 1
                room -= 1
    return shares


def rows_of(section: Section, chosen: Item | None, size: Size) -> list[Text]:
    """A heading, and the rows around the one that is chosen."""
    items, room = list(section.items), size.height - 1
    if not items:
        head = Text(f"{_NO_MARK}{section.title}  ", _TITLE).append(section.nothing, "dim not bold")
        return [_cut(head, size.width)]
    at = next((number for number, item in enumerate(items) if is_same(item, chosen)), 0)
    first = max(0, min(at - room // 2, len(items) - room))
    widths = _widths(section, size.width - len(_MARK))
    shown = items[first : first + room]
    part = "" if len(shown) == len(items) else f"{_GAP}{first + 1:,}-{first + len(shown):,} of {len(items):,}"
    *names, last = section.columns
    # The last name has room beside it where its column is cut.
    is_beside = not last.startswith(">")
    head = _line(section, [*names, f"{last}{part}" if is_beside else last], widths, _NO_MARK)
    head.append("" if is_beside else part)
    head.stylize(_TITLE)
    rows = (_row(section, item, widths, is_same(item, chosen)) for item in shown)
    return [_cut(line, size.width) for line in (head, *rows)]


def is_same(item: Item, other: Item | None) -> bool:
    """Whether two rows are about the same, as it was at two moments."""
    return other is not None and (item.kind, item.name) == (other.kind, other.name)


def _row(section: Section, item: Item, widths: Sequence[int], is_chosen: bool) -> Text:
    line = _line(section, item.cells, widths, _MARK if is_chosen else _NO_MARK)
    line.stylize(f"{item.style} {_CHOSEN}" if is_chosen else item.style)
    return line


def _line(section: Section, cells: Sequence[str], widths: Sequence[int], mark: str) -> Text:
    parts = []
    for name, cell, width in zip(section.columns, cells, widths, strict=True):
        text = fitted(output.one_line(cell.lstrip(">")), width)
        filling = " " * (width - cell_len(text))
        parts.append(filling + text if name.startswith(">") else text + filling)
    return Text(mark + _GAP.join(parts))


def _natural(section: Section) -> list[int]:
    """As wide as their cells."""
    cells = [[name.lstrip(">") for name in section.columns], *(item.cells for item in section.items)]
    return [max(cell_len(row[at]) for row in cells) for at in range(len(section.columns))]


def _widths(section: Section, width: int) -> list[int]:
    """As wide as their cells. Where there is no room, first the last one that stands at the left is cut, as it is a
    text; then the others that do, and names last."""
    widths = _natural(section)
    room = width - len(_GAP) * (len(widths) - 1)
    *others, last = (at for at, name in enumerate(section.columns) if not name.startswith(">"))
    for columns, least in (([last], _READABLE), (others[1:], _NAMED), ([last], _CUT), (others[:1], _NAMED)):
        for at in columns:
            widths[at] = max(min(least, widths[at]), widths[at] - max(sum(widths) - room, 0))
    return widths


def fitted(text: str, width: int) -> str:
    """A text in so many places; what is left out is told by dots."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
