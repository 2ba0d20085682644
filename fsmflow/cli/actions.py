"""Commands that move entities on: trigger, retry, resume, pause, cancel."""

from __future__ import annotations

from typing import Any

import click

from fsmflow.cli import objects, output
from fsmflow.cli.bulk import Act, handle, perform
from fsmflow.cli.options import (
    Wanted,
    actor_options,
    as_field,
    as_patch,
    data_option,
    epoch_option,
    json_option,
    key_option,
    merged,
    reason_option,
    target_options,
    target_options_beside_data,
)
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.happenings import Paused, Resumed, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import CANCEL, FAILED, FINISHED, RETRY, WAITING
from fsmflow.engine.requests import plan, plan_resume
from fsmflow.engine.runtime import current
from fsmflow.queries import definition_for, redacted, resolve

#: What Machine.trigger() takes itself, and an event's payload therefore cannot have.
_TAKEN = frozenset({"actor", "reason", "key", "epoch"})


@click.command()
@click.argument("address")
@click.argument("name", metavar="TRIGGER")
@click.argument("fields", nargs=-1, type=as_field, metavar="[NAME=TEXT | NAME:=JSON]...")
@data_option
@actor_options
@reason_option
@key_option
@epoch_option
@json_option
def trigger(
    address: str,
    name: str,
    fields: tuple[tuple[str, Any], ...],
    data: dict[str, Any] | None,
    actor: Actor | None,
    reason: str | None,
    key: str | None,
    epoch: int | None,
    as_json: bool,
) -> int:
    """Fire TRIGGER on the entity at ADDRESS.

    What follows is the event's payload, which guards and jobs see as machine.event.payload.

    \b
      fsmflow trigger order:1042 approve --actor alice --role manager
      fsmflow trigger order:1042 paid amount:=1500 --key stripe-evt-77
    """
    payload = merged(data, fields)
    for taken in sorted(_TAKEN & payload.keys()):
        raise click.UsageError(f"a payload cannot have a field {taken!r}, as trigger() takes {taken}= itself")
    runtime = current()
    found = resolve(runtime, address)
    entity = handle(runtime.machines.get(found.machine), found)
    entry = entity.trigger(name, actor=actor, reason=reason, key=key, epoch=epoch, **payload)
    if as_json:
        state = {"state": entity.state, "phase": entity.phase, "epoch": entity.epoch}
        output.print_json({"address": entity.address, **state, "entry": objects.entry(entry, redacted(runtime, found))})
        return 0
    now = "" if entity.state == entry.dest else f"; it is in {entity.state} by now"
    stays = f"{entry.dest}, {entry.kind}"
    click.echo(
        f"{entity.address}  {f'{entry.source} -> {entry.dest}' if entry.kind is HistoryKind.TRANSITION else stays}{now}"
    )
    return 0


@click.command()
@target_options_beside_data
@click.option(
    "--set", "fields", type=as_field, multiple=True, metavar="NAME=TEXT | NAME:=JSON", help="Merge into data first."
)
@click.option(
    "--data",
    type=as_patch,
    multiple=True,
    metavar="NAME=TEXT | NAME:=JSON | @FILE | JSON",
    help="The same, for entities that are named; single fields or a JSON object.",
)
@click.option("--new-key", is_flag=True, help="Give the step a new idempotency key: it counts as another step.")
@actor_options
@reason_option
@key_option
@epoch_option
@json_option
def retry(
    wanted: Wanted,
    fields: tuple[tuple[str, Any], ...],
    data: tuple[dict[str, Any], ...],
    new_key: bool,
    actor: Actor | None,
    reason: str | None,
    key: str | None,
    epoch: int | None,
    as_json: bool,
) -> int:
    """Retry failed entities from the step that failed, under the same id, with the code deployed now.

    Name them by address (or by id alone, where only one machine has it), or select them; of a selection those are
    retried that have failed. Of a step that fans out only the branches run again that failed.

    \b
      fsmflow retry order:1042
      fsmflow retry order:1042 --set card=tok_2
      fsmflow retry order:1042/packing/3
      fsmflow retry --machine order --error 'Timeout*' --older 10m --where customer=7 --dry-run
    """
    if data and not wanted.addresses:
        raise click.UsageError("with a selection, say --where to select by data, or --set to change data")
    patch = merged({name: value for given in data for name, value in given.items()}, fields)
    asked = Triggered(trigger=RETRY, actor=actor, reason=reason, key=key, epoch=epoch, patch=patch, new_key=new_key)
    act = Act(
        name="retry",
        done="retried",
        do=lambda entity: entity.retry(data=patch, new_key=new_key, actor=actor, reason=reason, key=key, epoch=epoch),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: snapshot.phase == FAILED,
        phase=FAILED,
    )
    return perform(act, wanted, as_json=as_json)


