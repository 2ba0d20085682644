"""What commands take: options that many share, and the reading of durations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from fsmflow.cli import completion
from fsmflow.cli.catalogue import Listed
from fsmflow.cli.fields import FIELD, as_condition, as_object
from fsmflow.cli.person import acting
from fsmflow.decision.terms import Condition
from fsmflow.definition.names import PHASES
from fsmflow.engine.selection import Selection
from fsmflow.objects.fields import SECONDS, read_milliseconds
from fsmflow.values import dataclass

Command = TypeVar("Command", bound=Callable[..., int])

#: More than anybody has, and no more than every database takes.
MANY = 10**9
#: Options of a selection that are handed on as they are.
_HANDED_ON = (
    "machine",
    "children",
    "phase",
    "error",
    "older_ms",
    "waiting",
    "branches",
    "branch",
    "stuck",
    "overdue",
    "group",
)


@dataclass(frozen=True)
class Wanted:
    """The entities that a command is about: those with an address here, else those of the selection."""

    addresses: tuple[str, ...]
    selection: Selection
    limit: int | None
    dry_run: bool


class Group(Listed):
    """Lists commands in the order in which they were added, as a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def as_milliseconds(text: str) -> int:
    """``90s``, ``10m``, ``2h``, ``3d`` or ``1w``, in milliseconds. Raises BadParameter."""
    try:
        return read_milliseconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def told_span(span_ms: int) -> str:
    """A span as ``as_milliseconds`` reads it: ``90d``."""
    seconds = span_ms // 1000
    unit = next(unit for unit in "dhms" if seconds % SECONDS[unit] == 0)
    return f"{seconds // SECONDS[unit]}{unit}"


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")(command)


def data_option(command: Command) -> Command:
    """``--data``."""
    return click.option(
        "--data",
        type=as_object,
        metavar="@FILE|JSON",
        help="A JSON object, or @FILE (@- for standard input) that holds one; single fields win over it.",
    )(command)


def reason_option(command: Command) -> Command:
    """``--reason``."""
    return click.option("--reason", help="Why; kept in the history.")(command)


def key_option(command: Command) -> Command:
    """``--key``."""
    return click.option(
        "--key", help="A name for this very request: repeated with the same key, it changes nothing again."
    )(command)


def epoch_option(command: Command) -> Command:
    """``--epoch``."""
    return click.option(
        "--epoch",
        type=click.IntRange(min=0, max=MANY),
        metavar="N",
        help="What was seen of the entity: refuse if it has moved since.",
    )(command)


def actor_options(command: Command) -> Callable[..., int]:
    """``--actor`` and ``--role`` of whoever asks for something, handed on as ``actor``."""
    return _actor(command, "Who asks, if not the system's user; kept in the history.")


def viewer_options(command: Command) -> Callable[..., int]:
    """The same of whoever is to be shown what is there, and what is allowed."""
    return _actor(command, "For whom it is told, if not the system's user.")


def _actor(command: Command, meaning: str) -> Callable[..., int]:
    @click.option("--actor", "actor_name", help=meaning)
    @click.option("--role", "roles", multiple=True, help="A role of the actor; may be repeated.")
    @functools.wraps(command)
    def wrapped(*args: Any, actor_name: str | None, roles: tuple[str, ...], **options: Any) -> int:
        return command(*args, actor=acting(actor_name, roles), **options)

    return wrapped


def target_options(command: Callable[..., int]) -> Callable[..., int]:
    """``ADDRESS...`` or a selection, ``--limit`` and ``--dry-run``, handed on as ``wanted``."""
    return _targets(filter_options(_with_wanted(command)))


def target_options_beside_data(command: Callable[..., int]) -> Callable[..., int]:
    """The same for a command whose ``--data`` is what it changes: there ``--where`` alone selects by data."""
    return _targets(_filters("--where")(_with_wanted(command)))


def _targets(command: Callable[..., int]) -> Callable[..., int]:
    limit = click.IntRange(min=1, max=MANY)
    command = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")(command)
    command = click.option("--limit", metavar="N", type=limit, help="At most so many of a selection.")(command)
    return click.argument("addresses", nargs=-1, metavar="[ADDRESS]...", shell_complete=completion.addresses)(command)


