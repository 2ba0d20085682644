"""``start``: one entity, or all that a file holds."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, Final, cast

import click

from fsmflow.cli import completion, output
from fsmflow.cli.bar import Bar, can_show
from fsmflow.cli.fields import FIELD, HELP, as_field, merged
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import actor_options, data_option, json_option, key_option
from fsmflow.cli.places import check_machine
from fsmflow.decision.inputs import Actor, checked_id
from fsmflow.definition.model import Definition
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.start import Birth, begun, there_already
from fsmflow.errors import DataError
from fsmflow.machine import Machine
from fsmflow.objects import entities
from fsmflow.objects.fields import read_json, reader_of
from fsmflow.queries import resolve
from fsmflow.scope import scope
from fsmflow.values import dataclass

_PAGE: Final = 1_000
_ID: Final = "id"
#: How an entity of a machine that comes with fsmflow begins.
_BEGUN_BY: Final = {
    "repair": "start one with 'fsmflow repair'",
    "notice": "one begins where a machine tells a channel; 'fsmflow channels test NAME' tries a channel",
}
_BY_ITSELF: Final = "one begins by itself"

Line = tuple[str, dict[str, Any]]


@click.command(epilog=HELP)
@click.argument("machine", shell_complete=completion.machines)
@click.argument("entity_id", metavar="[ID]", required=False)
@click.argument("fields", nargs=-1, type=as_field, metavar=f"[{FIELD}]...")
@data_option
@click.option(
    "--state",
    metavar="STATE",
    shell_complete=completion.states,
    help="Adopt it in mid-life, in this state; its job is not run until 'resume'.",
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help="Start all that FILE holds: CSV if it ends in .csv, else JSON lines; '-' is standard input.",
)
@click.option(
    "--if-exists", type=click.Choice(["raise", "return"]), default="raise", help="Refuse it, or take it as it is."
)
@click.option("--dry-run", is_flag=True, help="With --from: read all of it, say what would be started, start nothing.")
@actor_options
@key_option
@json_option
@sets_going
def start(
    machine: str,
    entity_id: str | None,
    fields: tuple[tuple[str, Any], ...],
    data: dict[str, Any] | None,
    state: str | None,
    source: str | None,
    if_exists: str,
    dry_run: bool,
    actor: Actor | None,
    key: str | None,
    as_json: bool,
) -> int:
    """Start an entity of MACHINE under this ID, in the initial state. Without an ID one is made: each such call starts
    another entity. MACHINE may also be the address, machine:id.

    What follows is its data. With --from, many: each line of JSON lines is an object with "id" and the data. A CSV has
    a column 'id'; its other columns are data as text, and those called 'name:' or 'name:type' as JSON or of that type,
    left out where empty. Data on the command line is that of all, a file's wins. What is wrong ends it before its page
    of 1,000. '--if-exists return' goes on after an interruption.

    \b
      fsmflow start order 1042 customer=ada amount:=1500 due:date=2030-01-31
      fsmflow start order customer=ada amount:=1500
      fsmflow start order 1043 --data @order.json --state awaiting_approval
      fsmflow start order --from orders.jsonl --if-exists return
    """
    machine, entity_id, fields = _placed(machine, entity_id, fields)
    check_machine(machine)
    definition = (runtime := current()).machines.get(machine)
    given = merged(data, fields, definition.wide.data)
    if source is None:
        if dry_run:
            raise click.UsageError("--dry-run goes with --from")
        one = _start(definition, entity_id, given, state=state, if_exists=if_exists, actor=actor, key=key)
        return _tell(runtime, one, actor, as_json=as_json)
    _check_many(entity_id, key)
    skips = if_exists == "return"
    load = _Load(runtime, definition, source, given, state=state, actor=actor, skips=skips, dry_run=dry_run)
    return load.run(as_json=as_json)


def _placed(
    machine: str, entity_id: str | None, fields: tuple[tuple[str, Any], ...]
) -> tuple[str, str | None, tuple[tuple[str, Any], ...]]:
    """The machine, the ID and the fields, whichever of them were given: what has a '=' is a field."""
    if entity_id is not None and "=" in entity_id:
        fields, entity_id = (as_field(entity_id), *fields), None
    machine, colon, named = machine.partition(":")
    if is_built_in(machine):
        raise click.UsageError(f"machine {machine!r} comes with fsmflow; {_BEGUN_BY.get(machine, _BY_ITSELF)}")
    if not colon:
        return machine, entity_id, fields
    if entity_id is not None:
        raise click.UsageError(f"{machine}:{named} has an ID, and {entity_id!r} is another one")
    return machine, named, fields


def _start(definition: Definition, entity_id: str | None, data: dict[str, Any], **options: Any) -> Machine:
    kind = cast(type[Machine], definition.owner)
    if entity_id is not None:
        return kind.start(entity_id, data, **options)
    named = next((name for name in ("id", "entity_id") if name in data), None)
    if named is not None:
        given = str(data[named])[:60]
        raise click.UsageError(
            f"{named}={given} is data, and there is no ID, which comes right after MACHINE: {definition.name} {given}"
        )
    return kind.start(data, **options)


def _check_many(entity_id: str | None, key: str | None) -> None:
    if key is not None:
        raise click.UsageError("--key is for one entity; with --from, --if-exists return makes it safe to run again")
    if entity_id is not None:
        raise click.UsageError(f"{entity_id!r} is an ID; with --from each line has its own")


def _tell(runtime: Runtime, started: Machine, actor: Actor | None, *, as_json: bool) -> int:
    if as_json:
        output.print_json(entities.entity(runtime, resolve(runtime, started.address, actor), actor))
    else:
        click.echo(f"{started.address}  {started.state}")
    return 0


class _Load:
    """Starts what a file holds."""

    def __init__(
        self,
        runtime: Runtime,
        definition: Definition,
        source: str,
        common: dict[str, Any],
        *,
        state: str | None,
        actor: Actor | None,
        skips: bool,
        dry_run: bool,
    ) -> None:
        self._runtime = runtime
        self._definition = definition
        self._source = source
        self._common = common
        self._state = state
        self._actor = actor
        self._skips = skips
        self._dry_run = dry_run
        self._started = 0
        self._read = 0

    def run(self, *, as_json: bool) -> int:
        try:
            with _opened(self._source) as file, self._bar(as_json) as bar:
                lines = self._counted(_lines(self._source, file), file, bar)
                if self._dry_run:
                    self._check(lines)
                else:
                    self._start(lines)
        except BaseException:  # Ctrl-C included: what was started until then is told, and it goes on its way
            if self._started:
                output.note(f"{self._started:,} were started before; '--if-exists return' goes on with the rest")
            raise
        already = self._read - self._started
        if as_json:
            count = {"started": self._started, "already_there": already, "dry_run": self._dry_run}
            output.print_json({"machine": self._definition.name, **count})
            return 0
        would = "would be started" if self._dry_run else "started"
        rest = f", {already:,} there already" if already else ""
        click.echo(f"{self._started:,} {would}{rest}")
        return 0

    def _bar(self, as_json: bool) -> Bar:
        """In bytes of the file; of a pipe nobody knows how much is to come."""
        size = 0 if self._source == "-" else os.path.getsize(self._source)
        return Bar("start", total=size or None, shown=can_show(as_json=as_json))

    def _counted(self, lines: Iterable[Line], file: BinaryIO, bar: Bar) -> Iterator[Line]:
        seen, measurable = 0, file.seekable()
        for entity_id, data in lines:
            self._read += 1
            yield entity_id, {**self._common, **data}
            if measurable and self._read % _PAGE == 0:
                bar.advance(file.tell() - seen)
                seen = file.tell()

    def _start(self, lines: Iterable[Line]) -> None:
        def note(started: int) -> None:
            self._started = started

        cast(type[Machine], self._definition.owner).start_many(
            lines,
            state=self._state,
            if_exists="return" if self._skips else "raise",
            actor=self._actor,
            page=_PAGE,
            progress=note,
        )

    def _check(self, lines: Iterable[Line]) -> None:
        """All that starting them checks, but for what others do meanwhile."""
        source = iter(lines)
        while page := dict(islice(source, _PAGE)):
            there = self._runtime.store.entities.there(self._definition.name, list(page))
            for entity_id, data in page.items():
                if entity_id in there and not self._skips:
                    taken = {entity_id: there[entity_id]}
                    raise there_already(self._runtime, self._definition, taken, self._actor)
                birth = Birth(entity_id=entity_id, data=data, state=self._state, actor=self._actor)
                begun(self._runtime, self._definition, birth)
                self._started += entity_id not in there


@scope
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise click.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="--from") from error
    with file:
        yield file


def _lines(source: str, file: BinaryIO) -> Iterator[Line]:
    """What a file holds, one after the other, as (id, data). Raises DataError, with the number of the line."""
    return _rows_of_csv(source, file) if source.lower().endswith(".csv") else _objects(source, file)


def _texts(source: str, file: BinaryIO) -> Iterator[str]:
    # readline, not iteration: that would make tell() fail.
    for number, line in enumerate(iter(file.readline, b""), 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{source}, line {number}: {error}") from error


def _objects(source: str, file: BinaryIO) -> Iterator[Line]:
    for number, text in enumerate(_texts(source, file), 1):
        if not text.strip():
            continue
        where = f"{source}, line {number}"
        try:
            found = read_json(text)
        except ValueError as error:
            raise DataError(f"{where}: it is not JSON: {error}") from error
        if not isinstance(found, dict) or _ID not in found:
            raise DataError(f'{where}: {str(found)[:60]!r} is no object with "id"')
        yield _identified(where, found.pop(_ID), found)


def _rows_of_csv(source: str, file: BinaryIO) -> Iterator[Line]:
    reader = csv.reader(_texts(source, file), strict=True)
    columns: list[_Column] | None = None
    try:
        for row in reader:
            where = f"{source}, line {reader.line_num}"
            if columns is None:
                columns = _columns(where, row)
            elif row:
                yield _row(where, columns, row)
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}") from error


@dataclass(frozen=True)
class _Column:
    """``title`` as the file has it; ``read`` raises ValueError. One without it holds text."""

    title: str
    name: str
    read: Callable[[str], Any] | None


def _columns(where: str, titles: list[str]) -> list[_Column]:
    if _ID not in titles:
        raise DataError(f"{where}: a CSV begins with the names of its columns, 'id' among them")
    columns = [_column(where, title) for title in titles]
    names = [column.name for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: column {twice!r} is there twice")
    return columns


def _column(where: str, title: str) -> _Column:
    try:
        name, read = reader_of(title)
    except ValueError as error:
        raise DataError(f"{where}: column {title!r}: {error}") from error
    return _Column(title, name, None if name == title else read)


def _row(where: str, columns: list[_Column], row: list[str]) -> Line:
    if len(row) != len(columns):
        raise DataError(f"{where}: it has {len(row)} cells; there are {len(columns)} columns")
    data: dict[str, Any] = {}
    for column, text in zip(columns, row, strict=True):
        if column.read is None:
            data[column.name] = text
        elif text:
            try:
                data[column.name] = column.read(text)
            except ValueError as error:
                raise DataError(f"{where}: column {column.title!r}: {error}") from error
    return _identified(where, data.pop(_ID), data)


def _identified(where: str, entity_id: object, data: dict[str, Any]) -> Line:
    try:
        return checked_id(entity_id), data
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
