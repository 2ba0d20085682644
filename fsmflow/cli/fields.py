"""Data as they are written on a command line: ``k=text``, ``k:=json``, ``k:date=2030-01-31``, and whole objects."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from fsmflow.cli import output
from fsmflow.decision.terms import Condition
from fsmflow.definition.annotations import Declared
from fsmflow.errors import DataError
from fsmflow.objects.fields import TYPES, read_condition, read_field, read_json
from fsmflow.shapes.blanks import blanks_of

#: What ``HELP`` explains.
FIELD: Final = "NAME=VALUE"
_FORMS: Final = (
    ("customer=ada", "text"),
    ("amount:=1500", "JSON: numbers, true, null, lists, objects"),
    *((kind.example, kind.meaning) for kind in TYPES.values()),
)
#: What the help of each command says that takes fields.
HELP: Final = f"\b\n{FIELD} is one of\n" + "\n".join(f"  {example:<45}  {meaning}" for example, meaning in _FORMS)


def as_field(text: str) -> tuple[str, Any]:
    """``k=text``, ``k:=json`` or ``k:type=text``: the name and its value. Raises BadParameter."""
    try:
        return read_field(text, text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def as_condition(text: str) -> Condition:
    """What ``as_field`` takes, or one of the other comparisons in the place of its ``=``. Raises BadParameter."""
    try:
        found = read_condition(text)
    except (ValueError, DataError) as error:
        raise click.BadParameter(str(error)) from error
    if found.operator != "=" and isinstance(found.value, str) and re.fullmatch(r"-?[0-9.]+", found.value):
        written = f"{found.name}:{found.operator}{found.value}"
        output.note(f"{text} compares texts, letter by letter; a number is written {written}")
    return found


def as_object(text: str) -> dict[str, Any]:
    """A JSON object: the text itself, ``@file`` that holds it, or ``@-`` for standard input. Raises BadParameter."""
    where = text[:200] if text.startswith("@") else "the text"
    try:
        found = read_json(_contents(text[1:]) if text.startswith("@") else text)
    except OSError as error:
        raise click.BadParameter(f"{where} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.BadParameter(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.BadParameter(f"{where} holds {str(found)[:60]!r}; it has to be a JSON object, as in '{{\"k\": 1}}'")
    return found


def as_patch(text: str) -> dict[str, Any]:
    """What ``as_field`` or ``as_object`` takes: an object. Raises BadParameter."""
    return as_object(text) if text.startswith(("{", "@")) else dict([as_field(text)])


def _contents(path: str) -> str:
    return sys.stdin.buffer.read().decode() if path == "-" else Path(path).read_text(encoding="utf-8")


def merged(
    data: dict[str, Any] | None, fields: Iterable[tuple[str, Any]], declared: Declared | None = None
) -> dict[str, Any]:
    """What ``--data`` gave, and over it what was written field by field. A text is what its field is ``declared`` to
    be: ``amount=5`` is a number where that is one."""
    found = dict(fields)
    if declared is not None and declared.shape.is_record and any(isinstance(value, str) for value in found.values()):
        blanks = blanks_of(declared.shape.schema())
        for name, value in found.items():
            if isinstance(value, str) and name in blanks:
                found[name] = blanks[name].value_of(value)
    return {**(data or {}), **found}
