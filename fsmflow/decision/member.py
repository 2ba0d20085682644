"""An entity of a repair: how it was seen, what the action would do to it, and what became of it."""

from __future__ import annotations

from typing import Final, Protocol

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.kind import Kind
from fsmflow.definition.names import CANCEL, FAIL, FAILED, UNDO, WORKING
from fsmflow.values import dataclass


class Fate(Kind):
    """What has become of a member of a repair.

    ``pending``: its turn has not come. ``refused``: the action does not apply, and nothing was changed. ``moved``: it
    was not as it had been seen any more, and was left alone. All others were asked. ``under_way``: its step runs.
    ``recovered``: it left the step that the action had led it into, otherwise than by failing; where that is no step,
    at once. ``failed_alike``: it failed again, with the fingerprint that it was seen with; ``failed_otherwise``: with
    another one. ``taken_over``: somebody else has cancelled or moved it since, or it is gone. ``proposed``: it takes
    two people, and was noted.
    """

    PENDING = "pending"
    UNDER_WAY = "under_way"
    RECOVERED = "recovered"
    FAILED_ALIKE = "failed_alike"
    FAILED_OTHERWISE = "failed_otherwise"
    TAKEN_OVER = "taken_over"
    REFUSED = "refused"
    MOVED = "moved"
    PROPOSED = "proposed"


FAILED_AGAIN: Final = (Fate.FAILED_ALIKE, Fate.FAILED_OTHERWISE)
#: The action has been done to it, and what that led to is over.
SETTLED: Final = (Fate.RECOVERED, *FAILED_AGAIN, Fate.TAKEN_OVER, Fate.PROPOSED)
ASKED: Final = (Fate.UNDER_WAY, *SETTLED)

PAUSED: Final = "paused"
STILL_PAUSED: Final = "still paused"

#: Done by a person or a program from outside, to the entity itself.
_BY_HAND: Final = frozenset({HistoryKind.FORCED, HistoryKind.SKIPPED, HistoryKind.REWOUND})


@dataclass(frozen=True, kw_only=True)
class Member:
    """One entity of a repair, by its row. ``epoch``, ``state`` and ``fingerprint`` are those that it was seen with.

    ``would`` and ``job``: the state that the action would lead to, or has led to, and the job that would run there.
    ``why``: what it was refused for, or why it was left alone; of one that was asked, what besides its state that
    changed. ``turn``: in which turn of the repair it was asked; ``asked_epoch``: its epoch right after that.
    """

    repair: int
    entity: int
    address: str
    epoch: int
    state: str
    fingerprint: str | None = None
    would: str | None = None
    job: str | None = None
    why: str | None = None
    fate: Fate = Fate.PENDING
    turn: int | None = None
    asked_epoch: int | None = None
    asked_at: int | None = None
    settled_at: int | None = None


class Seen(Protocol):
    """Whatever shows how an entity stands."""

    @property
    def epoch(self) -> int: ...

    @property
    def phase(self) -> str: ...

    @property
    def paused(self) -> bool: ...


def change_of(before: Snapshot, after: Seen) -> str | None:
    """What an action has changed of an entity besides its state; None where there is nothing to say."""
    moved = before.epoch != after.epoch
    if after.paused:
        return STILL_PAUSED if before.paused and not moved else PAUSED
    if before.paused:
        return "no longer paused"
    if moved:
        return None
    if before.phase != after.phase:
        return after.phase
    return "run now" if before.work is not None and before.work.waits else None


def fate_of(member: Member, now: Snapshot | None, left: HistoryEntry | None) -> Fate:
    """What has become of a member that was asked, by what it is ``now``; ``left``: the first line of its history that
    tells of a later epoch, where it has one."""
    if now is None:
        return Fate.TAKEN_OVER
    if left is None:
        if now.phase == WORKING:
            return Fate.UNDER_WAY
        return _failed(member, now.fingerprint) if now.phase == FAILED else Fate.RECOVERED
    if left.failure is not None or left.trigger == FAIL:
        return _failed(member, None if left.failure is None else left.failure.fingerprint)
    taken = left.kind in _BY_HAND or left.trigger in (CANCEL, UNDO)
    return Fate.TAKEN_OVER if taken else Fate.RECOVERED


def _failed(member: Member, fingerprint: str | None) -> Fate:
    alike = fingerprint is not None and fingerprint == member.fingerprint
    return Fate.FAILED_ALIKE if alike else Fate.FAILED_OTHERWISE
