"""What others do in a sandbox between two steps of somebody's."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from fsmflow.running import executor as executor_of


def elsewhere(action: Any) -> Any:
    """As another process does it, with what follows from it at once."""
    return contextvars.Context().run(action)


@contextlib.contextmanager
def after_nth(owner: Any, name: str, nth: int, action: Any) -> Iterator[None]:
    original = getattr(owner, name)
    calls: list[None] = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls.append(None)
        if len(calls) == nth:
            elsewhere(action)
        return result

    with patch.object(owner, name, interrupted):
        yield
    assert len(calls) >= nth, f"{name} was called {len(calls)} times"


def execute_next(box: Any) -> Any:
    ticket = box._doorbell.take()
    elsewhere(lambda: box._runtime.ring_for(executor_of.Executor(box._runtime).execute(ticket)))
    return ticket
