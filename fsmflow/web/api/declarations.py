"""The types that machines declare for payloads and data, as schemas of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fsmflow.definition.model import Definition
from fsmflow.web.api.schemas import reference


def declared_schemas(machines: Iterable[Definition]) -> dict[str, Any]:
    """The schemas of all of them, each under the name of its machine, with those of the classes in them."""
    found: dict[str, Any] = {}
    for one in machines:
        for trigger in (*one.wide.payloads, None):
            found |= _schemas(one, trigger)
    return found


def reference_to(definition: Definition, trigger: str | None) -> dict[str, Any] | None:
    """Where the schema of a payload is, or of the data where no trigger is named; None where nothing is declared."""
    declared = definition.wide.data if trigger is None else definition.wide.payloads.get(trigger)
    if declared is None or declared.shape.is_open:
        return None
    return dict(reference(_name(definition, trigger)))


def _schemas(definition: Definition, trigger: str | None) -> dict[str, Any]:
    declared = definition.wide.data if trigger is None else definition.wide.payloads[trigger]
    if declared is None or declared.shape.is_open:
        return {}
    own = _name(definition, trigger)
    told = declared.shape.schema()
    inner = told.pop("$defs", {})
    if told == {"type": "null"}:
        told = {"type": "object", "additionalProperties": False, "description": "It takes no payload."}
    return {own: _moved(told, own), **{f"{own}.{name}": _moved(each, own) for name, each in inner.items()}}


def _name(definition: Definition, trigger: str | None) -> str:
    return f"{definition.name}.Data" if trigger is None else f"{definition.name}.{trigger}"


def _moved(schema: Any, own: str) -> Any:
    """A schema whose references lead to where these stand in the document."""
    if isinstance(schema, list):
        return [_moved(each, own) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, own) for key, value in schema.items()}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = reference(f"{own}.{moved['$ref'].rpartition('/')[2]}")["$ref"]
    return moved
