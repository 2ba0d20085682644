"""A host that drains: what runs there ends, nothing new is taken, and it goes on once that is taken back."""

from __future__ import annotations

import socket

import pytest

from fsmflow import Actor
from fsmflow.engine import drains
from fsmflow.engine.explain import explain
from fsmflow.engine.lookup import load
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError
from tests.support.bench import Bench
from tests.support.concurrency import in_threads
from tests.support.eventually import eventually
from tests.support.process_flows import Chain
from tests.support.processes import World

HOST = socket.gethostname()


def test_what_runs_ends_nothing_new_is_taken_and_it_goes_on_once_that_is_taken_back(place: World) -> None:
    first = place.supervisor(processes=1)
    chain, runtime = Chain.start("1", gate="gate"), current()
    chain.trigger("go")
    place.effect("1", "two")
    drains.drain(runtime, HOST, actor=None)
    eventually(lambda: "drain.heeded" in first.log, what="a supervisor that drains")
    place.open("gate")
    eventually(lambda: not runtime.doorbell.listeners(), what="the end of what ran")
    state = chain.refresh().state
    second = place.supervisor(processes=1)  # who is started meanwhile takes nothing either
    later = Chain.start("2")
    later.trigger("go")
    eventually(lambda: "drain.heeded" in second.log, what="another one")
    assert (chain.refresh().state, runtime.doorbell.listeners()) == (state, [])
    told = explain(runtime, load(runtime, Chain._compiled(), "2"))
    assert f"'fsmflow drain {HOST} --undo' ends that" in str(told.blocked_by)
    drains.undo(runtime, HOST, actor=None)
    assert [each.wait("ended", timeout=30).state for each in (chain, later)] == ["ended"] * 2
    assert "crashed" not in [entry.kind for entry in chain.history]


def test_of_those_who_ask_at_once_none_undoes_what_another_did(bench: Bench) -> None:
    runtime = bench.runtime
    in_threads(4, runtime.store.link, lambda number: drains.drain(runtime, f"web{number}", actor=Actor("ann")))
    assert sorted(drains.drains(runtime)) == ["web0", "web1", "web2", "web3"]
    first = drains.drains(runtime)["web0"]
    bench.advance(1)
    assert drains.drain(runtime, "web0", actor=Actor("bob"), reason="again") == first
    assert drains.undo(runtime, "web0", actor=None) == first
    with pytest.raises(DataError, match=r"'web0' does not drain; those that do: web1, web2, web3"):
        drains.undo(runtime, "web0", actor=None)
