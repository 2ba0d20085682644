"""What the edges ask: which entity is meant, what failed, who listens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fsmflow.decision.commit import Posted
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.expectation import overdue_of
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, checked_id
from fsmflow.decision.versions import as_shown, renamed
from fsmflow.definition.model import Definition
from fsmflow.definition.priority import PRIORITIES, in_rank, queue_below, ranked
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.details import Stuck, stuck_of
from fsmflow.engine.lookup import under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import check_machine
from fsmflow.engine.teams import lets_see, may_see, reach_of
from fsmflow.errors import EntityNotFound, FsmflowError, UnknownMachine, UnknownState
from fsmflow.store.listing import Filter
from fsmflow.store.sentence import first_line
from fsmflow.store.snags import Snag
from fsmflow.values import dataclass, replace

#: More events than this that cannot go on are not told of one by one.
_MANY_STUCK = 10_000


def history_of(runtime: Runtime, row: int, *, after: int = 0) -> Iterator[HistoryEntry]:
    """The history of an entity, read in pages as it is asked for; that which follows on a number."""
    while page := runtime.store.entities.history(row, after=after):
        yield from page
        after = page[-1].seq


def resolve(runtime: Runtime, text: str, actor: Actor | None = None) -> Snapshot:
    """The entity that ``text`` means: an address, or an id that only one machine has. Branches and children too.

    Entities of a machine that the code does not know are found too. What is not there for an actor is not found.
    Raises EntityNotFound, UnknownMachine, DataError for what is no id, and FsmflowError, with the addresses, where
    several machines have the id.
    """
    machine, colon, _ = text.partition(":")
    there = [one for one in _resolved(runtime, text) if lets_see(runtime, one, actor)]
    if len(there) > 1:
        addresses = ", ".join(snapshot.address for snapshot in there)
        raise FsmflowError(f"the id {text!r} is that of {len(there)} entities: {addresses}; write the address")
    if there:
        return there[0]
    if colon and machine not in runtime.machines.all():
        raise UnknownMachine(machine, runtime.machines.of_user())
    raise EntityNotFound(text)


def _resolved(runtime: Runtime, text: str) -> list[Snapshot]:
    """All that it could mean."""
    machine, colon, entity_id = text.partition(":")
    known, load = runtime.machines.all(), runtime.store.entities.load
    generated = "/" in text
    if colon and machine in known:
        # "a/b" is a typing error, not an id that fsmflow made: those have the id, the step and the number.
        found = load(machine, checked_id(entity_id, generated=entity_id.count("/") > 1))
        # The id of a child begins with the address of its parent.
        there = [found] if found else _with_known_id(runtime, text) if generated else []
    else:
        checked_id(text, generated=text.count("/") > 1)
        stray = load(machine, entity_id) if colon else None
        there = [stray] if stray else _with_id(runtime, text)
    return [as_shown(known[one.machine], one) if one.machine in known else one for one in there]


def _with_id(runtime: Runtime, entity_id: str) -> list[Snapshot]:
    """The entities of this id. Those of known machines are found by index; only a stray one needs a scan."""
    found = _with_known_id(runtime, entity_id)
    return found or list(runtime.store.listing.find(Filter(entity_id=entity_id, branches="/" in entity_id)))


def _with_known_id(runtime: Runtime, entity_id: str) -> list[Snapshot]:
    loaded = (runtime.store.entities.load(machine, entity_id) for machine in runtime.machines.all())
    return [snapshot for snapshot in loaded if snapshot is not None]


def definition_for(runtime: Runtime, snapshot: Snapshot) -> Definition | None:
    """The definition that an entity goes by; None where the code knows no such machine, or no such branches."""
    root = runtime.machines.all().get(snapshot.machine)
    try:
        return None if root is None else under_todays_names(root, snapshot).own
    except UnknownState:
        return None


def redacted(runtime: Runtime, snapshot: Snapshot) -> frozenset[str]:
    """The keys whose values are not shown; none where the code does not know the machine."""
    definition = runtime.machines.all().get(snapshot.machine)
    return frozenset() if definition is None else definition.wide.redact


def stuck_events(runtime: Runtime, entities: Sequence[Snapshot] | None = None) -> dict[int, list[Posted]]:
    """The events that were tried in vain, by the row of their entity: all, or those of some entities. By index."""
    events = runtime.store.events
    posts = events.stuck(_MANY_STUCK) if entities is None else events.stuck_of([each.row for each in entities])
    found: dict[int, list[Posted]] = {}
    for post in posts:
        found.setdefault(post.entity, []).append(post)
    return found


def stuck_in(runtime: Runtime, snapshot: Snapshot, events: Mapping[int, Sequence[Posted]]) -> tuple[Stuck, ...]:
    """What of an entity cannot go on, by what ``stuck_events`` found. No query."""
    posts, work = events.get(snapshot.row, ()), snapshot.work
    if not posts and (work is None or not work.tries):
        return ()  # as of almost all, in a list of many
    return stuck_of(definition_for(runtime, snapshot), snapshot, posts)


def overdue_in(runtime: Runtime, snapshot: Snapshot, now: int) -> str | None:
    """That an entity is in its state for longer than is expected there, in words. No query."""
    root = runtime.machines.all().get(snapshot.machine)
    if root is None or snapshot.branch_of is not None:
        return None  # nothing is expected of a branch that runs a job
    return overdue_of(root.states.get(root.wide.renamed.get(snapshot.state, snapshot.state)), snapshot, now)


@dataclass(kw_only=True)
class StuckGroup:
    """What cannot go on for the same reason, in one state: timers, kept events or messages. ``example`` is the address
    of one that was tried most often, ``stuck`` what is known of that. ``kind`` is that of the work or the event.
    ``or_more``: not all there are were counted."""

    machine: str
    state: str
    example: str
    stuck: Stuck
    kind: str
    count: int = 1
    or_more: bool = False

    @property
    def told_count(self) -> str:
        """How many, in words."""
        return f"{self.count:,}{' or more' if self.or_more else ''}"


def stuck_groups(runtime: Runtime, machine: str | None = None, actor: Actor | None = None) -> list[StuckGroup]:
    """What is due and cannot go on, kind by kind, the largest group first, of what is there for an actor. It is counted
    by the database, of more than ``snags.MOST`` those alone that come first; one entity of each kind is read."""
    check_machine(runtime, machine)
    alike: dict[tuple[Any, ...], list[Snag]] = {}
    for snag in runtime.store.snags.look(machine, reach_of(runtime, actor)):
        place = (snag.machine, snag.state, snag.branch_of, snag.kind, snag.trigger, snag.overdue)
        alike.setdefault((*place, _without_digits(snag.why)), []).append(snag)
    tried_most = [max(snags, key=lambda snag: snag.tries) for snags in alike.values()]
    stored = runtime.store.entities.load_rows([snag.row for snag in tried_most])
    events = {post.id: post for post in runtime.store.events.stuck_of(list(stored))}
    groups: dict[tuple[str, ...], StuckGroup] = {}
    for snag, snags in zip(tried_most, alike.values(), strict=True):
        found = stored.get(snag.row)
        group = None if found is None else _stuck_group(runtime, snag, found, events)
        if group is None:
            continue  # it has gone on meanwhile
        texts = (_without_digits(group.stuck.what), _without_digits(group.stuck.why))
        before = groups.setdefault((group.machine, group.state, *texts), group)
        if group.stuck.tries > before.stuck.tries:
            before.example, before.stuck = group.example, group.stuck
        before.count += sum(each.count for each in snags) - (before is group)
        before.or_more = before.or_more or any(each.or_more for each in snags)
    return sorted(groups.values(), key=lambda group: (-group.count, group.machine, group.state, group.stuck.what))


def _stuck_group(runtime: Runtime, snag: Snag, stored: Snapshot, events: Mapping[int, Posted]) -> StuckGroup | None:
    known = runtime.machines.all()
    snapshot = renamed(known[stored.machine], stored) if stored.machine in known else stored
    own, post = definition_for(runtime, snapshot), None if snag.event is None else events.get(snag.event)
    if snag.event is None:
        found = stuck_of(own, snapshot, ())
    else:
        found = stuck_of(own, replace(snapshot, work=None), () if post is None else (post,))
    if not found:
        return None
    return StuckGroup(
        machine=snapshot.machine, state=snapshot.state, example=snapshot.address, stuck=found[0], kind=snag.kind
    )


def _without_digits(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def queues_of(definitions: Iterable[Definition]) -> list[str]:
    """The queues that machines name, in their order; ``default`` among them where one is chosen by a function."""
    names: dict[str, None] = {}
    for definition in definitions:
        names.update(dict.fromkeys(definition.queues))
        if any(callable(spec.queue) for spec in definition.states.values()):
            names["default"] = None
    return in_rank(names)


def with_priorities(queues: Iterable[str], definitions: Iterable[Definition]) -> list[str]:
    """These queues, each with those of the priorities that jobs may have there."""
    machines = list(definitions)
    known = set(queues_of(machines))
    states = [spec for definition in machines for spec in definition.states.values()]
    anywhere = {each for spec in states if callable(spec.queue) for each in spec.priorities}
    found = []
    for queue in queues:
        wanted = (each for each in PRIORITIES if each in anywhere or ranked(queue, each) in known)
        found += [queue, *(ranked(queue, each) for each in wanted if queue == queue_below(queue))]
    return in_rank(found)


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The queues on which workers listen now. ``error`` says why that could not be found out, of any queue or of those
    that are ``silent``, as each of these is on a Redis server that does not answer."""

    queues: frozenset[str] = frozenset()
    error: str | None = None
    silent: frozenset[str] = frozenset()

    def on(self, queue: str) -> bool | None:
        """Whether workers listen on a queue that machines name; None where that is not known."""
        is_known = self.error is None or (self.silent and queue not in self.silent)
        return queue in self.queues if is_known else None


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Redis takes no jobs: that it ``does`` not answer, or refuses, and why."""

    does: str
    why: str


def trouble_with_redis(runtime: Runtime) -> Trouble | None:
    """Why Redis takes no jobs; None where it does. The embedded server is started where it does not run."""
    try:
        runtime.doorbell.check_writes()
    except runtime.doorbell.errors as error:
        does = "does not answer" if runtime.doorbell.is_gone(error) else "takes no jobs"
        return Trouble(does=does, why=first_line(error).rstrip("."))
    return None


def listening(runtime: Runtime) -> Listening:
    """Who listens. Redis may be down; the embedded server is started where it does not run."""
    heard, away, why = set[str](), [], None
    for server in runtime.doorbell.servers:
        try:
            heard |= server.listened()
        except runtime.doorbell.errors as error:
            away.append(server)
            why = why or first_line(error).rstrip(".")
    silent = _named(runtime, away) if len(away) < len(runtime.doorbell.servers) else frozenset()
    return Listening(queues=frozenset(heard), error=why, silent=silent)


def _named(runtime: Runtime, servers: Sequence[object]) -> frozenset[str]:
    """The queues on these servers that machines name."""
    if not servers:
        return frozenset()
    known = runtime.machines.all().values()
    return frozenset(each for each in with_priorities(queues_of(known), known) if runtime.doorbell.at(each) in servers)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who works on what. ``due``: how much is due now, so many at most as were asked for; None for who is in some teams
    alone. ``oldest``: since when the doorbell at the head of each queue waits, None where none does. ``unheard``: why
    nothing is known of queues and workers."""

    running: Sequence[Snapshot]
    due: int | None
    oldest: Mapping[str, int | None]
    workers: Sequence[Listener]
    unheard: str | None


