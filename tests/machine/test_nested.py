"""Who must not act: guards and callbacks nowhere, a job not on its own entity. Each is told what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import Machine, MethodError, NestedAction, Outcome, State, TransitionNotAllowed
from tests.support.concurrency import by_others
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture

#: What the guard, the callback and the job of Parcel do in this test.
play: dict[str, Callable[[Any], Any]] = {}


@pytest.fixture(autouse=True)
def _nothing_to_play() -> Iterator[None]:
    yield
    play.clear()


def _play(name: str) -> Callable[[Any], Any]:
    def act(machine: Any) -> Any:
        return play.get(name, lambda machine: None)(machine)

    act.__name__ = name
    return act


class Parcel(Machine):
    initial = "new"
    states = [
        State("new", on_exit=_play("exit")),
        State("packing", job="pack", on_enter=_play("enter"), timeout=60),
        State("resting", timeout=lambda machine: play.get("timeout", lambda machine: 60)(machine)),
        State("cutting", each="pieces", job="cut"),
        State("over", final=True),
    ]
    transitions = [
        {
            "trigger": "begin",
            "source": "new",
            "dest": "packing",
            "prepare": _play("prepare"),
            "conditions": lambda machine: play.get("guard", lambda machine: True)(machine) is not False,
            "before": _play("before"),
            "after": _play("after"),
        },
        ["rest", "new", "resting"],
        ["cut_up", "new", "cutting"],
        ["done", "cutting", "over"],
        ["done", "packing", "over"],
        ["again", "packing", "="],
        ["timeout", "resting", "over"],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
    ]

    def take_note(self) -> None:
        self.data["notes"] = [*self.data.get("notes", []), self.event.payload.get("text")]

    def pack(self) -> Any:
        return play.get("job", lambda machine: None)(self)

    def pieces(self) -> list[int]:
        return [1, 2]

    def cut(self, piece: int) -> Any:
        return play.get("branch", lambda machine: None)(self)


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "trigger": lambda handle: handle.trigger("note", text="from another"),
    "method": lambda handle: handle.note(text="from another"),
    "retry": lambda handle: handle.retry(),
    "cancel": lambda handle: handle.cancel(),
    "skip": lambda handle: handle.skip(),
    "rewind": lambda handle: handle.rewind("new"),
    "force": lambda handle: handle.force("over"),
    "pause": lambda handle: handle.pause(),
    "resume": lambda handle: handle.resume(),
    "wait": lambda handle: handle.wait(timeout=0),
    "start_or_trigger": lambda handle: type(handle).start_or_trigger(handle.entity_id, "note"),
}
PLACES = ("prepare", "guard", "before", "exit", "enter", "after")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_guard_or_callback_does_nothing_to_another_entity(place: str, action: str) -> None:
    """It would stay done, though the transition that it is part of fails."""
    with sandbox(machines=[Parcel]):
        one, other = Parcel.start("1"), Parcel.start("2")
        play[place] = lambda machine: ACTIONS[action](Parcel.get("2"))
        with pytest.raises(NestedAction, match="guards and callbacks cannot fire.*here those of parcel:1") as refused:
            one.trigger("begin")
        assert refused.value.address == "parcel:2"
        assert [entry.kind for entry in other.history] == ["start"]
        assert [entry.kind for entry in one.history] == ["start"]


STARTS: list[Callable[[], Any]] = [
    lambda: Parcel.start("new one"),
    lambda: Parcel.start_many([("new one", {})]),
    lambda: Parcel.start_or_trigger("new one", "note"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", range(len(STARTS)))
def test_a_guard_or_callback_starts_nothing(place: str, number: int) -> None:
    with sandbox(machines=[Parcel]):
        one = Parcel.start("1")
        play[place] = lambda machine: STARTS[number]()
        with pytest.raises(NestedAction, match="guards and callbacks cannot fire, start"):
            one.trigger("begin")
        assert Parcel.counts() == {"new": 1}


def test_the_error_says_what_to_write_instead() -> None:
    with sandbox(machines=[Parcel]):
        one = Parcel.start("1")
        Parcel.start("2")
        for act, told in (
            (lambda machine: Parcel.get("2").trigger("note"), "self.send('note', to='parcel:2') is committed with"),
            (lambda machine: machine.trigger("note"), "self.send('note') is committed with the transition"),
            (lambda machine: Parcel.start("3"), "self.send(trigger, to='parcel:3', start={...}) starts it"),
            (lambda machine: Parcel.get("2").pause(), "do that in a job, or once the transition is made"),
            (lambda machine: Parcel.get("2").explain(), "that asks guards, which would ask guards again"),
            (lambda machine: Parcel.get("1").triggers(), "that asks guards, which would ask guards again"),
            (lambda machine: machine.allowed_triggers(), "that asks guards, which would ask guards again"),
        ):
            play["before"] = act
            with pytest.raises(NestedAction) as refused:
                one.trigger("begin")
            assert told in str(refused.value)
            assert isinstance(refused.value, TransitionNotAllowed)


def test_what_is_sent_instead_is_committed_with_the_transition_or_not_at_all() -> None:
    with sandbox(machines=[Parcel]) as box:
        one, other = Parcel.start("1"), Parcel.start("2")
        play["before"] = lambda machine: machine.send("note", to="parcel:2", text="hello")
        play["after"] = lambda machine: 1 / 0
        with pytest.raises(ZeroDivisionError):
            one.trigger("begin")
        del play["after"]
        box.run()
        assert other.refresh().data == {}
        one.trigger("begin")
        box.run()
        assert other.refresh().data == {"notes": ["hello"]}


def test_the_method_of_a_timeout_starts_nothing_either() -> None:
    with sandbox(machines=[Parcel]):
        one = Parcel.start("1")
        play["timeout"] = lambda machine: Parcel.start("2") and 60
        with pytest.raises(MethodError, match="guards and callbacks cannot fire, start, save or wait") as refused:
            one.trigger("rest")
        assert isinstance(refused.value.__cause__, NestedAction)
        assert Parcel.counts() == {"new": 1}


@pytest.mark.usefixtures("every_database")
def test_a_job_that_acts_on_its_own_entity_fails_and_does_not_go_round() -> None:
    with sandbox(machines=[Parcel]) as box:
        play["job"] = lambda machine: Parcel.get("1").trigger("again")
        one = Parcel.start("1")
        one.trigger("begin")
        box.run()
        assert one.refresh().state == "failed_from_packing"
        assert one.failure is not None
        assert one.failure.error_type == "NestedAction"
        assert "return Outcome('again') to leave by it, or self.send('again')" in one.failure.message
        assert one.attempt is None


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("own", [lambda machine: machine, lambda machine: Parcel.get("1")], ids=["self", "handle"])
def test_a_job_does_nothing_to_its_own_entity(action: str, own: Callable[[Any], Any]) -> None:
    refused: list[str] = []

    def job(machine: Any) -> None:
        with pytest.raises(NestedAction, match="its own job asked for it") as error:
            ACTIONS[action](own(machine))
        refused.append(error.value.address)

    with sandbox(machines=[Parcel]) as box:
        play["job"] = job
        one = Parcel.start("1")
        one.trigger("begin")
        box.run()
        assert (one.refresh().state, refused) == ("over", ["parcel:1"])


def test_a_job_acts_on_others_looks_at_its_own_entity_and_sends() -> None:
    def job(machine: Any) -> Any:
        Parcel.get("2").trigger("note", text="from one")
        Parcel.start("3")
        assert Parcel.get("1").refresh().state == "packing"
        assert "again" in machine.allowed_triggers()
        assert machine.explain().state == "packing"
        assert Parcel.start("1", if_exists="return").state == "packing"
        machine.send("note", text="later")
        by_others(Parcel.get("1")).trigger("note", text="somebody else")
        return Outcome("done")

    with sandbox(machines=[Parcel]) as box:
        play["job"] = job
        one, other = Parcel.start("1"), Parcel.start("2")
        one.trigger("begin")
        box.run()
        assert (one.refresh().state, other.refresh().data) == ("over", {"notes": ["from one"]})
        assert one.data == {"notes": ["somebody else"]}
        assert Parcel.counts() == {"new": 2, "over": 1}


def test_an_async_job_is_known_in_its_tasks_too() -> None:
    class Later(Parcel):
        name = "later"

        async def pack(self) -> None:
            async def act() -> None:
                Later.get("1").cancel()

            with pytest.raises(NestedAction):
                await asyncio.create_task(act())
            with pytest.raises(NestedAction):
                await asyncio.to_thread(lambda: Later.get("1").cancel())

    with sandbox(machines=[Later]) as box:
        one = Later.start("1")
        one.trigger("begin")
        box.run()
        assert one.refresh().state == "over"


def test_the_job_of_a_branch_acts_neither_on_itself_nor_on_its_parent() -> None:
    refused: list[str] = []

    def branch(machine: Any) -> None:
        for act in (lambda: machine.trigger("note"), lambda: Parcel.get("1").cancel()):
            with pytest.raises(NestedAction, match="goes to the parent") as error:
                act()
            refused.append(error.value.address)
        with pytest.raises(NestedAction):
            Parcel.get(machine.address.partition(":")[2]).cancel()
        machine.send("note", text=machine.item)

    with sandbox(machines=[Parcel]) as box:
        play["branch"] = branch
        one = Parcel.start("1")
        one.trigger("cut_up")
        box.run()
        assert (one.refresh().state, refused) == ("over", ["parcel:1"] * 4)


def test_a_hook_acts_on_whatever_it_likes() -> None:
    """It is called after the commit, and no step hangs on it."""

    class Watched(Parcel):
        name = "watched"

        def on_transition(self, entry: Any) -> None:
            if entry.trigger == "begin":
                Watched.get("2").trigger("note", text="one has begun")

    def job(machine: Any) -> None:
        Watched.get("3").trigger("begin")

    with sandbox(machines=[Watched]) as box:
        one, other = Watched.start("1"), Watched.start("2")
        Watched.start("3", state="new")
        one.trigger("begin")
        assert other.refresh().data == {"notes": ["one has begun"]}
        play["job"] = lambda machine: job(machine) if machine.entity_id == "1" else None
        box.run()
        assert other.refresh().data == {"notes": ["one has begun"] * 2}


def test_after_a_refusal_all_goes_on_as_before() -> None:
    with sandbox(machines=[Parcel]):
        one, other = Parcel.start("1"), Parcel.start("2")
        play["before"] = lambda machine: Parcel.get("2").cancel()
        with pytest.raises(NestedAction):
            one.trigger("begin")
        play.clear()
        assert other.cancel().state == "cancelled"
        assert one.trigger("begin").dest == "packing"
