"""Does one thing to several entities: to those that were named here, one after the other; those of a selection are left
to ``selection``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import cast

from fsmflow.cli import output
from fsmflow.cli.bar import Bar, can_show
from fsmflow.cli.errors import sentence, stops_everything
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import Wanted
from fsmflow.cli.places import make_nothing
from fsmflow.cli.results import Result, Tally, report, tell, told_error, told_proposal, told_way
from fsmflow.decision.actions import Action
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked
from fsmflow.decision.member import change_of
from fsmflow.definition.model import Definition
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.permission import proposals
from fsmflow.engine.requests import plan
from fsmflow.engine.runtime import Runtime, current
from fsmflow.machine import Machine
from fsmflow.queries import resolve


@sets_going
def perform(action: Action, asked: Asked, wanted: Wanted, *, as_json: bool) -> int:
    """Do it, one entity after the other, and report. The exit status: 1 if any was refused.

    What was done is reported too where it is interrupted, or where the database goes away in between.
    """
    make_nothing()
    if not wanted.addresses:
        # What runs jobs takes longer to import than to ask one entity.
        acted: int = import_module("fsmflow.cli.selection").act(action, asked, wanted, as_json=as_json)
        return acted
    runtime, tally, is_one = current(), Tally(), len(wanted.addresses) == 1
    try:
        with Bar(action.name, total=len(wanted.addresses), shown=not is_one and can_show(as_json=as_json)) as bar:
            results = _results(runtime, action, asked, wanted, bar)
            tell(action, tally.counting(results), bar, as_json=as_json)
    except BaseException:  # Ctrl-C included: what was done until then is told, and it goes on its way
        if tally.done or tally.refused:
            report(action, tally, dry_run=wanted.dry_run, is_one=is_one)
            output.note("it ended before its time; the same command goes on with the rest")
        raise
    report(action, tally, dry_run=wanted.dry_run, is_one=is_one)
    return 1 if tally.refused else 0


def handle(definition: Definition, snapshot: Snapshot) -> Machine:
    """The public handle on an entity. Raises EntityNotFound."""
    return cast(type[Machine], definition.owner).get(snapshot.entity_id)


def _results(runtime: Runtime, action: Action, asked: Asked, wanted: Wanted, bar: Bar) -> Iterator[Result]:
    for text in dict.fromkeys(wanted.addresses):
        result = _attempt(runtime, action, asked, text, dry_run=wanted.dry_run)
        bar.advance()
        yield result


def _attempt(runtime: Runtime, action: Action, asked: Asked, text: str, *, dry_run: bool) -> Result:
    """What came of it."""
    try:
        before = resolve(runtime, text, asked.actor)
        root = runtime.machines.get(before.machine)
        after: Snapshot | Machine
        if dry_run:
            after = plan(runtime, instance_of(root, before), action, asked)
        else:
            after = handle(root, before)
            _do(action, asked, after)
    except Exception as error:
        # One entity's guard must not keep the others from being dealt with.
        words = sentence(error)
        if words is None or stops_everything(error):
            raise
        return Result(address=text, done=False, dry_run=dry_run, error=told_error(text, words))
    moved = (before.state, before.epoch) != (after.state, after.epoch)
    way = told_way(before.state, after.state, change_of(before, after), moved=moved)
    return Result(
        address=before.address,
        done=not dry_run,
        dry_run=dry_run,
        source=before.state,
        state=after.state,
        epoch=after.epoch,
        paused=after.paused,
        change=_proposed(runtime, root, action, asked, before.address) or way,
    )


def _do(action: Action, asked: Asked, entity: Machine) -> None:
    """Call the method of the handle, as a program would: a machine may have one of its own."""
    places, options = action.given(asked)
    getattr(entity, action.name)(*places, actor=asked.actor, reason=asked.reason, key=asked.key, **options)


def _proposed(runtime: Runtime, root: Definition, action: Action, asked: Asked, address: str) -> str | None:
    """That it is noted, and what a second person types, where it takes two; None where it has been done."""
    closed = root.wide.operators.get(action.name)
    if closed is None or closed.within_ms is None or asked.actor is None:
        return None
    after = resolve(runtime, address)
    mine = [one for one in proposals(runtime, root, after) if one.login == asked.actor.login]
    if not mine or mine[-1].seq != after.seq:
        return None
    return told_proposal(action, after.address, after.state, action.given(asked)[0])