def crew_of(runtime: Runtime, actor: Actor | None, *, most: int, most_due: int) -> Crew:
    """What runs now, ``most`` of it at most, as far as it is there for an actor; what waits, and who listens. Three
    queries, and three round trips to Redis and one for each queue."""
    now, store, known = runtime.now(), runtime.store, runtime.machines.all()
    rows = store.work.running(now, most)
    running = {row: each for row, each in store.entities.load_rows(rows).items() if may_see(runtime, each, actor)}
    shown = (running[row] for row in rows if row in running)
    oldest, workers, unheard = _heard(runtime)
    return Crew(
        running=[as_shown(known[each.machine], each) if each.machine in known else each for each in shown],
        due=len(store.work.due(now, most_due)) if reach_of(runtime, actor) is None else None,
        oldest=oldest,
        workers=workers,
        unheard=unheard,
    )


def _heard(runtime: Runtime) -> tuple[Mapping[str, int | None], list[Listener], str | None]:
    """Of the queues that machines name: since when the first doorbell waits; who listens; why that is not known."""
    queues = queues_of(runtime.machines.of_user().values())
    try:
        return runtime.doorbell.oldest(queues), runtime.doorbell.listeners(), None
    except runtime.doorbell.errors as error:
        return dict.fromkeys(queues), [], first_line(error).rstrip(".")
