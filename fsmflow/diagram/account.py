"""A picture in sentences, for whoever hears it, and as a list, for whoever would rather read one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from fsmflow.definition.names import FINISHED, WORKING, failed_from
from fsmflow.diagram.chart import Arrow, Box, Chart
from fsmflow.diagram.labels import plain
from fsmflow.values import dataclass

#: The most steps of a way that are told.
_LATEST: Final = 40


@dataclass(frozen=True, kw_only=True)
class Onward:
    """What happens in a state, and where that leads; None for what does not leave it. ``taken``: how often an entity
    went there."""

    text: str
    dest: str | None
    taken: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A state in a list: ``told``: what it is; ``now``: how an entity stands in it, in a word, or None."""

    title: str
    told: str
    visited: bool
    now: str | None
    has_failed: bool
    onward: tuple[Onward, ...]


def rows(chart: Chart) -> list[Row]:
    """What a picture shows as a list: each state, and where it leads."""
    titles = {box.key: box.title for box in chart.boxes}
    return [
        Row(
            title=box.title,
            told=", ".join(_what(box)),
            visited=box.visited,
            now=box.now,
            has_failed=box.has_failed,
            onward=tuple(
                Onward(text=way.text, dest=dest, taken=way.taken)
                for dest, ways in [
                    *((titles[arrow.dest], arrow.ways) for arrow in chart.arrows if arrow.source == box.key),
                    (None, box.inner),
                ]
                for way in ways
            ),
        )
        for box in chart.boxes
    ]


def described(chart: Chart) -> str:
    """What a picture shows: where it begins, each state and where it leads, and the way of an entity."""
    return " ".join(_sentences(chart))


def _sentences(chart: Chart) -> Iterator[str]:
    yield from (f"{text.rstrip('.')}." for text in chart.subtitle)
    yield f"It begins in {chart.initial.title}."
    titles = {box.key: box.title for box in chart.boxes}
    for box in chart.boxes:
        ways = [arrow for arrow in chart.arrows if arrow.source == box.key]
        yield _state(box, [_way(arrow, titles[arrow.dest]) for arrow in ways])
    if chart.can_fail:
        yield f"A step X that has failed for good rests in {failed_from('X')}, until it is retried."
    if chart.journey is not None:
        moves = chart.journey.moves
        left_out = max(0, len(moves) - _LATEST)
        steps = [plain(f"{move.trigger} to {move.dest}") for move in islice(moves, left_out, None)]
        yield f"The way it came{f', without the first {left_out:,} steps' if left_out else ''}: {', '.join(steps)}."


def _state(box: Box, ways: list[str]) -> str:
    what = [*_what(box), *(way.text for way in box.inner)]
    about = f" ({', '.join(what)})" if what else ""
    return f"{box.title}{about}{': ' if ways else ''}{'; '.join(ways)}."


def _what(box: Box) -> list[str]:
    what = ["an end"] if box.kind == FINISHED else ["a step"] if box.kind == WORKING else []
    return [*what, *box.lines, *(note.text for note in box.notes)]


def _way(arrow: Arrow, dest: str) -> str:
    return f"{' or '.join(way.text for way in arrow.ways)} leads to {dest}"