@click.command()
@target_options
@actor_options
@reason_option
@key_option
@json_option
def resume(wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, as_json: bool) -> int:
    """Let paused, failed or stuck entities go on. Failed ones are retried, stuck jobs dispatched again, and the jobs of
    adopted entities started.

    \b
      fsmflow resume order:1042
      fsmflow resume --machine order --state charging
    """
    asked = Resumed(actor=actor, reason=reason, key=key)
    act = Act(
        name="resume",
        done="resumed",
        do=lambda entity: entity.resume(actor=actor, reason=reason, key=key),
        plan=lambda runtime, definition, snapshot: plan_resume(runtime, definition, snapshot, asked),
        fits=_can_be_resumed,
    )
    return perform(act, wanted, as_json=as_json)


def _can_be_resumed(snapshot: Snapshot) -> bool:
    work = snapshot.work
    waits_for_worker = work is not None and work.owner is None and work.rung_at is not None
    started = work is not None or not _was_adopted(snapshot)
    return snapshot.phase != FINISHED and (
        snapshot.paused or snapshot.phase == FAILED or waits_for_worker or not started
    )


def _was_adopted(snapshot: Snapshot) -> bool:
    """Whether its state has a job that was never started."""
    definition = definition_for(current(), snapshot)
    spec = definition.states.get(snapshot.state) if definition is not None else None
    if spec is None or not spec.is_working or snapshot.standing == Standing.QUEUED:
        return False
    return not (spec.waits and snapshot.phase == WAITING)


@click.command()
@target_options
@actor_options
@reason_option
@key_option
@json_option
def pause(wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, as_json: bool) -> int:
    """Pause entities. What runs may end; what would come next is held, timers too, until 'resume'.

    \b
      fsmflow pause order:1042 --reason "the customer called"
      fsmflow pause --machine order --state awaiting_approval
    """
    asked = Paused(actor=actor, reason=reason, key=key)
    act = Act(
        name="pause",
        done="paused",
        do=lambda entity: entity.pause(actor=actor, reason=reason, key=key),
        plan=lambda runtime, definition, snapshot: (
            snapshot if snapshot.paused else plan(runtime, definition, snapshot, asked)
        ),
        fits=lambda snapshot: not snapshot.paused and snapshot.phase != FINISHED,
    )
    return perform(act, wanted, as_json=as_json)


@click.command()
@target_options
@actor_options
@reason_option
@key_option
@epoch_option
@json_option
def cancel(
    wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, epoch: int | None, as_json: bool
) -> int:
    """Cancel entities. Each ends in 'cancelled', unless its machine says otherwise; the result of a running job is
    discarded, and what is left of its branches cancelled too.

    \b
      fsmflow cancel order:1042 --actor alice --reason "ordered twice"
      fsmflow cancel --machine order --phase failed --older 30d --dry-run
    """
    asked = Triggered(trigger=CANCEL, actor=actor, reason=reason, key=key, epoch=epoch)
    act = Act(
        name="cancel",
        done="cancelled",
        do=lambda entity: entity.cancel(actor=actor, reason=reason, key=key, epoch=epoch),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: snapshot.phase != FINISHED,
    )
    return perform(act, wanted, as_json=as_json)
