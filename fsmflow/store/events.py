"""The rows of ``event``: what is kept, sent, to be undone, or to be passed down. Used-up keys are among them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow import codec
from fsmflow.decision.commit import EventKind, Posted
from fsmflow.decision.context import Entered
from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.store.columns import posted_of
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements

#: Entities of one statement.
_PAGE: Final = 500


class Events:
    """Reads of events; they are written with the decisions that make and use them."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def kept(self, row: int) -> tuple[Posted, ...]:
        """What an entity keeps for later, in order of arrival: that of the lines of its history, as not every database
        numbers rows in the order of their commits."""
        return tuple(sorted(self._of(row, EventKind.KEPT), key=lambda post: post.seq or 0))

    def sent(self, row: int) -> tuple[Posted, ...]:
        """The messages of an entity that are on their way."""
        return self._of(row, EventKind.SENT)

    def asked(self, row: int) -> tuple[Posted, ...]:
        """What one of two people has asked for, in order."""
        return self._of(row, EventKind.ASKED)

    def lost(self, row: int) -> tuple[Posted, ...]:
        """The messages of an entity that could not be delivered."""
        return self._of(row, EventKind.LOST)

    def answers(self, row: int) -> tuple[Posted, ...]:
        """How messages of an entity ended, which it has not been told yet."""
        return self._of(row, EventKind.ANSWER)

    def alignments(self, row: int) -> tuple[Posted, ...]:
        """What an entity still has to pass down to its branches."""
        return self._of(row, EventKind.ALIGN)

    def wants_fresh_keys(self, row: int, epoch: int) -> bool:
        """Whether the retry that led to this epoch asked for new idempotency keys of what is run again."""
        return any(post.key == str(epoch) for post in self._of(row, EventKind.FRESH))

    def trail(self, row: int) -> tuple[Entered, ...]:
        """The steps of an entity that can be undone, the latest first."""
        returned: dict[str, list[Posted]] = {}
        for post in sorted(self._of(row, EventKind.RETURNED), key=_epoch):
            returned.setdefault((post.key or "").partition(".")[0], []).append(post)
        found = [_entered(post, returned.get(post.key or "", [])) for post in self._of(row, EventKind.ENTERED)]
        return tuple(sorted(found, key=lambda item: -item.step))

    def due(self, now: int, limit: int) -> list[Posted]:
        """What is to be delivered or passed down by now, the longest waiting first."""
        return [posted_of(values) for values in self._link.query(self._sql.due_events, (now, limit))]

    def next_due_at(self, now: int) -> int | None:
        """The first moment after ``now`` at which something is to be delivered."""
        ((moment,),) = self._link.query(self._sql.next_event, (now,))
        return None if moment is None or moment >= FAR_FUTURE_MS else int(moment)

    def get(self, id_: int) -> Posted | None:
        """One row, if it is still there."""
        rows = self._link.query(self._sql.event, (id_,))
        return posted_of(rows[0]) if rows else None

    def remove(self, id_: int) -> None:
        """Forget what has been done."""
        self._link.write(lambda: self._link.execute(self._sql.take_event, (id_,)))

    def stick(self, post: Posted, *, again_at: int, why: str) -> None:
        """It cannot be delivered or passed down: note why, and how often that was so, and try it again later, where
        nobody has touched it since. One statement."""
        params = (again_at, post.tries + 1, why, post.id, post.due_at)
        self._link.write(lambda: self._link.execute(self._sql.stick_event, params))

    def stuck(self, limit: int) -> list[Posted]:
        """What was tried in vain, the next to be tried first; what is never tried again comes last."""
        return [posted_of(values) for values in self._link.query(self._sql.stuck_events, (limit,))]

    def stuck_of(self, rows: Sequence[int]) -> list[Posted]:
        """The same of some entities. One query for some hundreds of them, by index."""
        found: list[Posted] = []
        for first in range(0, len(rows), _PAGE):
            among, values = self._link.dialect.among(rows[first : first + _PAGE])
            found += [posted_of(each) for each in self._link.query(self._sql.stuck_events_of + among, values)]
        return sorted(found, key=lambda post: (post.due_at or 0, post.id))

    def postpone(self, post: Posted, due_at: int) -> None:
        """Look at it again later, where nobody has touched it since."""
        self._link.write(lambda: self._link.execute(self._sql.postpone_event, (due_at, post.id, post.due_at)))

    def _of(self, row: int, kind: EventKind) -> tuple[Posted, ...]:
        # What a transaction of the caller's sees may be older than the entity, which it has locked.
        sql = self._sql.events_latest if self._link.in_transaction else self._sql.events
        return tuple(posted_of(values) for values in self._link.query(sql, (row, kind.value)))


def _epoch(post: Posted) -> int:
    """That in which a step has returned, as the key of the row has it after the number of the step."""
    return int((post.key or "").partition(".")[2] or 0)


def _entered(post: Posted, returned: Sequence[Posted]) -> Entered:
    """A step, and what it returned: the last time, where it was run again after it had."""
    last = returned[-1] if returned else None
    return Entered(
        state=post.trigger,
        step=int(post.key or 0),
        completed=last is not None,
        result=codec.decode(last.text) if last is not None and last.text else None,
        step_name=codec.decode(post.text) if post.text else "",
        rows=(post.id, *(item.id for item in returned)),
    )
