"""The user's own rows: the state is written into a field of theirs, in the transaction that changes it."""

from __future__ import annotations

from typing import Any, Final

import peewee

from fsmflow.decision.entity import Snapshot
from fsmflow.errors import ConfigurationError, DatabaseRefused, DataError, text_of
from fsmflow.store.link import Link, first_line
from fsmflow.store.verdicts import ERRORS, Verdict, verdict_of

#: No column of whole numbers holds more.
_TOO_LARGE: Final = 2**63


class OwnRows:
    """Reads and writes rows of the user's models by the entity's id."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write_status(self, field: Any, snapshot: Snapshot, *, lenient: bool) -> None:
        """Write the state into the row of the entity, in the transaction that is open.

        Raises DataError where there is no such row, unless ``lenient``; DatabaseRefused where the database, or the
        field itself, will not take the state; ConfigurationError for a model of another database.
        """
        model = self._checked(field)
        key = _key(model, snapshot)
        try:
            written = _update(model, field, key, snapshot.state)
        except Exception as error:  # what a field of the user's raises among it
            if isinstance(error, ERRORS) and verdict_of(error) is not Verdict.LASTING:
                raise
            raise row_refused(field, snapshot, error) from error
        if not written and not lenient:
            raise DataError(
                f"{snapshot.address} has no row: {model.__name__} has none with {model._meta.primary_key.name} = "
                f"{key!r}. Make the row first; it may be in the same transaction"
            )

    def row_of(self, field: Any, snapshot: Snapshot) -> Any:
        """The row of the entity. Raises DataError where there is none."""
        model = self._checked(field)
        key = _key(model, snapshot)
        with self._link.understandable():
            row = model.get_or_none(model._meta.primary_key == key)
        if row is None:
            raise DataError(f"{snapshot.address}: {model.__name__} has no row {key!r}")
        return row

    def out_of_step(self, field: Any, snapshot: Snapshot) -> str | None:
        """What is wrong with the row of the entity, in words; None where it says what it should. One query."""
        try:
            model = self._checked(field)
            key = _key(model, snapshot)
            with self._link.understandable():
                # As it is stored: what a field of the user's makes of that may raise.
                there = model.select(peewee.fn.MAX(field).coerce(False)).where(model._meta.primary_key == key).scalar()
        except (ConfigurationError, DataError) as error:
            return str(error)
        name = f"{model.__name__}.{field.name}"
        if there is None:
            return f"there is no {name} with {model._meta.primary_key.name} = {key!r}"
        if str(there) == _stored(field, snapshot.state):
            return None
        return f"{name} says {str(there)!r}, as {snapshot.state!r} was refused, which the history tells, or overwritten"

    def check(self, field: Any) -> None:
        """Raises ConfigurationError where the field cannot be written."""
        self._checked(field)

    def _checked(self, field: Any) -> Any:
        model = field.model
        theirs = model._meta.database
        if theirs is self._link.db or getattr(theirs, "obj", None) is self._link.db:
            return model
        raise ConfigurationError(
            f"status_field {model.__name__}.{field.name} is of another database than fsmflow works on, so it cannot be "
            f"changed in the same transaction; give fsmflow that database: configure(database=...)"
        )


def row_refused(field: Any, snapshot: Snapshot, error: BaseException) -> DatabaseRefused:
    """The error that says why a row cannot get the state of its entity."""
    sentence = first_line(error) if isinstance(error, ERRORS) else f"{type(error).__name__}: {text_of(error)}"
    name = f"{field.model.__name__}.{field.name}"
    return DatabaseRefused(snapshot.address, sentence, state=snapshot.state, field=name)


def _stored(field: Any, state: str) -> str | None:
    """What a field makes of a state; None where it takes none such."""
    try:
        return str(field.db_value(state))
    except Exception:  # noqa: BLE001 - it is the user's
        return None


def _update(model: Any, field: Any, key: Any, state: str) -> bool:
    """Whether there is such a row. A driver may count the rows that changed, not those that were found."""
    mine = model._meta.primary_key == key
    return bool(model.update({field: state}).where(mine).execute()) or bool(model.select().where(mine).exists())


def _key(model: Any, snapshot: Snapshot) -> Any:
    field = model._meta.primary_key
    if isinstance(field, (peewee.CompositeKey, bool)) or field is None:
        raise ConfigurationError(f"{model.__name__} has no single primary key, by which an entity's row is found")
    try:
        # An IntegerField leaves what is no number to the database, each of which then says something else.
        key = int(snapshot.entity_id) if isinstance(field, peewee.IntegerField) else field.db_value(snapshot.entity_id)
        if isinstance(key, int) and not -_TOO_LARGE <= key < _TOO_LARGE:
            raise ValueError("it is too large a number")
        return key
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{snapshot.address}: {model.__name__}.{field.name} cannot be {snapshot.entity_id!r} ({error}); the "
            f"entity's id is the primary key of its row"
        ) from error