def _with_wanted(command: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        addresses: tuple[str, ...],
        selection: Selection,
        limit: int | None,
        dry_run: bool,
        **options: Any,
    ) -> int:
        selects = selection.narrows or selection.branches or limit is not None
        if addresses and selects:
            raise click.UsageError("name entities by their addresses or select them by options, not both")
        if not addresses and not selection.narrows:
            raise click.UsageError("which entities? Give addresses, or select with --machine, --state, --error ...")
        if options.get("epoch") is not None and len(addresses) != 1:
            raise click.UsageError("--epoch says what was seen of one entity; give one address")
        return command(*args, wanted=Wanted(addresses, selection, limit, dry_run), **options)

    return wrapped


def filter_options(command: Callable[..., int]) -> Callable[..., int]:
    """``--machine``, ``--state``, ``--phase``, ``--error``, ``--older``, ``--data`` (``--where``),
    ``--child``, ``--group``, ``--stuck``, ``--overdue``, ``--branches`` and ``--branch``: all handed on as one
    ``selection``."""
    return _filters("--data", "--where")(command)


def _filters(*names_of_where: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def wrapped(*args: Any, where: tuple[Condition, ...], states: tuple[str, ...], **given: Any) -> int:
            own = {name: given.pop(name) for name in _HANDED_ON}
            data = {each.name: each.value for each in where if each.operator == "="}
            compared = tuple(each for each in where if each.operator != "=")
            selection = Selection(states=states or None, data=data, where=compared, **own)
            return command(*args, selection=selection, **given)

        found: Callable[..., int] = wrapped
        for option in reversed(_filter_options(names_of_where)):
            found = option(found)
        return found

    return decorate


def _filter_options(names_of_where: tuple[str, ...]) -> tuple[Callable[..., Any], ...]:
    """In the order in which they are shown."""
    return (*_by_standing(), *_by_data(names_of_where), *_by_more())


def _by_standing() -> Iterator[Callable[..., Any]]:
    yield from (
        click.option("--machine", metavar="MACHINE", shell_complete=completion.machines, help="Those of this machine."),
        click.option(
            "--state",
            "states",
            metavar="GLOB",
            multiple=True,
            shell_complete=completion.states,
            help="Those in this state; may be repeated, and may be a glob: 'failed_from_*'.",
        ),
        click.option("--phase", type=click.Choice(PHASES), help="Those in this phase."),
        click.option(
            "--error", metavar="GLOB", help="Those whose failure has this type or 'type: message': 'Timeout*'."
        ),
        click.option(
            "--older",
            "older_ms",
            type=as_milliseconds,
            metavar="DURATION",
            help="Those in their state for so long: 10m, 2h, 3d.",
        ),
    )


def _by_data(names_of_where: tuple[str, ...]) -> Iterator[Callable[..., Any]]:
    yield from (
        click.option(
            *names_of_where,
            "where",
            type=as_condition,
            multiple=True,
            metavar=FIELD,
            help="Those whose data has this value, or compares: amount:>=1000; may be repeated; a.b is field b of a.",
        ),
        click.option(
            "--child",
            "children",
            type=as_condition,
            multiple=True,
            metavar="MACHINE.FIELD=VALUE",
            help="Those that have a child whose data has this value, or compares: shipment.tracking=T7.",
        ),
    )


def _by_more() -> Iterator[Callable[..., Any]]:
    yield from (
        click.option("--group", metavar="ID", help="Those that rest in this failure group, branches too: d15468."),
        click.option("--waiting", is_flag=True, help="Those whose job waits out an interval before it is run again."),
        click.option("--stuck", is_flag=True, help="Those of which something is due and cannot go on."),
        click.option("--overdue", is_flag=True, help="Those in their state for longer than its expect= says."),
        click.option("--branches", is_flag=True, help="Branches and children too, which are else left out."),
        click.option("--branch", metavar="GLOB", help="Branches and children of this name: credit."),
    )
