"""Commands that move entities on: trigger, and one for each action of operators, made from the table of these."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import click

from fsmflow.cli import completion, output
from fsmflow.cli.bulk import handle, perform
from fsmflow.cli.fields import FIELD, HELP, as_field, as_patch, merged
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import (
    Wanted,
    actor_options,
    data_option,
    epoch_option,
    json_option,
    key_option,
    reason_option,
    target_options,
    target_options_beside_data,
)
from fsmflow.cli.places import make_nothing
from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.forecast import Forecast
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.definition.annotations import Declared
from fsmflow.engine.runtime import current
from fsmflow.machine import Machine
from fsmflow.objects import entities
from fsmflow.queries import redacted, resolve


@click.command(epilog=HELP)
@click.argument("address", shell_complete=completion.addresses)
@click.argument("name", metavar="TRIGGER", shell_complete=completion.triggers)
@click.argument("fields", nargs=-1, type=as_field, metavar=f"[{FIELD}]...")
@data_option
@actor_options
@reason_option
@key_option
@epoch_option
@click.option("--dry-run", is_flag=True, help="Say what it would lead to, and write nothing.")
@json_option
@sets_going
def trigger(
    address: str,
    name: str,
    fields: tuple[tuple[str, Any], ...],
    data: dict[str, Any] | None,
    actor: Actor | None,
    reason: str | None,
    key: str | None,
    epoch: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Fire TRIGGER on the entity at ADDRESS.

    What follows is the event's payload, which guards and jobs see as machine.event.payload.

    \b
      fsmflow trigger order:1042 approve --actor alice --role manager
      fsmflow trigger order:1042 paid amount:=1500 --key stripe-evt-77
      fsmflow trigger order:1042 approve --actor alice --role manager --dry-run
    """
    make_nothing()
    runtime = current()
    found = resolve(runtime, address, actor)
    entity = handle(runtime.machines.get(found.machine), found)
    asked: dict[str, Any] = {"actor": actor, "reason": reason, "key": key, "epoch": epoch}
    payload = merged(data, fields, runtime.machines.get(found.machine).wide.payloads.get(name))
    if dry_run:
        return _tell_forecast(entity.what_if(name, payload, **asked), as_json=as_json)
    entry = entity.trigger(name, payload, **asked)
    if as_json:
        state = {"state": entity.state, "phase": entity.phase, "epoch": entity.epoch, "repeated": entry.repeated}
        output.print_json(
            {"address": entity.address, **state, "entry": entities.entry(entry, redacted(runtime, found))}
        )
    else:
        _tell_entry(entity, entry)
    return 0


def _tell_entry(entity: Machine, entry: HistoryEntry) -> None:
    if entry.repeated:
        output.note(f"nothing was changed: key {entry.key!r} was used for this on {entry.at:%Y-%m-%d %H:%M:%S} UTC")
    now = "" if entity.state == entry.dest else f"; it is in {entity.state} by now"
    moved = entry.kind is HistoryKind.TRANSITION
    way = f"{entry.source} -> {entry.dest}" if moved else f"{entry.dest}, {entry.kind}"
    click.echo(f"{entity.address}  {way}{now}")


def _tell_forecast(forecast: Forecast, *, as_json: bool) -> int:
    if as_json:
        output.print_json(entities.forecast_object(forecast))
    else:
        click.echo(output.clean(str(forecast)))
        output.note("dry run: nothing was written")
    return 0 if forecast.allowed else 1


_set_options = (
    click.option("--set", "fields", type=as_field, multiple=True, metavar=FIELD, help="Merge into data first."),
    click.option(
        "--data",
        type=as_patch,
        multiple=True,
        metavar=f"{FIELD} | @FILE | JSON",
        help="The same, for entities that are named; single fields or a JSON object.",
    ),
)
_new_key_option = click.option(
    "--new-key", is_flag=True, help="Give the step a new idempotency key: it counts as another step."
)


_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def _command_of(action: Action) -> click.Command:
    """The command of an action, with what that takes."""

    def command(
        wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, as_json: bool, **given: Any
    ) -> int:
        if not action.is_repeatable:
            _check_repeatable(wanted, action.name)
        if action.is_final:
            _ask(action, wanted, reason, yes=given.pop("yes"))
        asked = action.asks(actor=actor, reason=reason, key=key, **_options(wanted, given))
        return perform(action, asked, wanted, as_json=as_json)

    examples = "\n".join(f"  {example}" for example in action.examples)
    told = f"{action.help}\n\n\b\n{examples}"
    return click.command(action.name, help=told, epilog=HELP)(_taking(action, command))


def _taking(action: Action, command: Callable[..., int]) -> Callable[..., int]:
    """A command with its options; the first to be shown are added last."""
    command = json_option(command)
    if "epoch" in action.options:
        command = epoch_option(command)
    command = actor_options(reason_option(key_option(command)))
    if action.is_final:
        command = _yes_option(command)
    if "new_key" in action.options:
        command = _new_key_option(command)
    if "state" in action.options:
        command = click.argument("state", metavar="STATE", shell_complete=completion.states)(command)
    if "event" in action.options:
        command = click.argument("event", metavar="EVENT")(command)
    if "data" not in action.options:
        return target_options(command)
    for option in reversed(_set_options):
        command = option(command)
    return target_options_beside_data(command)


def _ask(action: Action, wanted: Wanted, reason: str | None, *, yes: bool) -> None:
    """Have it confirmed that something is done that cannot be taken back."""
    if reason is None:
        raise click.UsageError(f"'{action.name}' cannot be taken back: say why, with --reason")
    if wanted.dry_run or yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"'{action.name}' cannot be taken back: look with --dry-run first, then say --yes")
    named = ", ".join(wanted.addresses) or "all that is selected"
    click.confirm(f"{action.name} {named}, for good?", abort=True)


def _options(wanted: Wanted, given: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the request takes it: the edits of data as one patch."""
    if "fields" not in given:
        return given
    fields, data = given.pop("fields"), given.pop("data")
    if data and not wanted.addresses:
        raise click.UsageError("with a selection, say --where to select by data, or --set to change data")
    found = [*(pair for object_ in data for pair in object_.items()), *fields]
    return {**given, "patch": merged(None, found, _declared(wanted) if found else None)}


def _declared(wanted: Wanted) -> Declared | None:
    """The type of the data, where all that are meant are of one machine."""
    names = {address.partition(":")[0] for address in wanted.addresses} or {wanted.selection.machine or ""}
    make_nothing()
    known = current().machines.all()
    found = [known[name].wide.data for name in names if name in known]
    return found[0] if len(found) == len(names) == 1 else None


def _check_repeatable(wanted: Wanted, name: str) -> None:
    """Where they are selected by what the action changes, a second run leaves alone what the first one did."""
    if not wanted.addresses and wanted.selection.states is None:
        raise click.UsageError(
            f"{name} applies in any state; say with --state which ones are meant, "
            f"so that whoever runs it again does not {name} the same ones once more"
        )


ACTION_COMMANDS: Final = {name: _command_of(action) for name, action in ACTIONS.items()}
