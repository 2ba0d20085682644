"""Why an entity does not go on, in plain words: nobody listens, all who do run other code, or its parent is paused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.work import GRACE_MS, Work
from fsmflow.definition.names import FAILED, FINISHED
from fsmflow.definition.priority import ranked
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.drains import drains
from fsmflow.engine.drains import told as told_of_drains
from fsmflow.engine.holds import holding
from fsmflow.engine.limits import told_of_line
from fsmflow.engine.lookup import under_todays_names
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import UnknownState
from fsmflow.store.sentence import first_line
from fsmflow.store.work import ticket_of

if TYPE_CHECKING:
    from fsmflow.dispatch.doorbell import Doorbell

Told = TypeVar("Told")

#: So many worker processes are named in a sentence.
_NAMED: Final = 2


class Reasons:
    """What may stand in the way of entities, as Redis tells it: looked at once, and only where that is asked for.

    It is a look, and may be old when it is read; nothing raises where Redis is away, which is a reason of its own.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._servers: dict[Doorbell, _Heard] = {}

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
        hold = None if work.watches else holding(self._runtime, stored)
        if hold is not None:
            return f"{hold}; 'fsmflow release {hold.number}' ends it"
        if work.queue is None or not work.runs:
            return self._unwatched(work)
        heard = self._at(work.queue)
        listened = heard.listened
        if heard.error is not None:
            return f"Redis, which does not answer ({heard.error}); the job follows when it is back"
        if work.queue not in listened:
            return self._unheard(work.queue)
        return self._unable(stored, work.queue)

    def line_of(self, stored: Snapshot) -> str:
        """In which line of a limit an entity waits, behind how many, and who has what it waits for."""
        return told_of_line(self._runtime, stored.row)

    def place(self, stored: Snapshot) -> str | None:
        """How many jobs are before that of an entity in its queue; None where none is, or where that is not known."""
        ring = ticket_of(stored)
        if ring is None:
            return None
        heard = self._at(ring[1])
        before = heard.asked(lambda: self._runtime.doorbell.place_of(ring))
        return f"{before:,} {'job is' if before == 1 else 'jobs are'} before it" if before else None

    def other_code(self, stored: Snapshot) -> str | None:
        """That no worker which listens for its job, or for that of a retry, has loaded the code that this process has;
        None where one has, or where that cannot be told."""
        queue = self._next_queue(stored)
        return None if queue is None else self.other_code_on([queue])

    def other_code_on(self, queues: Iterable[str]) -> str | None:
        """The same for whatever waits in one of these queues. Two round trips, where that was not looked at yet."""
        found: dict[str, Listener] = {}
        for queue in queues:
            listeners = self._on(queue)
            if not any(map(self._is_like_here, listeners)):
                found.update((listener.name, listener) for listener in listeners)
        return self._told_of_others(list(found.values())) if found else None

    def others_on(self, queues: Iterable[str]) -> str | None:
        """Those that listen on some of these queues with other code than there is here, each by its name; None where
        there are none, or where that cannot be told. Two round trips, where that was not looked at yet."""
        found = {listener.name: listener for queue in queues for listener in self._on(queue)}
        others = [listener for listener in found.values() if not self._is_like_here(listener)]
        return _named(others) if others else None

    def _told_of_others(self, listeners: list[Listener]) -> str:
        here = self._runtime.release.name
        than = "" if here in [each.release for each in listeners] else f" (release {here})"
        who = "the worker that listens has" if len(listeners) == 1 else "all workers that listen have"
        return (
            f"{who} loaded other code than there is here{than}: {_named(listeners)}; if that is older, restart "
            f"'fsmflow worker'"
        )

    def _next_queue(self, stored: Snapshot) -> str | None:
        """Where the job waits that is run next; of what rests in a failure, that of a retry."""
        work = stored.work
        if work is not None:
            return work.queue if work.runs and work.owner is None else None
        root = self._runtime.machines.all().get(stored.machine)
        if root is None or stored.phase != FAILED:
            return None
        try:
            step = under_todays_names(root, stored).step
        except UnknownState:
            return None
        if step is None or not step.is_working or not isinstance(step.queue, str):
            return None
        return ranked(step.queue, step.priority) if isinstance(step.priority, str) else step.queue

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
        if any(heard.listened or heard.error is not None for heard in self._all()):
            return None
        drained = told_of_drains(drains(self._runtime))
        return f"no worker runs, and timers are looked after by workers; start one with 'fsmflow worker'{drained}"

    def _unheard(self, queue: str) -> str:
        others = ", ".join(map(repr, sorted({each for heard in self._all() for each in heard.listened})))
        start = f"fsmflow worker --queues {queue}" if others else "fsmflow worker"
        elsewhere = f"; workers listen on {others}" if others else ""
        drained = told_of_drains(drains(self._runtime))
        return f"no worker listens on queue {queue!r}{elsewhere}; start one with '{start}'{drained}"

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
        return [listener for listener in self._at(queue).listeners if queue in listener.queues]

    def _is_like_here(self, listener: Listener) -> bool:
        """Whether it has loaded what is here, or that cannot be told: only the source of the same machines compares."""
        here = self._runtime.release
        if None in (here.name, listener.release):
            return True
        theirs = {machine for machine in listener.machines if not is_built_in(machine)}
        same_machines = theirs == self._runtime.machines.of_user().keys()
        if not same_machines or None in (here.source, listener.source):
            return listener.release == here.name or not same_machines
        return (listener.release, listener.source) == (here.name, here.source)

    def _at(self, queue: str) -> _Heard:
        return self._of(self._runtime.doorbell.at(queue))

    def _all(self) -> list[_Heard]:
        return [self._of(server) for server in self._runtime.doorbell.servers]

    def _of(self, server: Doorbell) -> _Heard:
        return self._servers.setdefault(server, _Heard(server))


class _Heard:
    """What a Redis server says, which is asked for each thing once, and no more where it does not answer: ``error``
    says why then."""

    def __init__(self, server: Doorbell) -> None:
        self._server = server
        self.error: str | None = None

    @cached_property
    def listeners(self) -> list[Listener]:
        """The worker processes there."""
        return self.asked(self._server.listeners) or []

    @cached_property
    def listened(self) -> set[str]:
        """The queues there on which workers listen."""
        return self.asked(self._server.listened) or set()

    def asked(self, ask: Callable[[], Told]) -> Told | None:
        """None where it does not answer."""
        if self.error is not None:
            return None
        try:
            return ask()
        except self._server.errors as error:
            self.error = _said(error)
            return None


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
