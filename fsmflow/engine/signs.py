"""What there is to be alarmed about at a moment: each alarm asks the database, or Redis, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.failure import sound
from fsmflow.decision.fanout import BranchesFailed
from fsmflow.decision.group import Ledger, Life, ledgers
from fsmflow.definition.model import Definition
from fsmflow.engine.details import stuck_of
from fsmflow.engine.groups import SHORT
from fsmflow.engine.overdue import overdue_from
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
from fsmflow.log.alarms import alarm_unseen
from fsmflow.settings.alarms import Alarm, CrashLoop, Failing, NewFailure, NobodyListens, OldestDue, Overdue, Stuck
from fsmflow.store.lookout import MANY, Troubled, Waiting
from fsmflow.values import dataclass

#: The machine of the alarms themselves.
ALARM: Final = "alarm"
#: So long a job may wait in a queue to which nobody listens: workers are restarted.
_UNHEARD_MS: Final = 30_000
#: For so long after it was first seen, or came again, a failure is new.
_NEW_MS: Final = 3_600_000
#: How often something was tried in vain before anybody is told.
_TRIES: Final = 3
_MAX_TEXT: Final = 300


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alarm that somebody wants, of one machine or (None) of the installation."""

    alarm: Alarm
    machine: str | None


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Something to be alarmed about. ``id``: which alarm that is, the same as long as it goes on. ``rule``: the name of
    what was asked for. ``text`` says what happened, ``todo`` what to type next, ``values`` the same for programs.
    ``tell``: the channels. ``begins``: it is enough to raise an alarm; else it only keeps one that is raised."""

    id: str
    rule: str
    kind: str
    machine: str | None
    text: str
    todo: str
    values: Mapping[str, Any]
    tell: tuple[str, ...]
    begins: bool = True


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What was found, by id, and the names of the rules of which nothing is known now, as their look failed."""

    found: Mapping[str, Sign]
    unknown: frozenset[str]


def rules_of(runtime: Runtime) -> list[Rule]:
    """What this installation and its machines want to be told of. No query."""
    return wanted(runtime.settings.alarms, runtime.machines.all())


def wanted(own: Iterable[Alarm], known: Mapping[str, Definition]) -> list[Rule]:
    """What an installation wants to be told of by its settings, and by these machines."""
    rules = [Rule(alarm=alarm, machine=None) for alarm in own]
    return rules + [Rule(alarm=alarm, machine=each.name) for each in known.values() for alarm in each.wide.alarms]


def signs(runtime: Runtime, rules: Iterable[Rule], raised: Collection[str] = ()) -> Signs:
    """What there is to be alarmed about now. Some queries for each rule, each by an index. A look that fails is logged,
    and ends no other. ``raised``: the alarms that are; what would only keep another one is left out. Raises
    DatabaseUnavailable."""
    found: dict[str, Sign] = {}
    unknown = set()
    look = _Look(runtime, raised)
    for rule in rules:
        try:
            seen = look.signs(rule)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - nothing else is to wait for it
            alarm_unseen(rule.alarm.name, error)
            seen = None
        if seen is None:
            unknown.add(rule.alarm.name)
            continue
        for sign in seen:
            found[sign.id] = _both(found.get(sign.id), sign)
    return Signs(found=found, unknown=frozenset(unknown))


def _both(before: Sign | None, sign: Sign) -> Sign:
    """One alarm for what a machine and the installation both want to be told of."""
    if before is None:
        return sign
    tell = tuple(sorted({*before.tell, *sign.tell}))
    return Sign(**{**vars(sign), "tell": tell, "begins": before.begins or sign.begins})


