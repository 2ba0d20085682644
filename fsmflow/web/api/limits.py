"""Limits over HTTP: how they are used, who has permits, who waits."""

from __future__ import annotations

from typing import Final

from fsmflow.engine.limits import holders_of, in_use
from fsmflow.engine.runtime import current
from fsmflow.objects.limits import object_of
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.operation import Operation, page


def find(call: Call) -> Answer:
    """All limits that were met of late."""
    found, holders = in_use(current(), call.actor), holders_of(current(), call.actor)
    return Answer(content=page([object_of(each, holders) for each in found]))


OPERATIONS: Final = (
    Operation(
        name="list_limits",
        method="GET",
        path="/limits",
        told="The limits that were met of late: who has permits, and how many wait.",
        tag="limits",
        act=find,
        gives="Limits",
    ),
)
