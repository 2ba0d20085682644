"""Whether a request that brings a key is the one that has used it up, or another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsmflow.decision.happenings import (
    Asked,
    Dropped,
    Erased,
    Forced,
    Paused,
    Replanned,
    Resumed,
    Rewound,
    Skipped,
    Triggered,
)
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.definition.names import RETRY
from fsmflow.errors import KeyConflict

#: What history says of each request that fires no trigger of a caller's.
_KINDS: Final[Mapping[type[Asked], HistoryKind]] = {
    Paused: HistoryKind.PAUSED,
    Resumed: HistoryKind.RESUMED,
    Replanned: HistoryKind.RESUMED,
    Skipped: HistoryKind.SKIPPED,
    Rewound: HistoryKind.REWOUND,
    Forced: HistoryKind.FORCED,
    Dropped: HistoryKind.DROPPED,
    Erased: HistoryKind.ERASED,
}
_ACTIONS: Final[Mapping[type[Asked], str]] = {
    Paused: "pause",
    Skipped: "skip",
    Rewound: "rewind",
    Forced: "force",
    Dropped: "drop",
    Erased: "erase",
}
_OF_OPERATORS: Final = frozenset(_KINDS.values())


def check_repeat(address: str, asked: Asked, key: str, first: HistoryEntry, renamed: Mapping[str, str]) -> None:
    """Raises KeyConflict where the entry that used up the key tells of another request than ``asked``.

    The same trigger is the same request, whatever comes with it: an outside event may be delivered twice in two forms.
    ``renamed``: the names that states have today, by those that they had.
    """
    if not _is_of(asked, first, renamed):
        raise KeyConflict(address, key, _name_of(asked), first.trigger or first.kind.value, first.at)


def _is_of(asked: Asked, first: HistoryEntry, renamed: Mapping[str, str]) -> bool:
    if first.kind is HistoryKind.ASKED:
        # By one of two people: what it was asked for is named like what is done.
        return first.trigger == (asked.trigger if isinstance(asked, Triggered) else _ACTIONS.get(type(asked)))
    if isinstance(asked, Triggered):
        return first.trigger == asked.trigger and first.kind not in _OF_OPERATORS
    if isinstance(asked, Forced | Rewound) and renamed.get(first.dest, first.dest) != asked.state:
        return False
    # A resume retries what has failed.
    return first.kind is _KINDS[type(asked)] or (isinstance(asked, Resumed) and first.trigger == RETRY)


def _name_of(asked: Asked) -> str:
    if isinstance(asked, Triggered):
        return asked.trigger
    to = f" to {asked.state}" if isinstance(asked, Forced | Rewound) else ""
    return f"{_KINDS[type(asked)].value}{to}"
