"""What a command says when something goes wrong: one line that names it, and no traceback but for a bug of fsmflow."""

from __future__ import annotations

import sys
import traceback
from typing import Final

from fsmflow.cli.output import one_line
from fsmflow.errors import ConfigurationError, DefinitionError, FsmflowError, GuardError, name_of, text_of

_SERVER_LIBRARIES: Final = frozenset({"peewee", "playhouse", "sqlite3", "psycopg", "pymysql", "MySQLdb", "redis"})
_NOT_THE_USERS: Final = frozenset({"fsmflow", "click", "rich", "transitions", "rq", *_SERVER_LIBRARIES})


def sentence(error: BaseException) -> str | None:
    """What to tell of an error. None for one that nothing outside of fsmflow explains."""
    if isinstance(error, DefinitionError):
        return str(error)
    if isinstance(error, FsmflowError):
        guard = error.__cause__ if isinstance(error, GuardError) else None
        place = None if guard is None else _place_in_users_code(guard)
        return one_line(text_of(error)) + ("" if place is None else f" (raised in {place})")
    kind = f"{name_of(type(error))}: {one_line(text_of(error))}"
    if isinstance(error, OSError | UnicodeError) or _is_of_a_server(error):
        return kind
    place = _place_in_users_code(error)
    return None if place is None else f"{kind} (raised in {place})"


def stops_everything(error: BaseException) -> bool:
    """Whether an error met at one entity would be met at every other one too."""
    return isinstance(error, ConfigurationError | OSError) or _is_of_a_server(error) or sentence(error) is None


def _is_of_a_server(error: BaseException) -> bool:
    """By the names of modules: only the store imports database drivers, and only dispatch imports redis."""
    return any(kind.__module__.partition(".")[0] in _SERVER_LIBRARIES for kind in type(error).__mro__)


def _place_in_users_code(error: BaseException) -> str | None:
    """The innermost place in a guard or callback, which may itself have called a library."""
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in _NOT_THE_USERS and module not in sys.stdlib_module_names:
            place = f"{frame.f_code.co_name}, {frame.f_code.co_filename}:{line}"
    return place
