"""``Hook``: which webhooks of others fire which triggers of a machine."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from fsmflow.definition.names import ENGINE_TRIGGERS, MAX_NAME
from fsmflow.errors import DataError, did_you_mean, name_of, shown, text_of
from fsmflow.signatures import Verifier

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COMPARED: Final = re.compile(r"\s*([^\s=!]+)\s*(==|!=)\s*(.*?)\s*")
_FORM: Final = "it is a list, as in hooks = [Hook('stripe', trigger='paid', entity='data.order', verify=Stripe(...))]"

#: What a user's function is called with: the body, as JSON has it.
Reader = Callable[[Any], Any]


class Hook:
    """What is posted to ``/hooks/<name>`` fires ``trigger`` on an entity, once it is known by ``verify`` who has sent
    it.

    ``entity``: where in the body the id stands, ``"data.object.metadata.order"``, or a function of the body. ``event``:
    for which events: names, or patterns of names, as the sender has them, or a comparison of a field, ``"status ==
    paid"``, or a function of the body; for all of them, if not given. ``payload``: what comes with the trigger: a dict
    of names and places in the body, the place of an object there, or a function of the body; nothing, if not given.
    ``roles``: those that the hook acts with. Raises DataError.
    """

    __slots__ = ("entity", "event", "name", "payload", "roles", "trigger", "verify")

    def __init__(
        self,
        name: str,
        *,
        trigger: str,
        entity: str | Reader,
        verify: Verifier,
        event: str | Sequence[str] | Reader | None = None,
        payload: Mapping[str, str] | str | Reader | None = None,
        roles: Iterable[str] = (),
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DataError(f"Hook({shown(name)}): its name has 1 to 64 letters, digits, dots, hyphens or underscores")
        where = f"Hook({name!r}, ...)"
        if not isinstance(trigger, str) or not trigger:
            raise DataError(f"{where}: trigger={shown(trigger)}; it takes the name of a trigger")
        if not isinstance(verify, Verifier):
            raise DataError(
                f"{where}: verify={shown(verify)}; it takes one of fsmflow.signatures, as in Stripe('env:SECRET'): "
                f"what nobody has signed fires nothing"
            )
        self.name, self.trigger, self.verify = name, trigger, verify
        self.entity = _place(f"{where}: entity", entity)
        self.event = _events(where, event)
        self.payload = _payload(where, payload)
        given = [roles] if isinstance(roles, str) else list(roles)
        if not all(isinstance(role, str) and role for role in given):
            raise DataError(f"{where}: roles={shown(roles)}; it takes names of roles")
        self.roles = frozenset(given)

    def __repr__(self) -> str:
        return f"Hook({self.name!r}, trigger={self.trigger!r}, verify={self.verify!r})"

    def means(self, name: str | None, body: Any) -> bool:
        """Whether an event is one of its own. Raises DataError for what its function raises."""
        if self.event is None:
            return True
        if callable(self.event):
            return bool(_called(f"Hook({self.name!r}): event", self.event, body))
        return any(_fits(one, name, body) for one in self.event)

    def entity_of(self, body: Any) -> str | int:
        """The id that an event names. Raises DataError where there is none."""
        where = f"Hook({self.name!r}): entity"
        found = _called(where, self.entity, body) if callable(self.entity) else value_in(body, self.entity)
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            named = "its function" if callable(self.entity) else repr(self.entity)
            raise DataError(f"{where}: {named} gave {shown(found)}; it is the id of an entity")
        return found

    def payload_of(self, body: Any) -> dict[str, Any]:
        """What comes with the trigger. Raises DataError where that is no mapping."""
        if self.payload is None:
            return {}
        where = f"Hook({self.name!r}): payload"
        if isinstance(self.payload, Mapping):
            return {name: value_in(body, place) for name, place in self.payload.items()}
        found = _called(where, self.payload, body) if callable(self.payload) else value_in(body, self.payload)
        if not isinstance(found, Mapping):
            raise DataError(f"{where} is {shown(found)}; it is an object with fields")
        return dict(found)


def value_in(body: Any, place: str) -> Any:
    """What stands in a body; None where nothing does. Only objects are entered, by their keys."""
    for name in place.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def read_hooks(owner: type, known: Collection[str], faults: list[str]) -> tuple[Hook, ...]:
    """The hooks of a class. ``known``: the triggers that its machine has."""
    given = getattr(owner, "hooks", None)
    if given is None or inspect.isroutine(given) or isinstance(given, property):
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(one, Hook) for one in given):
        faults.append(f"hooks={shown(given)}; {_FORM}")
        return ()
    found: list[Hook] = list(given)
    faults += [fault for one in found for fault in _faults(one, known)]
    faults += _shadowed(found)
    return tuple(found)


def _faults(hook: Hook, known: Collection[str]) -> Iterator[str]:
    if hook.trigger in ENGINE_TRIGGERS:
        yield f"hooks: {hook.name!r} fires {hook.trigger!r}, which belongs to the engine"
    elif hook.trigger not in known:
        yield f"hooks: {hook.name!r} fires {hook.trigger!r}, and there is no such trigger" + did_you_mean(
            hook.trigger, known
        )


def _shadowed(hooks: Sequence[Hook]) -> Iterator[str]:
    """Of several hooks of one name the first fires that means an event."""
    first: dict[str, Hook] = {}
    whole: set[str] = set()
    for hook in hooks:
        if hook.name in whole:
            yield f"hooks: the one before this means every event of {hook.name!r}, so {hook!r} never fires; say event="
        if first.setdefault(hook.name, hook).verify != hook.verify:
            yield f"hooks: {hook.name!r} is there twice, and is verified in two ways"
        if hook.event is None:
            whole.add(hook.name)


def _place(what: str, given: object) -> str | Reader:
    if callable(given):
        return given
    if not isinstance(given, str) or not all(given.split(".")) or len(given) > MAX_NAME * 4:
        raise DataError(f"{what}={shown(given)}; it takes a place in the body, as 'data.order', or a function of it")
    return given


def _events(where: str, given: Any) -> tuple[str, ...] | Reader | None:
    if given is None or callable(given):
        return given  # type: ignore[no-any-return]
    several: list[Any] = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not several or not all(isinstance(one, str) and one.strip() for one in several):
        raise DataError(
            f"{where}: event={shown(given)}; it takes names of events, or a comparison as in 'status == paid', or a "
            f"function of the body"
        )
    wrong = next((one for one in several if ("==" in one or "!=" in one) and not _COMPARED.fullmatch(one)), None)
    if wrong is not None:
        raise DataError(f"{where}: event={shown(wrong)}; a comparison is 'place == value' or 'place != value'")
    return tuple(one.strip() for one in several)


def _payload(where: str, given: Any) -> Mapping[str, str] | str | Reader | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        for name, place in given.items():
            if not isinstance(name, str) or not isinstance(place, str):
                raise DataError(f"{where}: payload={shown(given)}; it takes names, each with a place in the body")
        return {name: str(_place(f"{where}: payload", place)) for name, place in given.items()}
    return _place(f"{where}: payload", given)


def _fits(wanted: str, name: str | None, body: Any) -> bool:
    compared = _COMPARED.fullmatch(wanted)
    if compared is None:
        return name is not None and fnmatchcase(name, wanted)
    found = value_in(body, compared[1])
    text = {True: "true", False: "false", None: "null"}.get(found) if _is_word(found) else str(found)
    return (text == compared[3].strip("'\"")) == (compared[2] == "==")


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _called(where: str, function: Reader, body: Any) -> Any:
    try:
        return function(body)
    except Exception as error:
        raise DataError(f"{where} raised {name_of(type(error))}: {text_of(error)}") from error
