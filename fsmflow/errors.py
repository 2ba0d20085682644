"""Every error that fsmflow raises or records, each a sentence that names the values and what would be right."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

#: The longest duration that is accepted anywhere, in seconds: 285 years. In nanoseconds it still fits into 64 bits,
#: as the timers of the system want it.
MAX_DURATION_S = 9 * 10**9
_MAX_SHOWN = 80
_REWORDED = "_fsmflow_reworded"
_NOTED = "_fsmflow_noted"


class FsmflowError(Exception):
    """The base of all errors of fsmflow."""


class ConfigurationError(FsmflowError):
    """A setting, a server or the machines that were named cannot be used as they are."""


class DatabaseUnavailable(ConfigurationError):
    """The database cannot be reached, or does not answer in time.

    ``in_doubt``: it is not known whether the change was committed; look before asking again. ``token`` is then what the
    commit would have written into the history. ``unreached``: no connection opened; ``raced``: others were first."""

    unreached = raced = False

    def __init__(self, message: str, *, in_doubt: bool = False, token: str | None = None) -> None:
        self.in_doubt = in_doubt
        self.token = token
        super().__init__(message)


class RedisUnavailable(ConfigurationError):
    """Redis cannot be used: a URL that is wrong, or an embedded server that cannot be started."""


class DefinitionError(FsmflowError):
    """A machine's definition is wrong. ``faults`` lists everything that is, one sentence each."""

    def __init__(self, machine: str, faults: Sequence[str]) -> None:
        self.machine = machine
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"machine {machine!r} has {count}:{lines}")


class DataError(FsmflowError):
    """Data, an id or a text that cannot be stored as it is."""


class DatabaseRefused(DataError):
    """The database refuses a change for good, by a rule of its own; nothing was changed.

    ``why`` has the sentence of the database. ``field`` is what ``status_field`` names where it is the user's own row
    that is refused, as it would have got ``state``; None where it is something else.
    """

    def __init__(self, address: str, sentence: str, *, state: str | None = None, field: str | None = None) -> None:
        self.address = address
        self.state = state
        self.field = field
        if field is None:
            self.why = f"the database refuses the change: {sentence}"
        else:
            self.why = f"the database refuses {state!r} in {field}: {sentence}"
        then = "what is refused has to be mended" if field is None else "let its rules allow every state of the machine"
        super().__init__(f"{address}: {self.why}. Nothing was changed; {then} before it is tried again")


class MethodError(DataError):
    """A method that a state asks for something (``timeout``, ``delay``, ``within``, ``queue``, ``each``, ``only``)
    raised, or gave what cannot be. Nothing was changed by it. What it raised is the ``__cause__``."""

    def __init__(self, address: str, state: str, parameter: str, method: str, what: str) -> None:
        self.address = address
        self.state = state
        self.method = method
        super().__init__(f"{address}: {parameter}= of {state!r} asked {method!r}, which {what}")


class EntityNotFound(FsmflowError):
    """No entity has this address, or none of the machine that was asked for it."""

    def __init__(self, address: str, *, why: str = "does not exist; 'fsmflow list' shows what does") -> None:
        self.address = address
        super().__init__(f"{address} {why}")


class EntityExists(FsmflowError):
    """An entity with this address was started before. ``state`` is None where it belongs to a team of others."""

    def __init__(self, address: str, state: str | None) -> None:
        self.address = address
        self.state = state
        there = "exists already" if state is None else f"exists already, in {state!r}"
        then = "if_exists='return' (on the command line: --if-exists return) takes it as it is"
        super().__init__(f"{address} {there}; {'choose another id' if state is None else then}")


class UnknownMachine(FsmflowError):
    """No machine of this name was found in the modules that are searched for machines."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        where = f"known are: {', '.join(self.known)}" if self.known else "no machines were found"
        super().__init__(
            f"there is no machine {name!r}{did_you_mean(name, self.known)}; {where} "
            f"(FSMFLOW_MACHINES or configure(machines=...) says where to look)"
        )


class UnknownState(FsmflowError):
    """A state that the machine's definition does not have."""

    def __init__(
        self,
        machine: str,
        state: str,
        known: Iterable[str],
        *,
        address: str | None = None,
        now: str | None = None,
        hint: str = "",
    ) -> None:
        self.machine = machine
        self.state = state
        self.address = address
        hint = f"; it was renamed and is {now!r} now" if now else hint or did_you_mean(state, known)
        if address is None:
            super().__init__(f"machine {machine!r} has no state {state!r}{hint}")
        else:
            super().__init__(
                f"{address} stands in {state!r}, a state that machine {machine!r} does not have{hint}; "
                f"it was left untouched. Deploy a definition that has the state, name it in renamed_states, or move "
                f"the entity with force"
            )


