"""What things are called in Redis: fsmflow's own as RQ's, by the prefix that RQ goes by."""

from __future__ import annotations

import os
from typing import Final

#: As RQ reads it, which few who only look need to import.
PREFIX: Final = os.environ.get("RQ_KEY_PREFIX", "rq")
_QUEUE: Final = f"{PREFIX}:queue:"
#: A write that changes nothing goes to it.
NOTHING: Final = f"{PREFIX}:fsmflow:nothing"


def own_key(installation: str, name: str) -> str:
    """The key of something of ours."""
    return f"{PREFIX}:fsmflow:{installation}:{name}"


def queue_key(queue: str) -> str:
    """The key of a queue, by its name in RQ."""
    return f"{_QUEUE}{queue}"


def queue_in(key: bytes) -> str:
    """The name in RQ of the queue with this key."""
    return key.decode("utf-8", "replace").removeprefix(_QUEUE)
