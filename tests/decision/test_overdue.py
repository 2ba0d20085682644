"""Deadlines beside a job or branches that have come and could not be taken: who tries them again, and what stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsmflow import Machine, Retry, State, TransitionNotAllowed
from fsmflow.decision.deadline import deadline_of
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.resumption import Resumption, resumption
from fsmflow.decision.work import WorkKind
from fsmflow.engine.details import stuck_of
from tests.support.walk import Walk


class Asking(Machine):
    """Asks somebody, and reminds once where nobody answers in a minute."""

    initial = "asking"
    states = [
        State("asking", job="ask", wait=True, timeout=60, retry=Retry(3, 40, jitter=0)),
        State("over", final=True),
    ]
    transitions = [
        {"trigger": "timeout", "source": "asking", "dest": None, "conditions": "reminds"},
        {"trigger": "timeout", "source": "asking", "dest": "over", "unless": "is_disputed"},
        ["answer", "asking", "over"],
    ]

    def ask(self) -> None: ...

    def reminds(self) -> bool:
        return bool(self.data.get("reminds"))

    def is_disputed(self) -> bool:
        return bool(self.data.get("disputed"))


def put_off(walk: Walk, **changes: Any) -> Snapshot:
    """Its deadline comes and is refused, as the sweep notes that."""
    walk.advance(60)
    work = replace(walk.work, deadline=walk.now + 60_000, overdue=True, tries=1, why="no", **changes)
    walk.snapshot = replace(walk.snapshot, work=work)
    return walk.snapshot


def test_a_retry_tries_it_and_ends_the_attempt_that_runs() -> None:
    walk = Walk(Asking)
    walk.claim()
    put_off(walk)
    walk.retry()
    assert (walk.state, walk.kinds()) == ("over", ["start", "hurried", "transition"])


def test_where_it_is_refused_still_nothing_changes() -> None:
    walk = Walk(Asking, {"disputed": True})
    before = put_off(walk)
    with pytest.raises(TransitionNotAllowed, match="its timer 'timeout' was tried now, and is refused still"):
        walk.retry()
    assert walk.snapshot is before


def test_where_it_leads_nowhere_the_job_goes_on_without_it() -> None:
    walk = Walk(Asking, {"reminds": True})
    claim = walk.claim()
    put_off(walk)
    walk.retry()
    assert (walk.state, walk.kinds()) == ("asking", ["start", "hurried", "internal"])
    assert (walk.work.owner, walk.work.wake_at) == (claim.owner, walk.work.lease_until)
    assert (walk.work.deadline, walk.work.overdue, walk.work.tries, walk.work.why) == (None, False, 0, None)


def test_a_job_that_waits_out_its_interval_goes_first() -> None:
    walk = Walk(Asking)
    walk.fails()
    snapshot = put_off(walk)
    assert "tries it now" not in str(stuck_of(walk.definition, snapshot, ())[0])
    walk.retry()
    assert (walk.kinds()[-1], walk.work.rung_at) == ("hurried", walk.now)
    assert walk.work.overdue


def test_a_later_attempt_and_the_wait_for_the_answer_remember_it() -> None:
    walk = Walk(Asking)
    put_off(walk)
    walk.fails()
    assert (walk.work.overdue, walk.work.tries) == (True, 1)
    walk.retry()
    walk.returns()
    assert (walk.work.kind, walk.work.tries, walk.work.why) == (WorkKind.TIMER, 1, "no")
    assert resumption(walk.definition, walk.snapshot) is Resumption.HURRY


def test_what_is_stuck_besides_fires_no_deadline_that_is_still_to_come() -> None:
    walk = Walk(Asking)
    walk.claim()
    work = replace(walk.work, tries=1, why="the lease cannot be ended")
    walk.snapshot = replace(walk.snapshot, work=work)
    with pytest.raises(TransitionNotAllowed, match="'retry' was refused"):
        walk.retry()
    (stuck,) = stuck_of(walk.definition, walk.snapshot, ())
    assert (stuck.what, stuck.is_timer) == ("job of 'asking'", False)
    assert "then 'timeout' fires" in str(deadline_of(walk.definition, walk.snapshot))
    watching = replace(walk.snapshot, work=replace(work, kind=WorkKind.JOIN, owner=None))
    assert stuck_of(walk.definition, watching, ())[0].what == "branches of 'asking'"
    assert resumption(walk.definition, watching) is Resumption.LOOK


@pytest.mark.parametrize("kind", [WorkKind.JOB, WorkKind.MORE, WorkKind.JOIN, WorkKind.WINDOW])
def test_resume_begins_with_it_whatever_runs_beside(kind: WorkKind) -> None:
    walk = Walk(Asking)
    snapshot = put_off(walk, kind=kind)
    assert resumption(walk.definition, snapshot) is Resumption.HURRY
    assert deadline_of(walk.definition, snapshot) is None
