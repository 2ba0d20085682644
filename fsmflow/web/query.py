"""What is typed to find entities: ``state:charging amount:>=1000 customer=7``, and the selection that it means."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Any, Final

from fsmflow.decision.terms import Condition
from fsmflow.definition.model import Definition
from fsmflow.definition.names import PHASES
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.selection import Selection
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.objects.fields import read_condition, read_milliseconds
from fsmflow.values import dataclass

#: Words that are no fields of the data.
WORDS: Final = ("machine", "state", "phase", "error", "older", "group", "branch", "child", "is")
#: What ``is:`` can be.
KINDS: Final = ("stuck", "overdue", "waiting", "branches")
_MOST: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Query:
    """``text``: as it was typed. ``address``: an address or id, where nothing else was typed."""

    text: str
    selection: Selection
    address: str | None = None


@dataclass(kw_only=True)
class _Reading:
    """What was read so far."""

    known: Collection[str]
    given: dict[str, Any] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    where: list[Condition] = field(default_factory=list)
    children: list[Condition] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def take(self, token: str) -> None:
        """Raises DataError."""
        word, colon, value = token.partition(":")
        if colon and word in WORDS and word not in self.known and value:
            self._word(word, value)
        elif colon and word in self.known:
            self.names.append(token)
        elif re.search(r"[=<>]", token):
            self.where.append(_condition(token))
        elif colon and word and value:
            self.where.append(_condition(f"{word}={value}"))
        else:
            self.names.append(token)

    def _word(self, word: str, value: str) -> None:
        if word == "state":
            self.states.append(value)
        elif word == "child":
            self.children.append(_condition(value))
        elif word == "is":
            self.given[_one_of(value, KINDS, "is:")] = True
        elif word == "older":
            self.given["older_ms"] = _milliseconds(value)
        elif word in self.given:
            raise DataError(f"{word}: is there twice")
        else:
            self.given[word] = _one_of(value, PHASES, "phase:") if word == "phase" else value


def query_of(text: str, machines: Mapping[str, Definition]) -> Query:
    """What a text means. Raises DataError, in words, where it means nothing."""
    if len(text) > _MOST:
        raise DataError(f"the search has {len(text):,} characters; {_MOST:,} are allowed")
    try:
        tokens = shlex.split(text)
    except ValueError as error:
        raise DataError(f"the search {shown(text)} has a quotation mark without its other one") from error
    reading = _Reading(known=machines.keys())
    for token in tokens:
        reading.take(token)
    selection = Selection(
        states=tuple(reading.states) or None,
        where=tuple(each for each in reading.where if each.operator != "="),
        data={each.name: each.value for each in reading.where if each.operator == "="},
        children=tuple(reading.children),
        **reading.given,
    )
    if not reading.names:
        return Query(text=text, selection=selection)
    if len(tokens) > 1:
        named = ", ".join(map(shown, reading.names))
        raise DataError(f"{named}: an address stands alone; a field is written name=value, a state state:name")
    return Query(text=text, selection=selection, address=reading.names[0])


def completions(machines: Iterable[Definition]) -> list[str]:
    """What a search could hold, for whoever begins to type."""
    own = [each for each in machines if not is_built_in(each.name)]
    found = [f"machine:{each.name}" for each in own]
    found += [f"state:{name}" for each in own for name in each.states]
    found += [f"phase:{name}" for name in PHASES] + [f"is:{name}" for name in KINDS]
    found += [f"{name}=" for each in own for name in sorted(each.wide.search)]
    return list(dict.fromkeys([*found, "error:", "older:1h", "group:"]))


def written(word: str, value: str) -> str:
    """A qualifier as it is typed."""
    return shlex.quote(f"{word}:{value}")


def _milliseconds(value: str) -> int:
    try:
        return read_milliseconds(value)
    except ValueError as error:
        raise DataError(str(error)) from error


def _condition(token: str) -> Condition:
    try:
        return read_condition(token)
    except ValueError as error:
        raise DataError(str(error)) from error


def _one_of(value: str, names: Collection[str], what: str) -> str:
    if value not in names:
        raise DataError(f"{what}{value} is unknown; it is one of {', '.join(names)}{did_you_mean(value, names)}")
    return value
