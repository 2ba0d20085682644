"""What is due and cannot go on: it is told with why, how often it was tried and when next, until it goes on."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import peewee
import pytest

from fsmflow import Machine, State, TransitionNotAllowed
from fsmflow.queries import stuck_groups
from fsmflow.verify import verify
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")
MINUTE = timedelta(minutes=1)


class Claim(Machine):
    """Its timer is refused as long as it is disputed, and raises while the register is down."""

    initial = "open"
    redact = ["card"]
    states = [State("open", timeout=60), State("over", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "open", "dest": "over", "unless": "is_disputed", "before": "register"},
        {"trigger": "settle", "source": "open", "dest": None, "before": "agree"},
    ]
    settle: Trigger

    def is_disputed(self) -> bool:
        return bool(self.data.get("disputed"))

    def agree(self) -> None:
        self.data.update(disputed=False, down=False)

    def register(self) -> None:
        if self.data.get("down"):
            raise ConnectionError(f"no register for {self.data.get('card')}")


def is_sound(box: Any) -> None:
    assert verify(box._runtime.store, box._runtime.machines.all(), strict=True).violations == []


@pytest.mark.parametrize(
    ("why_not", "words"),
    [({"disputed": True}, "is_disputed"), ({"down": True, "card": "4711-secret"}, "ConnectionError: no register for ")],
)
def test_a_timer_that_cannot_fire_is_told_until_it_fires(
    why_not: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with sandbox(machines=[Claim]) as box, caplog.at_level(logging.WARNING):
        claim = Claim.start("1", **why_not)
        Claim.start("2")
        box.advance(60)
        (stuck,) = claim.explain().stuck
        assert (stuck.what, stuck.tries) == ("timer 'timeout'", 1)
        assert words in stuck.why
        assert "secret" not in stuck.why
        assert stuck.next_at is not None
        first = stuck.next_at - box.now
        box.advance(first)
        (stuck,) = claim.explain().stuck
        assert stuck.next_at is not None
        assert (stuck.tries, stuck.next_at - box.now) == (2, 2 * first)
        assert [found.address for found in Claim.find(stuck=True)] == ["claim:1"]
        (group,) = stuck_groups(box._runtime)
        assert (group.count, group.example, group.stuck.tries) == (1, "claim:1", 2)
        box.advance(hours=5)
        (stuck,) = claim.explain().stuck
        assert stuck.next_at is not None
        assert stuck.next_at - box.now <= timedelta(minutes=10)
        claim.settle()
        box.advance(minutes=10)
        assert claim.refresh().state == "over"
        assert (claim.explain().stuck, list(Claim.find(stuck=True)), stuck_groups(box._runtime)) == ((), [], [])
        assert "claim:1" in caplog.text
        assert "entity row" not in caplog.text
        if "disputed" in why_not:
            assert (
                "timer.refused: claim:1: its 'timeout' is due, and cannot be taken: guard 'is_disputed'" in caplog.text
            )
            assert "Allowed now" not in caplog.text
        is_sound(box)


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_a_stuck_timer_is_tried_now_and_what_came_of_it_is_said(action: str) -> None:
    with sandbox(machines=[Claim]) as box:
        disputed, down, fine = (
            Claim.start("1", disputed=True),
            Claim.start("2", down=True),
            Claim.start("3", disputed=True),
        )
        box.advance(60)
        fine.settle()
        getattr(fine, action)(actor="ada", reason="it is settled", key="once")
        assert fine.state == "over"
        assert [(entry.kind, entry.trigger) for entry in fine.history[-2:]] == [
            ("hurried", "retry"),
            ("transition", "timeout"),
        ]
        assert (fine.history[-2].actor, fine.history[-2].reason) == ("ada", "it is settled")
        getattr(fine, action)(key="once")
        with pytest.raises(TransitionNotAllowed) as caught:
            getattr(disputed, action)()
        assert "its timer 'timeout' was tried now, and is refused still: guard 'is_disputed'" in str(caught.value)
        with pytest.raises(ConnectionError, match="no register"):
            getattr(down, action)()
        assert [len(claim.history) for claim in (disputed, down)] == [1, 1]
        assert [claim.explain().stuck[0].tries for claim in (disputed, down)] == [1, 1]
        assert "'resume' tries it now" in str(disputed.explain())
        is_sound(box)


def test_a_timer_that_is_not_due_is_not_tried() -> None:
    with sandbox(machines=[Claim]) as box:
        claim = Claim.start("1")
        box.advance(30)
        claim.resume()
        with pytest.raises(TransitionNotAllowed, match="'retry' was refused"):
            claim.retry()
        assert claim.state == "open"


def test_a_stuck_timer_whose_entity_is_paused_is_tried_after_the_pause_only() -> None:
    with sandbox(machines=[Claim]) as box:
        claim = Claim.start("1", disputed=True)
        box.advance(60)
        claim.pause()
        claim.settle()
        with pytest.raises(TransitionNotAllowed):
            claim.retry()
        claim.resume()
        claim.retry()
        assert claim.state == "over"


class Asking(Machine):
    """A deadline beside a job that asked, which only makes a note, and is refused at first."""

    initial = "asking"
    states = [State("asking", job="ask", wait=True, timeout=60), State("over", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "asking", "dest": None, "conditions": "is_late"},
        {"trigger": "give", "source": "asking", "dest": None, "before": "be_late"},
        ["answer", "asking", "over"],
    ]
    give: Trigger

    def ask(self) -> None:
        return None

    def is_late(self) -> bool:
        return bool(self.data.get("late"))

    def be_late(self) -> None:
        self.data["late"] = True


def test_a_deadline_that_went_on_as_an_internal_transition_is_told_no_more() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1")
        box.advance(seconds=90)
        assert asking.explain().stuck[0].tries == 1
        asking.give()
        box.advance(minutes=10)
        assert asking.refresh().history[-1].trigger == "timeout"
        assert asking.explain().stuck == ()
        is_sound(box)


class Visit(Machine):
    initial = "inside"
    states = ["inside", State("gone", final=True)]
    transitions = [["leave", "inside", "gone"]]


class Host(Machine):
    """A deadline beside a child, refused as long as it is disputed."""

    initial = "hosting"
    states = [State("hosting", machine="visit", timeout=60), State("over", final=True), State("empty", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "hosting", "dest": "over", "unless": "is_disputed"},
        {"trigger": "settle", "source": "hosting", "dest": None, "before": "agree"},
        ["done", "hosting", "empty"],
    ]
    settle: Trigger

    def is_disputed(self) -> bool:
        return bool(self.data.get("disputed"))

    def agree(self) -> None:
        self.data["disputed"] = False


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_a_stuck_deadline_beside_children_is_tried_now(action: str) -> None:
    with sandbox(machines=[Host, Visit]) as box:
        host = Host.start("1", disputed=True)
        box.advance(60)
        (stuck,) = host.explain().stuck
        assert (stuck.what, stuck.tries) == ("timer 'timeout'", 1)
        assert "'resume' tries it now" in str(stuck)
        assert host.explain().deadline is None
        with pytest.raises(TransitionNotAllowed, match="its timer 'timeout' was tried now, and is refused still"):
            getattr(host, action)()
        host.settle()
        getattr(host, action)(actor="ada", key="once")
        assert host.state == "over"
        assert [(entry.kind, entry.trigger, entry.actor) for entry in host.history[-2:]] == [
            ("hurried", "retry", "ada"),
            ("transition", "timeout", None),
        ]
        getattr(host, action)(key="once")
        box.run()
        assert [visit.state for visit in Visit.find(branches=True)] == ["cancelled"]
        is_sound(box)


def test_a_stuck_deadline_is_told_until_it_fires_though_the_branches_are_looked_after() -> None:
    with sandbox(machines=[Host, Visit]) as box:
        host = Host.start("1", disputed=True)
        box.advance(60)
        for tries in (1, 1, 2, 2):
            (stuck,) = host.explain().stuck
            assert (stuck.what, stuck.tries) == ("timer 'timeout'", tries)
            assert [found.address for found in Host.find(stuck=True)] == ["host:1"]
            box.advance(50)
        host.branches[0].entity().trigger("leave")
        box.run()
        assert host.refresh().state == "empty"
        assert host.explain().stuck == ()
        is_sound(box)


def test_a_stuck_deadline_that_a_pause_holds_is_tried_after_it_only() -> None:
    with sandbox(machines=[Host, Visit]) as box:
        host = Host.start("1", disputed=True)
        box.advance(60)
        host.pause()
        (stuck,) = host.explain().stuck
        assert (stuck.what, stuck.next_at) == ("timer 'timeout'", None)
        assert "tries it now" not in str(stuck)
        host.settle()
        with pytest.raises(TransitionNotAllowed):
            host.retry()
        host.resume()
        assert host.state == "hosting"
        host.resume()
        assert host.state == "over"
        is_sound(box)


class Register(Machine):
    initial = "open"
    states = ["open", State("closed", final=True)]
    transitions = [
        {"trigger": "book", "source": "open", "dest": None, "before": "write"},
        ["close", "open", "closed"],
    ]
    book: Trigger

    def write(self) -> None:
        if not self.event.payload.get("works"):
            raise ConnectionError("the register is down")


class Sender(Machine):
    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [{"trigger": "go", "source": "new", "dest": None, "before": "send_it"}, ["end", "new", "over"]]
    go: Trigger

    def send_it(self) -> None:
        self.send("book", to="register:1", name="booking")


def test_a_message_whose_addressee_raises_is_told_and_can_be_dropped() -> None:
    with sandbox(machines=[Sender, Register]) as box:
        Register.start("1")
        sender = Sender.start("1")
        sender.go()
        box.advance(minutes=2)
        (stuck,) = sender.explain().stuck
        assert (stuck.what, stuck.why) == (
            "message 'book' to register:1",
            "ConnectionError: the register is down",
        )
        assert stuck.tries >= 2
        assert stuck.next_at is not None
        (found,) = Sender.find(stuck=True)
        (post,) = box._runtime.store.events.sent(found._view.snapshot.row)
        found.drop(post.id, reason="booked by hand")
        assert sender.refresh().explain().stuck == ()
        box.advance(hours=1)
        assert list(Register.find(stuck=True)) == []
        is_sound(box)


def test_an_entity_whose_own_row_is_gone_is_told() -> None:
    with sandbox(machines=[]) as box:

        class Paper(peewee.Model):
            status = peewee.CharField(null=True)

            class Meta:
                database = box.database
                table_name = "stuck_papers"

        box.database.create_tables([Paper])
        body = {
            "name": "paper",
            "initial": "open",
            "states": [State("open", timeout=60), State("over", final=True)],
            "transitions": [["timeout", "open", "over"]],
            "status_field": Paper.status,
        }
        paper: Any = type("PaperMachine", (Machine,), body)
        try:
            with sandbox(machines=[paper]) as inner:
                Paper._meta.database = inner.database
                inner.database.create_tables([Paper])
                row: Any = Paper.create()
                entity = paper.start(row.id)
                Paper.delete().execute()
                inner.advance(minutes=2)
                (stuck,) = entity.explain().stuck
                assert "has no row" in stuck.why
                inner.database.drop_tables([Paper])
        finally:
            Paper._meta.database = box.database
            box.database.drop_tables([Paper])
