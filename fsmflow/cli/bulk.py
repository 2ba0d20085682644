"""Does one thing to several entities: those that were named, or those of a selection; says what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import cast

import click

from fsmflow.cli import output
from fsmflow.cli.arguments import Wanted
from fsmflow.cli.failing import sentence, stops_everything
from fsmflow.decision.records import Snapshot
from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import Runtime, current
from fsmflow.machine import Machine
from fsmflow.queries import resolve, select

#: How many refusals are kept to be told at the end.
_TOLD = 50


@dataclass(frozen=True, kw_only=True)
class Act:
    """What is to be done. ``plan`` is what ``do`` would lead to, decided and not committed; ``fits`` says to which
    entities of a selection it applies, all of them in ``phase`` where that is given."""

    name: str
    done: str
    do: Callable[[Machine], object]
    plan: Callable[[Definition, Snapshot, int], Snapshot]
    fits: Callable[[Snapshot], bool]
    phase: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one entity: the state that it was in and the one that it is in now, or the error."""

    address: str
    done: bool
    dry_run: bool
    source: str | None = None
    state: str | None = None
    epoch: int | None = None
    paused: bool | None = None
    told: str = ""
    error: str | None = None


@dataclass
class _Tally:
    done: int = 0
    refused: int = 0
    errors: list[str] = field(default_factory=list)

    def counting(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            if result.error is None:
                self.done += 1
            else:
                self.refused += 1
                self.errors += [result.error] if len(self.errors) < _TOLD else []
            yield result


def perform(act: Act, wanted: Wanted, *, as_json: bool) -> int:
    """Do it, one entity after the other, and report. The exit status: 1 if any was refused."""
    tally = _Tally()
    results = tally.counting(_results(current(), act, wanted))
    if as_json:
        output.print_array(_object(result) for result in results)
    else:
        for result in results:
            if result.error is None:
                would = f"would {act.name} " if wanted.dry_run else ""
                click.echo(f"{would}{result.address}  {result.told}")
    _report(act, wanted, tally)
    return 1 if tally.refused else 0


def handle(definition: Definition, snapshot: Snapshot) -> Machine:
    """The public handle on an entity. Raises EntityNotFound."""
    return cast(type[Machine], definition.owner).get(snapshot.entity_id)


def _results(runtime: Runtime, act: Act, wanted: Wanted) -> Iterator[Result]:
    if wanted.addresses:
        for text in dict.fromkeys(wanted.addresses):
            yield _attempt(runtime, act, text, None, dry_run=wanted.dry_run)
        return
    selection = wanted.selection
    if selection.phase is None:
        selection = replace(selection, phase=act.phase)
    fitting = (snapshot for snapshot in select(runtime, selection) if act.fits(snapshot))
    for snapshot in islice(fitting, wanted.limit):
        yield _attempt(runtime, act, snapshot.address, snapshot, dry_run=wanted.dry_run)


def _attempt(runtime: Runtime, act: Act, text: str, found: Snapshot | None, *, dry_run: bool) -> Result:
    try:
        before = found or resolve(runtime, text)
        definition = runtime.machines.get(before.machine)
        after: Snapshot | Machine
        if dry_run:
            after = act.plan(definition, before, runtime.now())
        else:
            after = handle(definition, before)
            act.do(after)
    except Exception as error:
        # One entity's guard must not keep the others from being dealt with.
        told = sentence(error)
        if told is None or stops_everything(error):
            raise
        return Result(address=text, done=False, dry_run=dry_run, error=told if text in told else f"{text}: {told}")
    return Result(
        address=before.address,
        done=not dry_run,
        dry_run=dry_run,
        source=before.state,
        state=after.state,
        epoch=after.epoch,
        paused=after.paused,
        told=_change(before, after),
    )


def _change(before: Snapshot, after: Snapshot | Machine) -> str:
    if (before.state, before.epoch) != (after.state, after.epoch):
        return f"{before.state} -> {after.state}"
    if before.paused != after.paused:
        return f"{after.state}, {'paused' if after.paused else 'no longer paused'}"
    return f"{after.state}, as it was"


def _object(result: Result) -> dict[str, object]:
    return {name: value for name, value in vars(result).items() if name != "told"}


def _report(act: Act, wanted: Wanted, tally: _Tally) -> None:
    for text in tally.errors:
        output.error(text)
    if tally.refused > len(tally.errors):
        output.note(f"... and {tally.refused - len(tally.errors):,} more were refused")
    if wanted.dry_run:
        output.note(f"dry run: {tally.done:,} would be {act.done}, {tally.refused:,} refused; nothing was changed")
    elif not tally.done and not tally.refused:
        output.note(f"the selection has no entity that could be {act.done}")
    elif wanted.addresses != wanted.addresses[:1] or not wanted.addresses:
        output.note(f"{tally.done:,} {act.done}, {tally.refused:,} refused")
