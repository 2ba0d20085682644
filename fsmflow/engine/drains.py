"""Drains: hosts whose workers take nothing new and end what they run, as for a new release; one fact in the database.

Each supervisor reads it once a second, or up to every ten seconds where there are hundreds of them; and before it puts
anybody to work, so that it holds for one that is started anew too. It stays until it is taken back, whoever dies
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow import clock, codec, log
from fsmflow.decision.inputs import Actor, checked_reason, checked_text
from fsmflow.decision.permission import Gate
from fsmflow.definition.operators import DRAIN
from fsmflow.engine.commits import TRIES, until_first
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import permit_whole, reach_of
from fsmflow.errors import DataError, NotPermitted, TransitionConflict, shown
from fsmflow.log import drains as lines
from fsmflow.values import dataclass

#: More of them would be read by each supervisor, each second.
MOST: Final = 1_000
_FACT: Final = "drains"
_MAX_HOST: Final = 255


@dataclass(frozen=True, kw_only=True)
class Drain:
    """``at``: since when, in UTC milliseconds. Its ``str()`` is for people."""

    host: str
    at: int
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        by, why = f" by {self.by}" if self.by else "", f" ({self.reason})" if self.reason else ""
        return f"host {self.host} drains since {clock.to_datetime(self.at):%Y-%m-%d %H:%M:%S} UTC{by}{why}"


def drains(runtime: Runtime) -> dict[str, Drain]:
    """Those that there are, by host. One query."""
    return _of_text(runtime.store.meta.get([_FACT]).get(_FACT))


def drain(runtime: Runtime, host: str, *, actor: Actor | None, reason: str | None = None) -> Drain:
    """Have the workers of a host take nothing new and end what they run. One that drains already stays as it is. Raises
    NotPermitted, DataError, and TransitionConflict where others kept changing it."""
    _permit(runtime, actor)
    checked_text(host, "host", limit=_MAX_HOST)
    by = None if actor is None else actor.name
    made = Drain(host=host, at=runtime.now(), by=by, reason=checked_reason(reason))

    def add(found: dict[str, Drain]) -> dict[str, Drain]:
        if host not in found and len(found) >= MOST:
            raise DataError(f"{MOST:,} hosts drain already; take some of that back first: fsmflow drain HOST --undo")
        return {host: made, **found}

    found = _change(runtime, add)[host]
    if found == made:
        lines.asked(str(made))
    return found


def undo(runtime: Runtime, host: str, *, actor: Actor | None) -> Drain:
    """Have the workers of a host work again; what it was. Raises NotPermitted, DataError where it does not drain."""
    _permit(runtime, actor)
    gone: list[Drain] = []

    def take(found: dict[str, Drain]) -> dict[str, Drain]:
        if host not in found:
            there = ", ".join(sorted(found)) or "none does"
            raise DataError(f"host {shown(host)} does not drain; those that do: {there}")
        gone[:] = [found[host]]
        return {name: each for name, each in found.items() if name != host}

    _change(runtime, take)
    lines.undone(host, None if actor is None else actor.name)
    return gone[0]


def lets(runtime: Runtime, actor: Actor | None) -> bool:
    """Whether an actor may do so. Nothing is logged, as nothing was tried."""
    return _refusal(runtime, actor) is None and reach_of(runtime, actor) is None


def told(found: dict[str, Drain]) -> str:
    """How it is told to whoever waits for a worker: what drains, and how that ends; nothing where nothing does."""
    return "".join(f"; {each}: 'fsmflow drain {host} --undo' ends that" for host, each in list(found.items())[:3])


def _permit(runtime: Runtime, actor: Actor | None) -> None:
    refusal = _refusal(runtime, actor)
    if refusal is not None:
        log.permission_refused(refusal)
        raise refusal
    permit_whole(runtime, None, DRAIN, actor)


def _refusal(runtime: Runtime, actor: Actor | None) -> NotPermitted | None:
    """It is open to everybody where no role has a permission."""
    permissions = runtime.settings.permissions
    if permissions is None or not permissions.closes:
        return None
    return Gate(permissions=permissions).of_installation(DRAIN, actor)


def _change(runtime: Runtime, change: Callable[[dict[str, Drain]], dict[str, Drain]]) -> dict[str, Drain]:
    """Change the fact by compare-and-set, anew as long as others do so first; what it is then."""
    meta, link = runtime.store.meta, runtime.store.link

    def change_once(turn: int) -> dict[str, Drain] | None:
        text = meta.get([_FACT]).get(_FACT)
        changed = change(_of_text(text))
        told = codec.encode([vars(each) for each in changed.values()], what="drains")
        if text is None:
            return changed if meta.add(_FACT, told) else None
        old = text
        return changed if text == told or link.write(lambda: meta.swap(_FACT, old, told)) else None

    found = until_first(change_once)
    if found is None:
        raise TransitionConflict("the drains", f"others changed them in each of {TRIES} tries")
    return found


def _of_text(text: str | None) -> dict[str, Drain]:
    return {} if text is None else {each["host"]: Drain(**each) for each in codec.decode(text)}