class _Look:
    """One look at all that rules ask for; what several of them ask is asked once."""

    def __init__(self, runtime: Runtime, raised: Collection[str]) -> None:
        self._runtime = runtime
        self._raised = raised
        self._now = runtime.now()
        self._asks: Mapping[type[Alarm], Callable[[Any, Rule], Iterator[Sign] | None]] = {
            Overdue: self._overdue,
            Failing: self._failing,
            NewFailure: self._new_failures,
            NobodyListens: self._nobody_listens,
            OldestDue: self._oldest_due,
            CrashLoop: self._crash_loops,
            Stuck: self._stuck,
        }

    def signs(self, rule: Rule) -> list[Sign] | None:
        """What a rule finds; None where that cannot be told."""
        found = self._asks[type(rule.alarm)](rule.alarm, rule)
        return None if found is None else list(found)

    def _sign(self, rule: Rule, *subject: str, text: str, todo: str, begins: bool = True, **values: Any) -> Sign:
        # An id has no slash, which names of queues may have.
        id_ = ".".join([rule.alarm.name, *subject]).replace("/", "|")
        return Sign(
            id=id_,
            rule=rule.alarm.name,
            kind=rule.alarm.kind,
            machine=values.get("machine"),
            text=" ".join(sound(text).split())[:_MAX_TEXT],
            todo=todo,
            values=values,
            tell=rule.alarm.channels,
            begins=begins,
        )

    def _machines(self, rule: Rule) -> list[Definition]:
        every = self._runtime.machines.all()
        return [each for name, each in every.items() if name != ALARM and rule.machine in (None, name)]

    def _address(self, row: int) -> str:
        stored = self._runtime.store.entities.load_row(row)
        return "an entity that is gone" if stored is None else stored.address

    # Entities

    def _overdue(self, alarm: Overdue, rule: Rule) -> Iterator[Sign]:
        for definition in self._machines(rule):
            for since in overdue_from([definition], self._now):
                found = self._runtime.store.lookout.overdue(since)
                if found is None:
                    continue
                state = definition.wide.renamed.get(since.state, since.state)
                expected = clock.length(definition.states[state].expect_ms or 0)
                example, for_ms = self._address(found.row), self._now - found.at
                yield self._sign(
                    rule,
                    *(definition.name, state),
                    text=f"{definition.name}: {_count(found.count)} overdue in {state!r}: expected within {expected}, "
                    f"the oldest is there for {clock.span(for_ms)}; for example {example}",
                    todo=f"fsmflow list --machine {definition.name} --state {state} --overdue",
                    machine=definition.name,
                    state=state,
                    count=found.count,
                    oldest_s=for_ms / 1000,
                    example=example,
                )

    def _failing(self, alarm: Failing, rule: Rule) -> Iterator[Sign]:
        within_s = float(alarm.within)  # type: ignore[arg-type]
        since = self._now - round(within_s * 1000)
        for definition in self._machines(rule):
            names = {**{name: name for name in definition.states}, **definition.wide.renamed}
            states = [stored for stored, state in names.items() if definition.states[state].is_failed]
            counts: dict[str, list[Any]] = {}
            for each in self._runtime.store.lookout.failed_since(definition.name, states, since):
                group = self._group_of.get(each.fingerprint or "", each.fingerprint or "")
                counted = counts.setdefault(group, [0, each])
                counted[0] += each.count
            for group, (count, each) in counts.items():
                if count < alarm.count:
                    continue
                stored = self._runtime.store.entities.load_row(each.row)
                yield self._sign(
                    rule,
                    *(definition.name, group),
                    text=f"{definition.name}: {_count(count)} failed within {clock.length(round(within_s * 1000))} for "
                    f"one reason, in {names[each.state]!r}: {_why(stored)}; for example {self._address(each.row)}",
                    todo=f"fsmflow failures {group[:SHORT]}",
                    machine=definition.name,
                    state=names[each.state],
                    group=group,
                    count=count,
                    example=self._address(each.row),
                )

    @cached_property
    def _ledgers(self) -> Mapping[str, Ledger]:
        store = self._runtime.store.groups
        return ledgers(store.all(), store.sightings(), store.releases())

    @cached_property
    def _group_of(self) -> Mapping[str, str]:
        """The group of each fingerprint that belongs to another one's."""
        every = self._runtime.store.groups.all()
        return {each.fingerprint: each.same_as for each in every if each.same_as is not None}

    def _new_failures(self, alarm: NewFailure, rule: Rule) -> Iterator[Sign]:
        names = {each.name for each in self._machines(rule)}
        for id_, ledger in self._ledgers.items():
            group, life = ledger.group, ledger.life(self._now)
            # Why branches failed is the group that their parents are told with.
            is_cause = group.error_type != BranchesFailed.__name__
            if group.machine not in names or life not in (Life.OPEN, Life.REOPENED) or not is_cause:
                continue
            came_at = ledger.last_at if life is Life.REOPENED else ledger.first_at
            begins = came_at > self._now - _NEW_MS
            # Groups that are old and were never resolved may be many.
            if not begins and f"{rule.alarm.name}.{id_}" not in self._raised:
                continue
            if not self._runtime.store.lookout.rests(group.machine, group.state, ledger.fingerprints):
                continue
            what = "that was said to be resolved" if life is Life.REOPENED else "that is new"
            yield self._sign(
                rule,
                id_,
                text=f"{group.machine}: a failure {what}, in {group.state!r}: {group.error_type}: {group.message}; for "
                f"example {group.sample}",
                todo=f"fsmflow failures {id_[:SHORT]}",
                begins=begins,
                machine=group.machine,
                state=group.state,
                group=id_,
                life=life.value,
                count=ledger.seen,
                example=group.sample,
            )

    # Work

    @cached_property
    def _waiting(self) -> list[Waiting]:
        return self._runtime.store.lookout.waiting(self._now)

    def _queues(self, rule: Rule) -> list[Waiting]:
        """What waits in the queues of a machine, or in all."""
        if rule.machine is None:
            return self._waiting
        own = {queue for each in self._machines(rule) for queue in each.queues}
        return [each for each in self._waiting if each.queue in own]

    def _nobody_listens(self, alarm: NobodyListens, rule: Rule) -> Iterator[Sign] | None:
        waiting = [each for each in self._queues(rule) if each.queue is not None]
        if not waiting:
            return iter(())
        listened, silent = set[str](), []
        for server in self._runtime.doorbell.servers:
            try:
                listened |= server.listened()
            except server.errors:
                silent.append(server)  # the log tells of it already
        if len(silent) == len(self._runtime.doorbell.servers):
            return None
        # Of what is silent nothing is known: what was raised stays raised.
        told = {each.queue for each in waiting if f"{rule.alarm.name}.{each.queue}" in self._raised}
        told |= {each.queue for each in waiting if self._runtime.doorbell.at(each.queue or "") not in silent}
        return (self._unheard(rule, each) for each in waiting if each.queue in told - listened)

    def _unheard(self, rule: Rule, found: Waiting) -> Sign:
        waits_ms, queue = self._now - found.since, found.queue or ""
        return self._sign(
            rule,
            queue,
            text=f"{_jobs(found.count)} in queue {queue!r}, the oldest for {clock.span(waits_ms)}, and no worker "
            f"listens on it",
            todo=f"fsmflow worker --queues {queue}",
            begins=waits_ms >= _UNHEARD_MS,
            queue=queue,
            count=found.count,
            oldest_s=waits_ms / 1000,
        )

    def _oldest_due(self, alarm: OldestDue, rule: Rule) -> Iterator[Sign]:
        most_s = float(alarm.seconds)  # type: ignore[arg-type]
        for each in self._queues(rule):
            waits_ms = self._now - each.since
            if waits_ms <= most_s * 1000:
                continue
            what = "timers or parents that are due" if each.queue is None else f"jobs in queue {each.queue!r}"
            yield self._sign(
                rule,
                "timers" if each.queue is None else f"queue.{each.queue}",
                text=f"the oldest of {each.count:,} {what} waits for {clock.span(waits_ms)}, longer than "
                f"{clock.length(round(most_s * 1000))}",
                todo="fsmflow stats",
                queue=each.queue,
                count=each.count,
                oldest_s=waits_ms / 1000,
            )

    def _crash_loops(self, alarm: CrashLoop, rule: Rule) -> Iterator[Sign]:
        for each, state in self._troubled(rule, self._crashes):
            if each.times < alarm.count:
                continue
            example = self._address(each.row)
            yield self._sign(
                rule,
                *(each.machine, state),
                text=f"{each.machine}: what is under way in {state!r} has lost its workers {each.times:,} times, up to "
                f"{each.most:,} for one entity; for example {example}",
                todo=f"fsmflow history {example}",
                machine=each.machine,
                state=state,
                count=each.count,
                times=each.times,
                example=example,
            )

    @cached_property
    def _crashes(self) -> list[Troubled]:
        return self._runtime.store.lookout.crashes(self._now)

    @cached_property
    def _tried(self) -> list[Troubled]:
        return self._runtime.store.lookout.stuck(_TRIES)

    def _troubled(self, rule: Rule, found: Sequence[Troubled]) -> Iterator[tuple[Troubled, str]]:
        """Those of the machines that are meant, each with its state under the name of today."""
        known = {each.name: each.wide.renamed for each in self._machines(rule)}
        for each in found:
            if each.machine in known or (rule.machine is None and each.machine != ALARM):
                yield each, known.get(each.machine, {}).get(each.state, each.state)

    def _stuck(self, alarm: Stuck, rule: Rule) -> Iterator[Sign]:
        for each, state in self._troubled(rule, self._tried):
            stored = self._runtime.store.entities.load_row(each.row)
            facts = () if stored is None else stuck_of(None, stored, ())
            why = f": {facts[0].why}" if facts else ""
            yield self._sign(
                rule,
                *(each.machine, state),
                text=f"{each.machine}: something of {_count(each.count)} in {state!r} is due and cannot go on, tried "
                f"{each.most:,} times{why}; for example {self._address(each.row)}",
                todo=f"fsmflow list --machine {each.machine} --state {state} --stuck",
                machine=each.machine,
                state=state,
                count=each.count,
                tries=each.most,
                example=self._address(each.row),
            )


def _count(count: int) -> str:
    if count > MANY:
        return f"more than {MANY:,} entities"
    return "1 entity" if count == 1 else f"{count:,} entities"


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count:,} jobs wait"


def _why(stored: Snapshot | None) -> str:
    failure = None if stored is None else stored.failure
    return "it has gone on meanwhile" if failure is None else f"{failure.error_type}: {failure.message}"
