"""How a method that waits for the database is awaited: in a thread of the pool, or in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fsmflow.engine.runtime import belongs_here, current, opened

if TYPE_CHECKING:
    from fsmflow.engine.threads import Pool

Given = ParamSpec("Given")
Result = TypeVar("Result")


def _pool() -> Pool | None:
    """The threads; None where what is called is done right here. Whoever awaits nothing imports no asyncio."""
    threads = import_module("fsmflow.engine.threads")
    if threads.in_pool() or belongs_here():
        return None
    pool: Pool = threads.shared()
    return pool


async def call(act: Callable[Given, Result], /, *args: Given.args, **options: Given.kwargs) -> Result:
    """What ``act`` returns; the event loop goes on meanwhile. Raises what that raises.

    Inside a transaction of this thread, as in a transactional job, it is done in it, and the loop waits. Whoever is
    cancelled before it has begun has asked for nothing; what has begun goes on to its end, which nobody is told.
    """
    pool = _pool()
    if pool is None:
        return act(*args, **options)
    runtime = opened()
    if runtime is None:
        runtime = await pool.run(current)
    with runtime.store.link.leaving():
        return await pool.run(act, *args, **options)


async def call_within(
    within: Any, act: Callable[Given, Result], /, *args: Given.args, **options: Given.kwargs
) -> Result:
    """The same in a transaction that the caller names. In one that is awaited, that of an AsyncSession, it is done as
    its ``run_sync`` does it; in any other it is done right here, as that is used by one thread."""
    run_sync: Callable[..., Any] | None = getattr(within, "run_sync", None)
    if run_sync is not None:
        await call(current)  # opened beforehand, as that is no part of the transaction
        result: Result = await run_sync(lambda inside: act(*args, **{**options, "within": inside}))
        return result
    if within is not None:
        return act(*args, **options)
    return await call(act, *args, **options)


async def stream(begin: Callable[[], Iterator[Result]]) -> AsyncIterator[Result]:
    """One by one what is read in pages; nothing is held in between. Raises what ``begin`` raises as the first is asked
    for."""
    pool = _pool()
    if pool is None:
        for found in begin():
            yield found
        return
    async for found in pool.stream(await pool.run(begin)):
        yield found