class UnknownBranch(FsmflowError, KeyError):
    """A branch whose name is not there: no step has one, or the code has no job of that name (any more)."""

    __str__ = Exception.__str__

    def __init__(self, address: str, name: str, known: Iterable[str], *, why: str | None = None) -> None:
        self.address = address
        self.name = name
        self.known = tuple(known)
        there = ", ".join(self.known) or "none"
        hint = did_you_mean(name, self.known)
        super().__init__(why or f"{address} has no branch {shown(name)}{hint}; its branches are: {there}")


class UnknownVersion(UnknownState):
    """An entity of a newer version of its machine than the code here has: that of a deployment that is under way."""

    def __init__(self, machine: str, state: str, address: str, *, stored: int, known: int) -> None:
        self.machine = machine
        self.state = state
        self.address = address
        self.stored = stored
        self.known = known
        FsmflowError.__init__(
            self,
            f"{address} is of version {stored} of machine {machine!r}, and the code here has version {known}, which is "
            f"older; it was left untouched. Run it with the code of version {stored}",
        )


class UpgradeError(DataError):
    """The ``upgrade`` of a machine could not bring the data of an entity up to the version of the code."""

    def __init__(self, address: str, stored: int, wanted: int, why: str) -> None:
        self.address = address
        super().__init__(
            f"{address}: upgrade(self, data, from_version={stored}) to version {wanted} failed with {why}. Its data is "
            f"as it was; mend upgrade, and try again"
        )


class MergeError(FsmflowError):
    """The ``merge`` of a machine could not say what becomes of data that a job and others have changed."""

    def __init__(self, address: str, key: str, why: str) -> None:
        self.address = address
        self.key = key
        super().__init__(f"{address}: merge(self, {key!r}, base, theirs, mine) raised {why}; mend merge, and try again")


class TransitionNotAllowed(FsmflowError):
    """A trigger or an action that does not apply now.

    ``state`` and ``trigger`` say what was asked, ``allowed`` what could be asked instead, and ``refusals`` what each
    guard that refused has to say. ``words`` are those among them that a guard gave with ``Refuse``, for people to read.
    """

    def __init__(
        self,
        address: str,
        state: str,
        trigger: str,
        *,
        allowed: Iterable[str] | None = None,
        refusals: Sequence[str] = (),
        words: Sequence[str] = (),
        why: str | None = None,
    ) -> None:
        self.address = address
        self.state = state
        self.trigger = trigger
        self.allowed = tuple(allowed or ())
        self.refusals = tuple(refusals)
        self.words = tuple(words)
        self.why = why
        reason = why or "; ".join(self.refusals) or f"no transition {trigger!r} starts there"
        end = "" if reason.endswith(("?", ".", "!")) else "."
        # Where nobody has looked, it is not told that nothing is allowed.
        now = "" if allowed is None else f" Allowed now: {', '.join(self.allowed) or 'nothing'}"
        super().__init__(f"{address} is in {state!r}: {trigger!r} was refused: {reason}{end}{now}")


class NestedAction(TransitionNotAllowed):
    """An action that is refused for where it is asked for: in a guard or callback, or in the job of the very entity."""

    def __init__(self, address: str, state: str, action: str, why: str) -> None:
        self.address = address
        self.state = state
        self.trigger = action
        self.allowed, self.refusals, self.words = (), (), ()
        self.why = why
        FsmflowError.__init__(self, f"{address}: {action!r} was refused: {why}")


class GuardError(FsmflowError):
    """A guard raised, or returned what is neither a verdict nor ``Refuse``. Nothing was changed.

    ``guard`` names it. What it raised is the ``__cause__``; None where it returned something wrong.
    """

    def __init__(self, address: str, state: str, trigger: str, guard: str, what: str) -> None:
        self.address, self.state, self.trigger = address, state, trigger
        self.guard, self.what = guard, what
        self.detail = f"guard {guard!r} of {trigger!r} {what}"
        super().__init__(f"{address} is in {state!r}: {self.detail}")


class NotPermitted(FsmflowError):
    """The actor has none of the ``roles`` that a transition or an action asks for, or ``words`` refuse it."""

    def __init__(
        self, address: str, trigger: str, roles: Iterable[str], actor: str | None, *, words: str | None = None
    ) -> None:
        self.address = address
        self.trigger = trigger
        self.roles = tuple(sorted(roles))
        self.actor = actor
        self.words = words
        who = f"{actor!r} has none" if actor else "no actor was given"
        needs = (
            f"{trigger!r} needs an actor with one of the roles {', '.join(self.roles)}; {who}. "
            f"Pass actor=Actor(name, roles={{...}}), or --actor and --role on the command line"
        )
        super().__init__(f"{address}: {needs if words is None else f'{trigger!r} was refused: {words}'}")


