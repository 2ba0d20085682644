"""Which states a machine tells of as they are entered, and to which channels: ``tell``."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from fsmflow.definition.names import MAX_NAME
from fsmflow.definition.parse import plain_name
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

_FORM: Final = "it is a dict of states and channels, as in tell = {'shipped': 'shop', 'failed_from_*': ['ops']}"


class Tell:
    """Channels that are told as a state is entered. ``fields``: the keys of data, paths with dots among them, whose
    values go with it; without them none do. Raises DataError."""

    __slots__ = ("channels", "fields")

    def __init__(self, *channels: str, fields: Sequence[str] = ()) -> None:
        given = [fields] if isinstance(fields, str) else fields
        if not channels or not all(map(_is_name, channels)):
            raise DataError(f"Tell({', '.join(map(shown, channels))}): it takes one or several names of channels")
        if not isinstance(given, list | tuple | set | frozenset) or not all(map(_is_name, given)):
            raise DataError(f"Tell(..., fields={shown(fields)}): it takes keys of data, as in fields=['amount']")
        self.channels = tuple(dict.fromkeys(channels))
        self.fields = tuple(dict.fromkeys(given))

    def __repr__(self) -> str:
        fields = f", fields={list(self.fields)!r}" if self.fields else ""
        return f"Tell({', '.join(map(repr, self.channels))}{fields})"


@dataclass(frozen=True, kw_only=True)
class Told:
    """One channel that is told of a state, and the fields of data that go with it."""

    channel: str
    fields: tuple[str, ...] = ()


def read_tell(
    owner: type, states: Iterable[str], redact: Collection[str], faults: list[str]
) -> dict[str, tuple[Told, ...]]:
    """Who is told of each state; states of which nobody is told are left out."""
    given = getattr(owner, "tell", None)
    if given is None or inspect.isroutine(given) or isinstance(given, property):
        return {}
    if not isinstance(given, Mapping):
        faults.append(f"tell={shown(given)}; {_FORM}")
        return {}
    known, found = list(states), dict[str, dict[str, tuple[str, ...]]]()
    for written, who in given.items():
        pattern = plain_name(written)
        meant = [name for name in known if isinstance(pattern, str) and fnmatchcase(name, pattern)]
        if not meant:
            faults.append(f"tell: no state is meant by {shown(written)}{did_you_mean(pattern, known)}")
        told = _tell(pattern, who, redact, faults)
        for state in meant if told is not None else ():
            assert told is not None
            channels = found.setdefault(state, {})
            for channel in told.channels:
                channels[channel] = tuple(dict.fromkeys((*channels.get(channel, ()), *told.fields)))
    return {
        state: tuple(Told(channel=channel, fields=fields) for channel, fields in channels.items())
        for state, channels in found.items()
    }


def _tell(pattern: object, who: Any, redact: Collection[str], faults: list[str]) -> Tell | None:
    try:
        told = who if isinstance(who, Tell) else Tell(*([who] if isinstance(who, str) else who))
    except (DataError, TypeError):
        faults.append(f"tell: {shown(pattern)} is {shown(who)}; it takes names of channels, or Tell(...)")
        return None
    hidden = [name for name in told.fields if set(name.split(".")) & set(redact)]
    if hidden:
        faults.append(f"tell: {hidden[0]!r} is redacted, and what is told leaves this installation; leave it out")
    return told


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() and "," not in name
