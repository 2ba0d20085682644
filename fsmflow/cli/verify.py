"""The command that checks the promises: verify."""

from __future__ import annotations

from typing import Any

import click

from fsmflow.cli import completion, output
from fsmflow.cli.options import json_option
from fsmflow.cli.person import permit_all_teams
from fsmflow.cli.places import tell_absence
from fsmflow.engine.runtime import current
from fsmflow.verify import Report, verify
from fsmflow.verify.checker import PATIENCE_S
from fsmflow.verify.remedies import REMEDIES


@click.command("verify")
@click.option(
    "--machine", metavar="MACHINE", shell_complete=completion.machines, help="Check the entities of this machine alone."
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=PATIENCE_S,
    show_default=True,
    metavar="SECONDS",
    help="How long something may be overdue before it counts as left lying.",
)
@click.option("--strict", is_flag=True, help="Take what the machines of today would not have done for violations too.")
@json_option
def verify_command(machine: str | None, patience: float, strict: bool, as_json: bool) -> int:
    """Check in the database that every promise holds: nothing lost, nothing twice, nothing left lying.

    Reads every entity with its history, work, branches and events, in pages, beside whatever is going on, and changes
    nothing. Each violation is told with what to do; the exit status is 1 where there is any. What belongs to machines
    that this code does not know is checked without them, and counted as not compared. A history that the machine of
    today would not have written is only noted, as it may have been changed since; --strict makes it a violation.

    \b
      fsmflow verify
      fsmflow verify --machine order --patience 300 --json
    """
    runtime = current()
    permit_all_teams("verify")
    chosen = None if machine is None else [runtime.machines.get(machine).name]
    report = verify(runtime.store, runtime.machines.all(), patience_s=patience, machines=chosen, strict=strict)
    if as_json:
        output.print_json(_object(report))
    else:
        _print(report)
        tell_absence(runtime.settings)
    return 0 if report.holds else 1


def _object(report: Report) -> dict[str, Any]:
    violations = [vars(violation) for violation in report.violations]
    notes = [vars(note) for note in report.notes]
    return {
        "holds": report.holds,
        "checked": report.checked,
        "violations": violations,
        "unlisted": report.unlisted,
        "notes": notes,
    }


def _print(report: Report) -> None:
    for what, count in report.checked.items():
        click.echo(f"{count:>12,} {what.replace('_', ' ')}")
    for note in report.notes:
        click.echo(f"noted {note.invariant}: {output.one_line(note.address)}: {output.one_line(note.what)}")
    for violation in report.violations:
        click.echo(f"VIOLATED {violation.invariant}: {output.one_line(violation.address)}")
        click.echo(f"    {output.one_line(violation.what)}")
        click.echo(f"    to do: {REMEDIES[violation.invariant].do}")
    if report.unlisted:
        click.echo(f"and {report.unlisted:,} violations more, which are not listed")
    click.echo("every invariant holds" if report.holds else f"{_broken(report)} of {len(REMEDIES)} invariants violated")


def _broken(report: Report) -> int:
    return len({violation.invariant for violation in report.violations})
