"""The threads in which pages are made: a few, and each lets go of its connection to the database afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from fsmflow.engine.runtime import opened

Given = ParamSpec("Given")
Result = TypeVar("Result")

#: So many pages are made at once.
SIZE: Final = 8
_DONE: Final = object()


class Pool:
    """The threads of one application. However many ask, the database has so many connections of it at most."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, act: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
        """What ``act`` returns, run in one of the threads; it waits until one is free. Raises what that raises."""
        call = functools.partial(_closing, contextvars.copy_context(), functools.partial(act, *args, **options))
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="fsmflow-web")
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def stream(self, parts: Iterator[str]) -> AsyncIterator[str]:
        """Parts one by one, each made when the one before was sent. No connection is held in between."""
        while (part := await self.run(next, parts, _DONE)) is not _DONE:
            yield str(part)

    def close(self) -> None:
        """Start nothing more of what waits; what runs ends by itself. Whoever asks after that gets new threads, as an
        application can be served again."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = None


_pool: Final[contextvars.ContextVar[Pool]] = contextvars.ContextVar("fsmflow-web-pool")


def enter(pool: Pool) -> None:
    """From here on, this request is answered by the threads of this pool."""
    _pool.set(pool)


def pool_of_request() -> Pool:
    """The pool of the request that is being answered."""
    return _pool.get()


def threaded(act: Callable[Given, Result]) -> Callable[Given, Awaitable[Result]]:
    """A plain function as an endpoint: it is called in a thread of the pool, for a page and for an API alike."""

    @functools.wraps(act)
    async def endpoint(*args: Given.args, **options: Given.kwargs) -> Result:
        return await pool_of_request().run(act, *args, **options)

    return endpoint


def _closing(context: contextvars.Context, act: Callable[[], Result]) -> Result:
    try:
        return context.run(act)
    finally:
        runtime = opened()
        if runtime is not None:
            runtime.store.link.forget_connection()
