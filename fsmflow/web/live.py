"""What tells pages that are open that something has happened: one look at the database for all of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fsmflow import clock
from fsmflow.engine.runtime import current
from fsmflow.engine.threads import Pool
from fsmflow.errors import FsmflowError
from fsmflow.web.templates import render

#: So often it is looked, while any page is open.
EVERY_S: Final = 2.0
#: After so many looks without news a page hears that it is still connected, and after so long it has to come again, so
#: that it is asked anew who looks on.
_QUIET: Final = 8
LONGEST_S: Final = 60.0


class Ticker:
    """Looks on for all pages of this process, while any is open: one query every two seconds, however many they are."""

    def __init__(self, pool: Pool, every_s: float = EVERY_S) -> None:
        self._pool = pool
        self._every_s = every_s
        self._pages: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None

    async def follow(self) -> AsyncIterator[str]:
        """What a page is sent: a tick whenever something has happened to any entity."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._pages.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look_on())
        try:
            yield "retry: 5000\n\n"
            until = clock.monotonic() + LONGEST_S
            while (left := until - clock.monotonic()) > 0:
                try:
                    yield await asyncio.wait_for(queue.get(), min(left, self._every_s * _QUIET))
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._pages.discard(queue)

    async def _look_on(self) -> None:
        seen: int | None = None
        while self._pages:
            now: int | None
            try:
                now = await self._pool.run(_latest)
            except FsmflowError:
                now = seen  # whoever asks for a page is told that the database is away
            if now != seen and seen is not None:
                self._tell(f"event: tick\ndata: {clock.to_datetime(clock.local_now()):%H:%M:%S}\n\n")
            seen = now
            await asyncio.sleep(self._every_s)

    def _tell(self, text: str) -> None:
        for queue in self._pages:
            if not queue.full():
                queue.put_nowait(text)


def _latest() -> int:
    return current().store.lines.highest()


async def _ticks(request: Request) -> Response:
    ticker: Ticker = request.app.state.ticker
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(ticker.follow(), media_type="text/event-stream", headers=headers)


def fragment(request: Request, name: str, **context: Any) -> Response:
    """A part of a page that is open. A browser that has the same already is told so, and gets nothing."""
    answer = render(request, name, **context)
    tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


ROUTE: Final = Route("/ticks", _ticks)
