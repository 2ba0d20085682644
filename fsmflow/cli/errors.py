"""What a command says when something goes wrong: one line that names it, and no traceback but for a bug of fsmflow."""

from __future__ import annotations

import os
from typing import Final

from fsmflow import settings
from fsmflow.causes import place_of
from fsmflow.cli import output
from fsmflow.cli.output import one_line
from fsmflow.engine.runtime import stand_in
from fsmflow.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DefinitionError,
    FsmflowError,
    GuardError,
    NotPermitted,
    name_of,
    noted,
    text_of,
)
from fsmflow.settings import DATABASE_URL, PERMISSIONS
from fsmflow.settings.permissions import IN_CODE

_SERVER_LIBRARIES: Final = frozenset({"peewee", "playhouse", "sqlite3", "psycopg", "pymysql", "MySQLdb", "redis"})


def is_told(error: BaseException) -> bool:
    """Whether an error could be told to whoever typed the command, and was."""
    text = sentence(error)
    if text is not None:
        output.error(text)
    return text is not None


def sentence(error: BaseException) -> str | None:
    """What to tell of an error. None for one that nothing outside of fsmflow explains."""
    if isinstance(error, DefinitionError):
        place = place_of(error)
        return str(error) + ("" if place is None else f"\n({place})")
    if isinstance(error, FsmflowError):
        guard = error.__cause__ if isinstance(error, GuardError) else None
        place = None if guard is None else place_of(guard)
        return one_line(text_of(error)) + _named_by(error) + _given_by(error) + ("" if place is None else f" ({place})")
    kind = f"{name_of(type(error))}: {one_line(text_of(error) + noted(error))}"
    if isinstance(error, OSError | UnicodeError) or _is_of_a_server(error):
        return kind
    place = place_of(error)
    return None if place is None else f"{kind} ({place})"


def _named_by(error: FsmflowError) -> str:
    """What says where a database is that cannot be reached, and where that is shown."""
    if not isinstance(error, DatabaseUnavailable) or not error.unreached:
        return ""
    if DATABASE_URL in str(error):
        return ": see 'fsmflow info'"
    chosen = settings.chosen()
    is_set = chosen is not None and chosen.database is None and chosen.database_url == os.environ.get(DATABASE_URL)
    return f"; the database is that of {DATABASE_URL if is_set else 'configure()'}: see 'fsmflow info'"


def _given_by(error: FsmflowError) -> str:
    """Where it is said who may do what, for who was refused for want of it."""
    installed = stand_in()
    chosen = settings.chosen() if installed is None else installed.settings
    permissions = None if chosen is None else chosen.permissions
    if not isinstance(error, NotPermitted) or permissions is None:
        return ""
    is_file = permissions.source != IN_CODE
    where = f"{os.path.abspath(permissions.source)} ({PERMISSIONS})" if is_file else IN_CODE
    return f"; who may do what is said in {where}"


def stops_everything(error: BaseException) -> bool:
    """Whether an error met at one entity would be met at every other one too."""
    return isinstance(error, ConfigurationError | OSError) or _is_of_a_server(error) or sentence(error) is None


def _is_of_a_server(error: BaseException) -> bool:
    """By the names of modules: only the store imports database drivers, and only dispatch imports redis."""
    return any(kind.__module__.partition(".")[0] in _SERVER_LIBRARIES for kind in type(error).__mro__)
