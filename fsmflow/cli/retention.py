"""The command that deletes what has finished: prune."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click

from fsmflow.cli import completion, output
from fsmflow.cli.archive import Archive, archive
from fsmflow.cli.bar import Bar, can_show
from fsmflow.cli.options import actor_options, as_milliseconds, json_option, told_span
from fsmflow.cli.places import make_nothing
from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.definition.operators import PRUNE
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.retention import Pruned, at_leisure, kept_by, prune
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.teams import permit_whole

_SUFFIX: Final = ".gz"


@click.command("prune")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...", shell_complete=completion.machines)
@click.option(
    "--older",
    "older_ms",
    type=as_milliseconds,
    metavar="DURATION",
    help="What has finished so long ago: 90d, 2h. What a machine's retention says, if it is not given.",
)
@click.option(
    "--archive",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jsonl.gz",
    help="Append each tree to this file first, as a line of JSON.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@actor_options
@json_option
def prune_command(
    machines: tuple[str, ...],
    older_ms: int | None,
    path: Path | None,
    dry_run: bool,
    yes: bool,
    actor: Actor | None,
    as_json: bool,
) -> int:
    """Delete for good what has finished, with its branches, children, history, keys and messages.

    Of machines that are named, else of all of yours (without --older, of those that say retention). A tree is deleted
    as a whole, once all of it has been finished for so long. What has failed stays, and so does what has a message on
    its way. It rests between pages, so that workers come first; run again, it goes on.

    \b
      fsmflow prune order --older 90d --dry-run
      fsmflow prune order --older 90d --archive orders.jsonl.gz --yes
    """
    make_nothing()
    runtime = current()
    kept = _kept(runtime, machines, older_ms)
    if path is not None and path.suffix != _SUFFIX:
        raise click.BadParameter(f"{path} is compressed; call it {path}{_SUFFIX}", param_hint="--archive")
    for definition, _ in kept:
        permit_whole(runtime, definition, PRUNE, actor)
        if not dry_run:
            permit_machine(runtime, definition, PRUNE, actor)
    if not dry_run and not yes:
        _ask(runtime, kept, machines, older_ms)
    done: dict[str, Pruned] = {}
    try:
        _prune(runtime, kept, path, done, dry_run=dry_run, shown=can_show(as_json=as_json))
    finally:
        # What was deleted until then is told, too, where it is interrupted.
        _tell(done, path, dry_run=dry_run, as_json=as_json)
    return 0


def _kept(runtime: Runtime, machines: Sequence[str], older_ms: int | None) -> list[tuple[Definition, dict[str, int]]]:
    """For how long what is kept, by machine. Raises UnknownMachine, DataError, UsageError."""
    known = runtime.machines.all()
    chosen = [runtime.machines.get(name) for name in machines]
    if not machines:
        chosen = [each for each in known.values() if older_ms is not None or each.wide.retention]
        chosen = [each for each in chosen if not is_built_in(each.name)]
    if not chosen:
        raise click.UsageError("no machine says retention; say with --older what is old enough, as in --older 90d")
    return [(definition, kept_by(definition, older_ms)) for definition in chosen]


def _ask(
    runtime: Runtime,
    kept: Sequence[tuple[Definition, dict[str, int]]],
    machines: Sequence[str],
    older_ms: int | None,
) -> None:
    """Have it confirmed, once it is counted. Raises Abort, and UsageError where nobody is there."""
    if not sys.stdin.isatty():
        older = [] if older_ms is None else ["--older", told_span(older_ms)]
        look = shlex.join(["fsmflow", "prune", *machines, *older, "--dry-run"])
        raise click.UsageError(f"it deletes for good: look first with '{look}', then say --yes")
    counted: dict[str, Pruned] = {}
    _prune(runtime, kept, None, counted, dry_run=True, shown=can_show())
    told = "; ".join(f"of {name} {pruned}" for name, pruned in counted.items())
    click.confirm(f"Delete for good {told}?", abort=True)


def _prune(
    runtime: Runtime,
    kept: Sequence[tuple[Definition, dict[str, int]]],
    path: Path | None,
    done: dict[str, Pruned],
    *,
    dry_run: bool,
    shown: bool,
) -> None:
    opened: Any = nullcontext() if path is None or dry_run else archive(runtime, path)
    with opened as keeper, Bar("prune", total=None, shown=shown) as bar:
        for definition, kept_ms in kept:
            done[definition.name] = Pruned()
            found: Archive | None = keeper
            for piece in at_leisure(runtime, prune(runtime, definition, kept_ms, keeper=found, dry_run=dry_run)):
                done[definition.name] += piece
                bar.advance(piece.entities)


def _tell(done: dict[str, Pruned], path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        machines = [{"machine": name, **vars(pruned)} for name, pruned in done.items()]
        kept_in = None if path is None else str(path)
        output.print_json({"machines": machines, "archive": kept_in, "dry_run": dry_run})
        return
    for name, pruned in done.items():
        click.echo(f"{name}  {pruned} {'would be ' if dry_run else ''}deleted")
    if path is not None and not dry_run:
        output.note(f"{path} has a copy of each")
