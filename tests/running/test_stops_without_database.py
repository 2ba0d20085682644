"""A worker that is told to stop while nothing can be recorded: it keeps what it has, and ends when told again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import fsmflow
from tests.support.eventually import eventually
from tests.support.process_flows import Chain
from tests.support.processes import World

pytestmark = pytest.mark.alone

#: What the page on deployment promises of a second SIGTERM, whatever the database does.
PROMISED_S = 30.0


@contextmanager
def locked() -> Iterator[None]:
    """Inside, nothing can be written to the database."""
    url = str(fsmflow.settings.current().database_url)
    held = sqlite3.connect(url.partition("sqlite:///")[2], timeout=30, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        held.execute("ROLLBACK")
        held.close()


def running(place: World) -> Chain:
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    place.effect("1", "two")
    return chain


def test_a_result_is_kept_until_it_can_be_recorded_and_then_the_supervisor_ends(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    chain = running(place)
    with locked():
        supervisor.terminate()
        eventually(lambda: "finishing the running steps" in supervisor.log, what="the beginning of the end")
        place.open("gate")
        eventually(lambda: "cannot be committed yet" in supervisor.log, within=60, what="a result that cannot be kept")
        assert supervisor.process.poll() is None
    assert supervisor.ended(within=60) == 0
    assert (chain.refresh().state, chain.data["two"]) == ("three", 1)
    assert [effect.attempt for effect in place.effects("1", "two")] == [1]


def test_a_second_sigterm_ends_it_in_any_case_and_the_step_runs_again_later(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    chain = running(place)
    with locked():
        supervisor.terminate()
        eventually(lambda: "finishing the running steps" in supervisor.log, what="the beginning of the end")
        workers, told_at = supervisor.workers(), time.monotonic()
        supervisor.terminate()
        supervisor.ended(within=60)
        assert time.monotonic() - told_at < PROMISED_S
        assert workers
    place.open("gate")
    place.supervisor(processes=1)
    chain.wait("ended", timeout=60)
    assert [effect.attempt for effect in place.effects("1", "two")] == [1, 2]
