"""Requests that come again with their key: nothing is done again, and they get the answer of the first one."""

from __future__ import annotations

import hashlib
import json

from fsmflow import clock
from fsmflow.engine.runtime import current
from fsmflow.errors import KeyConflict
from fsmflow.objects.plain import plain
from fsmflow.values import replace
from fsmflow.web.api.call import REPEATED, Answer, Call
from fsmflow.web.api.field import canonical
from fsmflow.web.api.operation import Operation


def act(operation: Operation, call: Call) -> Answer:
    """Do what is asked for. Where its answer is kept by the key, it is done once: in the transaction that notes the
    key. A key is known by who brings it and by what it came for, for a day at least. Raises KeyConflict for one that
    came with another body."""
    if not operation.once or call.key is None or call.form is None:
        return operation.act(call)
    runtime, answers = current(), list[Answer]()

    def first() -> str | None:
        answers.append(operation.act(call))
        return json.dumps(answers[-1].content, default=plain) if operation.again is None else None

    given = runtime.store.answers.once(_name(operation, call, call.key), call.form, runtime.now(), first)
    if given is None:
        return answers[-1]
    if given.form != call.form:
        other = f"{operation.name} with another body"
        raise KeyConflict(operation.path, call.key, operation.name, other, clock.to_datetime(given.at))
    if operation.again is not None:
        return replace(operation.again(call), headers=REPEATED)
    return Answer(content=json.loads(given.content or "null"), status=operation.status, headers=REPEATED)


def _name(operation: Operation, call: Call, key: str) -> str:
    parts = {"name": operation.name, "path": dict(call.path), "actor": call.actor.name, "key": key}
    return hashlib.sha256(canonical(parts).encode()).hexdigest()
