"""Alarms as values: what somebody is told of once when it begins and once when it ends; read from settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from datetime import timedelta
from typing import Any, ClassVar, Final

from fsmflow.errors import MAX_DURATION_S, ConfigurationError, DataError, shown
from fsmflow.settings.toml import read_table, read_toml
from fsmflow.values import Options, dataclass

Names = str | Sequence[str]
#: What is counted is looked at one by one.
_MOST: Final = 1_000


@dataclass(frozen=True)
class Alarm(Options):
    """What all alarms have: ``tell``, the names of the channels to which it is told, besides the log."""

    #: How it is called in the addresses of alarms.
    kind: ClassVar[str] = ""
    tell: Names = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        names = [self.tell] if isinstance(self.tell, str) else self.tell
        if not isinstance(names, (list, tuple, set, frozenset)) or not all(isinstance(n, str) and n for n in names):
            raise DataError(f"{self._called}(tell={shown(self.tell)}): it takes one or several names of channels")
        object.__setattr__(self, "tell", tuple(sorted(set(names))))

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels."""
        return tuple(self.tell)

    @property
    def name(self) -> str:
        """What tells it from others of its kind: ``failing-5-600``."""
        numbers = [f"{getattr(self, each.name):g}" for each in fields(self) if each.name != "tell"]
        return "-".join([self.kind, *numbers])

    @property
    def _called(self) -> str:
        return type(self).__name__

    def as_plain(self) -> dict[str, Any]:
        """The same as ``read_alarms`` takes it and JSON can hold it."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"kind": self.kind, **given, "tell": list(self.channels)}

    def _seconds(self, name: str) -> None:
        """Make seconds of what was given as a duration. Raises DataError."""
        given = getattr(self, name)
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 1 <= seconds <= MAX_DURATION_S:
            raise DataError(f"{self._called}({name}={shown(given)}): it takes seconds or a timedelta, at least one")
        object.__setattr__(self, name, float(seconds))

    def _count(self, name: str) -> None:
        """Raises DataError for what is no number from 1."""
        given = getattr(self, name)
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _MOST:
            raise DataError(f"{self._called}({name}={shown(given)}): it takes a whole number from 1 to {_MOST:,}")


@dataclass(frozen=True)
class Overdue(Alarm):
    """Entities are in a state for longer than its ``expect`` says: one alarm for each state."""

    kind = "overdue"


@dataclass(frozen=True)
class Failing(Alarm):
    """So many of one machine have failed for good within so many seconds, for one reason, and still rest in that: one
    alarm for each failure group. ``within`` is seconds or a timedelta."""

    kind = "failing"
    count: int
    within: float | timedelta = 600

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count("count")
        self._seconds("within")


@dataclass(frozen=True)
class NewFailure(Alarm):
    """Something has failed for good for a reason that was not known, or that was said to be resolved: one alarm for
    each failure group, until it is resolved or ignored, or nothing rests in it any more."""

    kind = "new-failure"


@dataclass(frozen=True)
class NobodyListens(Alarm):
    """Jobs wait in a queue, and no worker listens on it: one alarm for each queue."""

    kind = "nobody-listens"


@dataclass(frozen=True)
class OldestDue(Alarm):
    """The oldest job that waits for a worker does so for longer than ``seconds``, which may be a timedelta: one alarm
    for each queue. Timers that nobody fires count as a queue of their own."""

    kind = "oldest-due"
    seconds: float | timedelta

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seconds("seconds")


@dataclass(frozen=True)
class CrashLoop(Alarm):
    """Workers die again and again: what is under way in a state has lost them so many times. One alarm for each
    state."""

    kind = "crash-loop"
    count: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._count("count")


@dataclass(frozen=True)
class Stuck(Alarm):
    """What is due of entities cannot go on, and was tried three times or more: one alarm for each state."""

    kind = "stuck"


KINDS: Final[dict[str, type[Alarm]]] = {
    each.kind: each for each in (Overdue, Failing, NewFailure, NobodyListens, OldestDue, CrashLoop, Stuck)
}
#: What a kind cannot do without, and how a file says it.
_NEEDED: Final[Mapping[str, Mapping[str, str]]] = {
    Failing.kind: {"count": "5"},
    OldestDue.kind: {"seconds": "60"},
}


def read_alarms(given: object, source: str = "configure(alarms=...)") -> tuple[Alarm, ...]:
    """What ``configure`` or a file says: alarms, or mappings with their ``kind``. Raises ConfigurationError."""
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError(f"{source} is {shown(given)}; it is a list of alarms, as in [Failing(5, within=600)]")
    return tuple(each if isinstance(each, Alarm) else _read(each, source) for each in given)


def _read(given: object, source: str) -> Alarm:
    form = f"each is a table with its kind; the kinds are {', '.join(KINDS)}"
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{source}: {shown(given)} is no alarm; {form}")
    return read_table(KINDS, _NEEDED, given, source, form)


def read_file(path: str) -> tuple[Alarm, ...]:
    """What a file of TOML says, a table ``[[alarms]]`` for each. Raises ConfigurationError."""
    given = read_toml(path, "alarms")
    strange = next((name for name in given if name != "alarms"), None)
    if strange is not None:
        raise ConfigurationError(f"{path}: {shown(strange)} means nothing there; each alarm is a table [[alarms]]")
    found = given.get("alarms", [])
    if not isinstance(found, list):
        raise ConfigurationError(f"{path}: 'alarms' is one thing alone; each alarm is a table [[alarms]]")
    return read_alarms(found, path)
