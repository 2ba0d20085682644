"""Several decisions, and claims beside them, that are written in one durable transaction: all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.entity import ClaimLost, Snapshot
from fsmflow.points import point
from fsmflow.store.commits import Commits
from fsmflow.store.doubt import Doubt
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements
from fsmflow.store.verdicts import ERRORS, Verdict
from fsmflow.store.work import Claimed, Ticket, claim_values, claimed_of
from fsmflow.store.writes import Batch, Gathered, is_simple

#: How long those that are written together wait for a lock: all of them do.
_JOINED_S: Final = 0.2


class Bid(NamedTuple):
    """A claim that is to be made: what for, by which owner, a token used for it alone, and how long it holds at
    first."""

    ticket: Ticket
    owner: str
    lease_until: int


class Bundle(NamedTuple):
    """What was written: the entities as they are then, and what each bid has found, None where it came in vain."""

    afters: list[Snapshot]
    claimed: list[Claimed | None]


class Bundles:
    """Writes decisions about several entities, and claims of others, in one durable transaction."""

    def __init__(self, link: Link, statements: Statements, commits: Commits, doubt: Doubt) -> None:
        self._link = link
        self._sql = statements
        self._commits = commits
        self._doubt = doubt

    def takes(self, commit: Commit) -> bool:
        """Whether a decision may be written with others: of an entity that is there, and of nothing that is locked."""
        return commit.before is not None and self._commits.is_by_itself and is_simple(commit)

    def commit(self, commits: Sequence[Commit], token: str, bids: Sequence[Bid] = ()) -> Bundle | None:
        """Write decisions, each of which it ``takes``, and make claims with them, of other entities. In one round trip
        where the database can.

        None where one of the decisions lost a race, its claim or a lock, or the database did not take it: nothing is
        written then, but where a COMMIT takes effect after it was looked for, with ``token`` in their histories. The
        caller commits each by itself, and claims with the same owners, which finds a claim that has been made after
        all. Raises DatabaseUnavailable where nobody tells what became of a COMMIT.
        """
        # In one order, whoever writes: the rows of parents that they nudge, too. What is bid for comes last, under the
        # same short limit for locks, in which two that wait for each other let go.
        ordered = sorted(commits, key=lambda commit: (commit.after.parent or 0, commit.after.row))
        sent, found = False, list[Sequence[Any]]()
        try:
            if self._link.dialect.has_batches:
                statements = [self._statement(commit, token) for commit in ordered]
                self._link.open()
                sent = True  # once it is sent, it is in doubt
                rows = self._link.send_together([*statements, *map(self._bid, bids)])
                found = rows[len(ordered) :]
            else:
                gathered = self._gathered(ordered, token)
                with self._link.briefly(), self._link.transaction():
                    found = self._write(gathered, ordered, bids)
                    sent = True
        except (CommitLost, ClaimLost):
            return None
        except ERRORS as error:
            verdict = self._link.verdict(error)
            if not sent or verdict is not Verdict.PASSING:
                return None
            first = next((commit for commit in commits if commit.entries), commits[0])
            if self._doubt.landed(first.after, first, token) is None:
                return None
        return Bundle([commit.after for commit in commits], self._claimed(bids, found))

    def _statement(self, commit: Commit, token: str) -> tuple[str, Sequence[Any]]:
        batch = Batch(self._link)
        self._commits.write(commit, token, batch)
        point("commit.before", commit.after.address)
        return batch.statement(_JOINED_S)

    def _gathered(self, commits: Sequence[Commit], token: str) -> Gathered:
        gathered = Gathered(self._link)
        for commit in commits:
            self._commits.write(commit, token, gathered)
        return gathered

    def _write(self, gathered: Gathered, commits: Sequence[Commit], bids: Sequence[Bid]) -> list[Sequence[Any]]:
        gathered.send()
        for commit in commits:
            point("commit.before", commit.after.address)
        return [self._claim(bid) for bid in bids]

    def _bid(self, bid: Bid) -> tuple[str, Sequence[Any]]:
        return self._sql.claim_with_others, claim_values(*bid)

    def _claim(self, bid: Bid) -> Sequence[Any]:
        self._link.execute(self._sql.claim, claim_values(*bid))
        return self._link.rows(self._sql.load_claimed, (bid.ticket.row,))

    def _claimed(self, bids: Sequence[Bid], found: Sequence[Sequence[Any]]) -> list[Claimed | None]:
        """``found``: nothing where a COMMIT got no answer, and has landed."""
        rows = found or [self._link.query(self._sql.load_claimed, (bid.ticket.row,)) for bid in bids]
        return [claimed_of(each, bid.owner) for each, bid in zip(rows, bids, strict=True)]
