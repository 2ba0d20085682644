"""``hold`` and ``release``, as a person at night types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from fsmflow import clock, holds
from fsmflow.cli.hold import as_moment, as_rate
from fsmflow.testing import Sandbox
from tests.cli.orders import Order
from tests.support.terminal import Terminal


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50), ("50", 50), ("30/m", 0.5), ("0.5/s", 0.5), ("90/h", 0.025)])
def test_a_rate_is_read(text: str, rate: float) -> None:
    assert as_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "5/d", "1e9/s", "/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        as_rate(text)


def test_times_are_read_on_the_clocks_here() -> None:
    now = clock.to_datetime(clock.local_now())
    for text in ("0:00", "07:30", "18:00", "23:59"):
        then = as_moment(text)
        assert timedelta(0) < then - now <= timedelta(hours=25)
        assert f"{then.astimezone():%H:%M}" == text.zfill(5)
    assert as_moment("2090-01-31T18:00+00:00") == datetime(2090, 1, 31, 18, tzinfo=UTC)
    assert timedelta(hours=1, minutes=59) < as_moment("2h") - now < timedelta(hours=2, minutes=1)
    for wrong in ("", "25:00", "soon", "-2h", "18", "0001-01-01", "999999999w"):
        with pytest.raises(click.BadParameter):
            as_moment(wrong)


def test_a_hold_is_made_shown_and_released(shell: Terminal, box: Sandbox) -> None:
    Order.start("1", lines=[]).go()
    state = Order.get("1").state
    told = shell.run("hold", "order", "--state", state, "--reason", "bank maintenance", "--actor", "ann")
    assert told.out == f"hold 1 by ann of order in {state} (bank maintenance)\n"
    box.run()
    assert shell.run("hold").out == f"hold 1 by ann of order in {state} (bank maintenance); 1 wait\n"
    assert "hold 1 by ann" in shell.run("explain", "order:1").out
    assert "hold 1 by ann" in shell.run("stats").out
    assert "kept back by hold 1" in shell.run("show", "order:1").out
    told = shell.run("release", "1", "--rate", "2/s")
    assert told.out == f"released: order in {state}; 1 waited and go on, over about 0 s\n"
    box.advance(seconds=1)
    assert Order.get("1").state != state
    assert holds.current_holds() == []
    assert "nothing is held" in shell.run("hold").err


def test_a_hold_that_there_is_not_is_told(shell: Terminal) -> None:
    done = shell.run("release", "7")
    assert (done.status, done.err) == (1, "Error: there is no hold 7; none is in force\n")
