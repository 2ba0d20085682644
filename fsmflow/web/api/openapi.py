"""The OpenAPI document: made from the operations, and from the machines of the installation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fsmflow import __version__
from fsmflow.definition.model import Definition
from fsmflow.definition.names import ENGINE_TRIGGERS
from fsmflow.engine.runtime import current
from fsmflow.web.api.call import KEY, MATCH
from fsmflow.web.api.declarations import declared_schemas, reference_to
from fsmflow.web.api.field import TEXTS, Field
from fsmflow.web.api.operation import Operation
from fsmflow.web.api.schemas import SCHEMAS, reference

_KEY: Final = {
    "name": KEY,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "A name for this very request: repeated with the same key, it changes nothing again.",
}
_MATCH: Final = {
    "name": MATCH,
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of the entity as it was seen: refused with 412 where it has moved since.",
}
_ETAG: Final = {
    "ETag": {"description": "The epoch of the entity, for `If-Match`.", "schema": {"type": "string"}},
}
_MEANINGS: Final = {
    401: "It is not known who asks.",
    403: "The one who asks may not.",
    404: "It is not there, for the one who asks.",
    409: "It does not apply now; `allowed` says what does.",
    412: "It has moved since it was seen; `meanwhile` says how.",
    413: "Too much came with the request.",
    422: "What came is not as it has to be, or the key was used for another request.",
    503: "The database, or Redis, does not answer.",
}


def document(operations: Sequence[Operation], url: str) -> dict[str, Any]:
    """The whole document; ``url``: where the API is."""
    machines = list(current().machines.of_user().values())
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        for path, told in _told(operation, machines):
            paths.setdefault(path, {})[operation.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fsmflow",
            "version": __version__,
            "description": "What the machines of this installation can be asked, and what operators can do.",
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": {
                **SCHEMAS,
                **{_state_name(one): _states(one) for one in machines},
                **declared_schemas(machines),
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}, {}],
    }


def _told(operation: Operation, machines: Sequence[Definition]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The paths of an operation, each with what stands there."""
    if not operation.is_of_machines:
        yield operation.path, _operation(operation, operation.name, operation.path, machines)
        return
    for one in machines:
        path = operation.path.replace("{machine}", one.name)
        if "{trigger}" not in path:
            yield path, _operation(operation, f"{one.name}.{operation.name}", path, [one])
            continue
        for trigger in triggers_of(one):
            of = path.replace("{trigger}", trigger)
            yield of, _operation(operation, f"{one.name}.{operation.name}.{trigger}", of, [one], trigger)


def triggers_of(definition: Definition) -> list[str]:
    """What can be fired from outside: not what only fsmflow fires."""
    internal = {*ENGINE_TRIGGERS, *definition.wide.internal}
    return sorted({spec.trigger for spec in definition.transitions} - internal)


def _operation(
    operation: Operation, name: str, path: str, machines: Sequence[Definition], trigger: str | None = None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": name,
        "summary": operation.told.partition("\n")[0],
        "tags": [operation.tag],
        "parameters": list(_parameters(operation, path, machines)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        schema = _body(operation.body, machines if operation.is_of_machines else (), trigger)
        is_required = any(field.is_required for field in operation.body)
        told["requestBody"] = {"required": is_required, "content": {"application/json": {"schema": schema}}}
    return told


def _parameters(operation: Operation, path: str, machines: Sequence[Definition]) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        schema: dict[str, Any] = {"type": "string"}
        if name == "machine" and operation.path.startswith("/entities"):
            schema["enum"] = [one.name for one in machines]
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for field in operation.query:
        yield {"name": field.name, "in": "query", "schema": field.schema, "description": field.told} | (
            {"explode": True} if field.kind is TEXTS else {}
        )
    if operation.takes_key:
        yield _KEY
    if operation.takes_epoch:
        yield _MATCH


def _body(fields: Iterable[Field], machines: Sequence[Definition], trigger: str | None) -> dict[str, Any]:
    """The schema of a body. Payloads and data are open where a machine does not declare what they hold."""
    found = list(fields)
    properties = {field.name: {**field.schema, "description": field.told} for field in found}
    if machines and "state" in properties:
        properties["state"] = {**reference(_state_name(machines[0])), "description": properties["state"]["description"]}
    for name, held in (("payload", trigger), ("data", None)):
        if machines and name in properties and (declared := reference_to(machines[0], held)) is not None:
            properties[name] = {**declared, "description": properties[name]["description"]}
    required = [field.name for field in found if field.is_required]
    shape: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": required} if required else shape


def _responses(operation: Operation) -> dict[str, Any]:
    content = {"application/json": {"schema": reference(operation.gives)}}
    good: dict[str, Any] = {"description": operation.told.partition("\n")[0], "content": content}
    if operation.takes_epoch or operation.gives == "Entity":
        good["headers"] = _ETAG
    problem = {"application/problem+json": {"schema": reference("Problem")}}
    refusals = {str(code): {"description": _MEANINGS[code], "content": problem} for code in operation.statuses}
    return {str(operation.status): good, **refusals}


def _state_name(definition: Definition) -> str:
    return f"{definition.name}.State"


def _states(definition: Definition) -> dict[str, Any]:
    return {"type": "string", "enum": list(definition.states), "description": f"A state of machine {definition.name}."}
