"""Which states and transitions a machine tells of, and to which channels: ``tell``."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsmflow.definition.names import DONE, FORCE, MAX_NAME, REWIND, UNDONE, failed_from
from fsmflow.definition.parse import plain_name
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass, replace

if TYPE_CHECKING:
    from fsmflow.definition.model import StateSpec, TransitionSpec

#: So many characters of names are told.
_ROOM: Final = 200
_FORM: Final = "it is a dict of states and channels, as in tell = {'shipped': 'shop', 'failed_from_*': ['ops']}"


class Tell:
    """Channels that are told as a state is entered.

    ``trigger``, ``source``: only of the transitions by these triggers, and from these states; each is a name, a pattern
    or several of them. With ``trigger`` internal transitions are told of as well. ``fields``: the keys of data, paths
    with dots among them, whose values go with it; without them none do. Raises DataError.
    """

    __slots__ = ("channels", "fields", "source", "trigger")

    def __init__(
        self,
        *channels: str,
        trigger: str | Sequence[str] | None = None,
        source: str | Sequence[str] | None = None,
        fields: Sequence[str] = (),
    ) -> None:
        if not channels or not all(map(_is_name, channels)):
            raise DataError(f"Tell({', '.join(map(shown, channels))}): it takes one or several names of channels")
        self.channels = tuple(dict.fromkeys(channels))
        self.trigger = None if trigger is None else _names("trigger", trigger, "triggers, as in trigger='approve'")
        self.source = None if source is None else _names("source", source, "states, as in source='new'")
        self.fields = _names("fields", fields, "keys of data, as in fields=['amount']") if fields else ()

    def __repr__(self) -> str:
        given = ((name, getattr(self, name)) for name in ("trigger", "source", "fields"))
        rest = "".join(f", {name}={list(value)!r}" for name, value in given if value)
        return f"Tell({', '.join(map(repr, self.channels))}{rest})"


@dataclass(frozen=True, kw_only=True)
class Told:
    """One channel that is told of a state, and the fields of data that go with it. ``triggers``, ``sources``: by and
    from which alone; None for whatever led there."""

    channel: str
    fields: tuple[str, ...] = ()
    triggers: frozenset[str] | None = None
    sources: frozenset[str] | None = None

    @property
    def how(self) -> str:
        """What it is told of a state alone, in words: `` by approve from new``; empty where that is all."""
        chosen = (("by", self.triggers), ("from", self.sources))
        return "".join(f" {word} {', '.join(sorted(names))}" for word, names in chosen if names is not None)

    def means(self, trigger: str | None, source: str | None, *, enters: bool) -> bool:
        """Whether it is told of what has led to the state, or happened in it."""
        if self.triggers is None and not enters:
            return False
        return (self.triggers is None or trigger in self.triggers) and (self.sources is None or source in self.sources)


class _Way(NamedTuple):
    """What an entity can be led by to a state, or what happens to it there. ``source`` None: from everywhere."""

    trigger: str
    source: str | None
    enters: bool = True


def read_tell(
    owner: type,
    states: Mapping[str, StateSpec],
    transitions: Iterable[TransitionSpec],
    redact: Collection[str],
    faults: list[str],
) -> dict[str, tuple[Told, ...]]:
    """Who is told of each state; states of which nobody is told are left out."""
    given = getattr(owner, "tell", None)
    if given is None or inspect.isroutine(given) or isinstance(given, property):
        return {}
    if not isinstance(given, Mapping):
        faults.append(f"tell={shown(given)}; {_FORM}")
        return {}
    ways, found = _ways(states, transitions), dict[str, dict[Told, tuple[str, ...]]]()
    for written, who in given.items():
        pattern = plain_name(written)
        meant = _matching(states, [pattern])
        if not meant:
            faults.append(f"tell: no state is meant by {shown(written)}{did_you_mean(pattern, states)}")
        for tell in _tells(pattern, who, redact, faults):
            for state, told in _told(tell, pattern, {name: ways[name] for name in meant}, states, faults):
                several = found.setdefault(state, {})
                several[told] = tuple(dict.fromkeys((*several.get(told, ()), *tell.fields)))
    return {
        state: tuple(replace(told, fields=fields) for told, fields in several.items())
        for state, several in found.items()
    }


def _ways(states: Mapping[str, StateSpec], transitions: Iterable[TransitionSpec]) -> dict[str, list[_Way]]:
    """All that can lead to each state, as lines of history have it."""
    found = {
        name: [_Way(FORCE, None), *([] if spec.generated else [_Way(REWIND, None)])] for name, spec in states.items()
    }
    for each in transitions:
        dest = each.source if each.dest is None else each.dest
        if dest not in states:
            continue  # a fault, which is told where it is
        found[dest].append(_Way(each.trigger, each.source, enters=each.dest is not None))
        if each.trigger in (DONE, UNDONE) and each.dest is not None:
            found[dest].append(_Way(each.trigger, failed_from(each.source)))  # its step is skipped
    return found


def _told(
    tell: Tell, pattern: str, ways: Mapping[str, Sequence[_Way]], states: Collection[str], faults: list[str]
) -> Iterator[tuple[str, Told]]:
    """Those of the states in ``ways`` of which it tells, for each of its channels. ``faults`` gets what names nothing
    that leads there."""
    if tell.trigger is None and tell.source is None:
        yield from ((state, Told(channel=channel)) for state in ways for channel in tell.channels)
        return
    chosen = {state: [way for way in several if _is_chosen(tell, way)] for state, several in ways.items()}
    triggers = {way.trigger for several in ways.values() for way in several}
    begins = {way.source for several in chosen.values() for way in several}
    known = states if None in begins else [name for name in begins if name is not None]
    faults += [
        f"tell: {shown(pattern)}: nothing leads there {word} {shown(wanted)}{_hint(wanted, sorted(names))}"
        for word, several, names in (("by", tell.trigger, triggers), ("from", tell.source, known))
        for wanted in several or ()
        if not _matching(names, [wanted])
    ]
    sources = None if tell.source is None else frozenset(_matching(known, tell.source))
    for state, several in chosen.items():
        led = frozenset(
            way.trigger for way in several if sources is None or way.source is None or way.source in sources
        )
        for channel in tell.channels if led else ():
            yield state, Told(channel=channel, triggers=None if tell.trigger is None else led, sources=sources)


def _hint(wanted: str, names: Sequence[str]) -> str:
    several = ", ".join(map(repr, names))
    return did_you_mean(wanted, names) or (f"; it takes {several}" if 0 < len(several) <= _ROOM else "")


def _is_chosen(tell: Tell, way: _Way) -> bool:
    if tell.trigger is None:
        return way.enters and way.source is not None
    return bool(_matching([way.trigger], tell.trigger))


def _tells(pattern: object, who: Any, redact: Collection[str], faults: list[str]) -> list[Tell]:
    """What is said of a state: channels, ``Tell(...)``, or several of them."""
    several = list(who) if isinstance(who, list | tuple | set | frozenset) else [who]
    plain = [one for one in several if not isinstance(one, Tell)]
    try:
        found = [*([Tell(*plain)] if plain or not several else []), *(one for one in several if isinstance(one, Tell))]
    except DataError:
        faults.append(f"tell: {shown(pattern)} is {shown(who)}; it takes names of channels, or Tell(...)")
        return []
    hidden = [name for one in found for name in one.fields if set(name.split(".")) & set(redact)]
    if hidden:
        faults.append(f"tell: {hidden[0]!r} is redacted, and what is told leaves this installation; leave it out")
    return found


def _matching(names: Iterable[str], patterns: Iterable[object]) -> list[str]:
    """Those that a pattern means."""
    wanted = [pattern for pattern in patterns if isinstance(pattern, str)]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]


def _names(parameter: str, given: object, what: str) -> tuple[str, ...]:
    """One or several. Raises DataError."""
    several = list(given) if isinstance(given, list | tuple | set | frozenset) else [given]
    found = [plain_name(one) for one in several]
    if not found or not all(map(_is_name, found)):
        raise DataError(f"Tell(..., {parameter}={shown(given)}): it takes {what}")
    return tuple(dict.fromkeys(found))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() and "," not in name
