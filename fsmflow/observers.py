"""Who looks on as entities are asked for something, run and fail: OpenTelemetry, Sentry. Nobody, unless asked to.

Nothing that they do decides anything, and what goes wrong with them is logged and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import field
from typing import Any, Final

from fsmflow.log import endings
from fsmflow.scope import scope
from fsmflow.values import dataclass

#: What became of an attempt that failed: it is run again, a transition of the user's led on, or the entity rests.
RETRIED: Final = "retried"
CAUGHT: Final = "caught"
RESTS: Final = "rests"


@dataclass(frozen=True, kw_only=True)
class Step:
    """An entity in a state: what a request led to, or an attempt. ``queue``: where a worker takes it from, if it runs a
    job. ``trigger``: what first entered the step. ``cause``: what it was begun by, as W3C's traceparent. ``crashed``:
    the worker of the attempt before was lost."""

    machine: str
    address: str
    state: str
    epoch: int
    queue: str | None = None
    attempt: int | None = None
    trigger: str | None = None
    cause: str | None = None
    crashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks for: ``operation`` is ``trigger``, ``start`` or an action of operators. ``address`` is None
    where many entities are started at once."""

    operation: str
    machine: str
    address: str | None = None
    trigger: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failing:
    """An attempt or a step that failed. No text here has what the machine redacts; ``raised``, the error itself, does
    where it ``redacts``. ``outcome``: what became of it. ``data`` reads those of the entity, without what is redacted.
    """

    step: Step
    outcome: str
    error_type: str
    message: str
    traceback: str
    fingerprint: str
    retry: str
    release: str | None = None
    redacts: bool = False
    raised: BaseException | None = field(default=None, repr=False, compare=False)
    data: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The entity of a tick of a schedule was started, is finished, or failed: ``ok`` is None, True or False."""

    machine: str
    address: str
    cron: str
    zone: str
    ok: bool | None = None
    seconds: float | None = None


class Observer:
    """One who looks on, and here does nothing. What ``..._begins`` gives is handed to ``..._ends``, in the same
    context."""

    #: What it is called where people are told of it.
    name = ""

    @property
    def is_on(self) -> bool:
        """Whether anything comes of it."""
        return True

    def carried(self) -> str | None:
        """What is going on here, as W3C's traceparent: kept with the work that comes of it."""
        return None

    def request_begins(self, request: Request) -> Any:
        """Somebody asks for something."""

    def request_ends(self, begun: Any, led_to: Step | None, error: BaseException | None) -> None:
        """What it led to, or what was raised in its place."""

    def attempt_begins(self, step: Step) -> Any:
        """An attempt has been claimed."""

    def attempt_ends(self, begun: Any, error: BaseException | None) -> None:
        """It has been settled, with all that followed. ``error``: what was raised past that."""

    def failed(self, failing: Failing) -> None:
        """An attempt or a step failed, which is committed. Told by the process that found it out."""

    def ticked(self, tick: Tick) -> None:
        """What became of the entity of a tick, which is committed."""


#: Those who look on in this process.
watching: Final[list[Observer]] = []

_cause: ContextVar[str | None] = ContextVar("fsmflow_cause", default=None)


def watch(observer: Observer) -> None:
    """From now on this one looks on, in the place of one of the same class."""
    watching[:] = [*(each for each in watching if type(each) is not type(observer)), observer]


def carried() -> str | None:
    """What is going on here, for the work that comes of it: a span, else what has caused what is being decided."""
    for observer in watching:
        trace = _safely(observer, observer.carried)
        if trace is not None:
            return str(trace)
    return _cause.get()


def caused_by(trace: str | None) -> AbstractContextManager[None]:
    """Inside, that is what has caused whatever is decided, where no span tells. The first one who says so is right."""
    return nullcontext() if trace is None or _cause.get() is not None else _causing(trace)


@scope
def _causing(trace: str) -> Iterator[None]:
    before = _cause.set(trace)
    try:
        yield
    finally:
        _cause.reset(before)


@scope
def attempted(step: Step) -> Iterator[None]:
    """Inside, an attempt runs."""
    begun = [(each, _safely(each, each.attempt_begins, step)) for each in watching]
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        for each, what in reversed(begun):
            _safely(each, each.attempt_ends, what, error)


@scope
def requested(request: Request) -> Iterator[list[Step]]:
    """Inside, something is asked for; what that leads to is to be appended to what is yielded."""
    begun = [(each, _safely(each, each.request_begins, request)) for each in watching]
    led_to: list[Step] = []
    error: BaseException | None = None
    try:
        yield led_to
    except BaseException as raised:
        error = raised
        raise
    finally:
        for each, what in reversed(begun):
            _safely(each, each.request_ends, what, led_to[0] if led_to else None, error)


def tell_failed(failing: Failing) -> None:
    """Tell all of a failure."""
    for each in watching:
        _safely(each, each.failed, failing)


def tell_ticked(tick: Tick) -> None:
    """Tell all of the entity of a tick."""
    for each in watching:
        _safely(each, each.ticked, tick)


def _safely(observer: Observer, call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the step goes on
        endings.observer_failed(observer.name, error)
        return None
