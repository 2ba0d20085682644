"""Attributes of a machine's class that look like settings and are none: they would do nothing, and nobody would know.

A constant of the user's own stays possible. One is taken for a slip only if its name is that of a setting of states, or
near to one of any setting, if its value is such as that setting takes, and if no method of the class reads it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import Enum
from types import CodeType
from typing import Any, Final

from fsmflow.definition.retry import Retry
from fsmflow.definition.state import WORDS, State
from fsmflow.errors import shown

#: How like a setting a name has to be to be taken for it misspelt.
_NEAR: Final = 0.8
_SPANS: Final = (int, float, timedelta)
_SEVERAL: Final = (list, tuple, set, frozenset)

#: What a state takes, and of which kinds; a bool is no number here.
_OF_STATES: Final[dict[str, tuple[type, ...]]] = {
    "retry": (Retry, int),
    **dict.fromkeys(("timeout", "within", "heartbeat", "delay", "expect"), _SPANS),
    **dict.fromkeys(("job", "each", "only", "machine", "undo", "queue", "priority", "branch_failure"), (str,)),
    **dict.fromkeys(("wait", "final", "transactional", "at_most_once", "thread"), (bool,)),
    **dict.fromkeys(("jobs", "machines"), (*_SEVERAL, dict)),
    **dict.fromkeys(("on_enter", "on_exit"), (str, *_SEVERAL)),
    "limit": (int,),
    "defer": (str, *_SEVERAL, dict),
    "ignore": (str, *_SEVERAL),
}
#: What a machine takes. ``redact`` has a check of its own, as what is misspelt there would be shown to everybody.
_OF_MACHINES: Final[dict[str, tuple[type, ...]]] = {
    "initial": (str, Enum),
    "transitions": _SEVERAL,
    "version": (int,),
    "run_on": (bool,),
    "renamed_states": (dict,),
    **dict.fromkeys(("on_failure", "on_cancel", "schedule", "catch_up"), (str,)),
    "sends_as": (str, *_SEVERAL),
    "retention": (*_SPANS, dict),
    "key_retention": _SPANS,
    **dict.fromkeys(("operators", "tell"), (dict,)),
    "search": _SEVERAL,
    "alarms": _SEVERAL,
    "limits": _SEVERAL,
    "hooks": _SEVERAL,
}


def slips_in(owner: type, classes: Sequence[type], known: frozenset[str], told: Sequence[str]) -> Iterator[str]:
    """What of the attributes of a machine is meant for a setting, in words. ``classes``: those that the user wrote;
    ``known``: the names that mean something; ``told``: the faults so far, with what is named as a job."""
    read = {name for kind in classes for value in vars(kind).values() for name in _names_in(value)}
    for kind in classes:
        for name, value in vars(kind).items():
            is_constant = name.startswith("_") or name.isupper() or name in known or name in read
            if is_constant or hasattr(value, "__get__") or callable(value) or isinstance(value, State):
                continue
            meant = _meant(owner, name, value)
            if meant is not None and not any(repr(name) in fault for fault in told):
                yield f"{kind.__name__}.{name} = {shown(value)} {meant}; a constant of your own is {name.upper()}"


def _meant(owner: type, name: str, value: Any) -> str | None:
    settings = {**_OF_STATES, **{name: kinds for name, kinds in _OF_MACHINES.items() if not getattr(owner, name, None)}}
    near = name if name in settings else WORDS.get(name) or next(_like(name, settings), None)
    if near is None or near not in settings or not _is_one_of(value, settings[near]):
        return None
    if near in _OF_MACHINES:
        return f"is no setting of a machine; did you mean {near!r}?"
    written = f"Retry(max={value})" if near == "retry" and isinstance(value, int) else shown(value)
    return f"sets nothing; it belongs to a state, State(..., {near}={written})"


def _like(name: str, settings: dict[str, Any]) -> Iterator[str]:
    yield from difflib.get_close_matches(name, settings, n=1, cutoff=_NEAR)


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _names_in(value: Any) -> Iterator[str]:
    """The names that a method looks up, those of functions inside of it too."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    codes = [code] if isinstance(code := getattr(function, "__code__", None), CodeType) else []
    while codes:
        code = codes.pop()
        yield from code.co_names
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
