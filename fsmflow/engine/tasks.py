"""What follows a commit, outside of its transaction: a look at the parent, messages, what is passed down, hooks.

Best effort: each of these is found again in SQL, but for hooks. Nothing here raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from functools import partial

from fsmflow import log
from fsmflow.decision import asker
from fsmflow.decision.commit import Commit, EventKind
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.redaction import masked
from fsmflow.decision.view import subject_of
from fsmflow.definition.model import Definition
from fsmflow.engine.handle import HandleView
from fsmflow.errors import reword, text_of
from fsmflow.values import dataclass


class TaskKind(StrEnum):
    """What is to be done for an entity soon: look at its branches, align them with it, deliver what it sent, tell it
    how that ended, call its hooks, or those who wait for its permits. Told in the log."""

    LOOK = "look"
    ALIGN = "align"
    DELIVER = "deliver"
    ANSWER = "answer"
    HOOKS = "hooks"
    PERMITS = "permits"


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to be done for the entity of ``row``; ``call`` does what is none of the others."""

    kind: TaskKind
    row: int
    call: Callable[[], None] | None = None


#: The tasks of the call that this thread is in; None outside of one.
tasks: ContextVar[deque[Task] | None] = ContextVar("fsmflow_tasks", default=None)

#: How hooks are called: where a hook that hangs would hold up others, elsewhere than here.
hook_caller: ContextVar[Callable[[Callable[[], None]], None]] = ContextVar(
    "fsmflow_hook_caller", default=lambda call: call()
)


def note_tasks(definition: Definition, commit: Commit, after: Snapshot) -> None:
    """Remember what a commit leads to, for the call that this is part of, its hooks among that."""
    waiting = tasks.get()
    if waiting is not None:
        waiting.extend(_tasks_of(commit, after))
    if after.branch_of is None and (definition.wide.on_transition or definition.wide.on_failed):
        call = partial(hook_caller.get(), partial(_call_hooks, definition, commit.entries, after))
        if waiting is None:
            call()
        else:
            waiting.append(Task(kind=TaskKind.HOOKS, row=after.row, call=call))


def _tasks_of(commit: Commit, after: Snapshot) -> list[Task]:
    found: list[Task] = []
    before = commit.before
    # A branch that had failed and is skipped has settled before; its parent waits for it again all the same.
    if after.parent is not None and after.has_settled and (before is None or before.standing != after.standing):
        found.append(Task(kind=TaskKind.LOOK, row=after.parent))
    if after.work is not None and after.work.watches and (before is None or before.work != after.work):
        found.append(Task(kind=TaskKind.LOOK, row=after.row))
    kinds = {post.kind for post in commit.posts if post.due_at is not None and post.due_at <= after.updated_at}
    if EventKind.ALIGN in kinds:
        found.append(Task(kind=TaskKind.ALIGN, row=after.row))
    found += [
        Task(kind=TaskKind.ANSWER, row=post.entity)
        for post in commit.posts
        if post.kind is EventKind.ANSWER and post.entity is not None
    ]
    is_let_go = before is not None and before.holds and not after.holds
    if EventKind.SENT in kinds or (is_let_go and commit.marks):
        found.append(Task(kind=TaskKind.DELIVER, row=after.row))
    return found


def _call_hooks(definition: Definition, entries: tuple[HistoryEntry, ...], after: Snapshot) -> None:
    wide, view = definition.wide, HandleView(definition, definition, after)
    moved = [entry for entry in entries if entry.kind.is_hooked]
    for entry in moved if wide.on_transition is not None else ():
        _call(after, "on_transition", wide.on_transition, view, entry)
    spec = definition.states.get(after.state)
    rests = spec is not None and spec.is_failed and after.failure is not None
    if wide.on_failed is not None and rests and moved and moved[-1].kind.enters:
        _call(after, "on_failed", wide.on_failed, view, after.failure)


def _call(after: Snapshot, name: str, hook: Callable[..., object] | None, view: HandleView, argument: object) -> None:
    try:
        if hook is not None:
            with asker.outside():
                hook(subject_of(view.definition, view), argument)
    except Exception as error:  # noqa: BLE001 - it is the user's, and the commit stands
        reword(error, masked(view.definition, text_of(error), after))
        log.hook_failed(after.address, name, error)
