"""Why an entity does not go on, in plain words: nobody listens, all who do run other code, or its parent is paused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.work import GRACE_MS, Work
from fsmflow.definition.names import FINISHED
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.runtime import Runtime
from fsmflow.store.link import first_line
from fsmflow.store.work import ticket_of

#: So many worker processes are named in a sentence.
_NAMED: Final = 2


class Reasons:
    """What may stand in the way of entities, as Redis tells it: looked at once, and only where a job waits.

    It is a look, and may be old when it is read; nothing raises where Redis is away, which is a reason of its own.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._listened: set[str] = set()
        self._listeners: list[Listener] = []
        self._error: str | None = None
        self._has_looked = False

    def told(self, row: int) -> dict[str, str | None]:
        """All of it for the entity of a row, as it is now: ``queued``, ``blocked`` and ``workers``."""
        stored = self._runtime.store.entities.load_row(row)
        if stored is None:
            return {"queued": None, "blocked": None, "workers": None}
        return {
            "queued": self.place(stored),
            "blocked": self.obstacle(stored),
            "workers": self.other_code(stored),
        }

    def obstacle(self, stored: Snapshot) -> str | None:
        """What keeps an entity, as it is stored, from going on, and what to type; None where nothing does."""
        work = stored.work
        if stored.phase == FINISHED:
            return None
        if stored.paused:
            return self._pause(stored)
        if work is None or work.owner is not None or work.held is not None:
            return None
        if work.queue is None or not work.runs:
            return self._unwatched(work)
        self._look()
        if self._error is not None:
            return f"Redis, which does not answer ({self._error}); the job follows when it is back"
        if work.queue not in self._listened:
            return self._unheard(work.queue)
        return self._unable(stored, work.queue)

    def place(self, stored: Snapshot) -> str | None:
        """How many jobs are before that of an entity in its queue; None where none is, or where that is not known."""
        ring = ticket_of(stored)
        if ring is None:
            return None
        self._look()
        try:
            before = None if self._error is not None else self._runtime.doorbell.place_of(ring)
        except self._runtime.doorbell.errors as error:
            self._error = _said(error)
            return None
        return f"{before:,} {'job is' if before == 1 else 'jobs are'} before it" if before else None

    def other_code(self, stored: Snapshot) -> str | None:
        """That no worker which listens for its job has loaded the code that this process has; None where one has, or
        where that cannot be told."""
        work = stored.work
        if work is None or work.queue is None or not work.runs or work.owner is not None:
            return None
        self._look()
        listeners = self._on(work.queue)
        if not listeners or any(map(self._is_like_here, listeners)):
            return None
        here = self._runtime.release.name
        than = "" if here in [each.release for each in listeners] else f" (release {here})"
        who, again = ("the one that listens has", "it") if len(listeners) == 1 else ("all that listen have", "them")
        return f"{who} loaded other code than there is here{than}: {_named(listeners)}; restart {again} if it is older"

    def _pause(self, stored: Snapshot) -> str:
        """The topmost entity that is paused: whoever goes by its parent is let go with it."""
        top, entities = stored, self._runtime.store.entities
        while top.parent is not None and not (top.standing is not None and top.standing.is_free):
            above = entities.load_row(top.parent)
            if above is None or not above.paused:
                break
            top = above
        if top is stored:
            return "a pause; resume lets it go on"
        return f"the pause of {top.address}, which holds its branches too; resume of {top.address} lets them go on"

    def _unwatched(self, work: Work) -> str | None:
        """A timer is looked after by those who listen, whatever the queue."""
        if work.tries or work.watches or work.wake_at > self._runtime.now() - GRACE_MS:
            return None
        self._look()
        if self._error is not None or self._listened:
            return None
        return "no worker runs, and timers are looked after by workers; start one with 'fsmflow worker'"

    def _unheard(self, queue: str) -> str:
        others = ", ".join(map(repr, sorted(self._listened)))
        start = f"fsmflow worker --queues {queue}" if others else "fsmflow worker"
        elsewhere = f"; workers listen on {others}" if others else ""
        return f"no worker listens on queue {queue!r}{elsewhere}; start one with '{start}'"

    def _unable(self, stored: Snapshot, queue: str) -> str | None:
        listeners = self._on(queue)
        lacks = [lack_of(listener, stored) for listener in listeners]
        if not listeners or None in lacks:
            return None
        if len(listeners) == 1:
            who, whose, again = f"the worker on queue {queue!r} cannot", "its", "it"
        else:
            who, whose, again = f"none of the {len(listeners):,} workers on queue {queue!r} can", "their", "them"
        return f"{who} run it, as {whose} code {lacks[0]}: {_named(listeners)}; restart {again} with newer code"

    def _on(self, queue: str) -> list[Listener]:
        return [listener for listener in self._listeners if queue in listener.queues]

    def _is_like_here(self, listener: Listener) -> bool:
        """Whether it has loaded what is here, or that cannot be told: only the source of the same machines compares."""
        here = self._runtime.release
        if None in (here.name, listener.release):
            return True
        same_machines = listener.machines.keys() == self._runtime.machines.all().keys()
        if not same_machines or None in (here.source, listener.source):
            return listener.release == here.name or not same_machines
        return (listener.release, listener.source) == (here.name, here.source)

    def _look(self) -> None:
        if self._has_looked:
            return
        self._has_looked = True
        try:
            self._listened = self._runtime.doorbell.listened()
            self._listeners = self._runtime.doorbell.listeners()
        except self._runtime.doorbell.errors as error:
            self._error = _said(error)


def _said(error: BaseException) -> str:
    return first_line(error).rstrip(".")


def lack_of(listener: Listener, stored: Snapshot) -> str | None:
    """What the code of a worker lacks to run the job of an entity; None where it has all of it."""
    known = listener.machines.get(stored.machine)
    if known is None:
        return f"has no machine {stored.machine!r}"
    if known.version < stored.version:
        return f"has version {known.version} of machine {stored.machine!r}, and this entity is of {stored.version}"
    state = stored.branch_of or stored.state
    run = f"{state}/{stored.branch_name}" if stored.branch_of and stored.branch_name else state
    return None if run in known.runs else f"has no job for {run!r} of machine {stored.machine!r}"


def _named(listeners: Sequence[Listener]) -> str:
    named = ", ".join(map(told_of, listeners[:_NAMED]))
    more = len(listeners) - _NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def told_of(listener: Listener) -> str:
    """What a worker process is called where it is named."""
    release = f"release {listener.release}" if listener.release else "a release that has no name"
    since = clock.to_datetime(listener.since).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {listener.pid} of {listener.host} ({release}, since {since})"
