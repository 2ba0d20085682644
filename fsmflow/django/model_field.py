"""A field of a model of Django as the user's own field, into which the state is written."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.models import Field
from django.db.models.query_utils import DeferredAttribute

from fsmflow.definition.own_field import OwnField
from fsmflow.django.carrier import keep
from fsmflow.django.settings import alias
from fsmflow.store.alias import alias_of
from fsmflow.store.host import is_of

#: No column of whole numbers holds more.
_TOO_LARGE: Final = 2**63


def own_field_of(found: Any) -> OwnField | None:
    """The port of ``Order.status``, or of the field itself; None for what is none. Raises ValueError where its row
    cannot be found."""
    field = found.field if isinstance(found, DeferredAttribute) else found
    return _DjangoField(field) if isinstance(field, Field) and hasattr(field, "model") else None


def field_in(port: OwnField | None, model: Any) -> Any:
    """The field of this model that carries the state; None where none of it does."""
    field = port.field if isinstance(port, _DjangoField) else None
    return field if field in model._meta.concrete_fields else None


class _DjangoField(OwnField):
    def __init__(self, field: Any) -> None:
        model = field.model
        key = model._meta.pk
        self.name = f"{model.__name__}.{field.name}"
        if key is None or not key.column:
            raise ValueError(
                f"status_field {self.name}: {model.__name__} has no single primary key, by which an entity's row is "
                f"found"
            )
        self.key_name = f"{model.__name__}.{key.name}"
        self.table = (model._meta.db_table,)
        self.column, self.key = field.column, key.column
        self.room = field.max_length
        self.field, self._key, self._model = field, key, model
        keep(field, key)

    def key_of(self, entity_id: str, database: str) -> Any:
        try:
            key = self._key.get_db_prep_value(self._key.to_python(entity_id), connections[alias()])
        except ValidationError as error:
            raise ValueError(" ".join(error.messages)) from error
        if isinstance(key, int) and not -_TOO_LARGE <= key < _TOO_LARGE:
            raise ValueError("it is too large a number")
        return key

    def value_of(self, state: str, database: str) -> Any:
        return self.field.get_db_prep_save(state, connections[alias()])

    def row_of(self, entity_id: str, *, db: Any, within: Any) -> Any:
        self.key_of(entity_id, "")
        using = within if isinstance(within, str) and within in connections else alias()
        return self._model._base_manager.using(using).filter(pk=entity_id).first()  # noqa: SLF001 - no model hides rows

    def is_in(self, db: Any) -> bool:
        """Whether this is the alias that its rows are in, or a database by that name."""
        using = router.db_for_write(self._model)
        if isinstance(db, str) or alias_of(db) is not None:
            return bool(using == (db if isinstance(db, str) else alias()))
        connection = connections[using]
        return is_of(db, connection.vendor, connection.settings_dict["NAME"], connection.settings_dict["PORT"])

    def written(self, entity_id: str, within: Any) -> None:
        """Django keeps no rows that it has loaded: ``refresh_from_db()`` reads one anew."""
