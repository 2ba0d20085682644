"""How things are printed: JSON, tables, moments. Results go to standard output, notes and errors to standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import islice

import click

from fsmflow import clock
from fsmflow.cli.grid import coloured, grid, hanging
from fsmflow.objects.plain import plain

#: Rows that are aligned with each other; a long listing is printed as it is read.
_ALIGNED = 500

Row = Sequence[str]


def print_json(value: object) -> None:
    """One JSON value."""
    click.echo(to_json(value, indent=2))


def print_array(items: Iterable[object]) -> None:
    """A JSON array, each item as soon as there is one. It is JSON too where the items end in an error."""
    opening = "["
    try:
        for item in items:
            click.echo(f"{opening}\n  {to_json(item)}", nl=False)
            opening = ","
    except BaseException:  # Ctrl-C included: what was printed until then must be JSON, and it goes on its way
        if opening == ",":
            click.echo("\n]")
        raise
    click.echo("[]" if opening == "[" else "\n]")


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON as the command line prints it: moments in ISO 8601, Decimal and UUID as text."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return json.dumps(value, indent=indent, default=plain, ensure_ascii=encoding != "utf8")


def moment(moment_ms: int) -> str:
    """A stored moment for people, in UTC."""
    return clock.to_datetime(moment_ms).strftime("%Y-%m-%d %H:%M:%S")


def duration(span_ms: int) -> str:
    """A span of time for people, in its largest unit: ``3 min``."""
    return clock.short(span_ms)


def print_table(columns: Row, rows: Iterable[Row]) -> int:
    """A table where standard output is a terminal, else aligned text, two or more spaces between columns.

    The number of rows; without any, nothing is printed.
    """
    return _print_grid(columns, list(rows)) if sys.stdout.isatty() else _print_plain(columns, rows)


def _print_plain(columns: Row, rows: Iterable[Row]) -> int:
    source, count = iter(rows), 0
    widths = [len(name) for name in columns]
    while chunk := list(islice(source, _ALIGNED)):
        widths = [max(width, *map(len, cells)) for width, cells in zip(widths, zip(*chunk, strict=True), strict=True)]
        for row in chunk if count else [columns, *chunk]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        count += len(chunk)
    return count


def _print_grid(columns: Row, rows: Sequence[Row]) -> int:
    if rows:
        for line in grid(columns, rows, shutil.get_terminal_size().columns):
            click.echo(line, color=None if coloured() else False)
    return len(rows)


def print_line(text: str, *, indent: int, command: str = "") -> None:
    """A line, and a command right after it. Where standard output is a terminal it is broken between words, and what
    follows is indented; the command stays whole."""
    if sys.stdout.isatty():
        lines = hanging(text, shutil.get_terminal_size().columns, indent, command)
    else:
        lines = iter([text + command])
    for line in lines:
        click.echo(line)


def note(text: str) -> None:
    """Something worth knowing beside the result."""
    click.echo(one_line(text), err=True)


def error(text: str) -> None:
    """What was refused or failed. Only the faults of a definition take more than one line."""
    click.echo(f"Error: {clean(text)}", err=True)


def clean(text: str) -> str:
    """Text without what could command a terminal; line breaks stay."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def cut(text: str, most: int) -> str:
    """Text cleaned, in one line of so many characters at most. What is left out is told by dots, and no word is cut:
    half an address is another one."""
    line = one_line(text)
    if len(line) <= most:
        return line
    head = line[: most - 3]
    return f"{head.rpartition(' ')[0] or head} ..."


def one_line(text: str) -> str:
    """Text cleaned, in one line."""
    return clean(" ".join(text.split()))
