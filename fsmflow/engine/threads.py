"""Threads in which what waits for the database is done for an event loop: a few, each with a connection of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar

from fsmflow import settings
from fsmflow.engine.runtime import opened
from fsmflow.store.link import Link

Given = ParamSpec("Given")
Result = TypeVar("Result")

#: After how many seconds without anything to do a thread of a program's own calls ends, and its connection with it.
KEPT_S: Final = 10.0
#: So many of what is read in pages come from a thread at once.
_AT_ONCE: Final = 100
_DONE: Final = object()


class Pool:
    """At most ``size`` threads, and so at most so many connections to the database, however many ask.

    A thread that has had nothing to do for ``kept_s`` seconds closes its connection and ends. A process that was forked
    has threads of its own.
    """

    def __init__(self, size: int, *, name: str, kept_s: float = 0) -> None:
        self.size = size
        self._name = name
        self._kept_s = kept_s
        self._crew: _Crew | None = None

    async def run(self, act: Callable[Given, Result], /, *args: Given.args, **options: Given.kwargs) -> Result:
        """What ``act`` returns, run in one of the threads with the context of whoever asks. Raises what that raises.

        It waits until a thread is free. Whoever is cancelled by then has asked for nothing; what has begun goes on to
        its end, and nobody is told what came of it.
        """
        return await asyncio.wrap_future(self._put(functools.partial(act, *args, **options)))

    async def stream(self, parts: Iterator[Result], at_once: int = _AT_ONCE) -> AsyncIterator[Result]:
        """Parts one by one, some of which come from a thread together. No thread is held in between."""
        while found := await self.run(lambda: list(islice(parts, at_once))):
            for part in found:
                yield part

    def close(self, *, forget: bool = True) -> None:
        """Begin nothing more of what waits, unless that is not to be forgotten; what runs ends by itself. Whoever asks
        after that gets new threads, as an application can be served again."""
        crew = self._take_leave()
        if crew is not None:
            crew.dismiss(forget=forget)

    async def aclose(self) -> None:
        """Let go of all threads and connections, once everything that was asked for is done."""
        crew = self._take_leave()
        if crew is not None:
            await asyncio.shield(asyncio.wrap_future(crew.dismiss()))

    def _take_leave(self) -> _Crew | None:
        """The threads of this process, if there are any. Those of a parent did not come along with a fork."""
        crew, self._crew = self._crew, None
        return crew if crew is not None and crew.pid == os.getpid() else None

    def _put(self, act: Callable[[], Result]) -> Future[Result]:
        crew = self._crew
        if crew is None or crew.pid != os.getpid():
            crew = self._crew = _Crew(self.size, self._name, self._kept_s)
        return crew.put(act)


class _Crew:
    """The threads of a pool in one process, from the first call until they are dismissed."""

    def __init__(self, size: int, name: str, kept_s: float) -> None:
        self.pid = os.getpid()
        self._size, self._name, self._kept_s = size, name, kept_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], contextvars.Context, Callable[[], Any]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._dismissed: Future[None] | None = None
        # What a program has asked for is done, though its threads are no reason for it to stay.
        atexit.register(self._end)

    def put(self, act: Callable[[], Any]) -> Future[Any]:
        """Have it done as soon as a thread is free."""
        future: Future[Any] = Future()
        with self._changed:
            self._waiting.append((future, contextvars.copy_context(), act))
            if len(self._waiting) > self._idle and len(self._threads) < self._size:
                self._begin()
            else:
                self._changed.notify()
        return future

    def _begin(self) -> None:
        """One more thread. Where the system gives none, what was asked for last waits for those that there are; without
        any it is taken back. Raises RuntimeError then."""
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                self._waiting.pop()
                raise
        else:
            self._threads.add(thread)

    def dismiss(self, *, forget: bool = False) -> Future[None]:
        """Let the threads end, after all that waits, unless that is to be forgotten; it is done as the last has."""
        atexit.unregister(self._end)
        with self._changed:
            self._dismissed = ended = self._dismissed or Future()
            forgotten = list(self._waiting) if forget else []
            if forget:
                self._waiting.clear()
            if not self._threads and not ended.done():
                ended.set_result(None)
            self._changed.notify_all()
        for future, _, _ in forgotten:
            future.cancel()
        return ended

    def _end(self) -> None:
        if self.pid == os.getpid():
            self.dismiss().result()

    def _serve(self) -> None:
        _here.is_ours, link = True, None
        while (call := self._next(link)) is not None:
            future, context, act = call
            if future.set_running_or_notify_cancel():
                _do(future, context, act, link)
            link = _now_of(link)
            del future, context, act, call

    def _next(self, link: Link | None) -> Any:
        """What is to be done next; None where the thread is to end, which has let go of its connection by then."""
        with self._changed:
            if not self._waiting and self._dismissed is None and self._kept_s:
                self._idle += 1
                self._changed.wait_for(lambda: self._waiting or self._dismissed, self._kept_s)
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
        if link is not None:
            link.forget_connection()
            link.leave_thread()
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._threads.discard(threading.current_thread())
            if self._dismissed is not None and not self._threads and not self._dismissed.done():
                self._dismissed.set_result(None)
        return None


class _Here(threading.local):
    is_ours = False


_here: Final = _Here()


def in_pool() -> bool:
    """Whether this is a thread of a pool: one that waited for another there could wait for itself."""
    return _here.is_ours


def _do(future: Future[Any], context: contextvars.Context, act: Callable[[], Any], link: Link | None) -> None:
    try:
        result = _refreshed(context, act, _now_of(link))
    except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
        future.set_exception(error)
    else:
        future.set_result(result)


def _refreshed(context: contextvars.Context, act: Callable[[], Any], link: Link | None) -> Any:
    if link is not None:
        link.refresh()
    try:
        return context.run(act)
    finally:
        after = _now_of(link)
        if after is not None:
            # The next one who has this thread may write, and takes the time that this takes.
            after.unbind()
            after.refresh()


def _now_of(link: Link | None) -> Link | None:
    """The link that this thread works with now. The connection of the one before it is closed, where that was another:
    somebody has configured this process anew."""
    runtime = opened()
    now = link if runtime is None else runtime.store.link
    if link is not None and link is not now:
        link.forget_connection()
    return now


class _Shared:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool: Pool | None = None


_shared: Final = _Shared()
# Somebody may have had it in the very moment of a fork.
os.register_at_fork(after_in_child=lambda: setattr(_shared, "lock", threading.Lock()))


def shared() -> Pool:
    """The pool of this program for its own calls, as large as the settings say."""
    size = settings.current().async_threads
    with _shared.lock:
        pool = _shared.pool
        if pool is None or pool.size != size:
            if pool is not None:
                pool.close(forget=False)
            pool = _shared.pool = Pool(size, name="fsmflow", kept_s=KEPT_S)
        return pool


async def pause(seconds: float) -> None:
    """Let others go on: other tasks of the loop, and whoever else brings something about."""
    runtime = opened()
    await asyncio.sleep(0 if runtime is not None and runtime.stays_here else seconds)


def brings_about(seconds: float) -> bool:
    """Whether waiting is what brings something about, as in a sandbox; then that is done."""
    runtime = opened()
    if runtime is None or not runtime.stays_here:
        return False
    runtime.idle(seconds)
    return True


async def aclose() -> None:
    """End the threads of what was awaited, such as ``astart``, and close their connections to the database, once all
    that was asked for is done. Whoever asks after that gets new ones."""
    if _shared.pool is not None:
        await _shared.pool.aclose()
