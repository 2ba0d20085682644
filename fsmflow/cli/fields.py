"""Data as they are written on a command line: ``k=text``, ``k:=json``, and whole objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import click

from fsmflow.errors import shown


def as_field(text: str) -> tuple[str, Any]:
    """``k=text`` or ``k:=json``: the name and its value. Raises BadParameter."""
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise click.BadParameter(f"{shown(text)} is neither name=text nor name:=json")
    if not is_json:
        return name, value
    try:
        return name, read_json(value)
    except ValueError as error:
        hint = f"what follows ':=' is not JSON ({error}); for plain text write {name}=..."
        raise click.BadParameter(f"{text[:200]!r}: {hint}") from error


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
    """``k=text``, ``k:=json``, or what ``as_object`` takes: an object. Raises BadParameter."""
    return as_object(text) if text.startswith(("{", "@")) else dict([as_field(text)])


def read_json(text: str) -> Any:
    """The JSON value of a text. Raises ValueError, also for NaN and for what is nested too deep to be read."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _contents(path: str) -> str:
    return sys.stdin.buffer.read().decode() if path == "-" else Path(path).read_text(encoding="utf-8")


def merged(data: dict[str, Any] | None, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What ``--data`` gave, and over it what was written field by field."""
    return {**(data or {}), **dict(fields)}
