"""What needs attention: all that is known of what does not go on as it should, in sentences, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsmflow import clock
from fsmflow.decision.commit import EventKind
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FINISHED
from fsmflow.engine.drains import drains
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.signs import Rule, rules_of, signs
from fsmflow.engine.teams import reach_of
from fsmflow.holds import current_holds
from fsmflow.operations import alarms
from fsmflow.queries import listening, stuck_groups
from fsmflow.settings.alarms import CrashLoop, NobodyListens, OldestDue, Overdue
from fsmflow.store.listing import Filter
from fsmflow.store.lookout import MANY
from fsmflow.store.sentence import first_line
from fsmflow.values import dataclass
from fsmflow.web.query import written

#: What is looked for where nobody has asked for alarms.
_RULES: Final = tuple(
    Rule(alarm=alarm, machine=None) for alarm in (NobodyListens(), OldestDue(300), CrashLoop(), Overdue())
)
#: What is kept back or paused for so long is told.
_LONG_MS: Final = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that needs attention. ``path`` and ``query``: the page that shows it, where there is one."""

    kind: str
    text: str
    todo: str = ""
    path: str = ""
    query: str = ""
    is_grave: bool = False


def notices(runtime: Runtime, actor: Actor | None) -> list[Notice]:
    """All of it, the gravest first, as far as it is there for an actor. Some thirty queries, each by an index, and some
    round trips to Redis, which may be away."""
    whole = reach_of(runtime, actor) is None
    found = [*_stuck(runtime, actor), *_holds(runtime, actor), *(_of_all(runtime) if whole else ())]
    return sorted(found, key=lambda each: not each.is_grave)


def _of_all(runtime: Runtime) -> Iterator[Notice]:
    """What is told of all teams together."""
    raised = {each.address.partition(":")[2]: each for each in alarms.raised()}
    for id_, alarm in raised.items():
        yield Notice(kind="alarm", text=alarm.text, todo=alarm.todo, path=f"/entity/alarm:{id_}", is_grave=True)
    for id_, sign in signs(runtime, [*_RULES, *rules_of(runtime)]).found.items():
        if sign.begins and id_ not in raised:
            yield Notice(kind=sign.kind, text=sign.text, todo=sign.todo, is_grave=sign.kind != Overdue.kind)
    yield from _unknown(runtime)
    yield from _paused(runtime)
    yield from _drains(runtime)
    yield from _workers(runtime)


def _drains(runtime: Runtime) -> Iterator[Notice]:
    for host, drain in drains(runtime).items():
        yield Notice(kind="drain", text=str(drain), todo=f"fsmflow drain {host} --undo", path="/workers")


def _unknown(runtime: Runtime) -> Iterator[Notice]:
    """States in which something stands that is not over, and that the code does not know."""
    known = runtime.machines.all()
    for machine, state in runtime.store.listing.places(None, branches=False):
        definition = known.get(machine)
        if definition is not None and definition.wide.renamed.get(state, state) in definition.states:
            continue
        wanted = Filter(machine=machine, states=(state,))
        one = next(iter(runtime.store.listing.find(wanted, limit=1)), None)
        if one is None or one.phase == FINISHED:
            continue
        count = runtime.store.listing.count(wanted)
        lacks = "the code has no such machine" if definition is None else "the code has no such state"
        query = f"{written('machine', machine)} {written('state', state)}" if definition is not None else ""
        text = f"{count:,} in {machine}:{state}, for example {one.address}: {lacks}"
        yield Notice(kind="unknown", text=text, todo="fsmflow check --database", query=query, is_grave=True)


def _paused(runtime: Runtime) -> Iterator[Notice]:
    """Where something is paused for long; holds are told one by one."""
    now, known = runtime.now(), runtime.machines.of_user()
    for each in runtime.store.lookout.paused():
        if each.machine in known and now - each.at > _LONG_MS:
            query = f"{written('machine', each.machine)} {written('state', each.state)}"
            many = " or more" if each.count >= MANY else ""
            text = f"{each.count:,}{many} paused in {each.machine}:{each.state}, for up to {clock.short(now - each.at)}"
            yield Notice(kind="paused", text=text, todo="fsmflow resume", query=query)


def _workers(runtime: Runtime) -> Iterator[Notice]:
    heard = listening(runtime)
    if heard.error:
        yield Notice(kind="redis", text=f"Redis does not answer: {heard.error}", todo="fsmflow info", is_grave=True)
        return
    try:
        listeners = runtime.doorbell.listeners()
    except runtime.doorbell.errors as error:
        yield Notice(kind="redis", text=f"Redis does not answer: {first_line(error)}", is_grave=True)
        return
    here = runtime.release.name
    old = [each for each in listeners if here is not None and each.release not in (None, here)]
    if old:
        names = ", ".join(sorted({each.release or "" for each in old}))
        text = f"{len(old):,} worker processes have other code than this ({here}): {names}"
        yield Notice(kind="old workers", text=text, todo="fsmflow info")


def _stuck(runtime: Runtime, actor: Actor | None) -> Iterator[Notice]:
    """Timers, kept events and messages that were tried in vain."""
    for group in stuck_groups(runtime, actor=actor):
        where, is_lost = f"{group.machine}:{group.state}", group.kind == EventKind.LOST.value
        what = "messages could not be delivered, " if is_lost else ""
        yield Notice(
            kind="undeliverable" if is_lost else "stuck",
            text=f"{what}{group.told_count} in {where}, for example {group.example}: {group.stuck}",
            path=f"/entity/{group.example}",
            is_grave=not is_built_in(group.machine),
        )


def _holds(runtime: Runtime, actor: Actor | None) -> Iterator[Notice]:
    now = runtime.now()
    for hold in current_holds(actor=actor):
        if now - hold.at > _LONG_MS:
            yield Notice(
                kind="hold", text=f"{hold}, for {clock.short(now - hold.at)}", todo=f"fsmflow release {hold.number}"
            )
