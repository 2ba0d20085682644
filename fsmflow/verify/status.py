"""Whether the rows of users' own models say the states of their entities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fsmflow.definition.model import Definition
from fsmflow.definition.own_field import OwnField
from fsmflow.errors import FsmflowError, text_of
from fsmflow.store.reader import Reader
from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Entity

INVARIANT: Final = "status-carried"
_OVER: Final = "finished"


class Statuses:
    """The fields that carry states, by machine."""

    def __init__(self, reader: Reader, definitions: Mapping[str, Definition], findings: Findings) -> None:
        self._reader = reader
        self._findings = findings
        self._fields: dict[str, OwnField] = {}
        for name, definition in definitions.items():
            if definition.wide.status_field is not None:
                self._fields[name] = definition.wide.status_field
        #: Why a field cannot be read, by machine.
        self._unread: dict[str, str] = {}

    def look(self, machine: str | None) -> None:
        """Find out which fields can be read, each in a moment of its own: a table that is not there would end it."""
        for name, field in self._fields.items():
            if machine not in (None, name):
                continue
            if not self._reader.is_of(field.is_in):
                self._unread[name] = f"{field.name} is of another database, so it is not changed in one transaction"
                continue
            try:
                with self._reader.moment():
                    self._reader.rows(f"{self._select(field)} WHERE 1 = 0")
            except FsmflowError as error:
                self._unread[name] = f"{field.name} cannot be read: {text_of(error)}"

    def check(self, entities: Iterable[Entity]) -> None:
        """Compare those of a page, at its moment. A row may be gone once its entity has finished."""
        by_machine: dict[str, list[Entity]] = {}
        for entity in entities:
            if entity.branch_of is None and entity.machine in self._fields:
                by_machine.setdefault(entity.machine, []).append(entity)
        for machine, found in by_machine.items():
            if machine not in self._unread:
                self._compare(self._fields[machine], found)
            elif self._unread[machine]:
                # It is told once.
                self._findings.add(INVARIANT, found[0].address, self._unread[machine])
                self._unread[machine] = ""

    def _compare(self, field: OwnField, entities: Sequence[Entity]) -> None:
        keys: dict[int, Any] = {}
        for entity in entities:
            try:
                keys[entity.id] = field.key_of(entity.entity_id, self._reader.database)
            except (ValueError, TypeError) as error:
                self._findings.add(INVARIANT, entity.address, f"its id is no {field.key_name}: {error}")
        there = self._read(field, list(keys.values()))
        # Not every driver gives a key back as it was given it.
        strange = there.keys() - set(map(str, keys.values()))
        for entity in entities:
            if entity.id not in keys:
                continue
            key = keys[entity.id]
            status = there.get(str(key))
            if status is None and (strange or entity.phase != _OVER):
                status = next(iter(self._read(field, [key]).values()), None)
            self._judge(field, entity, key, status)
        self._findings.checked["status_fields"] += len(keys)

    def _judge(self, field: OwnField, entity: Entity, key: Any, status: str | None) -> None:
        if status is None and entity.phase != _OVER:
            self._findings.add(INVARIANT, entity.address, f"there is no {field.key_name} = {key!r} with a state")
        elif status is not None and status != self._written(field, entity.state):
            said = f"{field.name} says {status!r}, and the entity is in {entity.state!r}"
            self._findings.add(INVARIANT, entity.address, said)

    def _read(self, field: OwnField, keys: Sequence[Any]) -> dict[str, str]:
        if not keys:
            return {}
        among = f"{self._reader.quoted(field.key)} IN ({', '.join('?' * len(keys))})"
        found = self._reader.rows(f"{self._select(field)} WHERE {among}", keys)
        return {str(key): str(status) for key, status in found if status is not None}

    def _select(self, field: OwnField) -> str:
        quoted = self._reader.quoted
        return f"SELECT {quoted(field.key)}, {quoted(field.column)} FROM {'.'.join(map(quoted, field.table))}"

    def _written(self, field: OwnField, state: str) -> str | None:
        """A state as the field has it; None where it takes none such."""
        try:
            return str(field.value_of(state, self._reader.database))
        except Exception:  # noqa: BLE001 - it is the user's
            return None
