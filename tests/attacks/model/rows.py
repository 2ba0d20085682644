"""An entity and its work row: what is decided about them, and how a decision is written.

As ``fsmflow.decision`` and ``fsmflow.store.commits`` do it. What the protocol relies on has a name in ``Rules``, and
can be left out, to see what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

FIRST: Final = "first"
SECOND: Final = "second"
DONE: Final = "done"
CANCELLED: Final = "cancelled"
FAILED_FROM: Final = {FIRST: "failed_from_first", SECOND: "failed_from_second"}
BACK: Final = {failed: state for state, failed in FAILED_FROM.items()}
FINAL: Final = (DONE, CANCELLED)

#: So many crashes of a step are made good; one more, and it has failed. Three in the code.
MOST_CRASHES: Final = 1


class Rules(NamedTuple):
    """What the protocol asks for. As it is here, it is right."""

    steps: int = 2
    #: A job that runs at most once: its claim is made durable before it begins, and no crash is made good.
    at_most_once: bool = False
    #: Somebody rings again, and ends attempts whose lease has run out.
    reconciles: bool = True
    #: Every doorbell has an id that was never used before.
    fresh_ids: bool = True
    #: What a claim asks of the work row.
    claim_asks: tuple[str, ...] = ("epoch", "attempt", "free", "not held")
    #: What is written under a claim asks these of the work row.
    guard: tuple[str, ...] = ("epoch", "attempt", "fence", "owner")
    #: What is written under a claim, and what is asked for by others, asks that the revision be the one decided on.
    settling_compares: bool = True
    asking_compares: bool = True
    #: Where others wrote first, a result is decided on again; else it is thrown away.
    decides_again: bool = True
    #: An attempt whose lease ran out is ended under the claim that was seen.
    expiry_is_guarded: bool = True
    crashes_count: bool = True
    #: An attempt that begins while the entity is paused is held, whatever it follows from.
    settling_holds: bool = True
    letting_go_holds: bool = True
    #: Giving an attempt back moves the revision, so that a pause that is being decided sees it.
    letting_go_moves_revision: bool = True
    #: A pause holds work only if it is unclaimed still, and leaves alone what it saw claimed only if it is so still.
    pause_asks_unclaimed: bool = True
    pause_asks_claimed: bool = True
    #: A deadline that moves nothing fires beside a claim, too; and a lease that has run out is looked after before it.
    deadline_fires_beside_claim: bool = True
    lease_before_deadline: bool = True
    #: After an error from COMMIT, whoever got it looks whether it took effect.
    looks_into_doubt: bool = True
    #: A job that runs at most once has a claim that outlives the database server.
    secures: bool = True


RIGHT: Final = Rules()


class Claim(NamedTuple):
    """What the holder of an attempt remembers; of a doorbell, epoch and attempt alone."""

    epoch: int = 0
    attempt: int = 0
    fence: int = 0
    owner: int = 0


class Work(NamedTuple):
    """A work row. ``owner`` 0: nobody. ``hasty``: the claim on it is not durable yet.

    ``deadline``: ahead, over or none; what it fires is an internal transition.
    """

    epoch: int
    attempt: int = 1
    fence: int = 0
    owner: int = 0
    held: bool = False
    crashes: int = 0
    hasty: bool = False
    deadline: str = ""

    @property
    def claim(self) -> Claim:
        return Claim(self.epoch, self.attempt, self.fence, self.owner)


class Entity(NamedTuple):
    """An entity's row with its work row. The data are how often ``note`` was applied, and whether the job has saved."""

    state: str = FIRST
    epoch: int = 1
    revision: int = 0
    paused: bool = False
    notes: int = 0
    saved: bool = False
    work: Work | None = Work(epoch=1)


class Conflict(Exception):
    """Somebody else wrote first: decide again on what is there now."""


class Gone(Exception):
    """The claim is gone: what was to be written under it is discarded."""