class TransitionConflict(FsmflowError):
    """Others kept moving the entity, or it is no longer where the caller saw it."""

    def __init__(self, address: str, detail: str) -> None:
        self.address = address
        super().__init__(f"{address}: {detail}. Nothing was changed; look at it again and repeat what still applies")


class KeyConflict(FsmflowError):
    """A key that was used for another request: ``used_for`` what, and ``at`` when. Nothing was changed."""

    def __init__(self, address: str, key: str, asked: str, used_for: str, at: datetime) -> None:
        self.address = address
        self.key = key
        self.trigger = asked
        self.used_for = used_for
        self.at = at
        super().__init__(
            f"{address}: {asked!r} was refused: its key {shown(key)} was used for {used_for!r} on "
            f"{at:%Y-%m-%d %H:%M:%S} UTC. Nothing was changed; a key stands for one request, so give this one its own"
        )


class Fail(FsmflowError):
    """Raised by a job: it failed for good, and no automatic retry would help."""


class RetryAfter(FsmflowError):
    """Raised by a job that cannot go on yet: run it again after so many seconds, or a timedelta. It is no failure.

    A time that is past already means at once. Raises DataError for what is no duration.
    """

    def __init__(self, seconds: float | timedelta, message: str = "") -> None:
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not _is_moderate(seconds):
            raise DataError(f"RetryAfter({shown(seconds)}): it takes seconds or a timedelta")
        self.seconds = float(max(0, seconds))
        super().__init__(message or f"run again in {self.seconds:g} s")


class SearchStopped(FsmflowError):
    """A search took too long, or read too much, and was ended; it says how to ask for less."""


class StepTimeout(FsmflowError):
    """Recorded where an attempt ran longer than the ``timeout`` of its state."""


class WorkerLost(FsmflowError):
    """Recorded where the process that ran an attempt was lost too often."""


class Cancelled(BaseException):
    """Raised inside a job by ``heartbeat()`` or ``save()``: its step is no longer wanted.

    A BaseException, so that ``except Exception`` in a job does not swallow it.
    """


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of ``known``, or nothing where none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6) if isinstance(wrong, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """``value`` as a message shows it: its repr, clipped. Never raises: a number may be too long to be written out."""
    try:
        text = str.__str__(repr(value))
    except BaseException:  # noqa: BLE001 - a message about a wrong value must not fail on the value
        text = f"<{name_of(type(value))}>"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def name_of(kind: type, *, whole: bool = False) -> str:
    """The name of a class, whatever its metaclass makes of it; ``whole``: with its module, as tracebacks have it."""
    written = vars(type)
    name: str = written["__qualname__" if whole else "__name__"].__get__(kind)
    module = written["__dict__"].__get__(kind).get("__module__") if whole else None
    return f"{module}.{name}" if isinstance(module, str) and module not in ("builtins", "__main__") else name


def text_of(error: BaseException) -> str:
    """The message of an error, whatever its class made of ``__str__``; that of ``reword`` where there is one."""
    reworded = _kept(error).get(_REWORDED)
    if isinstance(reworded, str):
        return reworded
    try:
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001 - it is the user's class, and the error itself must not get lost
        return "(its message cannot be shown)"


def reword(error: BaseException, text: str) -> None:
    """Have ``text_of``, and so every log line, say ``text`` of an error that its caller gets as it is."""
    _kept(error)[_REWORDED] = text


def note(error: BaseException, text: str) -> None:
    """Have ``noted``, and every traceback, say ``text`` of an error that its caller gets as it is."""
    kept = _kept(error)
    kept[_NOTED] = text
    notes = kept.setdefault("__notes__", [])
    if type(notes) is list and text not in notes:
        notes.append(text)


def noted(error: BaseException) -> str:
    """What ``note`` said of an error, to follow its message; nothing where nothing was."""
    text = _kept(error).get(_NOTED)
    return f" [{text}]" if isinstance(text, str) else ""


def _kept(error: BaseException) -> dict[str, Any]:
    """The attributes of an error as Python keeps them: its class may be frozen, or answer anything."""
    kept: dict[str, Any] = vars(BaseException)["__dict__"].__get__(error)
    return kept


def _is_moderate(seconds: float) -> bool:
    return seconds <= MAX_DURATION_S and not math.isnan(seconds)
