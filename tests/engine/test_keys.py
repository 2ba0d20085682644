"""Keys: a request of an operator's that is repeated with its key changes nothing again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.errors import DataError, KeyConflict, TransitionNotAllowed
from fsmflow.testing import Sandbox, sandbox
from tests.support.bench import Bench
from tests.support.concurrency import in_threads, meanwhile
from tests.support.machines import Order, Trigger, play
from tests.support.terminal import Terminal


class Parcel(Machine):
    """Fails while it is heavy."""

    initial = "new"
    states = [State("new"), State("packing", job="pack"), State("open"), State("gone", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "open"], ["leave", "open", "gone"]]
    go: Trigger

    def pack(self) -> None:
        if self.data.get("heavy"):
            raise ValueError("too heavy")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Parcel]) as box:
        yield box


@pytest.fixture
def failed(box: Sandbox) -> Parcel:
    parcel = Parcel.start("1", heavy=True)
    parcel.go()
    box.run()
    assert parcel.refresh().state == "failed_from_packing"
    return parcel


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


#: Each applies to a parcel whose packing has failed.
ACTIONS: dict[str, Callable[..., Any]] = {
    "skip": lambda parcel, **asked: parcel.skip(**asked),
    "rewind": lambda parcel, **asked: parcel.rewind("new", **asked),
    "force": lambda parcel, **asked: parcel.force("open", **asked),
    "pause": lambda parcel, **asked: parcel.pause(**asked),
    "resume": lambda parcel, **asked: parcel.resume(**asked),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_repeated_with_its_key_changes_nothing_again(failed: Parcel, name: str) -> None:
    stale = Parcel.get("1")
    ACTIONS[name](failed, key="k", actor="ada", reason="why")
    last = failed.history[-1]
    assert (last.key, last.actor, last.reason) == ("k", "ada", "why")
    length, shown = len(failed.history), (failed.state, failed.epoch, failed.paused)
    assert ACTIONS[name](stale, key="k") is stale
    assert (stale.state, stale.epoch, stale.paused) == shown
    assert len(stale.history) == length


def test_a_key_counts_wherever_the_entity_is_by_now(failed: Parcel) -> None:
    failed.pause(key="pause").resume(key="resume")
    failed.force("open", key="force").trigger("leave", key="leave")
    length = len(failed.history)
    for key in ("pause", "resume", "force"):
        ACTIONS[key](failed, key=key)
    failed.trigger("leave", key="leave")
    assert (failed.state, failed.paused, len(failed.history)) == ("gone", False, length)


def test_a_key_that_was_used_for_another_request_is_refused(failed: Parcel) -> None:
    failed.pause(key="pause").resume(key="resume")
    failed.force("open", key="force").trigger("leave", key="leave")
    length = len(failed.history)
    used_for = {"pause": "paused", "resume": "resumed", "force": "force", "leave": "leave"}
    others: dict[str, Callable[..., Any]] = {
        **ACTIONS,
        "go": lambda parcel, **asked: parcel.trigger("go", **asked),
        "cancel": lambda parcel, **asked: parcel.cancel(**asked),
        "drop": lambda parcel, **asked: parcel.drop(7, **asked),
    }
    for key, used in used_for.items():
        for name, act in others.items():
            if name == key:
                continue
            with pytest.raises(KeyConflict, match=f"its key '{key}' was used for '{used}' on 20") as refused:
                act(failed, key=key)
            assert (refused.value.address, refused.value.key, refused.value.used_for) == ("parcel:1", key, used)
    with pytest.raises(KeyConflict, match="'forced to new' was refused"):
        failed.force("new", key="force")
    assert (failed.state, failed.paused, len(failed.history)) == ("gone", False, length)


def test_the_key_that_an_entity_was_started_with_is_no_key_for_a_trigger(box: Sandbox) -> None:
    parcel = Parcel.start("1", key="form-1")
    with pytest.raises(KeyConflict, match=r"parcel:1: 'go' was refused: its key 'form-1' was used for 'start' on"):
        parcel.trigger("go", key="form-1")
    assert Parcel.start("1", key="form-1").state == "new"


def test_a_trigger_that_is_repeated_says_so_on_its_entry(box: Sandbox) -> None:
    parcel = Parcel.start("1", state="open")
    first = parcel.trigger("leave", {"by": "van"}, key="evt-1")
    again = parcel.trigger("leave", {"by": "ship", "late": True}, key="evt-1")
    assert (first.repeated, again.repeated) == (False, True)
    assert again == first == parcel.history[-1]
    assert [entry.repeated for entry in parcel.history] == [False, False]
    joined = Parcel.start_or_trigger("2", "go", key="evt-1")
    assert Parcel.start_or_trigger("2", "go", key="evt-1").epoch == joined.epoch


def test_what_is_refused_or_has_nothing_to_do_uses_up_no_key(box: Sandbox) -> None:
    parcel = Parcel.start("1")
    with pytest.raises(TransitionNotAllowed):
        parcel.skip(key="k")
    with pytest.raises(TransitionNotAllowed):
        parcel.rewind("gone", key="k")
    parcel.resume(key="k")
    parcel.pause()
    parcel.pause(key="k")
    assert [entry.key for entry in parcel.history] == [None, None]
    parcel.resume(key="k")
    assert (parcel.paused, parcel.history[-1].key) == (False, "k")


@pytest.mark.parametrize("name", ACTIONS)
def test_a_key_that_cannot_be_one_is_refused(failed: Parcel, name: str) -> None:
    for key in ("", "a\x00", "x" * 201, 5):
        with pytest.raises(DataError, match="key"):
            ACTIONS[name](failed, key=key)
    assert all(entry.key is None for entry in failed.history)


def test_the_key_of_a_resume_belongs_to_what_is_committed_first(box: Sandbox, failed: Parcel) -> None:
    failed.pause()
    failed.resume(key="k")
    assert [(entry.kind, entry.trigger, entry.key) for entry in failed.history[-2:]] == [
        ("resumed", None, "k"),
        ("transition", "retry", None),
    ]
    box.run()
    assert failed.resume(key="k").state == "failed_from_packing"
    failed.resume(key="l")
    assert (failed.history[-1].trigger, failed.history[-1].key) == ("retry", "l")


def test_the_key_of_a_resume_belongs_to_the_start_of_the_work_of_an_adopted_entity(box: Sandbox) -> None:
    parcel = Parcel.start("1", state="packing")
    parcel.resume(key="k")
    assert (parcel.history[-1].kind, parcel.history[-1].key) == ("resumed", "k")
    length = len(parcel.resume(key="k").history)
    box.run()
    assert (parcel.refresh().state, len(parcel.history)) == ("open", length + 1)


# On the command line


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["skip", "parcel:1"], "failed_from_packing -> open"),
        (["rewind", "parcel:1", "new"], "failed_from_packing -> new"),
        (["force", "parcel:1", "open"], "failed_from_packing -> open"),
        (["pause", "parcel:1"], "failed_from_packing, paused"),
        (["resume", "parcel:1"], "failed_from_packing -> packing"),
    ],
)
def test_every_command_that_changes_something_takes_a_key(
    shell: Terminal, failed: Parcel, command: list[str], first: str
) -> None:
    assert shell.ok(*command, "--key", "k") == f"parcel:1  {first}\n"
    now = failed.refresh().state
    assert shell.ok(*command, "--key", "k") == f"parcel:1  {now}, as it was\n"
    assert [entry.key for entry in failed.history].count("k") == 1
    assert f"parcel:1  {now}, as it was\n" in shell.ok(*command, "--key", "k", "--dry-run")
    assert "key is empty" in shell.refused(*command, "--key", "")


def test_a_trigger_with_a_used_key_is_told_on_the_command_line(box: Sandbox, shell: Terminal) -> None:
    Parcel.start("1", state="open")
    assert shell.json("trigger", "parcel:1", "leave", "--key", "evt-1")["repeated"] is False
    again = shell.run("trigger", "parcel:1", "leave", "--key", "evt-1")
    assert (again.status, again.out) == (0, "parcel:1  open -> gone\n")
    assert "nothing was changed: key 'evt-1' was used for this on 20" in again.err
    again_as_json = shell.json("trigger", "parcel:1", "leave", "--key", "evt-1")
    assert again_as_json["repeated"] is True
    assert "repeated" not in again_as_json["entry"]
    refused = shell.refused("trigger", "parcel:1", "go", "--key", "evt-1")
    assert "parcel:1: 'go' was refused: its key 'evt-1' was used for 'leave' on 20" in refused
    assert "its key 'evt-1' was used for 'leave'" in shell.refused("pause", "parcel:1", "--key", "evt-1", "--dry-run")


# Two at once


def charged(bench: Bench) -> Order:
    def act(machine: Any) -> None:
        raise LookupError("no such card")

    play["charging"] = act
    order = Order.start("1")
    order.submit()
    bench.step()
    assert order.refresh().state == "failed_from_charging"
    return order


RACES: dict[str, Callable[..., Any]] = {
    **ACTIONS,
    "rewind": lambda order, **asked: order.rewind("pending", **asked),
    "force": lambda order, **asked: order.force("approval", **asked),
}


@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("moment", ["load", "seq_of_key"])
def test_the_same_key_from_two_operators_at_the_same_moment_is_applied_once(
    bench: Bench, name: str, moment: str
) -> None:
    order = charged(bench)
    act, before = RACES[name], len(order.history)
    with meanwhile(bench.runtime.store.entities, moment, lambda: act(Order.get("1"), key="k", reason="theirs")):
        act(order, key="k", reason="mine")
    assert [(entry.key, entry.reason) for entry in order.history[before:]] == [("k", "theirs")]
    there = Order.get("1")
    assert (order.state, order.epoch, order.paused) == (there.state, there.epoch, there.paused)


def test_a_pause_that_others_were_first_with_uses_up_no_key(bench: Bench) -> None:
    order = Order.start("1")
    with meanwhile(bench.runtime.store.entities, "seq_of_key", lambda: Order.get("1").pause()):
        order.pause(key="k")
    assert (order.paused, [entry.key for entry in order.history]) == (True, [None, None])


@pytest.mark.parametrize("name", RACES)
def test_of_many_with_the_same_key_at_once_one_is_applied(bench: Bench, name: str) -> None:
    order = charged(bench)
    before = len(order.history)
    in_threads(4, bench.runtime.store.link, lambda number: RACES[name](Order.get("1"), key="k"))
    assert [entry.key for entry in order.history[before:]] == ["k"]
