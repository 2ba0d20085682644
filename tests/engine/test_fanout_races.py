"""What fan-out, undo and messages must keep, whoever dies or comes in between."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import Fail, Machine, Outcome, Retry, State, TransitionConflict, TransitionNotAllowed, clock
from fsmflow.engine import alignment, fanout
from fsmflow.engine import requests as engine_of
from fsmflow.errors import DatabaseUnavailable
from fsmflow.running import executor as executor_of
from fsmflow.testing import sandbox
from tests.support.bench import Bench, bench_on, on_servers, texts, users_database
from tests.support.bench import elsewhere as elsewhere_of

ran: list[Any] = []
failing: set[Any] = set()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()
    failing.clear()


class Batch(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "shipped"]]

    def pack(self, item: Any) -> Any:
        ran.append(item)
        if item in failing:
            raise ValueError(f"no box for {item}")
        return item


class Child(Machine):
    initial = "working"
    states = [State("working", job="act"), State("over", final=True)]
    transitions = [["done", "working", "over"]]

    def act(self) -> None:
        ran.append(self.data["item"])
        if self.data["item"] in failing:
            raise ValueError("no")


class Family(Machine):
    initial = "raising"
    states = [State("raising", machine="child", each="children"), State("raised", final=True)]
    transitions = [["done", "raising", "raised"]]


def elsewhere(action: Any) -> Any:
    """As another process does it, with what follows from it at once."""
    return contextvars.Context().run(action)


@contextlib.contextmanager
def after_nth(owner: Any, name: str, nth: int, action: Any) -> Iterator[None]:
    original, calls = getattr(owner, name), []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls.append(None)
        if len(calls) == nth:
            elsewhere(action)
        return result

    with patch.object(owner, name, interrupted):
        yield
    assert len(calls) >= nth, f"{name} was called {len(calls)} times"


def test_a_parent_that_is_cancelled_while_it_is_retried_revives_no_child() -> None:
    with sandbox(machines=[Family, Child]) as box:
        failing.update(range(3))
        family = Family.start("1", children=list(range(3)))
        box.run()
        assert family.refresh().state == "failed_from_raising"
        ran.clear()
        failing.clear()
        family.retry()
        # While the worker goes through the failed children, the family is cancelled: after it has revived the first.
        with after_nth(alignment, "try_on", 1, lambda: Family.get("1").cancel()):
            box.run()
        assert family.refresh().state == "cancelled"
        box.advance(minutes=30)
        assert ran == []


def test_a_branch_is_not_left_paused_when_its_parent_is_resumed_while_a_worker_looks_at_it() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0])
        batch.go()
        execute_next(box)  # the branch is made
        with patch.object(engine_of, "align", lambda *_, **__: False):  # he who pauses dies before he passes it down
            batch.pause()
        # The worker that has claimed the branch has read its parent, as that is resumed.
        with after_nth(executor_of.Executor, "_parent_of", 1, lambda: Batch.get("1").resume()):
            execute_next(box)
        box.advance(hours=1)
        assert not Batch.get("1/packing/0").paused
        assert batch.refresh().state == "shipped"


def test_a_pass_down_that_was_overtaken_by_a_resume_leaves_no_branch_paused() -> None:
    with sandbox(machines=[Family, Child]) as box:
        family = Family.start("1", children=[0])
        ticket = box._doorbell.take()
        elsewhere(lambda: executor_of.Executor(box._runtime).execute(ticket))
        # One process passes a pause down; it has read the parent and the branch, as another resumes the parent.
        with after_nth(alignment, "_out_of_line", 1, lambda: Family.get("1").resume()):
            family.pause()
        box.advance(hours=1)
        assert not Child.get("family:1/raising/0").paused
        assert family.refresh().state == "raised"


class Booking(Machine):
    initial = "booking"
    on_cancel = "undo"
    states = [
        State("booking", job="book", undo="unbook"),
        State("confirming", job="confirm"),
        State("booked", final=True),
    ]
    transitions = [["done", "booking", "confirming"], ["done", "confirming", "booked"]]

    def book(self) -> dict[str, Any]:
        ran.append(f"book {self.data['item']}")
        return {"booking": self.data["item"]}

    def confirm(self) -> None:
        if self.data["item"] in failing:
            raise Fail("no")

    def unbook(self) -> None:
        ran.append(f"unbook {self.data['item']} {self.undoing.completed}")


class Tour(Machine):
    initial = "touring"
    states = [
        State("touring", machine="booking", each="stops", branch_failure="stop"),
        State("over", final=True),
    ]
    transitions = [["done", "touring", "over"]]


def test_children_that_are_stopped_are_undone_where_they_ask_for_it() -> None:
    with sandbox(machines=[Tour, Booking]) as box:
        failing.add(0)
        tour = Tour.start("1", stops=[0, 1])
        box.run()
        assert tour.refresh().state == "failed_from_touring"
        child = Booking.get("tour:1/touring/1")

        assert ("unbook 1 True" in ran, child.state) in [(True, "undone"), (False, "booked")]


def test_a_child_that_is_being_undone_is_cancelled_once_however_often_it_is_passed_down() -> None:
    class Plain(Machine):
        name = "plain"
        initial = "touring"
        states = [State("touring", machine="booking", each="stops"), State("over", final=True)]
        transitions = [["done", "touring", "over"]]

    with sandbox(machines=[Plain, Booking]) as box:
        plain = Plain.start("1", stops=[1])
        executor = executor_of.Executor
        for _ in range(2):
            ticket = box._doorbell.take()
            elsewhere(lambda ticket=ticket: box._runtime.ring_for(executor(box._runtime).execute(ticket)))
        assert ran == ["book 1"]
        # Both he who cancels and a sweeper pass it down, as the task is due at once.
        row = plain._view.snapshot.row
        plain.cancel()
        elsewhere(lambda: alignment.align(box._runtime, row, pages=1))
        box.run()
        child = Booking.get("plain:1/touring/0")
        assert (child.state, ran) == ("undone", ["book 1", "unbook 1 True"])


class Careful(Machine):
    """A child that takes back what it did, and is then undone."""

    initial = "booking"
    on_failure = "undo"
    states = [
        State("booking", job="book", undo="unbook"),
        State("confirming", job="confirm"),
        State("booked", final=True),
    ]
    transitions = [["done", "booking", "confirming"], ["done", "confirming", "booked"]]
    book, confirm, unbook = Booking.book, Booking.confirm, Booking.unbook


def test_a_parent_that_is_retried_starts_an_undone_child_anew_and_undoes_nothing_twice() -> None:
    class Outing(Machine):
        initial = "touring"
        states = [State("touring", machine="careful", each="stops"), State("over", final=True)]
        transitions = [["done", "touring", "over"]]

    with sandbox(machines=[Outing, Careful]) as box:
        failing.add(0)
        outing = Outing.start("1", stops=[0])
        box.run()
        assert (outing.refresh().state, ran) == ("failed_from_touring", ["book 0", "unbook 0 True"])
        ran.clear()
        failing.clear()
        outing.retry()
        box.run()

        assert (outing.refresh().state, ran) == ("over", ["book 0"])


def test_one_branch_can_be_retried_by_itself_where_a_failure_stops_the_others() -> None:
    class Strict(Batch):
        name = "strict"
        states = [
            "new",
            State("packing", job="pack", each="lines", branch_failure="stop"),
            State("shipped", final=True),
        ]

    with sandbox(machines=[Strict]) as box:
        failing.update({0, 1})
        batch = Strict.start("1", lines=[0, 1])
        batch.go()
        box.run()
        assert batch.refresh().state == "failed_from_packing"
        failing.clear()
        ran.clear()
        branch = Strict.get("1/packing/0")
        branch.retry()
        # No worker is free for a while, and somebody looks at the parent.
        box._clock.move_to(box._clock.now() + 6_000)
        box._maintenance.sweep()
        box.run()
        assert (Strict.get("1/packing/0").state, ran) == ("done", [0])


class Cards(Machine):
    """So many cards that two pages of branches are made; the first card is declined."""

    initial = "charging"
    states = [State("charging", job="charge", each="cards", at_most_once=True), State("charged", final=True)]
    transitions = [["done", "charging", "charged"]]

    def cards(self) -> Iterator[int]:
        yield from range(201)

    def charge(self, card: int) -> None:
        ran.append(card)
        if card == 0:
            raise Fail("declined")


def execute_next(box: Any) -> Any:
    ticket = box._doorbell.take()
    elsewhere(lambda: box._runtime.ring_for(executor_of.Executor(box._runtime).execute(ticket)))
    return ticket


def test_a_branch_that_failed_for_good_is_not_run_again_as_its_parent_goes_on_making_branches() -> None:
    class Flaky(Cards):
        name = "flaky"
        states = [
            State("charging", job="charge", each="cards", retry=Retry(max=1, interval=1, never=Fail)),
            State("charged", final=True),
        ]

        def cards(self) -> Iterator[int]:
            yield from range(200)
            if not ran:
                # Another worker runs the first branch, which fails for good; then the source breaks off.
                execute_next(box)
                raise ConnectionError
            yield 200

    with sandbox(machines=[Flaky]) as box:
        flaky = Flaky.start("1")
        box.advance(hours=1)
        assert flaky.refresh().state == "failed_from_charging"
        assert ran.count(0) == 1


def test_branches_that_wait_for_their_turn_get_it_where_the_limit_has_gone() -> None:
    class Limited(Batch):
        name = "limited"
        states = ["new", State("packing", job="pack", each="lines", limit=1), State("shipped", final=True)]

    class Unlimited(Batch):
        name = "limited"

    with sandbox(machines=[Limited]) as box:
        batch = Limited.start("1", lines=[0, 1, 2])
        batch.go()
        ticket = box._doorbell.take()
        elsewhere(lambda: box._runtime.ring_for(executor_of.Executor(box._runtime).execute(ticket)))
        box._machines._sources = (Unlimited,)
        with patch.object(box._machines, "get", lambda name, _d=Unlimited: definition_of_class(_d)):
            box.advance(hours=1)
            assert ran == [0, 1, 2]


def definition_of_class(machine: type[Machine]) -> Any:
    return machine._definition


class Asking(Machine):
    initial = "new"
    states = [
        "new",
        State("asking", job="ask", wait=True, timeout=3_600, undo="withdraw"),
        State("answered", final=True),
        State("late", final=True),
    ]
    transitions = [
        ["go", "new", "asking"],
        ["answer", "asking", "answered"],
        ["timeout", "asking", "late", "is_patient"],
        ["timeout", "asking", "failed_from_asking"],
    ]

    def is_patient(self) -> bool:
        return not self.data.get("strict")

    def ask(self) -> dict[str, Any]:
        ran.append("ask")
        return {"asked": True}

    def withdraw(self) -> None:
        ran.append("withdraw")


def test_a_deadline_outlives_a_pause_and_a_worker_that_is_stopped_at_once() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1")
        asking.go()
        ticket = box._doorbell.take()
        work = box._runtime.store.work
        assert work.claim(ticket, "owner", lease_until=box._clock.now() + 15_000)
        asking.pause()
        box._maintenance.released(ticket.row, "owner")
        asking.resume()
        box.advance(hours=2)
        assert (asking.refresh().state, ran) == ("late", ["ask"])


def test_a_step_that_asks_again_after_a_retry_settles_and_can_be_undone() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1", strict=True)
        asking.go()
        box.advance(hours=2)
        assert asking.refresh().state == "failed_from_asking"
        asking.retry()
        with patch.object(clock, "pause", _never):
            box.run()
        assert (asking.refresh().phase, ran) == ("waiting", ["ask", "ask"])


def _never(seconds: float) -> None:
    raise AssertionError("it waits")


class Box(Machine):
    initial = "closed"
    states = ["closed", "open", State("gone", final=True)]
    transitions = [["unlock", "closed", "open"], ["put", "open", "="], ["burn", ["open", "closed"], "gone"]]


class Sender(Machine):
    initial = "sending"
    states = [State("sending", job="send_it"), State("sent", final=True)]
    transitions = [["done", "sending", "sent"]]

    def send_it(self) -> None:
        self.send("put", to="box:1", key="k1", what=1)


def test_a_message_that_is_refused_uses_up_no_key() -> None:
    with sandbox(machines=[Sender, Box]) as box:
        target = Box.start("1")
        Sender.start("1")
        box.run()
        assert target.refresh().history[-1].kind == "discarded"
        target.unlock()
        assert target.trigger("put", key="k1").kind == "transition"


class Counting(Batch):
    name = "counting"
    transitions = [
        ["go", "new", "packing"],
        {"trigger": "branch_done", "source": "packing", "dest": None, "before": "count"},
        ["done", "packing", "shipped"],
    ]

    def count(self) -> None:
        self.data["count"] = self.data.get("count", 0) + 1


def test_a_parent_is_told_of_many_branches_without_a_break_of_ten_minutes() -> None:
    with sandbox(machines=[Counting]) as box:
        batch = Counting.start("1", lines=list(range(120)))
        batch.go()
        with patch.object(engine_of, "look", lambda *_: None):  # whoever should have looked was killed before
            while box._doorbell._tickets:
                execute_next(box)
        assert len(ran) == 120
        box.advance(seconds=30)
        assert batch.refresh().state == "shipped"
        assert batch.data["count"] == 120


def test_the_last_branch_that_settles_while_somebody_looks_is_seen_soon() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0])
        batch.go()
        execute_next(box)
        box._clock.move_to(box._clock.now() + 6_000)
        row = batch._view.snapshot.row
        branches = type(box._runtime.store.branches)

        def settle() -> None:
            # Its worker is killed once this is committed.
            with patch.object(engine_of, "look", lambda *_: None):
                execute_next(box)

        with after_nth(branches, "first_unsettled", 1, settle):
            box._maintenance._handle(
                box._runtime.store.work.due(box._clock.now(), 9, doorbells=False)[0], box._clock.now()
            )
        assert row
        assert ran == [0]
        box.advance(seconds=30)
        assert batch.refresh().state == "shipped"


def test_a_page_of_branches_whose_commit_got_no_answer_does_not_fail_the_step() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0, 1])
        batch.go()
        branches = type(box._runtime.store.branches)
        link = type(box._runtime.store.link)
        original, calls = link.transaction, []

        @contextlib.contextmanager
        def transaction(self: Any) -> Iterator[None]:
            with original(self):
                yield
            if inserting and not calls:
                calls.append(None)
                raise peewee.OperationalError("server closed the connection unexpectedly")

        inserting: list[None] = []
        insert = branches.insert

        def noted(self: Any, *args: Any, **more: Any) -> Any:
            inserting.append(None)
            try:
                return insert(self, *args, **more)
            finally:
                inserting.clear()

        with (
            patch.object(link, "transaction", transaction),
            patch.object(branches, "insert", noted),
            patch.object(link, "forget_connection", lambda self: None),
        ):
            box.advance(minutes=1)
        assert calls
        assert (batch.refresh().state, sorted(ran)) == ("shipped", [0, 1])


def test_a_child_that_cannot_be_cancelled_keeps_none_of_the_others_from_it() -> None:
    class Touchy(Machine):
        name = "touchy"
        initial = "waiting"
        states = ["waiting", State("over", final=True)]
        transitions = [
            {"trigger": "cancel", "source": "waiting", "dest": "cancelled", "before": "check"},
            ["end", "waiting", "over"],
        ]

        def check(self) -> None:
            if self.data["item"] == 0:
                raise RuntimeError("a fault of the user's")

    class Parent(Machine):
        name = "parent"
        initial = "raising"
        states = [State("raising", machine="touchy", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    with sandbox(machines=[Parent, Touchy]) as box:
        parent = Parent.start("1", children=[0, 1])
        box.run()
        parent.cancel()
        box.advance(minutes=10)
        assert Touchy.get("parent:1/raising/1").state == "cancelled"


class Nested(Machine):
    """A child that fans out."""

    initial = "packing"
    states = [State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["done", "packing", "shipped"]]

    def pack(self, item: Any) -> None:
        ran.append((item, self.idempotency_key))
        if item in failing:
            raise ValueError("no")


class Outer(Machine):
    initial = "raising"
    states = [
        State("raising", machine="nested", each="children", branch_failure="stop"),
        State("raised", final=True),
    ]
    transitions = [["done", "raising", "raised"]]


def test_what_was_done_in_a_child_that_was_stopped_is_not_done_again_when_the_parent_is_retried() -> None:
    with sandbox(machines=[Outer, Nested]) as box:
        failing.add("bad")
        outer = Outer.start("1", children=[{"lines": ["a", "b"]}, {"lines": ["bad"]}])
        for _ in range(3):
            execute_next(box)  # the parent and both children make their branches
        execute_next(box)  # a
        tickets = box._doorbell._tickets
        tickets.rotate(1)  # bad comes before b
        box.run()
        assert outer.refresh().state == "failed_from_raising"
        assert [item for item, _ in ran] == ["a", "bad"]
        failing.clear()
        outer.retry()
        box.run()
        assert outer.refresh().state == "raised"
        assert sorted(item for item, _ in ran) == ["a", "b", "bad", "bad"]


def test_a_branch_that_was_stopped_in_its_job_goes_on_with_the_same_key() -> None:
    class Strict(Nested):
        name = "strict"
        states = [State("packing", job="pack", each="lines", branch_failure="stop"), State("shipped", final=True)]

        def pack(self, item: Any) -> None:
            if item == "slow" and not ran:
                elsewhere(lambda: execute_next(box))  # meanwhile the other one fails
            Nested.pack(self, item)

    with sandbox(machines=[Strict]) as box:
        failing.add("bad")
        strict = Strict.start("1", lines=["slow", "bad"])
        box.run()
        assert strict.refresh().state == "failed_from_packing"
        failing.clear()
        strict.retry()
        box.run()
        assert strict.refresh().state == "shipped"
        assert len({key for item, key in ran if item == "slow"}) == 1


def test_branches_that_end_while_their_step_is_being_undone_are_undone_with_their_results() -> None:
    class Saga(Machine):
        name = "saga"
        initial = "booking"
        states = [
            State("booking", job="book", each="hotels", undo="unbook", on_cancel="undo"),
            State("booked", final=True),
        ]
        transitions = [["done", "booking", "booked"]]

        def book(self, hotel: str) -> str:
            with patch.object(engine_of, "align", lambda *_, **__: False):  # he who cancels dies before he passes it on
                elsewhere(lambda: Saga.get("1").cancel())
            execute_next(box)  # the branches of the undo are made
            return f"{hotel}-1"

        def unbook(self) -> None:
            ran.append((self.undoing.item, self.undoing.completed, self.undoing.result))

    with sandbox(machines=[Saga]) as box:
        saga = Saga.start("1", hotels=["Ritz"])
        box.run()
        assert saga.refresh().state == "undone"
        booked = saga.history  # for whoever reads the report
        branch = Saga.get("1/booking/0")

        assert (branch.state, ran) in [("done", [("Ritz", True, "Ritz-1")]), ("cancelled", [("Ritz", False, None)])], (
            booked
        )


def test_children_that_are_made_while_the_parent_is_paused_do_not_run() -> None:
    class Lazy(Machine):
        name = "lazy"
        initial = "raising"
        states = [State("raising", machine="child", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

        def children(self) -> Iterator[int]:
            elsewhere(lambda: Lazy.get("1").pause())
            yield 0

    with sandbox(machines=[Lazy, Child]) as box:
        lazy = Lazy.start("1")
        box.advance(hours=1)
        assert lazy.refresh().paused
        assert ran == []


def test_a_message_to_a_failed_child_whose_parent_has_gone_on_is_recorded_and_not_tried_for_ever() -> None:
    class Kid(Child):
        name = "kid"
        transitions = [*Child.transitions, ["mend", "failed_from_working", "working"]]

    class Mother(Machine):
        name = "mother"
        initial = "raising"
        states = [State("raising", machine="kid", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    class Mender(Machine):
        name = "mender"
        initial = "sending"
        states = [State("sending", job="send_it"), State("sent", final=True)]
        transitions = [["done", "sending", "sent"]]

        def send_it(self) -> None:
            self.send("mend", to="kid:mother:1/raising/0")

    with sandbox(machines=[Mother, Kid, Mender]) as box:
        failing.add(0)
        mother = Mother.start("1", children=[0])
        box.run()
        mother.cancel()
        mender = Mender.start("1")
        box.advance(days=1)
        row = mender._view.snapshot.row
        assert box._runtime.store.events.sent(row) == ()


def test_a_job_that_asks_is_retried_where_its_timeout_is_refused() -> None:
    class Guarded(Machine):
        name = "guarded"
        initial = "asking"
        states = [
            State("asking", job="ask", wait=True, timeout=60, retry=Retry(max=5, interval=40, backoff=1, jitter=0)),
            State("late", final=True),
        ]
        transitions = [["timeout", "asking", "late", "is_open"], ["answer", "asking", "late"]]

        def is_open(self) -> bool:
            return False

        def ask(self) -> None:
            ran.append("ask")
            if len(ran) < 4:
                raise ConnectionError

    with sandbox(machines=[Guarded]) as box:
        Guarded.start("1")
        box.advance(hours=1)
        assert len(ran) == 4


class Once(Machine):
    initial = "charging"
    states = [State("charging", job="charge", at_most_once=True), State("charged", final=True)]
    transitions = [["done", "charging", "charged"]]

    def charge(self) -> None:
        ran.append("charge")


def test_a_job_that_may_run_once_is_not_run_again_after_a_second_sigterm() -> None:
    with sandbox(machines=[Once]) as box:
        once = Once.start("1")
        ticket = box._doorbell.take()

        class Killed(BaseException):
            pass

        def killed(*_: Any) -> None:
            raise Killed

        executor = executor_of.Executor(box._runtime)
        owners: list[str] = []
        original = executor._claim

        def claim(ticket: Any, owner: str) -> Any:
            owners.append(owner)
            return original(ticket, owner)

        with patch.object(executor, "_claim", claim), patch.object(executor, "_settle", killed), pytest.raises(Killed):
            executor.execute(ticket)
        assert ran == ["charge"]
        box._maintenance.released(ticket.row, owners[0])
        box.advance(hours=1)
        assert ran == ["charge"]
        assert once.refresh().state == "failed_from_charging"


def test_what_a_source_of_items_sends_is_sent_or_refused() -> None:
    class Announcing(Batch):
        name = "announcing"
        states = ["new", State("packing", job="pack", each="found"), State("shipped", final=True)]

        def found(self) -> Iterator[int]:
            self.send("unlock", to="box:1")
            yield 0

    with sandbox(machines=[Announcing, Box]) as box:
        target = Box.start("1")
        announcing = Announcing.start("1")
        announcing.go()
        box.run()
        assert target.refresh().state == "open" or announcing.refresh().state == "failed_from_packing"


def test_a_cancel_while_a_step_is_being_undone_does_not_undo_it_in_the_state_of_another() -> None:
    class Pair(Machine):
        name = "pair"
        initial = "one"
        on_cancel = "undo"
        states = [
            State("one", job="act", undo="un_one"),
            State("two", job="act", undo="un_two"),
            "waiting",
            State("over", final=True),
        ]
        transitions = [["done", "one", "two"], ["done", "two", "waiting"], ["end", "waiting", "over"]]

        def act(self) -> None: ...

        def un_one(self) -> None:
            ran.append(("un_one", self.undoing.state))

        def un_two(self) -> None:
            ran.append(("un_two", self.undoing.state))

    with sandbox(machines=[Pair]) as box:
        pair = Pair.start("1")
        box.run()
        pair.cancel()
        assert pair.state == "undoing_two"
        with contextlib.suppress(TransitionNotAllowed):
            pair.cancel()
        box.run()
        assert pair.refresh().state == "undone"
        assert ran == [("un_two", "two"), ("un_one", "one")]


def test_a_branch_that_is_retried_while_its_parent_makes_branches_is_retried_or_refused_in_the_words_of_users() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.add(0)
        batch = Batch.start("1", lines=[0, 1])
        batch.go()
        box.run()
        batch.retry()
        with contextlib.suppress(TransitionNotAllowed, TransitionConflict):
            Batch.get("1/packing/0").retry()


def test_a_child_that_waits_for_its_turn_and_is_triggered_keeps_the_limit() -> None:
    class Slow(Machine):
        name = "slow"
        initial = "new"
        states = ["new", State("working", job="act"), State("over", final=True)]
        transitions = [["go", "new", "working"], ["done", "working", "over"]]

        def act(self) -> None:
            ran.append(str(self.parent.progress))

    class Many(Machine):
        name = "many"
        initial = "raising"
        states = [State("raising", machine="slow", each="children", limit=1), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    with sandbox(machines=[Many, Slow]) as box:
        Many.start("1", children=[0, 1, 2])
        execute_next(box)
        for index in range(3):
            with contextlib.suppress(TransitionNotAllowed):
                Slow.get(f"many:1/raising/{index}").go()
        assert Many.get("1").progress.running <= 1


def test_a_deadlock_on_the_way_to_the_commit_is_no_failure_of_a_transactional_job() -> None:
    class Safe(Once):
        name = "safe"
        states = [State("charging", job="charge", transactional=True), State("charged", final=True)]

    with sandbox(machines=[Safe]) as box:
        safe = Safe.start("1")
        records = type(box._runtime.store.entities)
        original, calls = records._write_entity, []

        def write(self: Any, commit: Any) -> Any:
            if commit.after.state == "charged" and not calls:
                calls.append(None)
                raise peewee.OperationalError("deadlock detected")
            return original(self, commit)

        with patch.object(records, "_write_entity", write):
            box.advance(hours=1)
        assert safe.refresh().state == "charged"


class Room(Machine):
    """``cancel`` undoes the booking, whoever asks for it and when."""

    initial = "booking"
    on_cancel = "undo"
    states = [
        State("booking", job="book", undo="unbook", defer=["cancel"]),
        State("checking", job="check"),
        "waiting",
        State("over", final=True),
    ]
    transitions = [["done", "booking", "checking"], ["done", "checking", "waiting"], ["end", "waiting", "over"]]

    def book(self) -> None:
        ran.append("book")
        if self.data.get("cancelled_meanwhile"):
            elsewhere(lambda: Room.get("1").cancel())

    def check(self) -> Any:
        return Outcome("cancel") if self.data.get("cancelled_by_job") else None

    def unbook(self) -> None:
        ran.append("unbook")


@pytest.mark.parametrize("how", ["cancelled_meanwhile", "cancelled_by_job"])
def test_a_cancel_that_was_kept_or_that_a_job_asks_for_undoes_what_was_done(how: str) -> None:
    with sandbox(machines=[Room]) as box:
        room = Room.start("1", {how: True})
        box.run()

        assert (room.refresh().state, ran) == ("undone", ["book", "unbook"])


def test_a_message_that_is_saved_is_sent_once_where_the_commit_got_no_answer() -> None:
    class Saving(Sender):
        name = "saving"

        def send_it(self) -> None:
            self.send("put", to="box:1", what=1)
            self.save()

    with sandbox(machines=[Saving, Box]) as box:
        target = Box.start("1")
        target.unlock()
        Saving.start("1")
        entities = type(box._runtime.store.entities)
        original, calls = entities.commit, []

        def commit(self: Any, what: Any, on_commit: Any) -> Any:
            after = original(self, what, on_commit)
            if what.posts and not calls:
                calls.append(None)
                sql = "SELECT token FROM fsmflow_history WHERE entity = ? ORDER BY seq DESC"
                token = box._runtime.store.link.rows(sql, (after.row,))[0][0]
                what_happened = "the server went away with the answer, and stayed away"
                raise DatabaseUnavailable(what_happened, in_doubt=True, token=token)
            return after

        with patch.object(entities, "commit", commit):
            box.run()
        assert calls
        assert [entry.trigger for entry in target.refresh().history].count("put") == 1


def test_an_adopted_entity_that_waits_for_an_answer_keeps_its_deadline() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1", state="asking")
        asking.resume()
        box.advance(hours=2)
        assert asking.refresh().state == "late"


def test_a_parent_whose_timeout_is_refused_is_joined_all_the_same() -> None:
    class Patient(Machine):
        name = "patient"
        initial = "raising"
        states = [
            State("raising", machine="child", each="children", timeout=60),
            State("raised", final=True),
            State("late", final=True),
        ]
        transitions = [["done", "raising", "raised"], ["timeout", "raising", "late", "never"]]

        def never(self) -> bool:
            return False

    class Calm(Child):
        name = "child"
        states = [State("working", job="act"), "waiting", State("over", final=True)]
        transitions = [["done", "working", "waiting"], ["end", "waiting", "over"]]

    with sandbox(machines=[Patient, Calm]) as box:
        patient = Patient.start("1", children=[0])
        box.advance(hours=1)
        with patch.object(engine_of, "look", lambda *_: None):  # it is killed once its child has been ended
            Calm.get("patient:1/raising/0").end()
        box.advance(hours=1)
        assert patient.refresh().state == "raised"


def test_a_guard_of_branch_done_that_raises_is_shown_as_a_failure_and_decided_again_after_the_fix() -> None:
    broken = [True]

    class Guarded(Batch):
        name = "guarded_batch"
        transitions = [
            ["go", "new", "packing"],
            {"trigger": "branch_done", "source": "packing", "dest": "shipped", "conditions": "is_enough"},
            ["done", "packing", "shipped"],
        ]

        def is_enough(self) -> bool:
            if broken:
                raise KeyError("a fault of the user's")
            return False

    with sandbox(machines=[Guarded]) as box:
        batch = Guarded.start("1", lines=[0])
        batch.go()
        box.advance(hours=1)
        assert batch.refresh().state == "failed_from_packing"
        broken.clear()
        batch.retry()
        box.run()
        assert (batch.refresh().state, ran) == ("shipped", [0])


def test_a_child_that_waits_for_its_turn_to_be_undone_gets_it_though_another_has_failed() -> None:
    class Fragile(Careful):
        name = "fragile"

        def unbook(self) -> None:
            if f"un{self.data['item']}" in failing:
                raise Fail("cannot")

    class Guide(Machine):
        name = "guide"
        initial = "touring"
        states = [
            State("touring", machine="fragile", each="stops", branch_failure="stop", limit=1),
            State("over", final=True),
        ]
        transitions = [["done", "touring", "over"]]

    with sandbox(machines=[Guide, Fragile]) as box:
        failing.update({0, 1, "un1"})
        guide = Guide.start("1", stops=[0, 1])
        box.run()
        children = [Fragile.get(f"guide:1/touring/{index}") for index in range(2)]
        assert [child.refresh().state for child in children] == ["undone", "cancelled"]
        box.advance(seconds=10)
        children[1].rewind("booking")
        box.run()
        assert [child.refresh().state for child in children] == ["undone", "failed_from_undoing_booking"]
        assert guide.refresh().state == "failed_from_touring"
        failing.discard("un1")
        box.advance(seconds=10)
        guide.retry()
        with patch.object(fanout, "admit", lambda *_: None):  # the worker dies before it lets anybody go
            execute_next(box)
        box._clock.move_to(box._clock.now() + 1_000)
        children[0].cancel()
        box.advance(hours=1)

        assert guide.refresh().state == "failed_from_touring"
        failing.clear()
        guide.retry()
        box.advance(hours=1)
        assert guide.refresh().state == "over"


class Late(Machine):
    initial = "charging"
    states = [
        State("charging", job="charge", transactional=True, defer=["cancel_order"]),
        State("packing"),
        State("called_off", final=True),
    ]
    transitions = [
        ["done", "charging", "packing"],
        ["cancel_order", "packing", "called_off"],
        ["x", "packing", "packing"],
    ]

    def charge(self) -> None:
        texts()  # reads, so that the transaction has a snapshot
        elsewhere_of(bench_of[0], lambda: Late.get("1").trigger("cancel_order"))


class Stay(Machine):
    initial = "new"
    on_cancel = "undo"
    states = [
        "new",
        State("booking", job="book", undo="unbook"),
        "waiting",
        State("over", final=True),
    ]
    transitions = [["go", "new", "booking"], ["done", "booking", "waiting"], ["end", "waiting", "over"]]

    def book(self) -> dict[str, Any]:
        return {"id": 1}

    def unbook(self) -> None:
        ran.append((self.undoing.completed, self.undoing.result))


bench_of: list[Bench] = []


@pytest.fixture
def db(database_url: str) -> Iterator[peewee.Database]:
    with users_database(database_url) as db:
        yield db


@pytest.fixture
def bench(db: peewee.Database, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database=db, machines=(Late, Stay)) as bench:
        bench_of[:] = [bench]
        yield bench


@on_servers
def test_what_is_deferred_while_a_transactional_job_runs_fires_in_the_commit_that_enters_the_state(
    bench: Bench,
) -> None:
    late = Late.start("1")
    bench.run()
    assert late.refresh().state == "called_off"


@on_servers
def test_a_cancel_in_a_transaction_of_the_callers_undoes_what_was_done_since_that_began(
    bench: Bench, db: peewee.Database
) -> None:
    saga = Stay.start("1")
    with db.atomic():
        assert texts() == []

        def others() -> None:
            Stay.get("1").go()
            bench.run()

        elsewhere_of(bench, others)
        saga.cancel()
    bench.run()
    assert saga.refresh().state == "undone"
    assert ran == [(True, {"id": 1})]
