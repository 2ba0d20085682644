"""What the log says of a step that ends: one line, with the address, the way, the attempt and the time."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import Fail, Machine, Retry, RetryAfter, State
from fsmflow.log.lines import LogFields
from fsmflow.testing import sandbox

Job = Callable[[Any], Any]


class Parcel(Machine):
    initial = "new"
    states = [
        "new",
        State("packing", job="pack", retry=Retry(max=1, interval=10, jitter=0)),
        State("asking", job="pack", wait=True),
        State("weighing", job="weigh", each="items"),
        State("shipped", final=True),
        State("returned", final=True),
    ]
    transitions = [
        ["pack_it", "new", "packing"],
        ["ask", "new", "asking"],
        ["weigh_it", "new", "weighing"],
        ["done", "packing", "shipped"],
        ["fail", "packing", "returned", "is_lost"],
        ["ship", "asking", "shipped"],
        ["done", "weighing", "shipped"],
    ]
    act: Any = None

    def is_lost(self) -> bool:
        return bool(self.data.get("lost"))

    def pack(self) -> Any:
        return type(self).act(self) if type(self).act is not None else None

    def weigh(self, item: int) -> None:
        if item < 0:
            raise Fail("too light")


class Secret(Parcel):
    name = "secret"
    redact = ["card"]


def told(
    caplog: pytest.LogCaptureFixture, trigger: str, act: Job | None = None, kind: type[Parcel] = Parcel, **data: Any
) -> list[logging.LogRecord]:
    """The lines of one parcel, until nothing more goes on with it."""
    kind.act = None if act is None else staticmethod(act)
    caplog.handler.addFilter(LogFields())
    with caplog.at_level(logging.INFO, "fsmflow"), sandbox(machines=[kind]) as box:
        kind.start("1", **data).trigger(trigger)
        box.advance(seconds=60)
    caplog.handler.filters.clear()
    return [record for record in caplog.records if record.name == "fsmflow"]


def words(record: logging.LogRecord) -> str:
    """A line, without what differs from run to run."""
    line = re.sub(r"\b\d+(\.\d)? (ms|s)\b", "T", record.getMessage())
    return re.sub(r"\d\d:\d\d:\d\d", "H", line)


def slow(parcel: Any) -> None:
    raise TimeoutError("the scale is slow")


def test_a_step_that_is_done_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = told(caplog, "pack_it")
    assert (line.levelname, words(line)) == ("INFO", "step.done: parcel:1 packing -> shipped, attempt 1, T")
    names = ("event", "address", "machine", "state", "attempt", "epoch")
    assert [getattr(line, name) for name in names] == ["step.done", "parcel:1", "parcel", "packing", 1, 2]


def test_one_that_will_be_retried_is_told_apart_from_one_that_failed_for_good(caplog: pytest.LogCaptureFixture) -> None:
    first, last = told(caplog, "pack_it", slow)
    why = "T: TimeoutError: the scale is slow"
    assert (first.levelname, first.exc_info) == ("WARNING", None)
    assert words(first) == f"attempt.failed: parcel:1 packing, attempt 1, {why}; attempt 2 in T, at H UTC"
    assert last.levelname == "ERROR"
    retry = "to retry it: fsmflow retry parcel:1"
    assert words(last) == f"step.failed: parcel:1 packing -> failed_from_packing, attempt 2, {why}; {retry}"
    assert last.exc_info is not None
    assert isinstance(last.exc_info[1], TimeoutError)
    assert "in slow\n" in str(last.exc_text)
    assert "fsmflow/running" not in str(last.exc_text)


def test_a_failure_that_a_transition_catches_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    line = told(caplog, "pack_it", slow, lost=True)[-1]
    assert (line.levelname, line.exc_info is not None) == ("WARNING", True)
    assert words(line).startswith("step.caught: parcel:1 packing -> returned, attempt 2, T: TimeoutError: the scale")


def test_a_job_that_asks_for_more_time_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    def later(parcel: Any) -> None:
        if parcel.attempt == 1:
            raise RetryAfter(20)

    first, last = map(words, told(caplog, "pack_it", later))
    assert first == "attempt.postponed: parcel:1 packing, attempt 1, as the job asked; attempt 2 in T, at H UTC"
    assert last == "step.done: parcel:1 packing -> shipped, attempt 2, T"


def test_a_job_that_asks_and_waits_has_returned(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = told(caplog, "ask")
    assert words(line) == "step.waits: parcel:1 asking, attempt 1, T; the job has returned, and the entity waits"


def test_branches_and_their_join_are_told_each(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, "weigh_it", items=[1, -1])
    assert [words(line) for line in lines if line.levelname == "INFO"] == [
        "step.done: parcel:1/weighing/0 weighing -> done, attempt 1, T"
    ]
    branch, parent = (line for line in lines if line.levelname == "ERROR")
    assert branch.exc_info is not None
    assert words(branch).endswith("Fail: too light; to retry it: fsmflow retry parcel:1/weighing/1")
    assert (bool(branch.exc_text), parent.exc_text) == (True, None)  # the same traceback is not told twice
    assert words(parent).startswith("step.failed: parcel:1 weighing -> failed_from_weighing")
    why = "BranchesFailed: Fail: too light (1 branch failed: parcel:1/weighing/1)"
    assert words(parent).endswith(f", attempt 1, T: {why}; to retry it: fsmflow retry parcel:1")


def test_what_is_redacted_is_in_no_line_and_in_no_error_that_is_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(parcel: Any) -> None:
        raise Fail(f"no money on {parcel.data['card']}")

    (line,) = told(caplog, "pack_it", refuse, Secret, card="4111 1111")
    assert line.exc_info is None
    assert "Fail: no money on [redacted]" in line.getMessage()
    assert "in refuse\n" in str(line.exc_text)
    assert "4111" not in caplog.text


def test_what_a_job_left_in_its_variables_is_let_go_before_its_end_is_decided(caplog: pytest.LogCaptureFixture) -> None:
    """It may be a connection that holds a lock which the commit needs."""
    left: list[weakref.ref[Thing]] = []
    alive: list[bool] = []

    class Thing:
        pass

    class Holding(Parcel):
        name = "holding"

        def is_lost(self) -> bool:
            alive.extend(one() is not None for one in left)
            return True

    def inner() -> None:
        thing = Thing()
        left.append(weakref.ref(thing))
        raise ConnectionError("gone")

    def hold(parcel: Any) -> None:
        thing = Thing()
        left.append(weakref.ref(thing))
        try:
            inner()
        except ConnectionError as error:
            raise ExceptionGroup("two", [Fail("no"), ValueError("odd")]) from error

    line = told(caplog, "pack_it", hold, Holding)[-1]
    assert alive == [False, False]
    assert line.exc_info is not None
    assert "in hold\n" in str(line.exc_text)


def test_a_line_that_nobody_wants_is_not_put_together(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL, "fsmflow"), sandbox(machines=[Parcel]) as box:
        Parcel.act = staticmethod(slow)
        Parcel.start("1").trigger("pack_it")
        box.advance(seconds=60)
    assert caplog.records == []
