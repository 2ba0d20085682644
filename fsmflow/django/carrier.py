"""A field that carries the state of an entity, as ``save()`` leaves it: what a row was read with may be long out of
date."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django.db.models.expressions import Expression
from django.db.models.signals import pre_save

from fsmflow import settings as settings_of
from fsmflow.engine.registry import Registry
from fsmflow.errors import FsmflowError
from fsmflow.settings import Settings
from fsmflow.store.namespace import placed
from fsmflow.store.tables import ENTITY

#: The fields with the machines whose state they carry, of the settings that were read last.
_known: Final[list[tuple[Settings, dict[Any, tuple[str, ...]]]]] = []


def keep(field: Any, key: Any) -> None:
    """From now on the UPDATE of a ``save()`` leaves this field as it is in each row that has an entity. Rows without
    one are written as ever, and so are new rows, fixtures, and what ``QuerySet.update()`` and ``bulk_update()`` say.

    It is decided in that very statement, so nothing comes in between.
    """
    if isinstance(vars(field).get("pre_save"), _Before):
        return
    field.pre_save = _Before(field, key)


class _Before:
    """In the place of the field's own ``pre_save``, which gives what is written."""

    def __init__(self, field: Any, key: Any) -> None:
        self._field, self._key, self._own = field, key, field.pre_save

    def __call__(self, row: Any, add: bool) -> Any:
        value = self._own(row, add)
        machines = () if add else _machines_of(self._field)
        key = getattr(row, self._key.attname)
        if not machines or hasattr(value, "resolve_expression"):
            return value
        return _Kept(self._field, value, machines, str(self._key.to_python(key)))


class _Kept(Expression):  # type: ignore[misc]
    """The value, where the row has no entity; else what stands in the row."""

    def __init__(self, field: Any, value: Any, machines: tuple[str, ...], entity_id: str) -> None:
        super().__init__(output_field=field)
        self._field, self._value, self._machines, self._entity_id = field, value, machines, entity_id

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        value = self._field.get_db_prep_save(self._value, connection)
        if settings_of.current().database_url != f"django://{connection.alias}":
            return "%s", [value]
        quoted = connection.ops.quote_name
        own = f"{quoted(self._field.model._meta.db_table)}.{quoted(self._field.column)}"
        of_any = ", ".join(["%s"] * len(self._machines))
        schema = settings_of.current().schema
        entity = quoted(ENTITY) if schema is None else placed(ENTITY, schema)
        is_there = f"SELECT 1 FROM {entity} WHERE machine IN ({of_any}) AND entity_id = %s"
        sql = f"CASE WHEN EXISTS ({is_there}) THEN {own} ELSE %s END"
        return sql, [*self._machines, self._entity_id, value]


def _machines_of(field: Any) -> tuple[str, ...]:
    """The machines that have this field. Raises what the search for machines raises."""
    chosen = settings_of.current()
    if not _known or _known[0][0] is not chosen:
        found: dict[Any, tuple[str, ...]] = {}
        for definition in Registry(chosen.machines).of_user().values():
            own = getattr(definition.wide.status_field, "field", None)
            if own is not None:
                found[own] = (*found.get(own, ()), definition.name)
        _known[:] = [(chosen, found)]
    return _known[0][1].get(field, ())


def _find_machines(*, sender: Any, raw: bool = False, **_: Any) -> None:
    """Before the first ``save()`` of a process: whichever module it comes from, its machines are known then."""
    if raw or sender.__module__ == "__fake__":  # a model of a migration
        return
    pre_save.disconnect(_find_machines)
    with suppress(FsmflowError):  # whoever uses the machines is told
        Registry(settings_of.current().machines).all()


def keep_from_first_save() -> None:
    """For a project with the app."""
    pre_save.connect(_find_machines)