class Refused(Exception):
    """The entity accepts no such trigger."""


def holds(rules: Rules, entity: Entity, claim: Claim, state: str) -> bool:
    """Whether a claim, taken in a state, still counts."""
    work = entity.work
    if work is None:
        return not rules.guard
    checks = {
        "epoch": work.epoch == claim.epoch,
        "attempt": work.attempt == claim.attempt,
        "fence": work.fence == claim.fence,
        "owner": work.owner == claim.owner,
        "claimed": work.owner != 0,
        "state": entity.state == state,
    }
    return all(checks[name] for name in rules.guard)


def is_live(entity: Entity, claim: Claim) -> bool:
    """Whether a claim is the live one in truth, whatever the rules ask."""
    return entity.work is not None and entity.work.owner != 0 and entity.work.claim == claim


def may_claim(rules: Rules, entity: Entity, ticket: Claim) -> bool:
    """Whether the claim of the attempt that a doorbell names finds its work row."""
    work = entity.work
    if work is None:
        return False
    checks = {
        "epoch": work.epoch == ticket.epoch,
        "attempt": work.attempt == ticket.attempt,
        "free": work.owner == 0,
        "not held": not work.held,
    }
    return all(checks[name] for name in rules.claim_asks)


def claimed(work: Work, owner: int) -> Work:
    """The work row after a claim, whose commit need not be durable."""
    return work._replace(fence=work.fence + 1, owner=owner, hasty=True)


def may_reclaim(entity: Entity, claim: Claim, seen: Entity | None) -> bool:
    """Whether who has lost its claim with the database may claim the same attempt again: nobody else has, and the
    entity is as it was seen. A fence only grows, unless the database goes back."""
    work = entity.work
    if work is None or seen is None or work.owner or work.held:
        return False
    is_lost = (work.epoch, work.attempt) == (claim.epoch, claim.attempt) and work.fence < claim.fence
    return is_lost and seen._replace(work=None) == entity._replace(work=None)


def decide(rules: Rules, what: str, seen: Entity) -> Entity:
    """What ``what`` makes of the entity that was seen. Raises Refused."""
    return _DECISIONS[what](rules, seen)._replace(revision=seen.revision + 1)


def write(rules: Rules, what: str, now: Entity, seen: Entity, claim: Claim | None = None) -> Entity:
    """The entity after the transaction that writes a decision made on ``seen``. Raises Conflict, Gone, Refused."""
    compares = rules.settling_compares if what in SETTLING else rules.asking_compares
    if compares and seen.revision != now.revision:
        raise Conflict
    after = decide(rules, what, seen)
    if claim is not None and (what != EXPIRE or rules.expiry_is_guarded) and not holds(rules, now, claim, seen.state):
        raise Gone
    if what in (PAUSE, TIMEOUT):
        _check_work(rules, what, now, seen)
    work = now.work if after.work == seen.work else after.work
    return after._replace(revision=now.revision + 1, work=None if work is None else work._replace(hasty=False))


def _check_work(rules: Rules, what: str, now: Entity, seen: Entity) -> None:
    """A claim moves no revision: the work row itself tells whether one has come, or was lost with the database."""
    if seen.work is None or now.work is None:
        return
    asks = rules.pause_asks_claimed if seen.work.owner else rules.pause_asks_unclaimed
    if (asks or what == TIMEOUT) and seen.work.claim != now.work.claim:
        raise Conflict
    if what == TIMEOUT and now.work.owner and not rules.deadline_fires_beside_claim:
        raise Conflict


def let_go(rules: Rules, now: Entity) -> Entity:
    """A claimed attempt is given back, and counts no crash: one transaction under a lock of the entity."""
    work = now.work
    assert work is not None
    left = work._replace(attempt=work.attempt + 1, owner=0, hasty=False, held=now.paused and rules.letting_go_holds)
    return now._replace(work=left, revision=now.revision + rules.letting_go_moves_revision)


