"""The user's own rows: the state is written into a field of theirs, in the transaction that changes it."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from fsmflow.decision.entity import Snapshot
from fsmflow.definition.own_field import OwnField
from fsmflow.errors import ConfigurationError, DatabaseRefused, DataError, text_of
from fsmflow.store.link import Link
from fsmflow.store.sentence import first_line
from fsmflow.store.verdicts import ERRORS, Verdict, verdict_of

_UUID_BYTES: Final = 16
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")


class OwnRows:
    """Reads and writes rows of the user's models by the entity's id, whichever library the models are of."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write_status(self, field: OwnField, snapshot: Snapshot, *, lenient: bool) -> None:
        """Write the state into the row of the entity, in the transaction that is open.

        Raises DataError where there is no such row, unless ``lenient``; DatabaseRefused where the database, or the
        field itself, will not take the state; ConfigurationError for a model of another database.
        """
        self._check(field)
        key = self._key(field, snapshot)
        try:
            written = self._update(field, key, field.value_of(snapshot.state, self._link.dialect.name))
            field.written(snapshot.entity_id, self._link.within)
        except Exception as error:  # what a field of the user's raises among it
            if isinstance(error, ERRORS) and verdict_of(error) is not Verdict.LASTING:
                raise
            raise row_refused(field, snapshot, error) from error
        if not written and not lenient:
            model, _, name = field.key_name.rpartition(".")
            raise DataError(
                f"{snapshot.address} has no row: {model} has none with {name} = {key!r}. Make the row first; it "
                f"may be in the same transaction"
            )

    def row_of(self, field: OwnField, snapshot: Snapshot, *, within: Any = None) -> Any:
        """The row of the entity, read in the session ``within`` where one is given. Raises DataError where there is
        none."""
        self._check(field)
        key = self._key(field, snapshot)
        with self._link.understandable():
            row = field.row_of(snapshot.entity_id, db=self._link.db, within=within or self._link.within)
        if row is None:
            raise DataError(f"{snapshot.address}: {field.key_name.rpartition('.')[0]} has no row {key!r}")
        return row

    def out_of_step(self, field: OwnField, snapshot: Snapshot) -> str | None:
        """What is wrong with the row of the entity, in words; None where it says what it should. One query."""
        column, table, is_key = self._names(field)
        try:
            self._check(field)
            key = self._key(field, snapshot)
            with self._link.understandable():
                # As it is stored: what a field of the user's makes of that may raise.
                found = self._link.rows(f"SELECT {column} FROM {table} WHERE {is_key}", (key,))
        except (ConfigurationError, DataError) as error:
            return str(error)
        there = found[0][0] if found else None
        if there is None:
            return f"there is no {field.name} with {field.key_name.rpartition('.')[2]} = {key!r}"
        if str(there) == self._stored(field, snapshot.state):
            return None
        return (
            f"{field.name} says {str(there)!r}, as {snapshot.state!r} was refused, which the history tells, or "
            f"overwritten"
        )

    def _check(self, field: OwnField) -> None:
        """Raises ConfigurationError where the field is of another database."""
        if not self._link.is_of(field.is_in):
            raise ConfigurationError(
                f"status_field {field.name} is of another database than fsmflow works on, so it cannot be changed in "
                f"the same transaction; give fsmflow that database: configure(database=...), or in a test "
                f"sandbox(database=...), which takes 'django://default' too"
            )

    def _update(self, field: OwnField, key: Any, value: Any) -> bool:
        """Whether there is such a row. A driver may count the rows that changed, not those that were found."""
        column, table, is_key = self._names(field)
        changed = self._link.execute(f"UPDATE {table} SET {column} = {self._link.mark} WHERE {is_key}", (value, key))
        return bool(changed.rowcount > 0 or self._link.rows(f"SELECT 1 FROM {table} WHERE {is_key}", (key,)))

    def _names(self, field: OwnField) -> tuple[str, str, str]:
        """In SQL: the column, the table, and the condition that a row is the entity's."""
        quoted = self._link.quoted
        return quoted(field.column), ".".join(map(quoted, field.table)), f"{quoted(field.key)} = {self._link.mark}"

    def _stored(self, field: OwnField, state: str) -> str | None:
        """What a field makes of a state; None where it takes none such."""
        try:
            return str(field.value_of(state, self._link.dialect.name))
        except Exception:  # noqa: BLE001 - it is the user's
            return None

    def _key(self, field: OwnField, snapshot: Snapshot) -> Any:
        """Raises DataError for an id that is no key, or another spelling of one: each row has one entity."""
        given, database = snapshot.entity_id, self._link.dialect.name
        try:
            key = field.key_of(given, database)
            spelt = _spelt(field, key, database)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{snapshot.address}: {field.key_name} cannot be {given!r} ({error}); the entity's id is the primary "
                f"key of its row"
            ) from error
        if spelt != given:
            raise DataError(
                f"{snapshot.address}: {field.key_name} is written {spelt!r}, not {given!r}; write it so, as each row "
                f"has one entity"
            )
        return key


def row_refused(field: OwnField, snapshot: Snapshot, error: BaseException) -> DatabaseRefused:
    """The error that says why a row cannot get the state of its entity."""
    sentence = first_line(error) if isinstance(error, ERRORS) else f"{type(error).__name__}: {text_of(error)}"
    return DatabaseRefused(snapshot.address, sentence, state=snapshot.state, field=field.name)


def _spelt(field: OwnField, key: Any, database: str) -> str:
    """How a key is written as the id of an entity, whichever other ways of writing it a library reads."""
    if isinstance(key, bytes) and len(key) == _UUID_BYTES:
        return str(UUID(bytes=key))
    if isinstance(key, str) and _HEX.fullmatch(key):
        dashed = str(UUID(hex=key))
        # A column of texts would take it for another key.
        return dashed if field.key_of(dashed, database) == key else key
    return str(key)
