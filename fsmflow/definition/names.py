"""The sole owner of the names that fsmflow makes itself."""

from __future__ import annotations

import re

from fsmflow.errors import shown

DONE = "done"
FAIL = "fail"
RETRY = "retry"
CANCEL = "cancel"
TIMEOUT = "timeout"
UNDO = "undo"
BRANCH_DONE = "branch_done"
BRANCH_FAILED = "branch_failed"

#: What operators do beside a machine's own ways.
SKIP = "skip"
REWIND = "rewind"
FORCE = "force"

CANCELLED = "cancelled"
UNDONE = "undone"

FAILED_PREFIX = "failed_from_"
UNDOING_PREFIX = "undoing_"

WAITING = "waiting"
WORKING = "working"
FAILED = "failed"
FINISHED = "finished"
PHASES = (WAITING, WORKING, FAILED, FINISHED)

#: Fired by the engine alone; ``timeout`` joins them where a deadline is running.
ENGINE_TRIGGERS = frozenset({DONE, FAIL, BRANCH_DONE, BRANCH_FAILED, UNDONE})
#: Triggers that may bear the name of a method, as that method fires them.
METHOD_TRIGGERS = frozenset({RETRY, CANCEL, UNDO})

#: The queue of machines that come with fsmflow. Every worker listens to it, and to it first: what runs there is short.
OPERATIONS = "operations"
#: That of messages to people and other systems. Every worker listens to it, and to it last: a receiver may be slow.
DELIVERIES = "deliveries"

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
#: The name of a branch ends an address, and is never taken for the number of one.
BRANCH_PATTERN = re.compile(r"[^\W\d][\w-]*")
MAX_NAME = 64


def failed_from(state: str) -> str:
    """The state in which an entity rests when the step of ``state`` failed for good."""
    return FAILED_PREFIX + state


def undoing(state: str) -> str:
    """The state in which what the step of ``state`` did is undone."""
    return UNDOING_PREFIX + state


def snake_case(name: str) -> str:
    """``OrderRefund`` -> ``order_refund``, ``HTTPCheck`` -> ``http_check``."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return name.lower().strip("_")


def name_fault(name: object) -> str | None:
    """What is wrong with a machine's, a state's or a trigger's name, or None."""
    wanted = "is not a name: lower-case letters, digits and underscores, beginning with a letter"
    return _fault(name, NAME_PATTERN, wanted)


def branch_name_fault(name: object) -> str | None:
    """What is wrong with the name of a branch, or None."""
    wanted = "is no name of a branch: letters, digits, '_' and '-', beginning with a letter"
    return _fault(name, BRANCH_PATTERN, wanted)


def _fault(name: object, pattern: re.Pattern[str], wanted: str) -> str | None:
    if not isinstance(name, str):
        return f"{shown(name)} is not a name"
    if not pattern.fullmatch(name):
        return f"{shown(name)} {wanted}"
    if len(name) > MAX_NAME:
        return f"{shown(name)} has {len(name)} characters; {MAX_NAME} are allowed"
    return None
