"""An attempt that has been claimed, and what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from fsmflow.decision.context import Undoing, being_undone
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.happenings import Crashed, Failed, Postponed, Returned, Spread, Unacceptable
from fsmflow.decision.idempotency import key_of
from fsmflow.decision.permit import Wanted
from fsmflow.decision.versions import retraced
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.engine.branches import stored_item
from fsmflow.engine.lookup import Instance
from fsmflow.engine.runtime import Runtime
from fsmflow.values import dataclass, replace

#: How an attempt may end.
Ended = Returned | Failed | Postponed | Crashed | Spread | Unacceptable


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt that has been claimed: of which entity, by which code, in which state (``spec``). ``parent``: that of
    a branch. ``wanted``: the limits that its job has to have a permit of."""

    instance: Instance
    claim: Claim
    spec: StateSpec
    parent: Snapshot | None
    wanted: tuple[Wanted, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The entity as it was claimed, brought up to the code of today."""
        return self.instance.snapshot

    @property
    def root(self) -> Definition:
        """The definition of the machine."""
        return self.instance.root

    @property
    def definition(self) -> Definition:
        """That of the entity, which is another for a branch."""
        return self.instance.own

    def seen_as(self, snapshot: Snapshot) -> Attempt:
        """The same attempt, with the entity as it was seen last: a job may have saved meanwhile."""
        return replace(self, instance=replace(self.instance, snapshot=snapshot))

    @cached_property
    def address(self) -> str:
        """Of the entity."""
        return self.snapshot.address

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """What each log line carries while it runs."""
        claim = self.claim
        return {
            "address": self.address,
            "state": self.snapshot.state,
            "attempt": claim.attempt,
            "epoch": claim.epoch,
        }

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the entity, and of the parent that a branch works for."""
        return (self.address,) if self.parent is None else (self.address, self.parent.address)

    @property
    def limit_s(self) -> float | None:
        """How long its job may run; None for as long as it likes."""
        return None if self.spec.limit_ms is None else self.spec.limit_ms / 1000

    @property
    def silence_s(self) -> float | None:
        """How long its job may be silent; None for as long as it likes. What makes branches gives no signs."""
        return None if self.spec.heartbeat_ms is None or self.makes_branches else self.spec.heartbeat_ms / 1000

    def left_s(self, now: int) -> float | None:
        """How long its step may still take, at ``now``; None where nothing bounds that."""
        timer, work = self.spec.timer, self.snapshot.work
        if timer is None or not timer.bounds or work is None or work.deadline is None:
            return None
        return max((work.deadline - now) / 1000, 0.0)

    @property
    def makes_branches(self) -> bool:
        """Whether no job is called: what runs makes branches, and these have the jobs."""
        return self.spec.fan is not None

    @property
    def is_undoing(self) -> bool:
        """Whether its job undoes a step; ``undoing_of`` tells which."""
        spec = self.root.states.get(self.snapshot.branch_of or self.snapshot.state)
        return spec is not None and spec.undoes is not None

    @property
    def is_in_transaction(self) -> bool:
        """Whether the job runs inside the transaction that commits its transition."""
        return self.spec.transactional and not self.makes_branches


def undoing_of(runtime: Runtime, attempt: Attempt) -> Undoing | None:
    """What an undo job undoes: the latest step that has not been undone, or one branch of it. One query at most."""
    snapshot = attempt.snapshot
    spec = attempt.root.states.get(snapshot.branch_of or snapshot.state)
    if spec is None or spec.undoes is None:
        return None
    if snapshot.branch_of is not None:
        found: dict[str, Any] = stored_item(snapshot) or {}
        return Undoing(**found)
    entered = being_undone(retraced(attempt.root, runtime.store.events.trail(snapshot.row)), spec.undoes)
    undone = attempt.root.states.get(spec.undoes)
    job = "" if undone is None else undone.job_name
    if entered is None:
        return Undoing(state=spec.undoes, completed=False, result=None, job=job)
    key = key_of(runtime.store.installation, replace(snapshot, step_name=entered.step_name))
    return Undoing(
        state=entered.state, completed=entered.completed, result=entered.result, job=job, idempotency_key=key
    )
