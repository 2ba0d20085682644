"""What the jobs of ``tolls`` have told of the gate: how many were inside at once, and how busy it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MINUTE_S = 60.0


class Note(NamedTuple):
    """When a job began or ended, and whose."""

    at: float
    begins: bool
    entity: str


class Business(NamedTuple):
    """How many were inside at most; which share of all places was taken from when all were to when the last began; and
    how long a place was free in between, in seconds, in order."""

    most: int
    share: float
    seconds: float
    gaps: list[float]


def noted(folder: Path) -> list[Note]:
    """All that is told, in order."""
    path = folder / "gate"
    lines = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
    return sorted(Note(float(at), what == "begin", entity) for at, what, entity in lines)


def with_ends(notes: Sequence[Note], killed_at: float) -> list[Note]:
    """The same with the ends of those that were killed in the middle: they begin once more."""
    found, inside = list(notes), set[str]()
    for note in notes:
        if note.begins and note.entity in inside:
            found.append(Note(killed_at, False, note.entity))
        (inside.add if note.begins else inside.discard)(note.entity)
    return sorted(found)


def business(notes: Sequence[Note], places: int) -> Business:
    """What became of so many places."""
    last_begin = max(note.at for note in notes if note.begins)
    inside = most = 0
    since: float | None = None
    taken = 0.0
    before = notes[0].at
    free, gaps = list[float](), list[float]()
    for note in notes:
        if since is not None and note.at <= last_begin:
            taken += (note.at - before) * inside
        inside, before = inside + (1 if note.begins else -1), note.at
        most = max(most, inside)
        if since is None and inside == places:
            since = note.at
        elif since is not None and note.begins and free:
            gaps.append(note.at - free.pop(0))
        if since is not None and not note.begins:
            free.append(note.at)
    seconds = last_begin - (notes[0].at if since is None else since)
    return Business(most, taken / places / seconds if seconds else 0.0, seconds, sorted(gaps))


def most_in_a_minute(notes: Sequence[Note]) -> int:
    """How many began within a minute at most."""
    begun = [note.at for note in notes if note.begins]
    return max(sum(at <= other < at + MINUTE_S for other in begun) for at in begun)
