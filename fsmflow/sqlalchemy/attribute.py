"""A mapped attribute of SQLAlchemy as the user's own field, into which the state is written."""

from __future__ import annotations

import uuid
from typing import Any, Final

from sqlalchemy import BindParameter, Column, Dialect, Enum, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstrumentedAttribute, Mapper, Session, scoped_session
from sqlalchemy.orm.util import identity_key

from fsmflow.definition.own_field import OwnField
from fsmflow.sqlalchemy.session import session_on, session_over
from fsmflow.sqlalchemy.strangers import sessions_on

_DIALECTS: Final = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect, "mysql": mysql.dialect}
#: No column of whole numbers holds more.
_TOO_LARGE: Final = 2**63


def own_field_of(attribute: Any) -> OwnField | None:
    """The port of an attribute of a mapped class; None for what is none. Raises ValueError where the state cannot be
    written into it, or its row not be found. No mapper is configured by that, as classes may be still to come."""
    if not isinstance(attribute, InstrumentedAttribute) or not isinstance(attribute.parent, Mapper):
        return None
    mapper, name = attribute.parent, f"{attribute.class_.__name__}.{attribute.key}"
    column = mapper.columns.get(attribute.key)
    if not isinstance(column, Column) or not isinstance(column.table, Table):
        raise ValueError(f"status_field {name} is no column of a table; name the attribute that maps the column itself")
    key = list(column.table.primary_key.columns)
    if len(key) != 1:
        raise ValueError(
            f"status_field {name}: the primary key of table {column.table.name!r} has {len(key)} columns; an entity's "
            f"row is found by a key of one"
        )
    if column.type.bind_expression(BindParameter("state")) is not None:
        raise ValueError(f"status_field {name} is written by an expression of SQL; take a column of plain text")
    return _Attribute(mapper, name, column, key[0])


class _Attribute(OwnField):
    room_is = "String({})"
    in_session = True

    def __init__(self, mapper: Mapper[Any], name: str, column: Column[Any], key: Column[Any]) -> None:
        table = column.table
        self.name = name
        self.key_name = f"{mapper.class_.__name__}.{_attribute_of(mapper, key)}"
        self.table = (table.schema, table.name) if isinstance(table, Table) and table.schema else (str(table.name),)
        self.column, self.key = column.name, key.name
        kind = column.type
        if isinstance(kind, Enum):
            self.takes = frozenset(kind.enums)
        else:
            room = getattr(kind, "length", None)
            self.room = room if isinstance(room, int) else None
        self._mapper, self._attribute, self._column, self._key = mapper, name.rpartition(".")[2], column, key

    def key_of(self, entity_id: str, database: str) -> Any:
        key = _bound(self._key, self._known(entity_id), database)
        return str(key) if isinstance(key, uuid.UUID) else key  # not every driver takes one

    def value_of(self, state: str, database: str) -> Any:
        return _bound(self._column, state, database)

    def row_of(self, entity_id: str, *, db: Any, within: Any) -> Any:
        key = self._known(entity_id)
        session = within() if isinstance(within, scoped_session) else within
        if isinstance(session, Session):
            return session.get(self._mapper, key)
        with session_on(session) if isinstance(session, Connection) else session_over(db) as session:
            row = session.get(self._mapper, key)
            session.expunge_all()
            return row

    def written(self, entity_id: str, within: Any) -> None:
        joined = within() if isinstance(within, scoped_session) else within
        own = [joined] if isinstance(joined, Session) else []
        key = identity_key(self._mapper.class_, self._known(entity_id))
        for session in sessions_on(joined) if isinstance(joined, Connection) else own:
            loaded = session.identity_map.get(key)
            if loaded is not None:
                session.expire(loaded, [self._attribute])

    def _known(self, entity_id: str) -> Any:
        """The key as SQLAlchemy has it in Python."""
        try:
            kind = self._key.type.python_type
        except NotImplementedError:
            kind = str
        if kind is int:
            key = int(entity_id)
            if not -_TOO_LARGE <= key < _TOO_LARGE:
                raise ValueError("it is too large a number")
            return key
        if kind is uuid.UUID:
            return uuid.UUID(entity_id)
        if kind is not str:
            raise TypeError(f"it is a {kind.__name__}, and an entity's id is a text, a whole number or a UUID")
        return entity_id


def _attribute_of(mapper: Mapper[Any], column: Column[Any]) -> str:
    return next((name for name, mapped in mapper.columns.items() if mapped is column), column.name)


def _bound(column: Column[Any], value: Any, database: str) -> Any:
    """A value as the driver takes it."""
    dialect: Dialect = _DIALECTS[database]()
    convert = column.type.dialect_impl(dialect).bind_processor(dialect)
    return value if convert is None else convert(value)
