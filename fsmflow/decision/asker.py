"""In whose code this is: a guard's or callback's, a job's, or neither. What that code must not ask for is refused.

A guard or callback commits nothing: its own transition may still be refused, and what it had committed elsewhere would
stay. A job acts on any entity but its own, whose step it would leave, or begin again, in its midst. It is known by the
context, so that a handle which the code makes for itself is no way around.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Final

from fsmflow.errors import NestedAction
from fsmflow.values import dataclass

START: Final = "start"
#: What no message can ask for.
_OPERATORS: Final = frozenset(
    {
        *("pause", "resume", "skip", "rewind", "force", "start_many", "wait", "save"),
        *("pause_schedule", "resume_schedule", "run_schedule", "backfill_schedule"),
    }
)
_LOOKS: Final = frozenset({"triggers", "allowed_triggers", "explain", "what_if"})


@dataclass(frozen=True)
class _Asker:
    """``address`` is that of the entity whose code it is. ``own``: all that a job must not act on, None for a guard or
    callback."""

    address: str
    own: frozenset[str] | None


_asker: ContextVar[_Asker | None] = ContextVar("fsmflow_asker", default=None)


class _Inside(AbstractContextManager[None]):
    """Written out, as it is entered twice a step."""

    def __init__(self, asker: _Asker | None) -> None:
        self._inside = asker

    def __enter__(self) -> None:
        self._before: Token[_Asker | None] = _asker.set(self._inside)

    def __exit__(self, *_: object) -> None:
        _asker.reset(self._before)


def deciding(address: str) -> AbstractContextManager[None]:
    """Inside, the code of the user's is a guard or callback of this entity."""
    return _Inside(_Asker(address, None))


def working(address: str, *above: str) -> AbstractContextManager[None]:
    """Inside, it is the job of this entity; ``above`` is the parent that the job of a branch speaks for."""
    return _Inside(_Asker(address, frozenset({address, *above})))


def outside() -> AbstractContextManager[None]:
    """Inside, it is neither, whatever called it: a hook."""
    return _Inside(None)


def permit(action: str, target: str, state: str = "") -> None:
    """Raises NestedAction where the code that asks must not do so."""
    asker = _asker.get()
    if asker is None:
        return
    if asker.own is None:
        raise of_callback(action, target, state, asker.address)
    if target in asker.own and action not in _LOOKS and action != START:
        raise of_job(action, target, state, asker.address)


def of_callback(action: str, target: str, state: str, asker: str) -> NestedAction:
    """The error for an action that a guard or callback of ``asker`` asked for."""
    to = "" if target == asker else f", to={target!r}"
    if action in _LOOKS:
        advice = "that asks guards, which would ask guards again"
    elif action == START:
        advice = f"self.send(trigger, to={target!r}, start={{...}}) starts it with the transition"
    elif action in _OPERATORS:
        advice = "do that in a job, or once the transition is made"
    else:
        advice = f"self.send({action!r}{to}) is committed with the transition"
    whose = "" if target == asker else f" (here those of {asker})"
    why = (
        f"guards and callbacks cannot fire, start, save or wait{whose}, as their own transition may still be refused; "
        f"{advice}"
    )
    return NestedAction(target, state, action, why)


def of_job(action: str, target: str, state: str, asker: str) -> NestedAction:
    """The error for an action that the job of ``asker`` asked for on its own entity."""
    branch = target != asker
    if action == "wait":
        advice = "it would wait for its own end"
    elif action == "retry":
        advice = "raise RetryAfter(seconds) to have it run again"
    elif action in _OPERATORS:
        advice = "return Outcome(...) with a trigger that the machine has for it"
    elif branch:
        advice = f"self.send({action!r}) is committed with the end of the branch, and goes to the parent"
    else:
        advice = f"return Outcome({action!r}) to leave by it, or self.send({action!r}), committed with the job's end"
    whose = f"the job of {asker}, a branch of it," if branch else "its own job"
    why = f"{whose} asked for it, in the midst of the step that it would leave or begin again; {advice}"
    return NestedAction(target, state, action, why)
