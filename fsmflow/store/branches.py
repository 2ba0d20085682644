"""The branches of a step: counted and paged, all by index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsmflow.decision.context import Progress
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.store.columns import snapshot_of
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements

#: So many items are read at once.
_ITEMS: Final = 1_000


class Branches:
    """Reads over the branches of a step; they are entities, and written as such."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def first_unsettled(self, parent: int, step: int) -> int | None:
        """How a branch stands for which the parent has to wait: QUEUED if any is, else ACTIVE; None without any."""
        rows = self._link.query(self._sql.first_unsettled, (parent, step))
        return int(rows[0][0]) if rows else None

    def failed_since(self, parent: Snapshot) -> bool:
        """Whether a branch has failed since the parent entered the step, or went back into it."""
        since = 0 if parent.epoch == parent.step else parent.entered_at + 1
        return bool(self._link.query(self._sql.failed_since, (parent.row, parent.step, since)))

    def has(self, parent: int, step: int, *standings: Standing) -> bool:
        """Whether any branch stands so."""
        return any(self.count(parent, step, standing, most=1) for standing in standings)

    def count(self, parent: int, step: int, standing: Standing, *, most: int) -> int:
        """How many branches stand so, ``most`` where there are more."""
        ((found,),) = self._link.query(self._sql.count_standing, (parent, standing.value, step, most))
        return int(found)

    def progress(self, parent: int, step: int) -> Progress:
        """How many there are of each kind."""
        tally = self.tally(parent, step)
        return Progress.of(tally, self.cancelled(parent, step, tally))

    def cancelled(self, parent: int, step: int, tally: Iterable[Standing]) -> int:
        """How many were cancelled, of those that stand in one of these ways. A query for each that is one of failure,
        which reads as many rows."""
        params = ((parent, standing.value, step) for standing in tally if standing.is_failed)
        return sum(int(self._link.query(self._sql.count_cancelled, values)[0][0]) for values in params)

    def failing(self, parent: int, step: int, *, limit: int) -> list[Snapshot]:
        """Branches that have failed, and were not only ended, by index. Reads the ended ones before them, too."""
        return [snapshot_of(row) for row in self._link.query(self._sql.failing, (parent, step, limit))]

    def tally(self, parent: int, step: int) -> dict[Standing, int]:
        """How many there are of each standing."""
        rows = self._link.query(self._sql.tally, (parent, step))
        return {Standing(standing): int(count) for standing, count in rows}

    def standing(self, parent: int, step: int, standing: Standing, *, after: int = -1, limit: int) -> list[Snapshot]:
        """Branches that stand so, by index."""
        value = (standing.value,) * self._link.dialect.one_of_order.count("?")
        rows = self._link.query(self._sql.by_standing, (parent, *value, step, after, limit))
        return [snapshot_of(row) for row in rows]

    def waiting(self, parent: int, step: int, *, limit: int) -> list[Snapshot]:
        """Branches whose job waits out an interval, the next first; of more than ``_ITEMS`` that are on their way, of
        the first of those."""
        return [snapshot_of(row) for row in self._link.query(self._sql.waiting, (parent, step, _ITEMS, limit))]

    def untold(self, parent: int, step: int, *, limit: int) -> list[Snapshot]:
        """Branches that have settled and that their parent has not been told of, in the order in which they did."""
        return [snapshot_of(row) for row in self._link.query(self._sql.untold, (parent, step, limit))]

    def page(self, parent: int, step: int, *, after: int = -1, limit: int) -> list[Snapshot]:
        """Branches by index, from the one after ``after``."""
        return [snapshot_of(row) for row in self._link.query(self._sql.branches, (parent, step, after, limit))]

    def items(self, parent: int, step: int) -> list[str]:
        """What the branches of a step were made for, in their order, as it is stored. A query for each thousand."""
        found: list[str] = []
        while True:
            page = self._link.query(self._sql.items, (parent, step, len(found) - 1, _ITEMS))
            found += [text or "null" for _, text in page]
            if len(page) < _ITEMS:
                return found

    def named(self, parent: int, step: int, name: str) -> Snapshot | None:
        """The branch of this name. Reads no more than the branches of the step that stand before it."""
        rows = self._link.query(self._sql.named_branch, (parent, step, name))
        return snapshot_of(rows[0]) if rows else None

    def unsettled(self, parent: int, *, after: int = 0, limit: int) -> list[Snapshot]:
        """What is not settled of any step of the parent, by row."""
        return [snapshot_of(row) for row in self._link.query(self._sql.unsettled, (parent, after, limit))]

    def left_over(self, parent: int, *, but: int, free: bool, after: int, limit: int) -> list[Snapshot]:
        """What is not settled of any step of the parent, what rests in a failure of any but one, and what goes by
        itself and has not ended, where that is asked for; by row."""
        params = (parent, after, but, int(free), limit)
        return [snapshot_of(row) for row in self._link.query(self._sql.left_over, params)]

    def unlike(self, parent: Snapshot, *, after: int, limit: int) -> list[Snapshot]:
        """What is not settled and is of another step than the parent is in, or is paused where that is not, and what
        rests in a failure of another step, by row."""
        params = (parent.row, after, int(parent.paused), parent.step, parent.step, limit)
        return [snapshot_of(row) for row in self._link.query(self._sql.unlike, params)]

    def last_step(self, parent: int) -> int:
        """The last step of the parent that has branches; 0 where none has."""
        ((last,),) = self._link.query(self._sql.last_step, (parent,))
        return int(last or 0)

    def made(self, parent: int, step: int) -> int:
        """How many branches the step has by now."""
        ((last,),) = self._link.query(self._sql.last_index, (parent, step))
        return 0 if last is None else int(last) + 1

    def firsts(self, parent: int) -> list[tuple[int, str]]:
        """(step, entity id) of the first branch of each step of the parent."""
        return [(int(step), str(id_)) for step, id_ in self._link.query(self._sql.first_branches, (parent,))]
