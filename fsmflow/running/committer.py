"""Commits how attempts ended that ran beside each other: those that are there at the same time in one transaction."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.dispatch.doorbell import Ring
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import Task, TaskKind
from fsmflow.errors import DatabaseUnavailable
from fsmflow.points import point
from fsmflow.running.attempt import Attempt, Ended
from fsmflow.running.lane_executor import LaneExecutor
from fsmflow.store.work import Ticket
from fsmflow.values import dataclass

#: How many are committed in one transaction at most: all of them wait for its end.
_MOST: Final = 50
#: How many threads commit what goes alone, each with a connection of its own. A row that somebody locks holds up one.
_ALONE: Final = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Ending:
    """An attempt whose job has ended, and how. ``attempt`` has the entity as the job saw it last."""

    executor: LaneExecutor
    ticket: Ticket
    attempt: Attempt
    ended: Ended


class Committer:
    """Takes endings, and commits them: all that are there in one durable transaction, and never waits for more.

    What fails, or cannot be written with others, is committed by itself, in another thread. So is one that loses its
    race or its claim, or whose row is locked: the others are committed then, too, each by itself. A crash before the
    commit leaves none of them settled, and each runs again; after it all of them are, and what follows is found in SQL.
    ``over`` is told of executors that are free again, ``fail`` of an error that nobody has foreseen.
    """

    def __init__(
        self, runtime: Runtime, over: Callable[[Sequence[LaneExecutor]], None], fail: Callable[[BaseException], None]
    ) -> None:
        self._runtime = runtime
        self._over = over
        self._fail = fail
        self._endings: SimpleQueue[Ending] = SimpleQueue()
        #: The parents that somebody is about to look at.
        self._looks: set[int] = set()
        self._threads = ThreadPoolExecutor(_ALONE, thread_name_prefix="fsmflow-commit")

    def start(self) -> None:
        """Begin to commit."""
        threading.Thread(target=self._go, name="fsmflow-committer", daemon=True).start()

    def commit(self, ending: Ending) -> None:
        """Take one."""
        self._endings.put(ending)

    def submit(self, action: Callable[[], None]) -> None:
        """Do something else in a thread that may wait for the database."""
        self._threads.submit(self._done, action)

    def _go(self) -> None:
        try:
            while True:
                self.commit_all(self._all_there())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that takes attempts on
            self._fail(error)

    def _all_there(self) -> list[Ending]:
        found = [self._endings.get()]
        while len(found) < _MOST:
            try:
                found.append(self._endings.get_nowait())
            except Empty:
                break
        return found

    def commit_all(self, endings: Sequence[Ending]) -> None:
        """Commit these, in this thread, but for what goes alone."""
        self._runtime.store.link.refresh()
        token = os.urandom(8).hex()
        decided = {each: commit for each in endings if (commit := each.executor.decide(each.attempt, each.ended))}
        afters = self._written(list(decided.values()), token)
        for each in endings:
            if each not in decided or afters is None:
                each.executor.queue(each.attempt)
                self.submit(partial(self._finish, each, token if each in decided else None))
        if afters is not None:
            self._follow(decided, afters)

    def _written(self, commits: Sequence[Commit], token: str) -> Sequence[Snapshot] | None:
        if not commits:
            return None
        try:
            bundle = self._runtime.store.bundles.commit(commits, token)
        except DatabaseUnavailable:
            return None  # whoever commits by itself waits for the database, and tells
        return None if bundle is None else bundle.afters

    def _follow(self, decided: dict[Ending, Commit], afters: Sequence[Snapshot]) -> None:
        rings: list[Ring] = []
        tasks: list[tuple[Ending, deque[Task]]] = []
        with self._runtime.counting.together():
            for (each, commit), after in zip(decided.items(), afters, strict=True):
                found, noted = each.executor.follow(each.attempt, each.ended, commit, after)
                rings += found
                if left := self._left_of(noted):
                    tasks.append((each, left))
        self._ring(list(decided), rings)
        for each, noted in tasks:
            self.submit(partial(self._carry_out, each, noted))
        late = {each for each, _ in tasks}
        self._free([each.executor for each in decided if each not in late])

    def _left_of(self, noted: deque[Task]) -> deque[Task]:
        """What is still to be done of what was noted. One look at a parent is enough for all of its branches that have
        settled before it begins."""
        looks = {task.row for task in noted if task.kind is TaskKind.LOOK}
        left = deque(task for task in noted if task.kind is not TaskKind.LOOK or task.row not in self._looks)
        self._looks.update(looks)
        return left

    def _ring(self, endings: Sequence[Ending], rings: Sequence[Ring]) -> None:
        point("ring.before", endings[0].ticket.row)
        self._runtime.doorbell.finish([each.ticket for each in endings], rings)
        point("ring.after", endings[0].ticket.row)

    def _finish(self, ending: Ending, earlier: str | None) -> None:
        rings = ending.executor.finish(ending.attempt, ending.ended, earlier=earlier)
        self._ring([ending], rings)
        self._free([ending.executor])

    def _carry_out(self, ending: Ending, tasks: deque[Task]) -> None:
        # What settles from now on needs a look of its own: this one might not see it.
        self._looks.difference_update([task.row for task in tasks if task.kind is TaskKind.LOOK])
        ending.executor.carry_out(ending.attempt, tasks)
        self._free([ending.executor])

    def _free(self, executors: Sequence[LaneExecutor]) -> None:
        for executor in executors:
            executor.rest()
        self._over(executors)

    def _done(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
