"""``manage.py flush``, by which a ``TransactionTestCase`` too is set back: no entity outlives its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.commands import flush
from django.db import connections

from fsmflow.django.tables import empty_tables
from fsmflow.scope import scope


class Command(flush.Command):  # type: ignore[misc]
    """Django's own. What an app flushes besides may be said in a subclass of this one."""

    def handle(self, **options: Any) -> Any:
        """Where it is called off, or refused, nothing of fsmflow is taken away either."""
        name = options["database"]
        with _followed(connections[name].ops, lambda: empty_tables(name)):
            return super().handle(**options)


@scope
def _followed(ops: Any, action: Callable[[], None]) -> Iterator[None]:
    """Inside, ``action`` follows what Django executes once it is confirmed, and precedes what apps then write anew."""
    execute = ops.execute_sql_flush

    def execute_sql_flush(*given: Any, **more: Any) -> None:
        execute(*given, **more)
        action()

    ops.execute_sql_flush = execute_sql_flush
    try:
        yield
    finally:
        del ops.execute_sql_flush
