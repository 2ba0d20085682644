"""Reads what a machine's class says besides its states and transitions: version, schedule, status field, hooks ..."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fsmflow.definition.alarms import read_machine_alarms
from fsmflow.definition.annotations import read_types
from fsmflow.definition.hooks import read_hooks
from fsmflow.definition.model import Hook, StateSpec, TransitionSpec, Wide
from fsmflow.definition.names import FAILED_PREFIX, MAX_NAME, UNDO, UNDOING_PREFIX
from fsmflow.definition.operators import read_operators
from fsmflow.definition.own_field import OwnField, own_field_of
from fsmflow.definition.parse import plain_name
from fsmflow.definition.retention import read_key_retention, read_retention
from fsmflow.definition.schedule import read_schedule
from fsmflow.definition.tell import read_tell
from fsmflow.errors import did_you_mean, shown

CATCH_UPS = ("once", "skip")
#: How like ``redact`` the name of a list has to be to be taken for it misspelt.
_NEAR = 0.8


def read_wide(
    owner: type, states: Mapping[str, StateSpec], transitions: Sequence[TransitionSpec], faults: list[str]
) -> Wide:
    """The declarations of a class, checked; ``states`` and ``transitions`` with the generated ones."""
    redact, triggers = _redact(owner, faults), _triggers(states, transitions)
    payloads, data = read_types(owner, triggers, faults)
    return Wide(
        version=_version(owner, faults),
        upgrade=_hook(owner, "upgrade", 2, "upgrade(self, data, from_version)", faults),
        renamed=_renamed(owner, states, faults),
        status_field=_status_field(owner, states, faults),
        schedule=read_schedule(owner, faults),
        catch_up=_catch_up(owner, faults),
        on_transition=_hook(owner, "on_transition", 1, "on_transition(self, entry)", faults),
        on_failed=_hook(owner, "on_failed", 1, "on_failed(self, failure)", faults),
        run_on=_run_on(owner, faults),
        merge=_merge(owner, faults),
        redact=redact,
        search=_search(owner, faults),
        team=_team(owner, faults),
        sends_as=_sends_as(owner, faults),
        retention=read_retention(owner, states, faults),
        key_retention=read_key_retention(owner, faults),
        operators=read_operators(owner, faults),
        managed=frozenset(_built_in(owner, getattr(owner, "managed_triggers", ()), ())),
        internal=frozenset(_built_in(owner, getattr(owner, "internal_triggers", ()), ())),
        waits_for=_built_in(owner, getattr(owner, "waits_for", {}), {}),
        queues=_built_in(owner, getattr(owner, "queues", ()), ()),
        tell=read_tell(owner, states, transitions, redact, faults),
        alarms=read_machine_alarms(owner, states, faults),
        hooks=read_hooks(owner, triggers, faults),
        payloads=payloads,
        data=data,
    )


def _triggers(states: Mapping[str, StateSpec], transitions: Sequence[TransitionSpec]) -> set[str]:
    """All that can be fired, what is only kept or ignored too."""
    return {spec.trigger for spec in transitions} | {
        name for spec in states.values() for name in spec.defer | spec.ignore
    }


def _built_in(owner: type, said: Any, nothing: Any) -> Any:
    """What a machine that comes with fsmflow says of itself; of a user's machine the attribute is the user's own."""
    return said if owner.__module__.startswith("fsmflow.") else nothing


def _sends_as(owner: type, faults: list[str]) -> frozenset[str]:
    given = getattr(owner, "sends_as", None)
    names = [given] if isinstance(given, str) else given
    if names is None:
        return frozenset()
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(n, str) and n for n in names):
        faults.append(f"sends_as={shown(given)}; it takes one or several names of roles, which its messages act with")
        return frozenset()
    return frozenset(names)


def undo_everywhere(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> dict[str, StateSpec]:
    """The states with ``on_failure`` and ``on_cancel`` of the machine applied to each."""
    wanted = {}
    for parameter in ("on_failure", "on_cancel"):
        value = getattr(owner, parameter, None)
        if value not in (None, UNDO):
            faults.append(f"{parameter}={shown(value)}; it is 'undo', or left out")
        wanted[parameter] = value == UNDO
    found = {
        name: replace(
            spec,
            undo_on_failure=spec.is_working and (spec.undo_on_failure or wanted["on_failure"]),
            undo_on_cancel=not spec.is_final and (spec.undo_on_cancel or wanted["on_cancel"]),
        )
        for name, spec in states.items()
    }
    asked = any(wanted.values()) or any(spec.undo_on_failure or spec.undo_on_cancel for spec in found.values())
    if asked and not any(spec.undo for spec in found.values()):
        faults.append("on_failure= or on_cancel= is 'undo', but no state has undo=, so there is nothing to undo")
    return found


def _version(owner: type, faults: list[str]) -> int:
    version = getattr(owner, "version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < 2**31:
        faults.append(f"version={shown(version)}; it is a whole number from 1")
        return 1
    if version > 1 and getattr(owner, "upgrade", None) is None:
        faults.append(
            f"version={version}, but there is no upgrade(self, data, from_version) that brings the data of older "
            f"entities up to it"
        )
    return version


def _hook(owner: type, name: str, arguments: int, wanted: str, faults: list[str]) -> Hook | None:
    hook = getattr(owner, name, None)
    if hook is None:
        return None
    if not inspect.isfunction(hook):
        faults.append(f"{name} is {shown(hook)}; it is a method: {wanted}")
        return None
    try:
        inspect.signature(hook).bind(object(), *[object()] * arguments)
    except TypeError:
        faults.append(f"{name} has the wrong signature {inspect.signature(hook)}; it is {wanted}")
        return None
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        faults.append(f"{name} is async or a generator; it is a plain method: {wanted}")
        return None
    return hook


def _merge(owner: type, faults: list[str]) -> Hook | None:
    """``merge``, where it is no job or guard of that name: these take nothing but the machine."""
    method = getattr(owner, "merge", None)
    if inspect.isfunction(method):
        try:
            inspect.signature(method).bind(object())
        except TypeError:
            pass
        else:
            return None
    return _hook(owner, "merge", 4, "merge(self, key, base, theirs, mine)", faults)


def _renamed(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> dict[str, str]:
    """Every former name with the name of today: chains followed, and with them the states that fsmflow makes."""
    written = getattr(owner, "renamed_states", None) or {}
    if not isinstance(written, Mapping):
        faults.append(f"renamed_states is {shown(written)}; it is a dict of old names to new ones")
        return {}
    renamed = {plain_name(old): plain_name(new) for old, new in written.items()}
    found = {}
    for old, new in renamed.items():
        last, seen = new, [old]
        while isinstance(last, str) and last not in states and last in renamed and last not in seen:
            seen.append(last)
            last = renamed[last]
        is_state = isinstance(last, str) and last in states
        if last in seen and not is_state:
            faults.append(f"renamed_states: {' -> '.join(map(_bare, [*seen, last]))} goes round in a circle")
        elif not isinstance(old, str) or not is_state:
            hint = did_you_mean(last, states)
            faults.append(f"renamed_states: {shown(old)} -> {shown(new)}: unknown state {shown(last)}{hint}")
        elif old in states:
            faults.append(f"renamed_states: {old!r} is still a state of this machine; a renamed one is not")
        else:
            found[old] = str(last)
    return {**_made_with(found, states), **found}


def _bare(name: object) -> str:
    return name if isinstance(name, str) and len(name) <= MAX_NAME else shown(name)


def _made_with(renamed: Mapping[str, str], states: Mapping[str, StateSpec]) -> dict[str, str]:
    """The states that fsmflow makes for those that were renamed."""
    prefixes = (FAILED_PREFIX, UNDOING_PREFIX, FAILED_PREFIX + UNDOING_PREFIX)
    pairs = ((prefix + old, prefix + new) for old, new in renamed.items() for prefix in prefixes)
    return {old: new for old, new in pairs if new in states and old not in states}


def _status_field(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> OwnField | None:
    status = getattr(owner, "status_field", None)
    if status is None:
        return None
    try:
        field = own_field_of(status)
    except ValueError as error:
        faults.append(str(error))
        return None
    if field.is_key:
        faults.append(f"status_field {field.name} is the primary key, which is the entity's id")
    strange = [] if field.takes is None else [name for name in states if name not in field.takes]
    if strange:
        faults.append(
            f"status_field {field.name} takes {', '.join(map(repr, sorted(field.takes or ())))}, and not state "
            f"{' or '.join(map(repr, strange))}; its type has to name each state, those that fsmflow makes included"
        )
    longest = max(states, key=len, default="")
    if field.room is not None and field.room < len(longest):
        faults.append(
            f"status_field {field.name} has room for {field.room} characters; state {longest!r} has {len(longest)}. "
            f"Give it {field.room_is.format(len(longest))} or more"
        )
    return field


def _run_on(owner: type, faults: list[str]) -> bool | None:
    given = getattr(owner, "run_on", None)
    if given is not None and not isinstance(given, bool):
        faults.append(f"run_on={shown(given)}; it is True or False")
        return None
    hook = next((name for name in ("on_transition", "on_failed") if getattr(owner, name, None) is not None), None)
    if given and hook is not None:
        faults.append(
            f"run_on=True, and there is {hook}: a hook comes after the commit of a step, and may take its time, for "
            f"which the next step would wait; leave one of the two out"
        )
    return given


def _catch_up(owner: type, faults: list[str]) -> str:
    catch_up = getattr(owner, "catch_up", "once")
    if catch_up not in CATCH_UPS:
        faults.append(f"catch_up={shown(catch_up)}; it is {' or '.join(map(repr, CATCH_UPS))}")
        return "once"
    if "catch_up" in vars(owner) and getattr(owner, "schedule", None) is None:
        faults.append("catch_up= belongs to schedule=, and there is none")
    return str(catch_up)


def _redact(owner: type, faults: list[str]) -> frozenset[str]:
    faults += [
        f"{kind.__name__}.{name} is a list of names; did you mean 'redact'? What is misspelt would hide nothing"
        for kind in owner.__mro__
        for name, value in vars(kind).items()
        if name != "redact" and _is_names(value) and difflib.get_close_matches(name, ["redact"], cutoff=_NEAR)
    ]
    redact = getattr(owner, "redact", ())
    if isinstance(redact, (list, tuple, set, frozenset)) and (not redact or _is_names(redact)):
        return frozenset(redact)
    faults.append(f"redact={shown(redact)}; it is a list of keys of data and payloads, as in redact = ['card']")
    return frozenset()


def _search(owner: type, faults: list[str]) -> tuple[str, ...]:
    given = getattr(owner, "search", ())
    names: list[Any] = list(given) if isinstance(given, (list, tuple, set, frozenset)) else [None]
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
        # A method or job of this name is the user's own.
        if not callable(given):
            faults.append(
                f"search={shown(given)}; it is a list of keys of data, each of 1 to {MAX_NAME} characters, as in "
                f"search = ['customer', 'address.city']"
            )
        return ()
    redact = getattr(owner, "redact", ())
    hidden = [name for name in names if set(name.split(".")) & set(redact if _is_names(redact) else ())]
    if hidden:
        faults.append(f"search: {hidden[0]!r} is redacted, and what is searched is stored once more as it is")
    return tuple(dict.fromkeys(names))


def _team(owner: type, faults: list[str]) -> str | None:
    given = getattr(owner, "team", None)
    if given is None or callable(given) or isinstance(given, property):
        return None  # a method or job of this name is the user's own
    if not isinstance(given, str) or not given:
        faults.append(f"team={shown(given)}; it is a key of data that says whose an entity is, as in team = 'tenant'")
        return None
    search = getattr(owner, "search", ())
    if not isinstance(search, (list, tuple, set, frozenset)) or given not in search:
        faults.append(f"team: {given!r} is not in search, by which a team finds what is its own: search = [{given!r}]")
    return given


def _is_names(value: Any) -> bool:
    several = isinstance(value, (list, tuple, set, frozenset))
    return several and bool(value) and all(isinstance(name, str) and name for name in value)
