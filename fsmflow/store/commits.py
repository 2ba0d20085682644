"""The writing of decisions, one or a page of them: the only place where one is committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Final

from fsmflow import log
from fsmflow.decision.commit import Commit, CommitLost, EventKind, Post
from fsmflow.decision.entity import Claim, ClaimLost, Snapshot
from fsmflow.decision.work import NUDGE_MS, Work
from fsmflow.errors import ConfigurationError, DatabaseRefused
from fsmflow.patience import Patience
from fsmflow.points import point
from fsmflow.store.births import Births
from fsmflow.store.columns import (
    entity_values,
    entry_values,
    guard_of,
    guard_values,
    new_entity_values,
    post_values,
    work_values,
)
from fsmflow.store.doubt import Doubt, Interrupted, unavailable
from fsmflow.store.entities import Entities
from fsmflow.store.erasure import Erasure
from fsmflow.store.groups import Groups
from fsmflow.store.link import Link, StatementRefused
from fsmflow.store.own_rows import OwnRows
from fsmflow.store.refusals import named, refusal
from fsmflow.store.search import Search
from fsmflow.store.sentence import first_line
from fsmflow.store.statements import Statements
from fsmflow.store.verdicts import ERRORS, Verdict
from fsmflow.store.work import Claimed
from fsmflow.store.writes import Batch, Missed, OneByOne, Writes, is_simple
from fsmflow.values import replace

_TRIES: Final = 5
_PAUSE_S = 0.05
#: A slow lock is waited for once, not as often as there are tries.
_PATIENCE_S: Final = 5.0


class Commits:
    """Every write is one transaction under the revision of each entity that it changes."""

    def __init__(
        self,
        link: Link,
        statements: Statements,
        entities: Entities,
        doubt: Doubt,
        own_rows: OwnRows,
        *,
        groups: Groups,
        erasure: Erasure,
        search: Search,
    ) -> None:
        self._link = link
        self._sql = statements
        self._entities = entities
        self._doubt = doubt
        self._own_rows = own_rows
        self._groups = groups
        self._erasure = erasure
        self._terms = search
        self._births = Births(link, entities, own_rows, search)
        self._here = threading.local()

    def commit(self, commit: Commit, on_commit: Callable[[Snapshot], None]) -> Snapshot:
        """Write a decision in one durable transaction, then hand what was written to ``on_commit``.

        Raises CommitLost where the entity has moved on, has been started or the key been used meanwhile, ClaimLost
        where the claim is gone, DatabaseRefused where a rule of the database is broken, and DatabaseUnavailable. A
        deadlock, a slow lock or a lost connection is tried again, as the revision still guards the write, unless it
        took a transaction of the caller's with it. An error from COMMIT is looked into: what landed counts as written.
        Statements: entity, work, one per history entry, key; one more where the entity comes to rest in a failure.
        Where a database can take several writes as one statement, most decisions are one, and its own transaction.
        """
        token = os.urandom(8).hex()
        if not self._link.in_transaction:
            after = self._insist(commit, token)
            point("commit.after", after.address)
            on_commit(after)
            return after
        after = self._try(commit, token)
        self._link.after_commit(lambda: self._tell(after, token if commit.entries else None, on_commit))
        return after

    def claimed(self, after: Snapshot) -> Claimed | None:
        """What the last commit of this thread claimed, with the holds by then; None where these were not read."""
        claimed: Claimed | None = getattr(self._here, "claimed", None)
        return claimed if claimed and claimed.snapshot is after else None

    def _insist(self, commit: Commit, token: str) -> Snapshot:
        doubtful: Snapshot | None = None
        patience = Patience(_PAUSE_S, tries=_TRIES, total_s=_PATIENCE_S)
        while True:
            try:
                return self._try(commit, token)
            except (CommitLost, ClaimLost):
                # It may be an earlier try of this that was first: a COMMIT can take effect after it was looked for.
                if doubtful and (landed := self._doubt.landed(doubtful, commit, token)) is not None:
                    return landed
                raise
            except Interrupted as error:
                if error.after is not None:
                    doubtful = error.after
                    if (landed := self._doubt.landed(doubtful, commit, token)) is not None:
                        return landed
                if patience.is_over:
                    doubted = token if doubtful is not None else None
                    raise unavailable(commit, error.what, token=doubted) from error
                patience.pause()

    def _try(self, commit: Commit, token: str) -> Snapshot:
        after = None
        is_plain = self._is_plain(commit)
        try:
            if is_plain:
                self._link.open()
                after = commit.after  # once it is sent, it is in doubt
                if (written := self._write_at_once(commit, token)) is not None:
                    return written
                # Something was not as it has to be: what that is, is told by the writes one by one.
                after, is_plain = None, False
            with self._link.transaction():
                after = self.write(commit, token, OneByOne(self._link))
                self._groups.count([commit])
                point("commit.before", commit.after.address)
        except ERRORS as error:
            verdict = self._link.verdict(error)
            if verdict is Verdict.LASTING:
                raise refusal(commit, error, at_commit=after is not None and not is_plain) from error
            # A race is lost before anything is committed: there is no doubt.
            doubtful = after if verdict is Verdict.PASSING else None
            raise Interrupted(commit, first_line(error), doubtful) from error
        return after

    def _tell(self, after: Snapshot, token: str | None, on_commit: Callable[[Snapshot], None]) -> None:
        """After the caller's commit, which may have left out what we wrote: a savepoint of it may be rolled back."""
        try:
            now = self._entities.load_row(after.row)
            there = now is not None and now.address == after.address
            if there and token is not None:
                there = self._doubt.has_written(after.row, token)
        except ConfigurationError as error:
            log.dispatch_failed(1, error)
            return
        if there and now is not None:
            # Work that has been overtaken by a later call of the same transaction is not rung for.
            on_commit(after if now.work == after.work else replace(after, work=None))

    def _is_plain(self, commit: Commit) -> bool:
        """Whether it may be one statement."""
        return self._link.dialect.has_batches and self.is_by_itself and is_simple(commit)

    @property
    def is_by_itself(self) -> bool:
        """Whether what is written now is a transaction of its own."""
        return not (self._link.in_transaction or self._link.is_lent)

    def _write_at_once(self, commit: Commit, token: str) -> Snapshot | None:
        """None where a row was not as it has to be; nothing is written then."""
        batch = Batch(self._link)
        self.write(commit, token, batch)
        point("commit.before", commit.after.address)
        if commit.claims_next:
            batch.ask(self._sql.holds)
        try:
            made = batch.send()
        except Missed:
            return None
        self._here.claimed = Claimed(commit.after, batch.answer) if commit.claims_next else None
        return commit.after if made is None else replace(commit.after, row=made)

    def write(self, commit: Commit, token: str, writes: Writes) -> Snapshot:
        """Write a decision, and what is committed with it: first that of a parent, whose row is locked first. Whoever
        calls this has begun the transaction, and ends it. Raises CommitLost and ClaimLost as soon as ``writes`` can."""
        for other in commit.also:
            self.write(other, token, writes)
        after = self._write_entity(commit, writes)
        self._write_work(commit, after, writes)
        if commit.erases:
            self._erasure.wipe(after.row, after.address, commit.takes)
        for entry in commit.entries:
            writes.run(self._sql.insert_history, (after.row, *entry_values(entry, token)))
        if commit.key is not None:
            entry = commit.entries[commit.key_entry]
            key = Post(
                kind=EventKind.KEY,
                key=commit.key,
                trigger=entry.trigger or entry.kind.value,
                why=commit.form,
                actor=entry.actor,
                at=after.updated_at,
                seq=entry.seq,
            )
            writes.run(self._sql.insert_event, (after.row, *post_values(key)))
        self._write_around(commit, after, writes)
        return after

    def _write_around(self, commit: Commit, after: Snapshot, writes: Writes) -> None:
        """What a decision writes besides the entity: events, branches that were told of, the user's own row."""
        self._write_events(commit, after, writes)
        for told in commit.told:
            writes.run(
                self._sql.tell, told, lambda: CommitLost(f"{after.address} has been told of this, or it has gone on")
            )
        if commit.frees is not None:
            writes.run(self._sql.free, (after.row, commit.frees))
        if commit.status_field is not None:
            self._own_rows.write_status(commit.status_field, after, lenient=commit.lenient)
        if commit.search:
            self._terms.write(commit.before, after, commit.search, writes)
        settles = after.has_settled and (commit.before is None or not commit.before.has_settled)
        if settles and after.parent is not None:
            soon = after.updated_at + NUDGE_MS
            writes.run(self._sql.nudge, (soon, after.parent, soon, after.updated_at))

    def _write_events(self, commit: Commit, after: Snapshot, writes: Writes) -> None:
        lost = f"{after.address}: an event has been used by somebody else"
        for taken in commit.takes:
            writes.run(self._sql.take_event, (taken,), lambda: CommitLost(lost))
        for post in commit.posts:
            writes.run(self._sql.insert_event, (post.entity or after.row, *post_values(post)))
        for mark in commit.marks:
            writes.run(self._sql.mark_event, (mark.tries, mark.why, mark.due_at, mark.id))

    def _write_entity(self, commit: Commit, writes: Writes) -> Snapshot:
        after = commit.after
        if commit.before is not None:
            params = (*entity_values(after), after.row, commit.before.revision)
            writes.run(self._sql.update_entity, params, lambda: CommitLost(f"{after.address} has moved on"))
            return after
        return replace(after, row=writes.new(self._sql.insert_entity, new_entity_values(after)))

    def _write_work(self, commit: Commit, after: Snapshot, writes: Writes) -> None:
        before = commit.before.work if commit.before else None
        guard = guard_values(commit.claim) if commit.claim else None
        if after.work is before:
            if guard and not self._link.rows(self._sql.lock_work_guarded, guard):
                raise ClaimLost(f"{after.address}: the claim is gone")
            if guard is None and before is not None and after.paused and not (commit.before and commit.before.paused):
                self._check_claimed(after, before)
            return
        if after.work is None:
            sql, params = self._sql.delete_work, [after.row]
            guarded = self._sql.delete_work_guarded
        elif before is None:
            writes.run(self._sql.insert_work, (after.row, *work_values(after.work)))
            return
        elif guard is None and (before.epoch, before.attempt) == (after.work.epoch, after.work.attempt):
            self._write_going_on(after, before, after.work, writes)
            return
        else:
            sql, params = self._sql.update_work, [*work_values(after.work), after.row]
            guarded = self._sql.update_work_guarded
        if guard is None:
            writes.run(sql, params)
        else:
            writes.run(guarded, [*params[:-1], *guard], lambda: ClaimLost(f"{after.address}: the claim is gone"))

    def _write_going_on(self, after: Snapshot, before: Work, work: Work, writes: Writes) -> None:
        """Change work that goes on, as a pause or a deadline does. A claim leaves the revision alone, and one may have
        come, or gone, since it was read."""
        if before.owner is not None:
            sql, params = self._sql.update_work_guarded, (*work_values(work), *guard_of(after, before))
        else:
            sql = self._sql.update_work_unclaimed
            params = (*work_values(work), after.row, before.epoch, before.attempt, before.fence, before.dispatch)
        lost = f"{after.address}: its attempt {before.attempt} has been claimed or given back"
        writes.run(sql, params, lambda: CommitLost(lost))

    def _check_claimed(self, after: Snapshot, before: Work) -> None:
        """What is claimed is left alone by a pause, and held once it ends; a claim that the database server lost in a
        crash was taken for a live one. Raises CommitLost."""
        if before.owner is not None and not self._link.rows(self._sql.lock_work_guarded, guard_of(after, before)):
            raise CommitLost(f"{after.address}: the claim of its attempt {before.attempt} is gone")

    def insert(
        self,
        commits: Sequence[Commit],
        claim: Claim | None = None,
        *,
        token: str | None = None,
        if_paused: Callable[[Commit], Commit] = lambda commit: commit,
    ) -> list[Snapshot]:
        """Write many new entities in one durable transaction of 4 or 5 statements for each 200 of them; of more where
        their data are large.

        ``claim`` is that of the parent, and ``if_paused`` makes of a commit what it is under a parent that is paused.
        Raises ClaimLost where it is gone, CommitLost where one is there already, and DatabaseRefused: nothing is
        written then, unless it was written by a first try whose COMMIT got no answer. By ``token``,
        ``Doubt.all_landed`` can tell.
        """
        token = token or os.urandom(8).hex()

        def insert() -> list[Snapshot]:
            wanted = commits
            if claim is not None:
                parent = self._entities.lock(claim.row)
                self.lock_claim(claim)
                wanted = [if_paused(commit) for commit in commits] if parent is not None and parent.paused else commits
            made = self._births.write(wanted, token)
            self._groups.count(wanted)
            return made

        try:
            return self._link.write(insert)
        except StatementRefused as error:
            raise DatabaseRefused(named(commits), error.sentence) from error

    def lock_claim(self, claim: Claim) -> None:
        """Inside a transaction: until its end, the claim stays live. Raises ClaimLost where it is gone."""
        if not self._link.rows(self._sql.lock_work_guarded, guard_values(claim)):
            raise ClaimLost(f"entity row {claim.row}: the claim is gone")
