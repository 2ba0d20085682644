"""What is explored: the protocol as it is, within bounds, and protocols that lack one thing, which must be found wrong.

Each case says how often every fault and request may come. Together they meet in pairs and threes; all at once would be
too many worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from tests.attacks.model import bounds, family, fanout, names, recall, rows, steps, world
from tests.attacks.model.exploration import STUCK, Model


class Case(NamedTuple):
    """``breaks``: the invariant that has to be found broken, if any."""

    name: str
    model: Callable[[], Model[Any]]
    breaks: str = ""


def _step(rules: rows.Rules = rows.RIGHT, **bounds: int) -> Callable[[], Model[Any]]:
    return partial(steps.Steps, rules, **bounds)


def _fan(rules: family.Rules = family.RIGHT, **bounds: int) -> Callable[[], Model[Any]]:
    return partial(fanout.FanOut, rules, **bounds)


def _lacks(**left_out: Any) -> rows.Rules:
    return rows.RIGHT._replace(**left_out)


def _fan_lacks(**left_out: Any) -> family.Rules:
    return family.RIGHT._replace(**left_out)


def _bounded(rules: bounds.Rules = bounds.RIGHT, **options: Any) -> Callable[[], Model[Any]]:
    return partial(bounds.Bounds, rules, **options)


def _recalls(*asked: str, deliverers: int = 2, **left_out: bool) -> Callable[[], Model[Any]]:
    return partial(recall.Recalls, recall.RIGHT._replace(**left_out), asked, deliverers)


def _names(code: tuple[tuple[str, ...], tuple[str, ...]], **options: Any) -> Callable[[], Model[Any]]:
    return partial(names.Names, code=code, **options)


def _bounded_lacks(**left_out: bool) -> bounds.Rules:
    return bounds.RIGHT._replace(**left_out)


def _names_lack(**left_out: bool) -> names.Rules:
    return names.RIGHT._replace(**left_out)


_GAINS: Final = (("stock", "credit"), ("stock", "fraud", "credit"))
_LOSES: Final = (("stock", "fraud", "credit"), ("stock", "credit"))
_ONCE: Final = rows.RIGHT._replace(at_most_once=True)

#: The protocol as it is: nothing may be broken.
RIGHT: Final = (
    Case("a step loses its worker, its doorbell and its lease", _step(crashes=1, flushes=1, expiries=1)),
    Case("a step loses its claim with the database", _step(crashes=1, expiries=1, database_crashes=1)),
    Case("a COMMIT gets no answer", _step(crashes=1, doubts=1, database_crashes=1)),
    Case("a COMMIT of a failure gets no answer", _step(crashes=1, failures=1, doubts=1)),
    Case("a COMMIT that somebody waits for gets no answer", _step(notes=1, doubts=1)),
    Case("a job fails, and zombies go on", _step(failures=1, flushes=1, expiries=1)),
    Case("a step kills its workers, fails, and is retried", _step(crashes=2, retries=1)),
    Case("a job saves while others note and cancel", _step(saves=1, notes=1, cancels=1)),
    Case("people move on what runs", _step(advances=1, cancels=1, expiries=1)),
    Case("a pause meets a claim that is given back", _step(pauses=1, releases=1)),
    Case("a pause meets a claim that is lost", _step(pauses=1, database_crashes=1)),
    Case("a deadline meets workers that die", _step(deadlines=1, crashes=1, expiries=1)),
    Case("a job runs at most once", _step(_ONCE, crashes=1, expiries=1, database_crashes=1)),
    Case("an owner's token makes up for the fence", _step(_lacks(guard=("epoch", "attempt", "owner")), expiries=1)),
    Case("a fan-out is paused while branches are made", _fan(pauses=1)),
    Case("a fan-out loses its workers, and is paused", _fan(branches=1, crashes=1, pauses=1)),
    Case("a fan-out is cancelled while zombies make branches", _fan(crashes=1, expiries=1, cancels=1)),
    Case("a fan-out fails, and is retried", _fan(failures=1, retries=1)),
    Case("a branch fails, and is retried by itself", _fan(failures=1, branch_retries=1)),
    Case("a fan-out fails, and is cancelled", _fan(failures=1, crashes=1, cancels=1)),
    Case("a step that is bounded loses workers, and is paused", _bounded(crashes=1, pauses=1, postpones=1)),
    Case("branches that never settle are bounded, and paused", _bounded(watches=True, pauses=2)),
    Case(
        "messages are sent, taken back and over with their visit",
        _recalls(recall.SEND, recall.BIND, recall.UNSEND, recall.LEAVE),
    ),
    Case("branches have names, and the code gains one", _names(_GAINS, crashes=1, failures=1)),
    Case("branches have names, and the code loses one", _names(_LOSES, crashes=1, failures=1)),
)

#: Protocols that lack one thing.
WRONG: Final = (
    Case("nobody reconciles", _step(_lacks(reconciles=False), crashes=1), STUCK),
    Case("ids of doorbells are used again, and unique", _step(_lacks(fresh_ids=False), crashes=1), STUCK),
    Case(
        "a claim ignores the attempt",
        _step(_lacks(claim_asks=("epoch", "free", "not held")), failures=1),
        world.COUNTS_TRULY,
    ),
    Case("a claim ignores the epoch", _step(_lacks(claim_asks=("attempt", "free", "not held"))), world.COUNTS_TRULY),
    Case("a claim ignores a claim", _step(_lacks(claim_asks=("epoch", "attempt", "not held"))), world.RUNS_APART),
    Case(
        "a claim ignores a pause", _step(_lacks(claim_asks=("epoch", "attempt", "free")), pauses=1), world.PAUSED_RESTS
    ),
    Case("a result is guarded by nothing", _step(_lacks(guard=()), expiries=1), world.NO_STALE_WRITE),
    Case(
        "a result is guarded by the state", _step(_lacks(guard=("state", "claimed")), expiries=1), world.NO_STALE_WRITE
    ),
    Case(
        "a guard without fence and owner",
        _step(_lacks(guard=("epoch", "attempt")), database_crashes=1),
        world.NO_STALE_WRITE,
    ),
    Case(
        "a fence without an owner: a lost claim is taken for the next",
        _step(_lacks(guard=("epoch", "attempt", "fence")), database_crashes=1),
        world.NO_STALE_WRITE,
    ),
    Case("a result overwrites what others wrote", _step(_lacks(settling_compares=False), notes=1), world.NOTHING_LOST),
    Case("a result that is late is thrown away", _step(_lacks(decides_again=False), notes=1), world.COUNTS_TRULY),
    Case(
        "a request overwrites what a job saved",
        _step(_lacks(asking_compares=False), notes=1, saves=1),
        world.NOTHING_LOST,
    ),
    Case("a request moves on what has moved", _step(_lacks(asking_compares=False), advances=1), world.LEFT_ONCE),
    Case(
        "who ends a lease asks for no claim",
        _step(_lacks(expiry_is_guarded=False), expiries=1, database_crashes=1),
        world.NO_STALE_WRITE,
    ),
    Case("crashes are not counted", _step(_lacks(crashes_count=False), crashes=3), world.IS_BOUNDED),
    Case("what follows a paused step is not held", _step(_lacks(settling_holds=False), pauses=1), world.PAUSED_RESTS),
    Case(
        "what is given back under a pause is not held",
        _step(_lacks(letting_go_holds=False), pauses=1, releases=1),
        world.PAUSED_RESTS,
    ),
    Case(
        "giving back moves no revision: resume leaves it held",
        _step(_lacks(letting_go_moves_revision=False), pauses=1, releases=1),
        STUCK,
    ),
    Case("a pause takes a claim away", _step(_lacks(pause_asks_unclaimed=False), pauses=1), world.RUNS_APART),
    Case(
        "a pause trusts a claim that the database then loses",
        _step(_lacks(pause_asks_claimed=False), pauses=1, database_crashes=1),
        world.PAUSED_RESTS,
    ),
    Case(
        "a deadline waits for a claim whose holder is dead",
        _step(_lacks(deadline_fires_beside_claim=False, lease_before_deadline=False), deadlines=1, crashes=1),
        STUCK,
    ),
    Case(
        "a COMMIT in doubt is taken for a failure",
        _step(_lacks(looks_into_doubt=False), notes=1, doubts=1),
        world.NOTHING_TWICE,
    ),
    Case(
        "a job that runs at most once has a hasty claim",
        _step(_ONCE._replace(secures=False), database_crashes=1),
        world.AT_MOST_ONCE,
    ),
    Case("a join asks for no revision", _fan(_fan_lacks(join_compares=False)), family.LEAVES_ONCE),
    Case(
        "a join asks for no revision, and is paused",
        _fan(_fan_lacks(join_compares=False), pauses=1),
        family.PAUSED_WAITS,
    ),
    Case(
        "a join asks for no revision, and a branch goes on",
        _fan(_fan_lacks(join_compares=False), failures=1, branch_retries=1),
        family.JOINS_LAST,
    ),
    Case(
        "a join reads too early what failed",
        _fan(_fan_lacks(reads_failures_last=False), failures=1),
        family.JOINS_RIGHTLY,
    ),
    Case(
        "a join is looked for before the commit, and nobody reconciles",
        _fan(_fan_lacks(looks_after=False, reconciles=False)),
        STUCK,
    ),
    Case("nobody reconciles a fan-out", _fan(_fan_lacks(reconciles=False), crashes=1), STUCK),
    Case("a branch makes its parent due no sooner", _fan(_fan_lacks(nudges=False), crashes=1), STUCK),
    Case("a parent is put off after the look alone", _fan(_fan_lacks(puts_off_first=False), crashes=1), STUCK),
    Case("a parent is put off though it was nudged", _fan(_fan_lacks(puts_off_untouched=False), crashes=1), STUCK),
    Case(
        "branches are made without a claim",
        _fan(_fan_lacks(making_is_guarded=False), expiries=1, cancels=1),
        family.ENDS_WHAT_IS_LEFT,
    ),
    Case(
        "a retry forgets what it has run again",
        _fan(_fan_lacks(remembers_revived=False), branches=1, crashes=1, failures=2, retries=1),
        family.REVIVES_ONCE,
    ),
    Case(
        "a branch goes on without its parent",
        _fan(_fan_lacks(reopens=False), failures=1, branch_retries=1),
        family.JOINS_LAST,
    ),
    Case(
        "a parent that leaves notes nothing", _fan(_fan_lacks(notes_tasks=False), cancels=1), family.ENDS_WHAT_IS_LEFT
    ),
    Case(
        "a parent that leaves lets lie what has failed",
        _fan(_fan_lacks(ends_failed=False), failures=1, cancels=1),
        family.ENDS_WHAT_IS_LEFT,
    ),
    Case(
        "what fails while a cancel is passed down is overlooked",
        _fan(_fan_lacks(passes_down_again=False), failures=1, cancels=1),
        family.ENDS_WHAT_IS_LEFT,
    ),
    Case(
        "a paused parent makes branches that run",
        _fan(_fan_lacks(making_asks_pause=False), pauses=1),
        family.PAUSE_REACHES,
    ),
    Case(
        "a paused parent runs again branches that run",
        _fan(_fan_lacks(reviving_asks_pause=False), branches=1, failures=1, retries=1, pauses=1),
        family.PAUSE_REACHES,
    ),
    Case(
        "a job begins though its step is over",
        _bounded(_bounded_lacks(asks_before_it_begins=False)),
        bounds.BEGINS_IN_TIME,
    ),
    Case(
        "a deadline is that of one attempt", _bounded(_bounded_lacks(next_attempt_keeps_it=False), postpones=1), STUCK
    ),
    Case(
        "a pause takes of the time of a step",
        _bounded(_bounded_lacks(pause_keeps_what_is_left=False), pauses=1),
        bounds.NOT_BEFORE,
    ),
    Case(
        "a look at branches is put off past the deadline",
        _bounded(_bounded_lacks(puts_off_by_the_look=False), watches=True),
        bounds.IS_DUE,
    ),
    Case("a deadline fires whatever was written", _bounded(_bounded_lacks(firing_compares=False)), bounds.LEFT_ONCE),
    Case("who sends asks for no revision", _recalls(recall.SEND, recall.SEND, compares=False), recall.ONE_OF_A_NAME),
    Case(
        "what is on its way is read before its sender",
        _recalls(recall.SEND, recall.SEND, reads_messages_last=False),
        recall.ONE_OF_A_NAME,
    ),
    Case(
        "what was delivered is taken back",
        _recalls(recall.SEND, recall.UNSEND, takes_strictly=False),
        recall.ENDED_RESTS,
    ),
    Case(
        "what was taken back is delivered",
        _recalls(recall.SEND, recall.UNSEND, deliverers=1, delivers_strictly=False),
        recall.ENDED_RESTS,
    ),
    Case("a message is delivered by two", _recalls(recall.SEND, delivers_strictly=False), recall.NOTHING_TWICE),
    Case(
        "who was too late decides on what it had read", _recalls(recall.SEND, recall.UNSEND, reads_again=False), STUCK
    ),
    Case(
        "nobody notes that something ends with the visit",
        _recalls(recall.BIND, recall.LEAVE, notes_bound=False),
        recall.ENDS_WITH_VISIT,
    ),
    Case("branches are known by their place", _names(_GAINS, rules=_names_lack(by_name=False)), names.RUNS_ITS_OWN),
    Case(
        "branches with names are made one by one",
        _names(_GAINS, rules=_names_lack(at_once=False), crashes=1),
        names.ARE_OF_ONE_READING,
    ),
    Case(
        "a retry makes branches for names that are new",
        _names(_GAINS, rules=_names_lack(made_once=False), failures=1),
        names.ARE_OF_ONE_READING,
    ),
    Case(
        "a branch whose name is gone is done", _names(_LOSES, rules=_names_lack(gone_waits=False)), names.JOINS_RIGHTLY
    ),
)

#: The protocol as it is within wider bounds, for a machine that has time.
DEEP: Final = (
    Case("a step loses whatever it can lose", _step(crashes=2, flushes=1, expiries=2, database_crashes=1, failures=1)),
    Case("a step of three workers", _step(workers=3, crashes=1, flushes=1, expiries=1, database_crashes=1)),
    Case("COMMITs get no answer", _step(crashes=1, doubts=2, database_crashes=1, notes=1)),
    Case(
        "a job saves while others note and cancel, and workers die",
        _step(saves=1, notes=1, cancels=1, crashes=1, expiries=1),
    ),
    Case("pauses meet claims that are given back and lost", _step(pauses=2, releases=1, database_crashes=1)),
    Case("deadlines meet pauses and zombies", _step(deadlines=1, pauses=1, crashes=1, expiries=1)),
    Case("a job runs at most once, and is retried", _step(_ONCE, crashes=2, expiries=1, database_crashes=1, retries=2)),
    Case("a fan-out of three branches", _fan(branches=3, crashes=1, cancels=1)),
    Case("a fan-out is paused while workers die", _fan(crashes=1, pauses=1)),
    Case("a fan-out is retried and paused", _fan(failures=1, retries=1, pauses=1)),
    Case("a branch is retried while workers die", _fan(crashes=1, failures=1, branch_retries=1)),
    Case("a step that is bounded loses more workers", _bounded(crashes=3, pauses=2, postpones=3)),
    Case(
        "more messages are sent and taken back",
        _recalls(recall.SEND, recall.BIND, recall.SEND, recall.UNSEND, recall.LEAVE),
    ),
)
