"""The threads in which pages are made: a few, and each lets go of its connection to the database afterwards."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from fsmflow.engine.threads import Pool
from fsmflow.store.link import looking

Given = ParamSpec("Given")
Result = TypeVar("Result")

#: So many pages are made at once.
SIZE: Final = 8

_pool: Final[contextvars.ContextVar[Pool]] = contextvars.ContextVar("fsmflow-web-pool")


def pool_of_pages(size: int = SIZE) -> Pool:
    """The threads of one application. However many ask, the database has so many connections of it at most."""
    return Pool(size, name="fsmflow-web")


def enter(pool: Pool, method: str | None) -> None:
    """From here on, this request is answered by the threads of this pool. Whoever only looks waits for no read that
    takes too long."""
    _pool.set(pool)
    looking.set(method in ("GET", "HEAD"))


def pool_of_request() -> Pool:
    """The pool of the request that is being answered."""
    return _pool.get()


def threaded(act: Callable[Given, Result]) -> Callable[Given, Awaitable[Result]]:
    """A plain function as an endpoint: it is called in a thread of the pool, for a page and for an API alike."""

    @functools.wraps(act)
    async def endpoint(*args: Given.args, **options: Given.kwargs) -> Result:
        return await pool_of_request().run(act, *args, **options)

    return endpoint
