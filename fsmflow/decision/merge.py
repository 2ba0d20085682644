"""Merges what a job made of its data with what others made of them meanwhile: a merge of three.

``base`` is what the job began with, ``theirs`` what is there now, ``mine`` what the job made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from fsmflow import codec
from fsmflow.values import dataclass

#: The keys that lead to a value, from the top of the data on.
Path = tuple[str, ...]
#: Asked where both changed one value: the path, then base, theirs and mine, None for what is not there.
Resolve = Callable[[str, Any, Any, Any], Any]


class _Missing:
    """Stands for a value that is not there."""


MISSING: Final = _Missing()
#: Equal to Python, and not always the same text.
_WRITTEN: Final = (float, Decimal, datetime)


@dataclass(frozen=True)
class Merged:
    """``overwritten``: what others had made of values for which that of the job stands; MISSING where they had removed
    one."""

    data: dict[str, Any]
    overwritten: dict[Path, Any] = field(default_factory=dict)


def merge(
    base: Mapping[str, Any],
    theirs: Mapping[str, Any],
    mine: Mapping[str, Any],
    resolve: Resolve | None = None,
    edited: frozenset[str] = frozenset(),
) -> Merged:
    """Mappings are merged key by key, at any depth; of lists to which both only appended, both ends are taken, theirs
    first. Where one side alone changed a value, that counts. For a value that both changed, be it to the same,
    ``resolve`` is asked; without it, or where it has no answer, that of the job stands, and is told. Under the keys
    that were ``edited`` by hand, what is there stands. All three are in the form in which data come back from storage.

    Raises what ``resolve`` raises.
    """
    overwritten: dict[Path, Any] = {}
    return Merged(_merged_mapping((), base, theirs, mine, _Judge(resolve, overwritten, edited)), overwritten)


def same(one: Any, other: Any) -> bool:
    """Whether two values are stored alike, but for the order of keys: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (not isinstance(one, _WRITTEN) or codec.encode(one) == codec.encode(other))


def grown(base: Any, now: Any) -> list[Any] | None:
    """What was appended to a list; None where something else became of it. A list that was not there was empty."""
    before = [] if base is MISSING else base
    if not isinstance(before, list) or not isinstance(now, list) or not same(before, now[: len(before)]):
        return None
    return now[len(before) :]


@dataclass(frozen=True)
class _Judge:
    """Says what becomes of a value that both changed."""

    resolve: Resolve | None
    overwritten: dict[Path, Any]
    edited: frozenset[str]

    def has_edited(self, path: Path, theirs: Any) -> bool:
        """Whether a value was given by hand, and is no mapping or list that more may be in."""
        return path[0] in self.edited and theirs is not MISSING and not isinstance(theirs, dict | list)

    def decide(self, path: Path, base: Any, theirs: Any, mine: Any) -> Any:
        if path[0] in self.edited:
            return theirs
        sides = [None if value is MISSING else value for value in (base, theirs, mine)]
        answer = None if self.resolve is None else self.resolve(".".join(path), *sides)
        if answer is not None or (self.resolve is not None and None in sides[1:]):
            return answer
        if not same(theirs, mine):
            self.overwritten[path] = theirs
        return mine


def _merged_mapping(
    path: Path, base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any], judge: _Judge
) -> dict[str, Any]:
    found = {}
    for key in (*theirs, *(key for key in mine if key not in theirs)):
        value = _merged((*path, key), base.get(key, MISSING), theirs.get(key, MISSING), mine.get(key, MISSING), judge)
        if value is not MISSING:
            found[key] = value
    return found


def _merged(path: Path, base: Any, theirs: Any, mine: Any, judge: _Judge) -> Any:
    if judge.has_edited(path, theirs):
        return theirs
    if same(theirs, base):
        return mine
    if same(mine, base):
        return theirs
    before = {} if base is MISSING else base
    if isinstance(before, dict) and isinstance(theirs, dict) and isinstance(mine, dict):
        return _merged_mapping(path, before, theirs, mine, judge)
    tails = grown(base, theirs), grown(base, mine)
    if tails[0] is not None and tails[1] is not None:
        return [*theirs, *tails[1]]
    return judge.decide(path, base, theirs, mine)
