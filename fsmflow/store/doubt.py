"""What became of a COMMIT that raised: it may have taken effect, or not, or not yet. What is stored tells. And of a
claim that is gone: the database itself may have lost it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow import log
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.work import Work, hurried
from fsmflow.errors import DatabaseUnavailable
from fsmflow.patience import Patience
from fsmflow.store.columns import work_values
from fsmflow.store.entities import Entities, pages
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements
from fsmflow.store.writes import UNKNOWN
from fsmflow.values import replace

_TRIES: Final = 6
_PAUSE_S = 0.1


class Interrupted(DatabaseUnavailable):
    """A transaction that did not end as it should; ``after`` is what it wrote where only its COMMIT is in doubt."""

    def __init__(self, commit: Commit, what: str, after: Snapshot | None) -> None:
        self.what = what
        self.after = after
        super().__init__(str(unavailable(commit, what, token=None)))


def unavailable(commit: Commit, what: str, *, token: str | None) -> DatabaseUnavailable:
    """``token``: that of a commit that is in doubt."""
    known = "it is not known whether it was committed" if token else "nothing was changed"
    message = f"the database did not take the change of {commit.after.address}, and {known}: {what}"
    return DatabaseUnavailable(message, in_doubt=token is not None, token=token)


class Doubt:
    """Looks for what a commit would have written, by the token that each history row of it has."""

    def __init__(self, link: Link, statements: Statements, entities: Entities) -> None:
        self._link = link
        self._sql = statements
        self._entities = entities

    def has_written(self, row: int, token: str) -> bool:
        """Whether a commit that was in doubt is in the history of an entity, among the latest of it."""
        return any(found == token for (found,) in self._link.query(self._sql.last_tokens, (row,)))

    def landed(self, after: Snapshot, commit: Commit, token: str) -> Snapshot | None:
        """What a COMMIT that raised has written; None where it took no effect. Raises DatabaseUnavailable where nobody
        is there to tell."""
        patience = Patience(_PAUSE_S, tries=_TRIES)
        while True:
            try:
                found = self._found(after, commit, token)
            except DatabaseUnavailable as error:
                if patience.is_over:
                    raise unavailable(commit, str(error), token=token) from error
                patience.pause()
                continue
            log.commit_in_doubt(after.address, found is not None)
            return found

    def _found(self, after: Snapshot, commit: Commit, token: str) -> Snapshot | None:
        if after.row == UNKNOWN:
            there = self._entities.load(after.machine, after.entity_id)
            if there is None:
                return None
            after = replace(after, row=there.row)
        if commit.entries:
            rows = self._link.query(self._sql.token, (after.row, commit.entries[-1].seq))
            return after if rows and rows[0][0] == token else None
        now = self._entities.load_row(after.row)
        return after if now is not None and (now.revision, now.work) == (after.revision, after.work) else None

    def all_landed(self, commits: Sequence[Commit], token: str) -> list[Snapshot] | None:
        """What a transaction that starts many entities has written under ``token``; None where it has not. Four queries
        for 200, only after an error."""
        made: list[Snapshot] = []
        for page in pages(commits):
            there = self._entities.there(page[0].after.machine, [commit.after.entity_id for commit in page])
            if len(there) < len(page):
                return None
            made += self._entities.with_rows([commit.after for commit in page])
        found = self._link.query(self._sql.token, (made[0].row, commits[0].entries[-1].seq)) if made else []
        return made if found and found[0][0] == token else None

    def reclaim(self, claim: Claim, seen: Snapshot | None, *, lease_until: int) -> bool:
        """Put a claim there again that the database has lost, as a standby that takes over may never have had it.
        Whether it is there: only where nobody has claimed the attempt since, and where the entity is as it was ``seen``
        by who held the claim (None: however it is). One transaction under a lock of the entity, which may be repeated;
        it need not be durable, as that of a claim."""

        def reclaim() -> bool:
            now = self._entities.lock(claim.row)
            if now is None or now.work is None or claim.holds(now):
                return now is not None and claim.holds(now)
            if not _is_lost(claim, now.work) or (seen is not None and seen != replace(now, work=seen.work)):
                return False
            work = replace(now.work, fence=claim.fence, owner=claim.owner, parked=None)
            work = hurried(replace(work, lease_until=lease_until, wake_at=lease_until))
            then = (now.row, now.work.epoch, now.work.attempt, now.work.fence, now.work.dispatch)
            written = self._link.execute(self._sql.update_work_unclaimed, (*work_values(work), *then))
            return bool(written.rowcount == 1)

        return self._link.write(reclaim, hasty=True)


def _is_lost(claim: Claim, work: Work) -> bool:
    """Whether a claim was never made, as the work row has it: a fence only grows, unless the database goes back."""
    is_free = work.runs and work.owner is None and work.held is None
    return is_free and (work.epoch, work.attempt) == (claim.epoch, claim.attempt) and work.fence < claim.fence
