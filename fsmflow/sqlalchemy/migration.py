"""fsmflow's tables as an operation of Alembic. To import it is to have ``op.fsmflow_init()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Connection

from fsmflow.errors import ConfigurationError
from fsmflow.settings import current
from fsmflow.sqlalchemy.host import host_of
from fsmflow.store.dialects import DIALECTS
from fsmflow.store.host import Host, lend
from fsmflow.store.link import Link
from fsmflow.store.schema import create


@Operations.register_operation("fsmflow_init")
class FsmflowInit(MigrateOperation):
    """``op.fsmflow_init()``: make what is missing of fsmflow's tables, or bring them up to the release that is
    installed, as ``fsmflow init`` does; where nothing is to be done, nothing is. A revision after an upgrade of fsmflow
    calls it again. There is no way back: what they hold is what your entities are and have done."""

    @classmethod
    def fsmflow_init(cls, operations: Operations) -> None:
        operations.invoke(cls())


@Operations.implementation_for(FsmflowInit)
def _init(operations: Operations, operation: FsmflowInit) -> None:
    context = operations.get_context()
    if context.as_sql or context.connection is None:
        raise ConfigurationError(
            "fsmflow looks which tables there are before it makes or changes some, so it has no SQL to be run later; "
            "leave op.fsmflow_init() out of --sql (if not context.is_offline_mode()), and run 'fsmflow init' there"
        )
    make_tables(context.connection)


def make_tables(connection: Connection) -> None:
    """Make or upgrade the tables over a Connection, in its transaction where its database changes tables in one; in the
    schema of the settings, where they name one. It may be run again, and by several processes at once. Raises
    ConfigurationError."""
    host = _Known(host_of(connection))
    name = connection.dialect.name.replace("mariadb", "mysql")
    dialect = next((known for known in DIALECTS if known.name == name), None)
    if dialect is None:
        raise ConfigurationError(f"fsmflow cannot work on {name}; it works on SQLite, PostgreSQL, MySQL and MariaDB")
    dialect.begun(host.connection())
    own = dialect.kind(str(connection.engine.url.database))
    create(Link(cast(Any, lend(host, own, dialect, "")), own=False, schema=current().schema))


class _Known(Host):
    """A host in whose database no tables of fsmflow are looked for, as they are to be made."""

    def __init__(self, host: Host) -> None:
        self.name, self.transaction, self._host = host.name, host.transaction, host

    def connection(self) -> Any:
        return self._host.connection()

    def notes(self) -> set[str]:
        return {""}

    def flush(self) -> None:
        """A Connection holds nothing back."""

    def after_commit(self, action: Callable[[], None]) -> None:
        self._host.after_commit(action)

    def spoil(self, error: BaseException) -> None:
        self._host.spoil(error)
