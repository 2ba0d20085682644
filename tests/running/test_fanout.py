"""The making of branches, page by page: what breaks off, what others do meanwhile, what a source sends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import peewee

from fsmflow import Fail, Machine, Retry, State
from fsmflow.testing import sandbox
from tests.support.eventually import eventually
from tests.support.families import Batch, Box
from tests.support.interruptions import execute_next
from tests.support.process_flows import Contest
from tests.support.processes import World
from tests.support.traces import ran


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


def test_a_page_of_branches_whose_commit_got_no_answer_does_not_fail_the_step() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0, 1])
        batch.go()
        commits = type(box._runtime.store.commits)
        link = type(box._runtime.store.link)
        original = link.transaction
        calls: list[None] = []

        @contextlib.contextmanager
        def transaction(self: Any) -> Iterator[None]:
            with original(self):
                yield
            if inserting and not calls:
                calls.append(None)
                raise peewee.OperationalError("server closed the connection unexpectedly")

        inserting: list[None] = []
        insert = commits.insert

        def noted(self: Any, *args: Any, **more: Any) -> Any:
            inserting.append(None)
            try:
                return insert(self, *args, **more)
            finally:
                inserting.clear()

        with (
            patch.object(link, "transaction", transaction),
            patch.object(commits, "insert", noted),
            patch.object(link, "forget_connection", lambda self: None),
        ):
            box.advance(minutes=1)
        assert calls
        assert (batch.refresh().state, sorted(ran)) == ("shipped", [0, 1])


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


def test_of_many_branches_that_settle_at_once_in_several_workers_exactly_one_is_the_first(any_place: World) -> None:
    any_place.supervisor(processes=2)
    any_place.supervisor(processes=2)
    for number in range(30):
        Contest.start(str(number))
    eventually(lambda: Contest.counts() == {"over": 30}, within=60, what="the end of all contests")
    for contest in Contest.find():
        told = contest.data["told"]
        assert contest.data["winners"] == [told[0][0]]
        # Each telling shows those that had been told of before, and the one that it tells of.
        assert [sorted(seen) for _, seen in told] == [sorted(index for index, _ in told[:n]) for n in (1, 2, 3)]
