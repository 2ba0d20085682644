"""Files of settings: what they hold, and values of several kinds as a table says them by ``kind``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from fsmflow.errors import ConfigurationError, DataError, did_you_mean, shown, text_of

Value = TypeVar("Value")


def read_toml(path: str, what: str) -> dict[str, Any]:
    """What a file has. Raises ConfigurationError."""
    toml: Any = import_module("tomllib")  # few processes have such a file
    try:
        found: dict[str, Any] = toml.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as {what}: {text_of(error)}") from error
    return found


def read_table(
    kinds: Mapping[str, type[Value]],
    needed: Mapping[str, Mapping[str, str]],
    given: Mapping[Any, Any],
    where: str,
    form: str,
) -> Value:
    """What a table says. Raises ConfigurationError for what cannot be, with ``where`` that is.

    ``needed``: what a kind cannot do without, each with what a file may say there. ``form``: how a table is written.
    """
    rest = {str(key): value for key, value in given.items()}
    kind = rest.pop("kind", None)
    if kind is None:
        raise ConfigurationError(f"{where} has no kind; {form}")
    if not isinstance(kind, str) or kind not in kinds:
        hint = did_you_mean(kind, kinds) or f"; it is one of {', '.join(kinds)}"
        raise ConfigurationError(f"{where}: kind is {shown(kind)}{hint}")
    missing = {name: example for name, example in needed.get(kind, {}).items() if name not in rest}
    if missing:
        lines = " and ".join(f"{name} = {example}" for name, example in missing.items())
        raise ConfigurationError(f'{where}: kind = "{kind}" needs {" and ".join(missing)}; write {lines}')
    try:
        made: Value = kinds[kind](**rest)
    except (ConfigurationError, DataError, TypeError) as error:
        raise ConfigurationError(f"{where}: {text_of(error)}") from error
    return made
