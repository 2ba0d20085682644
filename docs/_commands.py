"""Writes the reference of the command line from the commands themselves: in the place of ``{{ commands }}``."""

from __future__ import annotations

import inspect
import re
from typing import Any

import click

from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.cli.main import cli

PLACE = "{{ commands }}"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return markdown.replace(PLACE, commands()) if PLACE in markdown else markdown


def commands() -> str:
    """All commands, in the order in which ``fsmflow --help`` lists them."""
    context = click.Context(cli, info_name="fsmflow")
    return "\n\n".join(_command(entry.name, entry.load(), context) for entry in CATALOGUE)


def _command(name: str, command: click.Command, parent: click.Context, heading: str = "##") -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [
        f"{heading} {context.command_path.partition(' ')[2]}",
        f"```text\n{usage}\n```",
        _prose(command.help or ""),
    ]
    options = [record for option in command.params if (record := option.get_help_record(context)) and record[1]]
    if options:
        # A "|" inside of backticks is no border of a cell.
        rows = "\n".join(f"| `{names}` | {_cell(told)} |" for names, told in options)
        parts.append(f"| option | meaning |\n|---|---|\n{rows}")
    if isinstance(command, click.Group):
        names = command.list_commands(context)
        parts += [_command(below, command.commands[below], context, f"{heading}#") for below in names]
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """The help text; what click keeps as it is written (after a ``\\b``) becomes a block."""
    parts = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if part.startswith("\b"):
            parts.append(f"```text\n{inspect.cleandoc(part[1:].strip(chr(10)))}\n```")
        else:
            parts.append(part.replace("*", r"\*"))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("[", r"\[")
