"""A field of a peewee model as the user's own field, into which the state is written."""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakSet

import peewee
from peewee import Database, Model

from fsmflow.definition.own_field import OwnField
from fsmflow.store.dialects import dialect_of
from fsmflow.store.host import Stranger, find_by, is_of

#: No column of whole numbers holds more.
_TOO_LARGE: Final = 2**63
#: Each of these is another one.
_IN_MEMORY: Final = ":memory:"
#: The models that carry states; which Database each works on may be said later.
_models: Final[WeakSet[type[Model]]] = WeakSet()
_OTHER: Final = Stranger(
    "this is inside the atomic() of a peewee Database other than fsmflow's, of the same database",
    "give fsmflow that one, by configure(database=db) or sandbox(database=db); or write within=db in start() or "
    "trigger()",
)


def own_field_of(field: Any) -> OwnField | None:
    """The port of a field of a model; None for what is none. Raises ValueError where its row cannot be found."""
    return _PeeweeField(field) if isinstance(field, peewee.Field) and hasattr(field, "model") else None


class _PeeweeField(OwnField):
    def __init__(self, field: Any) -> None:
        meta = field.model._meta
        self.name = f"{field.model.__name__}.{field.name}"
        key = meta.primary_key
        if isinstance(key, (peewee.CompositeKey, bool)) or key is None:
            raise ValueError(
                f"status_field {self.name}: {field.model.__name__} has no single primary key, by which an entity's row "
                f"is found"
            )
        self.key_name = f"{field.model.__name__}.{key.name}"
        self.table = (meta.schema, meta.table_name) if meta.schema else (meta.table_name,)
        self.column, self.key = field.column_name, key.column_name
        room = getattr(field, "max_length", None)
        self.room = room if isinstance(room, int) else None
        self._field, self._key, self._model = field, key, field.model
        _models.add(field.model)

    def key_of(self, entity_id: str, database: str) -> Any:
        # An IntegerField leaves what is no number to the database, each of which then says something else.
        key = int(entity_id) if isinstance(self._key, peewee.IntegerField) else self._key.db_value(entity_id)
        if isinstance(key, int) and not -_TOO_LARGE <= key < _TOO_LARGE:
            raise ValueError("it is too large a number")
        return key

    def value_of(self, state: str, database: str) -> Any:
        return self._field.db_value(state)

    def row_of(self, entity_id: str, *, db: Any, within: Any) -> Any:
        return self._model.select().where(self._key == self.key_of(entity_id, "")).get_or_none(db)

    def is_in(self, db: Any) -> bool:
        theirs = self._model._meta.database
        return theirs is db or getattr(theirs, "obj", None) is db

    def written(self, entity_id: str, within: Any) -> None:
        """A Database keeps no rows that it has loaded."""


def _unjoined(db: Database) -> Stranger | None:
    """A transaction of this thread on another Database of the same database, by which a model works that carries
    states: those of all others nobody knows."""
    for model in tuple(_models):
        given: Any = model._meta.database
        theirs = getattr(given, "obj", given)
        if theirs is None or theirs is db or not theirs.in_transaction():
            continue
        scheme, place = dialect_of(theirs).schemes[0], theirs.connect_params.get("port")
        if str(theirs.database) != _IN_MEMORY and is_of(db, scheme, theirs.database, place):
            return _OTHER
    return None


find_by(_unjoined)