def _returned(rules: Rules, seen: Entity) -> Entity:
    return _entered(rules, seen, SECOND if seen.state == FIRST and rules.steps > 1 else DONE)


def _entered(rules: Rules, seen: Entity, state: str) -> Entity:
    """A working state is entered with work of its own, which is held where the entity is paused."""
    fence = seen.work.fence if seen.work else 0
    held = seen.paused and rules.settling_holds
    work = Work(seen.epoch + 1, fence=fence, held=held) if state in FAILED_FROM else None
    return seen._replace(state=state, epoch=seen.epoch + 1, work=work)


def _again(rules: Rules, seen: Entity, crashes: int) -> Entity:
    work = seen.work
    assert work is not None
    held = seen.paused and rules.settling_holds
    return seen._replace(work=work._replace(attempt=work.attempt + 1, owner=0, held=held, crashes=crashes))


def _failed(rules: Rules, seen: Entity) -> Entity:
    if seen.work is None:
        raise Refused
    return _again(rules, seen, seen.work.crashes)


def _failed_for_good(rules: Rules, seen: Entity) -> Entity:
    return _entered(rules, seen, FAILED_FROM.get(seen.state, seen.state))


def _crashed(rules: Rules, seen: Entity) -> Entity:
    if seen.work is None:
        raise Refused
    if rules.at_most_once or seen.work.crashes >= MOST_CRASHES:
        return _failed_for_good(rules, seen)
    return _again(rules, seen, seen.work.crashes + rules.crashes_count)


def _advanced(rules: Rules, seen: Entity) -> Entity:
    if seen.state != FIRST:
        raise Refused
    return _returned(rules, seen)


def _cancelled(rules: Rules, seen: Entity) -> Entity:
    if seen.state in FINAL:
        raise Refused
    return _entered(rules, seen, CANCELLED)


def _retried(rules: Rules, seen: Entity) -> Entity:
    if seen.state not in BACK:
        raise Refused
    return _entered(rules, seen, BACK[seen.state])


def _paused(rules: Rules, seen: Entity) -> Entity:
    if seen.paused or seen.state in FINAL:
        raise Refused
    work = seen.work if seen.work is None or seen.work.owner else seen.work._replace(held=True)
    return seen._replace(paused=True, work=work)


def _resumed(rules: Rules, seen: Entity) -> Entity:
    if not seen.paused:
        raise Refused
    return seen._replace(paused=False, work=seen.work and seen.work._replace(held=False))


AHEAD: Final = "ahead"
OVER: Final = "over"

RETURN: Final = "its job has returned"
FAIL: Final = "its job has failed and is to run again"
FAIL_FOR_GOOD: Final = "its job has failed for good"
SAVE: Final = "save"
EXPIRE: Final = "expire"
TIMEOUT: Final = "timeout"
NOTE: Final = "note"
ADVANCE: Final = "advance"
CANCEL: Final = "cancel"
RETRY: Final = "retry"
PAUSE: Final = "pause"
RESUME: Final = "resume"

#: What a worker commits under its claim.
SETTLING: Final = (RETURN, FAIL, FAIL_FOR_GOOD, SAVE)

_DECISIONS: Final[dict[str, Callable[[Rules, Entity], Entity]]] = {
    RETURN: _returned,
    FAIL: _failed,
    FAIL_FOR_GOOD: _failed_for_good,
    SAVE: lambda _, seen: seen._replace(saved=True),
    EXPIRE: _crashed,
    TIMEOUT: lambda _, seen: seen._replace(work=seen.work and seen.work._replace(deadline="")),
    NOTE: lambda _, seen: seen._replace(notes=seen.notes + 1),
    ADVANCE: _advanced,
    CANCEL: _cancelled,
    RETRY: _retried,
    PAUSE: _paused,
    RESUME: _resumed,
}
