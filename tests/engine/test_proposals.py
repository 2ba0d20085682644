"""What takes two people: the first one's asking is noted, the second one's does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import Actor, DataError, DefinitionError, Machine, NotPermitted, State, Two, UnknownState
from fsmflow.operations import repairs
from fsmflow.testing import Sandbox, sandbox
from fsmflow.verify import verify
from tests.support.bench import bench_on
from tests.support.concurrency import meanwhile

ANN = Actor("ann", {"lead"})
BEN = Actor("ben", {"lead"})
ANN_AGAIN = Actor("ops", {"lead"}, login="ann")


class Vault(Machine):
    initial = "shut"
    operators = {"force": Two("lead", within=600), "retry": Two("lead", "chief"), "cancel": Two("lead")}
    states = ["shut", State("opening", job="open"), State("open", final=True)]
    transitions = [["begin", "shut", "opening"], ["done", "opening", "open"]]

    def open(self) -> None:
        if self.data.get("jammed"):
            raise ValueError("it is jammed")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Vault]) as box:
        yield box
        assert verify(box._runtime.store, box._runtime.machines.all(), strict=True).violations == []


@pytest.fixture
def vault(box: Sandbox) -> Vault:
    return Vault.start("1", jammed=True)


def told(vault: Vault) -> list[tuple[Any, ...]]:
    return [(entry.kind, entry.trigger, entry.actor, entry.reason) for entry in vault.history[1:]]


def test_the_first_one_moves_nothing_and_the_second_one_does_it(vault: Vault) -> None:
    epoch = vault.epoch
    assert vault.force("open", actor=ANN, reason="the key is lost").state == "shut"
    assert vault.epoch == epoch
    assert vault.force("open", actor=BEN, reason="I have seen it").state == "open"
    assert told(vault) == [
        ("asked", "force", "ann", "the key is lost"),
        ("forced", "force", "ben", "I have seen it; ann asked for it in line 2"),
    ]


def test_who_asked_cannot_be_the_second_one_under_whichever_name(vault: Vault) -> None:
    vault.force("open", actor=ANN)
    with pytest.raises(NotPermitted, match="it takes two people, and 'ann' has asked for it in line 2"):
        vault.force("open", actor=ANN)
    with pytest.raises(NotPermitted, match=r"'ann', who is 'ops' too \(both are 'ann'\), has asked|both are 'ann'"):
        vault.force("open", actor=ANN_AGAIN)
    assert (vault.refresh().state, len(told(vault))) == ("shut", 1)


def test_who_has_no_role_is_neither_the_first_nor_the_second(vault: Vault) -> None:
    for actor in (None, Actor("eve")):
        with pytest.raises(NotPermitted, match="needs an actor with one of the roles lead"):
            vault.force("open", actor=actor)
    vault.force("open", actor=ANN)
    with pytest.raises(NotPermitted):
        vault.force("open", actor=Actor("eve"))


def test_another_request_is_not_the_same(vault: Vault) -> None:
    vault.force("open", actor=ANN)
    assert vault.force("opening", actor=BEN).state == "shut"
    assert vault.force("opening", actor=ANN).state == "opening"


def test_what_moves_it_meanwhile_voids_what_was_asked(vault: Vault) -> None:
    vault.force("open", actor=ANN)
    vault.trigger("begin")
    assert vault.force("open", actor=BEN).state == "opening"
    assert vault.explain().asked == vault.explain(BEN).asked
    assert len(vault.explain().asked) == 1
    assert vault.force("open", actor=ANN).state == "open"


def test_it_is_void_after_its_time_and_its_row_is_gone(vault: Vault, box: Sandbox) -> None:
    vault.force("open", actor=ANN)
    (line,) = vault.explain().asked
    assert line.startswith("force open, by 'ann' in line 2 of its history; another person who asks for the same until ")
    assert f"asked:       {line}" in str(vault.explain())
    box.advance(seconds=601)
    assert vault.explain().asked == ()
    assert box._runtime.store.events.asked(vault._view.snapshot.row) == ()
    assert vault.force("open", actor=BEN).state == "shut"


def test_a_trigger_of_operators_comes_to_the_line_that_it_was_asked(vault: Vault, box: Sandbox) -> None:
    vault.trigger("begin")
    box.run()
    first = vault.trigger("retry", actor=ANN, key="k")
    assert (first.kind, first.dest) == ("asked", "failed_from_opening")
    again = vault.trigger("retry", actor=ANN, key="k")
    assert (again.seq, again.repeated) == (first.seq, True)
    assert vault.resume(actor=Actor("cat", {"chief"})).state == "opening"


def test_what_would_be_refused_is_refused_to_the_first_one(vault: Vault) -> None:
    with pytest.raises(UnknownState):
        vault.force("opn", actor=ANN)
    assert told(vault) == []


def test_a_forecast_tells_that_it_would_only_be_noted(vault: Vault) -> None:
    forecast = vault.what_if("cancel", actor=ANN)
    assert (forecast.allowed, forecast.kind, forecast.state) == (True, "asked", "shut")
    vault.cancel(actor=ANN)
    assert vault.what_if("cancel", actor=BEN).state == "cancelled"
    assert told(vault) == [("asked", "cancel", "ann", None)]


def test_of_two_who_ask_at_once_one_is_the_second(vault: Vault, box: Sandbox) -> None:
    with meanwhile(box._runtime.store.events, "asked", lambda: Vault.get("1").force("open", actor=ANN)):
        assert vault.force("open", actor=BEN).state == "open"
    assert [(kind, actor) for kind, _, actor, _ in told(vault)] == [("asked", "ann"), ("forced", "ben")]


def test_it_is_the_same_on_each_database(database_url: str, redis_url: str) -> None:
    with bench_on(redis_url, machines=(Vault,), database_url=database_url) as bench:
        vault = Vault.start("1")
        vault.force("opening", actor=ANN)
        with pytest.raises(NotPermitted):
            vault.force("opening", actor=ANN_AGAIN)
        with meanwhile(bench.runtime.store.events, "asked", lambda: Vault.get("1").force("open", actor=ANN)):
            assert vault.force("open", actor=BEN).state == "open"
        assert [(kind, actor) for kind, _, actor, _ in told(vault)] == [
            ("asked", "ann"),
            ("asked", "ann"),
            ("forced", "ben"),
        ]
        assert len(bench.runtime.store.events.asked(1)) == 1, "what was asked for another state is void, and told so"
        assert vault.explain().asked == ()
        bench.advance(601)
        assert bench.runtime.store.events.asked(1) == ()


def test_a_repair_is_whoever_has_started_it(vault: Vault, box: Sandbox) -> None:
    vault.force("open", actor=ANN)
    repairs.start("force", to="open", addresses=["vault:1"], actor=ANN_AGAIN)
    box.run()
    assert (vault.refresh().state, len(told(vault))) == ("shut", 1)
    repairs.start("force", to="open", addresses=["vault:1"], actor=BEN)
    box.run()
    assert vault.refresh().state == "open"


def test_a_message_is_no_second_person() -> None:
    class Robot(Machine):
        initial = "calling"
        sends_as = "lead"
        states = [State("calling", job="call"), State("over", final=True)]
        transitions = [["done", "calling", "over"]]

        def call(self) -> None:
            self.send("cancel", to="vault:1")

    with sandbox([Vault, Robot]) as box:
        vault = Vault.start("1")
        vault.cancel(actor=ANN)
        Robot.start("1")
        box.run()
        assert vault.refresh().state == "shut"
        assert "it takes two people, and a message is none" in (vault.history[-1].reason or "")


@pytest.mark.parametrize(
    "given", [((), 60), (("",), 60), ((3,), 60), (("lead",), 0), (("lead",), -1), (("lead",), "1")]
)
def test_what_cannot_be_two_people_is_told(given: Any) -> None:
    roles, within = given
    with pytest.raises(DataError, match="Two"):
        Two(*roles, within=within)


@pytest.mark.parametrize("action", ["resume", "edit", "see", "schedule"])
def test_what_is_no_single_action_takes_no_two_people(action: str) -> None:
    with pytest.raises(DefinitionError, match=f"operators: '{action}' takes roles, not Two"):
        type("Odd", (Vault,), {"operators": {action: Two("lead")}})
