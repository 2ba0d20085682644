"""A repair from its preview to its report, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow import repairs
from fsmflow.decision.entity import ClaimLost
from fsmflow.decision.member import Fate, Member
from fsmflow.engine.runtime import current
from fsmflow.operations.members import Members
from fsmflow.operations.repair import Repair
from fsmflow.testing import Sandbox
from tests.operations.flows import Gateway, Payment, failed, mend, start
from tests.support.interruptions import after_nth
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]


@pytest.fixture
def box(every_database: None) -> Iterator[Sandbox]:
    Gateway.down.clear()
    with sandbox(machines=[Payment]) as made:
        yield made


def row_of(repair: Repair) -> int:
    return repair._view.snapshot.row


def test_it_is_previewed_tried_stopped_resumed_and_reported(box: Sandbox) -> None:
    failed(30)
    failed(30, "other", first=30)
    box.run()
    mend("acme")
    repair = start(canary=2, rate="10/s", stop_after="10%", confirm=False)
    box.run()
    Payment.get("5").cancel()
    repairs.resume(repair)
    box.advance(seconds=60)
    report = repair.refresh().report()
    assert (repair.state, report.recovered, report.moved) == ("stopped", 29, 1)
    mend("other")
    repairs.resume(repair)
    box.advance(seconds=60)
    report = repair.refresh().report()
    assert (repair.state, report.recovered + report.failed_alike, report.moved) == ("done", 59, 1)
    ways = report.preview["ways"]
    assert ways == [{"count": 60, "state": "failed_from_charging", "would": "charging", "job": "charge"}]


def test_who_lost_its_claim_adds_nobody(box: Sandbox) -> None:
    """The set is frozen: one that was suspended in the middle of its preview finds out before it writes."""
    failed(3)
    box.run()
    repair = start()
    with after_nth(Members, "meant", 1, lambda: Repair.get(repair.entity_id).cancel()):
        box.run()
    assert (repair.refresh().state, repair.report().members) == ("cancelled", 0)


def test_a_page_that_was_written_is_not_written_again(box: Sandbox) -> None:
    failed(3)
    box.run()
    box.crash("preview", after_job=True)
    repair = start(confirm=False)
    box.run()
    assert (repair.refresh().state, repair.report().members) == ("previewed", 3)


def test_what_was_noted_by_somebody_else_is_not_noted_over(box: Sandbox) -> None:
    failed(1)
    box.run()
    repair = start(confirm=False)
    box.run()
    members = current().store.members
    (member,) = members.page(row_of(repair), limit=10)
    refused = Member(**{**vars(member), "fate": Fate.REFUSED, "why": "no"})
    members.mark([(Fate.PENDING, refused)])
    members.mark([(Fate.PENDING, Member(**{**vars(member), "fate": Fate.MOVED}))])
    assert members.counts(row_of(repair)) == {Fate.REFUSED: 1}


def test_who_has_no_claim_is_told(box: Sandbox) -> None:
    repair = start(confirm=False)
    box.run()
    with pytest.raises(ClaimLost, match="was not claimed"):
        Members(current(), row_of(repair), repair.entity_id, repair.plan).freeze(repair._view.snapshot)
