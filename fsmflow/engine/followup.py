"""Does, at the end of a call, what its commits lead to: a look at a parent, messages, what is passed down, hooks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fsmflow import log
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Happening
from fsmflow.engine import commits
from fsmflow.engine.alignment import align
from fsmflow.engine.delivery import answer, deliver_all
from fsmflow.engine.fanout import look
from fsmflow.engine.lookup import Instance, address_of
from fsmflow.engine.runtime import Runtime, collect_no_more
from fsmflow.engine.tasks import Task, TaskKind, tasks
from fsmflow.scope import scope

#: How many tasks one call does before it leaves the rest to maintenance.
_BUDGET: Final = 200


@scope
def following(runtime: Runtime) -> Iterator[Sequence[Task]]:
    """Do, at the end, what the commits inside lead to; it is what is yielded. Inside a transaction of the caller's it
    is left to maintenance, as nothing is committed yet."""
    if tasks.get() is not None or runtime.store.link.in_transaction:
        yield ()
        return
    with noting(deque()) as waiting:
        yield waiting
        _do_all(runtime, waiting)


@scope
def noting(waiting: deque[Task]) -> Iterator[deque[Task]]:
    """Note what the commits inside lead to; it is yielded, and left to be done by ``carry_out``."""
    token = tasks.set(waiting)
    try:
        yield waiting
    finally:
        tasks.reset(token)


def carry_out(runtime: Runtime, waiting: deque[Task]) -> None:
    """Do what was noted, and what that leads to."""
    with noting(waiting):
        _do_all(runtime, waiting)


def _do_all(runtime: Runtime, waiting: deque[Task]) -> None:
    for _ in range(_BUDGET):
        if not waiting:
            return
        _do(runtime, waiting.popleft())


def on_its_own() -> None:
    """In a process that was forked in the middle of a call: what it commits is no part of that call."""
    tasks.set(None)
    collect_no_more()


def _do(runtime: Runtime, task: Task) -> None:
    """The commit stands and its caller must learn that it does; so what goes wrong here is logged, and done again."""
    try:
        if task.call is not None:
            task.call()
        elif task.kind is TaskKind.LOOK:
            if look(runtime, task.row):
                waiting = tasks.get()
                if waiting is not None:
                    waiting.append(task)
        elif task.kind is TaskKind.ALIGN:
            align(runtime, task.row, pages=1)
        elif task.kind is TaskKind.ANSWER:
            answer(runtime, task.row)
        else:
            deliver_all(runtime, task.row)
    except Exception as error:  # noqa: BLE001 - see above
        log.task_failed(task.kind, address_of(runtime, task.row), error)


def apply(runtime: Runtime, read: Callable[[], Instance], happening: Happening) -> tuple[Commit, Snapshot]:
    """Decide and commit on the entity as ``read`` finds it, anew as long as others write first; then do what follows.

    Raises what the decision refuses, StaleClaim for an attempt that no longer counts, TransitionConflict.
    """
    with following(runtime):
        return commits.apply(runtime, read, happening)


def attempt(runtime: Runtime, instance: Instance, happening: Happening) -> tuple[Commit, Snapshot] | None:
    """Decide and commit once, then do what follows; None where somebody else wrote first."""
    with following(runtime):
        return commits.attempt(runtime, instance, happening)
