"""What callers hand in: actors, outcomes, ids, texts and reasons, read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from fsmflow import clock
from fsmflow.errors import DataError, shown
from fsmflow.values import dataclass

#: Ids of branches and children are made of those above them.
MAX_GENERATED = 512
MAX_TEXT: Final = 200
MAX_REASON: Final = 8 * 1024
#: What comes with one event; data may be larger.
MAX_PAYLOAD_BYTES: Final = 64 * 1024
#: In any zone these are years too, so whatever is stored can be shown.
_YEARS: Final = range(1970, 9_000)
_LAST_MS: Final = clock.from_datetime(datetime(_YEARS.stop, 1, 1, tzinfo=UTC))


def checked_id(entity_id: object, *, generated: bool = False) -> str:
    """An entity's id as text: 1 to 200 characters, no control characters, no ``/``. Raises DataError.

    ``generated``: that of a branch or child will do too.
    """
    if isinstance(entity_id, bool) or not isinstance(entity_id, (str, int, UUID)):
        raise DataError(f"the id {shown(entity_id)} is neither text, a whole number nor a UUID")
    if isinstance(entity_id, int):
        if abs(entity_id) >= 10**MAX_TEXT:
            raise DataError(f"the id has more than {MAX_TEXT} digits; {MAX_TEXT} are allowed")
        entity_id = int(entity_id)
    limit = MAX_GENERATED if generated else MAX_TEXT
    text = checked_text(entity_id if isinstance(entity_id, str) else str(entity_id), "the id", limit=limit)
    if "/" in text and not generated:
        raise DataError(f"the id {text!r} has a '/', which only ids that fsmflow makes may have")
    return text


def as_actor(actor: Actor | str | None) -> Actor | None:
    """An actor as given; a bare name has no roles. Raises DataError."""
    if actor is None or isinstance(actor, Actor):
        return actor
    return Actor(actor)


@dataclass(frozen=True)
class Actor:
    """Who asks for something, in which roles, and for which teams.

    ``login``: who really sits there, where that is somebody else; the same as the name if not given. Where an action
    takes two people, they are two logins. ``teams``: of a machine that has ``team``, only what belongs to one of these
    is there for the actor; ``"*"`` means all teams.
    """

    name: str
    roles: frozenset[str] = frozenset()
    login: str = ""
    teams: frozenset[str] = frozenset()

    def __init__(
        self,
        name: str,
        roles: Iterable[str] = (),
        *,
        login: str | None = None,
        teams: Iterable[str | int | UUID] | int | UUID = (),
    ) -> None:
        object.__setattr__(self, "name", checked_text(name, "actor"))
        object.__setattr__(self, "roles", frozenset(_names(roles, f"the roles of actor {name!r}")))
        object.__setattr__(self, "login", name if login is None else checked_text(login, "login"))
        object.__setattr__(self, "teams", frozenset(_teams(teams, f"the teams of actor {name!r}")))


def _names(given: object, what: str) -> list[str]:
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"{what} are {shown(given)}; they are names")
    return [str(name) for name in names]


def _teams(given: Any, what: str) -> list[str]:
    several = [given] if isinstance(given, (str, int, UUID)) else list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(team, (str, int, UUID)) and not isinstance(team, bool) for team in several):
        raise DataError(f"{what} are {shown(given)}; they are names, whole numbers or UUIDs")
    return [checked_text(team if isinstance(team, str) else str(team), what) for team in several]


class Outcome:
    """What a job returns to fire another trigger than ``done``; the fields are merged into data."""

    __slots__ = ("data", "trigger")

    def __init__(self, trigger: str, /, **data: Any) -> None:
        self.trigger = trigger
        self.data = data

    def __repr__(self) -> str:
        fields = "".join(f", {key}={value!r}" for key, value in self.data.items())
        return f"Outcome({self.trigger!r}{fields})"


def checked_text(text: object, what: str, *, limit: int = MAX_TEXT) -> str:
    """``text``, where it can stand as an id, a key or a name. Raises DataError."""
    if not isinstance(text, str):
        raise DataError(f"{what} is {shown(text)}; it must be text")
    text = str.__str__(text)
    if not text:
        raise DataError(f"{what} is empty")
    if len(text) > limit:
        raise DataError(f"{what} has {len(text)} characters; {limit} are allowed: {text[:40]!r}...")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise DataError(f"{what} {text[:60]!r} has control characters")
    return text


def checked_epoch(epoch: object) -> None:
    """Raises DataError for what is no epoch: the text of a form would never be the same as one."""
    if epoch is not None and (isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0):
        raise DataError(f"epoch is {shown(epoch)}; it is a whole number from 0, as the entity's epoch is")


def checked_moment(moment: datetime | int, what: str) -> int:
    """An aware datetime, or UTC milliseconds, as a moment that can be stored and shown. Raises DataError."""
    is_there = moment.year in _YEARS if isinstance(moment, datetime) else 0 <= moment < _LAST_MS
    if not is_there:
        told = shown(moment) if isinstance(moment, datetime) else "too far off"
        raise DataError(f"{what} is {told}; its year is one from {_YEARS.start} to {_YEARS.stop - 1}")
    return clock.from_datetime(moment) if isinstance(moment, datetime) else moment


def checked_reason(reason: str | None) -> str | None:
    """A reason as it may be stored: text of at most 8 KB, line breaks allowed. Raises DataError."""
    if reason is None or reason == "":
        return None
    in_one_line = re.sub(r"[\r\n\t]", " ", reason) if isinstance(reason, str) else reason
    checked_text(in_one_line, "reason", limit=MAX_REASON)
    return reason
