"""Commands of operators that go beside a machine's own ways: skip, rewind, undo, force."""

from __future__ import annotations

import click

from fsmflow.cli.bulk import Act, perform
from fsmflow.cli.options import (
    Wanted,
    actor_options,
    epoch_option,
    json_option,
    key_option,
    reason_option,
    target_options,
)
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Forced, Rewound, Skipped, Triggered
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FAILED, UNDO, UNDOING_PREFIX, UNDONE, failed_from
from fsmflow.engine.requests import plan


@click.command()
@target_options
@actor_options
@reason_option
@key_option
@json_option
def skip(wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, as_json: bool) -> int:
    """Go on as if the step that failed had been done. For entities in 'failed_from_X': the ways of X's 'done' are
    decided.

    \b
      fsmflow skip order:1042 --actor alice --reason "packed by hand"
      fsmflow skip --machine order --state failed_from_packing --older 2h --dry-run
    """
    asked = Skipped(actor=actor, reason=reason, key=key)
    act = Act(
        name="skip",
        done="skipped",
        do=lambda entity: entity.skip(actor=actor, reason=reason, key=key),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: snapshot.phase == FAILED,
        phase=FAILED,
    )
    return perform(act, wanted, as_json=as_json)


@click.command()
@target_options
@click.argument("target", metavar="STATE")
@actor_options
@reason_option
@key_option
@json_option
def rewind(wanted: Wanted, target: str, actor: Actor | None, reason: str | None, key: str | None, as_json: bool) -> int:
    """Go back to STATE, in which the entity has been. Its job and timer start anew, with a new idempotency key; guards
    and callbacks are passed by.

    \b
      fsmflow rewind order:1042 charging --reason "charged the wrong card"
      fsmflow rewind --machine order --state failed_from_shipping packing --dry-run
    """
    _check_repeatable(wanted, "rewind")
    asked = Rewound(state=target, actor=actor, reason=reason, key=key)
    act = Act(
        name="rewind",
        done="rewound",
        do=lambda entity: entity.rewind(target, actor=actor, reason=reason, key=key),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: snapshot.state != target,
    )
    return perform(act, wanted, as_json=as_json)


@click.command()
@target_options
@actor_options
@reason_option
@key_option
@epoch_option
@json_option
def undo(
    wanted: Wanted, actor: Actor | None, reason: str | None, key: str | None, epoch: int | None, as_json: bool
) -> int:
    """Take back what the entered steps did, the latest first. For machines whose states have undo=.

    Each step is undone in a state 'undoing_X' of its own; the entity ends in 'undone', unless its machine says
    otherwise.

    \b
      fsmflow undo trip:7 --actor alice --reason "the customer withdrew"
      fsmflow undo --machine trip --state failed_from_booking_flight --dry-run
    """
    asked = Triggered(trigger=UNDO, actor=actor, reason=reason, key=key, epoch=epoch)
    act = Act(
        name="undo",
        done="undone",
        do=lambda entity: entity.undo(actor=actor, reason=reason, key=key, epoch=epoch),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: not _is_being_undone(snapshot),
    )
    return perform(act, wanted, as_json=as_json)


@click.command()
@target_options
@click.argument("target", metavar="STATE")
@actor_options
@reason_option
@key_option
@json_option
def force(wanted: Wanted, target: str, actor: Actor | None, reason: str | None, key: str | None, as_json: bool) -> int:
    """Enter STATE, whatever leads there. Its job and timer start; guards and callbacks are passed by. It also mends
    entities in a state that the code no longer has.

    \b
      fsmflow force order:1042 shipping --actor alice --reason "paid in cash"
      fsmflow force --machine order --state old_review review --dry-run
    """
    _check_repeatable(wanted, "force")
    asked = Forced(state=target, actor=actor, reason=reason, key=key)
    act = Act(
        name="force",
        done="forced",
        do=lambda entity: entity.force(target, actor=actor, reason=reason, key=key),
        plan=lambda runtime, definition, snapshot: plan(runtime, definition, snapshot, asked),
        fits=lambda snapshot: snapshot.state != target,
    )
    return perform(act, wanted, as_json=as_json)


def _is_being_undone(snapshot: Snapshot) -> bool:
    return snapshot.state == UNDONE or snapshot.state.startswith((UNDOING_PREFIX, failed_from(UNDOING_PREFIX)))


def _check_repeatable(wanted: Wanted, name: str) -> None:
    """Where they are selected by what the action changes, a second run leaves alone what the first one did."""
    if not wanted.addresses and wanted.selection.states is None:
        raise click.UsageError(
            f"{name} applies in any state; say with --state which ones are meant, "
            f"so that whoever runs it again does not {name} the same ones once more"
        )
