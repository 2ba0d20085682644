"""Moves an entity by ``decide`` alone: no database, no Redis, and time passes where the test says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from fsmflow import Actor, HistoryEntry, Machine, clock
from fsmflow.decision.commit import Commit
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, Failure, Snapshot
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import (
    Changes,
    Crashed,
    Failed,
    Happening,
    Paused,
    Postponed,
    Resumed,
    Returned,
    Saved,
    TimerFired,
    Triggered,
)
from fsmflow.decision.offers import allowed_triggers
from fsmflow.decision.start import begin
from fsmflow.decision.work import Work
from fsmflow.definition.model import Definition

#: A moment of its own, in the milliseconds of the store: 2026-01-02 03:04:05 UTC.
NOW = clock.from_datetime(datetime.fromisoformat("2026-01-02T03:04:05+00:00"))
ROW = 7


def definition_of(machine: type[Machine]) -> Definition:
    """What a class was compiled to."""
    return machine._definition


class Walk:
    """One entity. Every step checks what must hold of a commit whatever led to it."""

    def __init__(self, machine: type[Machine], data: Mapping[str, Any] | None = None, *, now: int = NOW) -> None:
        self.definition = definition_of(machine)
        self.now = now
        commit = begin(self.definition, "1", data or {}, None, None, now)
        self.snapshot = replace(commit.after, row=ROW)
        self.history: list[HistoryEntry] = list(commit.entries)
        self._owners = 0

    @property
    def state(self) -> str:
        return self.snapshot.state

    @property
    def data(self) -> dict[str, Any]:
        return self.snapshot.data

    @property
    def work(self) -> Work:
        assert self.snapshot.work is not None, f"nothing is to be done in {self.state!r}"
        return self.snapshot.work

    @property
    def failure(self) -> Failure:
        assert self.snapshot.failure is not None, f"no failure is told of in {self.state!r}"
        return self.snapshot.failure

    @property
    def last(self) -> HistoryEntry:
        return self.history[-1]

    def happen(self, happening: Happening) -> Commit:
        """Decide and take the entity where it leads; nothing changes where it is refused."""
        commit = decide(self.definition, self.snapshot, happening, self.now)
        assert commit.before is self.snapshot
        assert commit.after.revision == self.snapshot.revision + 1
        self.snapshot = commit.after
        self.history += commit.entries
        check_history(self.history, self.snapshot)
        return commit

    def trigger(self, name: str, *, actor: Actor | None = None, epoch: int | None = None, **payload: Any) -> Commit:
        return self.happen(Triggered(trigger=name, actor=actor, epoch=epoch, payload=payload))

    def retry(self, *, new_key: bool = False, **patch: Any) -> Commit:
        return self.happen(Triggered(trigger="retry", patch=patch, new_key=new_key))

    def claim(self) -> Claim:
        """Claim the attempt, as the store does for a worker."""
        work = self.work
        assert (work.kind, work.owner, work.held) == ("job", None, None), "a worker could not claim this"
        self._owners += 1
        claimed = replace(work, owner=f"owner-{self._owners}", fence=work.fence + 1, lease_until=self.now + 15_000)
        self.snapshot = replace(self.snapshot, work=claimed)
        return self.live_claim()

    def live_claim(self) -> Claim:
        """The claim that is held now; made first, where nobody has claimed the attempt yet."""
        work = self.work
        if work.owner is None:
            return self.claim()
        return Claim(row=ROW, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=work.owner)

    def returns(self, trigger: str = "done", removed: Sequence[str] = (), **changed: Any) -> Commit:
        """The job is run and returns."""
        happening = Returned(claim=self.live_claim(), trigger=trigger, changes=self._changes(changed, removed))
        return self.happen(replace(happening, duration_ms=1_500))

    def fails(
        self, error: BaseException | None = None, *, permanent: bool = False, origin: str | None = None
    ) -> Commit:
        """The job is run and raises."""
        error = error or ConnectionError("the bank is away")
        facts = Facts(kind=type(error), message=str(error), permanent=permanent, origin=origin)
        return self.happen(Failed(claim=self.live_claim(), facts=facts))

    def crashes(self) -> Commit:
        return self.happen(Crashed(claim=self.live_claim(), detail="signal 9 ended its worker"))

    def postpones(self, seconds: float) -> Commit:
        return self.happen(Postponed(claim=self.live_claim(), seconds=seconds))

    def saves(self, removed: Sequence[str] = (), **changed: Any) -> Commit:
        return self.happen(Saved(claim=self.live_claim(), changes=self._changes(changed, removed)))

    def _changes(self, changed: dict[str, Any], removed: Sequence[str]) -> Changes:
        """What a job made of the data as they are: nobody else has written meanwhile."""
        data = self.snapshot.data
        base = {key: data[key] for key in (*changed, *removed) if key in data}
        return Changes(changed=changed, removed=tuple(removed), base=base, began_with=self.snapshot.data_text)

    def timer(self) -> Commit:
        """The timer is over, and somebody has seen it."""
        self.now = max(self.now, self.work.wake_at)
        return self.happen(TimerFired())

    def pause(self) -> Commit:
        return self.happen(Paused(actor=Actor("ops")))

    def resume(self) -> Commit:
        return self.happen(Resumed(actor=Actor("ops")))

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1000)

    def allowed(self, actor: Actor | None = None) -> list[str]:
        return allowed_triggers(self.definition, self.snapshot, actor, self.now)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.history]


def check_history(history: Sequence[HistoryEntry], snapshot: Snapshot) -> None:
    """The first invariant: no gaps, at most one entry that enters a state per epoch, and the fold is the snapshot."""
    assert [entry.seq for entry in history] == list(range(1, len(history) + 1))
    state, epoch, paused, entered = None, 0, False, []
    for entry in history:
        if entry.kind in ("start", "transition"):
            assert entry.source == state, f"{entry} does not follow from {state!r}"
            assert entry.epoch == epoch + 1, f"{entry} enters no new epoch"
            entered.append(entry.epoch)
            state, epoch = entry.dest, entry.epoch
        else:
            assert (entry.dest, entry.epoch) == (state, epoch), f"{entry} moved the entity"
        if entry.kind in ("paused", "resumed"):
            paused = entry.kind == "paused"
    assert len(set(entered)) == len(entered)
    assert (state, epoch, paused) == (snapshot.state, snapshot.epoch, snapshot.paused)
    assert snapshot.seq == len(history)
    if snapshot.work is not None:
        assert snapshot.work.epoch == snapshot.epoch
        idle = snapshot.work.owner is None
        assert not (snapshot.paused and idle) or snapshot.work.held is not None, "paused, and not held"
        assert snapshot.paused or snapshot.work.held is None, "held, and not paused"
