"""Everything that is fuzzed, by name, and what counts as good for classes and texts."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from hypothesis import strategies as st

from fsmflow import DataError, DefinitionError, FsmflowError, Machine, State, codec
from fsmflow.cli.fields import as_field, as_object
from fsmflow.cli.options import as_milliseconds
from fsmflow.definition.model import Definition
from fsmflow.definition.retry import is_duration
from fsmflow.diagram import mermaid
from fsmflow.dispatch.tickets import HostileJob
from fsmflow.engine.runtime import current
from fsmflow.queries import resolve
from fsmflow.testing import sandbox
from tests.attacks.fuzz.cli import LINES, command_lines
from tests.attacks.fuzz.definitions import CLASSES
from tests.attacks.fuzz.driver import ACCEPTED, LONGEST_FAULT, Check, Servers, Target, named
from tests.attacks.fuzz.inputs import ALIKE, PLANTED, TEXTS, VALUES, WRITTEN, build
from tests.attacks.fuzz.payloads import WAYS, payloads
from tests.attacks.fuzz.planted import planted_jobs, read_planted
from tests.support.machines import Counter, Order
from tests.support.walk import definition_of


@contextmanager
def definitions(servers: Servers) -> Iterator[Check]:
    """Class bodies: a machine that draws and starts, or a DefinitionError that says what is wrong."""
    yield lambda body: [_class_of(body)]


def _class_of(body: Mapping[str, Any]) -> str:
    try:
        machine = type("Garbage", (Machine,), dict(body))
    except DefinitionError as error:
        return _told(error)
    if "_definition" not in vars(machine):
        return "only a base"
    check_definition(definition_of(machine))
    assert mermaid(definition_of(machine), everything=True).startswith("stateDiagram-v2\n")
    return _started(machine)


def _told(error: DefinitionError) -> str:
    assert error.faults
    assert all(isinstance(fault, str) and 0 < len(fault) < LONGEST_FAULT for fault in error.faults), error.faults
    return type(error).__name__


def _started(machine: type[Machine]) -> str:
    """Whatever it calls is the user's and may raise; what fsmflow raises itself has a name."""
    with sandbox([machine]) as box:
        try:
            machine.start("1")
            box.run()
        except FsmflowError as error:
            return f"{ACCEPTED}, start: {type(error).__name__}"
        except Exception as error:
            if not _is_a_callbacks(error):
                raise
            return f"{ACCEPTED}, start: a callback's error"
    return ACCEPTED


def _is_a_callbacks(error: BaseException) -> bool:
    """Whether it was raised where a callback of the class is called: odd ones such as ``len`` have no frame."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name in CALLING for frame, _ in frames)


#: The functions of fsmflow that call what users wrote.
CALLING = frozenset({"due_after", "check", "callback", "call_on_enter", "_work_for"})


def check_definition(definition: Definition) -> None:
    """Nothing was accepted that the floors above would stumble over."""
    for name, spec in definition.states.items():
        assert type(name) is str
        assert spec.is_working == (spec.job is not None or spec.fan is not None)
        assert spec.limit_ms is None or spec.limit_ms > 0
        assert isinstance(spec.queue, str) or callable(spec.queue)
        assert spec.timer is None or callable(spec.timer.after) or is_duration(spec.timer.after)
        if spec.retry is not None:
            assert all(spec.retry.delay_ms(failures, 0.5) >= 0 for failures in (1, 2, 1_000_000))
            assert spec.retry.applies_to(OSError) in (True, False)
    for item in definition.transitions:
        assert item.source in definition.states
        assert item.dest is None or item.dest in definition.states
        assert len(item.guards) == len(item.conditions) + len(item.unless)
        callbacks = (*item.conditions, *item.unless, *item.prepare, *item.before, *item.after)
        assert all(callable(callback) for callback in callbacks)


@contextmanager
def texts(servers: Servers) -> Iterator[Check]:
    """What people write: addresses, cron, durations, fields; and the data of a job, which nobody should."""
    with sandbox([Order, Counter]):
        Order.start("1", lines=[1])
        yield lambda drawn: [_read(*drawn)]


def _read(kind: str, text: Any) -> str:
    return named(lambda: _READERS[kind](build(text)), *_REFUSALS.get(kind, (click.BadParameter,)))


def _scheduled(text: str) -> None:
    body = {
        "initial": "open",
        "states": ["open", State("shut", final=True)],
        "transitions": [["close", "open", "shut"]],
    }
    type("Scheduled", (Machine,), {**body, "schedule": text})


def _read_job(data: Any) -> None:
    read_planted(data, "ours")


def _as_field(text: str) -> None:
    """A field that was read can be stored, or is refused as data are."""
    try:
        codec.encode(dict([as_field(text)]))
    except DataError:
        return


_READERS: dict[str, Callable[[Any], Any]] = {
    "address": lambda text: resolve(current(), text),
    "cron": _scheduled,
    "duration": as_milliseconds,
    "field": _as_field,
    "object": as_object,
    "job": _read_job,
}
_REFUSALS: dict[str, tuple[type[BaseException], ...]] = {
    "address": (FsmflowError,),
    "cron": (DefinitionError,),
    "job": (HostileJob,),
}

TARGETS: dict[str, Target] = {
    "definitions": Target(CLASSES, definitions),
    "cli": Target(LINES, command_lines),
    "payloads": Target(st.tuples(st.sampled_from(WAYS), st.one_of(VALUES, TEXTS, ALIKE)), payloads),
    "planted": Target(st.lists(PLANTED, min_size=1, max_size=25), planted_jobs, round=40),
    "texts": Target(WRITTEN, texts),
}
