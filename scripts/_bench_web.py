"""How soon the pages and the API of a large database are there, and what many open pages cost it."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from starlette.routing import Match, Route

from _bench_dashboard import Asked, Dashboard
from _bench_machines import BenchOrder
from _bench_stock import LONG, REPAIRS, WIDE
from fsmflow.engine.runtime import Runtime
from fsmflow.store.listing import Filter
from fsmflow.web import create_app
from fsmflow.web.api.routes import PREFIX
from fsmflow.web.freshness import FRESH_S

#: What a page and an answer of the API may take.
PAGE_S: Final = 0.2
API_S: Final = 0.1
RUNS: Final = 5
#: So many have the overview open, for so long.
CROWDS: Final = (1, 20, 200)
CROWD_S: Final = 20.0
_ORDER: Final = BenchOrder.name


class Measure(NamedTuple):
    """What asking for a path took, in seconds, at least and in the median, after a first one, and how much of it the
    dashboard has computed; how many queries that was, and how large the answer is."""

    path: str
    least: float
    median: float
    cpu: float
    queries: int
    size: int

    @property
    def is_late(self) -> bool:
        """Whether it takes longer than it may."""
        return self.median > (API_S if self.path.startswith(PREFIX) else PAGE_S)

    def __str__(self) -> str:
        taken = "".join(f"{each * 1000:7.0f}" for each in (self.least, self.median, self.cpu))
        return f"{'*' if self.is_late else ' '} {self.path:<75}{taken}{self.queries:>8}{self.size:>10,}"


#: The columns; times in milliseconds.
HEAD: Final = f"  {'':<75}{'least':>7}{'median':>7}{'cpu':>7}{'queries':>8}{'bytes':>10}"


def measure_all(runtime: Runtime, found: Dashboard) -> Iterator[Measure]:
    """Every page, and everything that the API answers to GET."""
    for path in paths(runtime):
        # What is good for some seconds is measured as it is read, not as it is kept.
        wait_s = FRESH_S + 0.05 if path == "/" or path.startswith(_KEPT) else 0.0
        taken, asked, size = [], [], 0
        for _ in range(RUNS + 1):
            time.sleep(wait_s)
            found.asked()
            seconds, status, size = found.get(path)
            asked.append(found.asked())
            if status != 200:
                raise SystemExit(f"{path}: {status}")
            taken.append(seconds)
        cpu = statistics.median(each.cpu_s for each in asked[1:])
        yield Measure(path, min(taken[1:]), statistics.median(taken[1:]), cpu, asked[-1].queries, size)


def paths(runtime: Runtime) -> list[str]:
    """All that is asked for, and each path of the application besides that names nothing. Raises SystemExit where one
    that does is not among it."""
    found = [*_pages(runtime), *_answers(runtime)]
    asked = [{"type": "http", "method": "GET", "path": path.partition("?")[0]} for path in found]
    for route in create_app(live=False).router.routes:
        if not isinstance(route, Route) or "GET" not in (route.methods or ()) or route.path.startswith(_ELSEWHERE):
            continue
        if any(route.matches(scope)[0] is Match.FULL for scope in asked):
            continue
        if "{" in route.path:
            raise SystemExit(f"{route.path} is not measured")
        found.append(route.path)
    return found


_KEPT: Final = ("/?", "/numbers", "/workers", f"/repairs/2030-{REPAIRS - 1:04}/report")
#: What is the same whatever a database holds, or is a file as large as one likes.
_ELSEWHERE: Final = ("/static/", "/links/", "/hooks/", "/entities.")


def _addresses(runtime: Runtime) -> dict[str, str]:
    """An entity of each kind."""
    listing, found = runtime.store.listing, {"long": f"{_ORDER}:{LONG}", "wide": f"{_ORDER}:{WIDE}"}
    for phase in ("failed", "working", "waiting", "finished"):
        found[phase] = next(iter(listing.find(Filter(machine=_ORDER, phase=phase), limit=1, newest=True))).address
    parcel = next(iter(listing.find(Filter(machine="bench_parcel", branches=True), limit=1)))
    return {**found, "parcel": parcel.address}


def _pages(runtime: Runtime) -> Iterator[str]:
    addresses = _addresses(runtime)
    yield from ("/", "/numbers", "/?list", "/waiting", "/waiting?anyone")
    yield "/entities"
    for query in _queries(runtime):
        yield f"/entities?{urlencode(query)}"
    newest = next(iter(runtime.store.listing.find(Filter(machine=_ORDER), limit=1, newest=True)))
    yield f"/entities/news?{urlencode({'q': f'machine:{_ORDER}', 'first': newest.row - 300})}"
    for address in addresses.values():
        yield f"/entity/{quote(address, safe='/:')}"
    failed = addresses["failed"]
    yield from (f"/news/{failed}?revision=1", f"/compare/{failed}", f"/do/retry/{failed}", f"/do/rewind/{failed}")
    yield from (f"/entity/{addresses['long']}?upto=5000", f"/compare/{addresses['long']}?with={failed}")
    yield f"/fire/approve/{addresses['waiting']}"
    group = runtime.store.groups.all()[0].fingerprint
    yield from ("/failures", "/failures?all", f"/failures/{group}", f"/failures/{group}/resolve")
    last = f"/repairs/2030-{REPAIRS - 1:04}"
    yield from ("/repairs", "/repairs/new", last, f"{last}?fate=recovered", f"{last}/report", f"{last}/resume")
    yield from ("/holds", "/holds/new", "/holds/1/release", "/workers", "/workers/part", "/schedules")
    yield from ("/schedules/bench_tick/run", "/workers/drain/web1", "/workers/undo/web1", "/start", f"/start/{_ORDER}")


def _queries(runtime: Runtime) -> Iterator[Mapping[str, str]]:
    """Searches, as people type them."""
    order = f"machine:{_ORDER}"
    group = runtime.store.groups.all()[0].fingerprint
    for text in (
        order,
        f"{order} state:shipped",
        f"{order} state:awaiting_approval",
        f"{order} state:failed_from_*",
        "phase:failed",
        "phase:working",
        f"{order} older:365d",
        f"{order} customer=c77",
        f"{order} amount:>=9990",
        f"{order} child:bench_parcel.tracking=T1001",
        f"{order} error:KeyError*",
        f"group:{group}",
        "is:stuck",
        "is:overdue",
        "is:waiting",
        "is:branches",
        "machine:bench_parcel is:branches",
    ):
        yield {"q": text}
    yield {"q": order, "oldest": ""}
    yield {"q": order, "order": "-amount"}
    yield {"q": f"{order} state:shipped", "cols": "customer amount"}
    middle = next(iter(runtime.store.listing.find(Filter(machine=_ORDER), limit=1, after=500)))
    yield {"q": order, "after": middle.address, "oldest": ""}


def _answers(runtime: Runtime) -> Iterator[str]:
    addresses = _addresses(runtime)
    group = runtime.store.groups.all()[0].fingerprint
    yield from (f"{PREFIX}{path}" for path in ("/openapi.json", "/machines", f"/machines/{_ORDER}", "/counts"))
    yield from (f"{PREFIX}{path}" for path in ("/queues", "/workers", "/entities", "/entities?limit=1000"))
    for query in (
        {"machine": _ORDER},
        {"machine": _ORDER, "state": "shipped"},
        {"machine": _ORDER, "phase": "failed"},
        {"machine": _ORDER, "where": "customer=c77"},
        {"machine": _ORDER, "where": "amount:>=9990"},
        {"machine": _ORDER, "order": "-amount"},
    ):
        yield f"{PREFIX}/entities?{urlencode(query)}"
    for name in ("failed", "working", "long", "wide"):
        machine, _, id_ = addresses[name].partition(":")
        yield f"{PREFIX}/entities/{machine}/{id_}"
        yield f"{PREFIX}/entities/{machine}/{id_}/history"
        yield f"{PREFIX}/entities/{machine}/{id_}/explain"
    last = f"{PREFIX}/repairs/2030-{REPAIRS - 1:04}"
    yield from (f"{PREFIX}/failures", f"{PREFIX}/failures/{group}", f"{PREFIX}/repairs", last, f"{last}/members")
    yield from (f"{PREFIX}/holds", f"{PREFIX}/schedules", f"{PREFIX}/schedules/bench_tick", f"{PREFIX}/feeds")
    yield f"{PREFIX}/feeds/bench/entries"


class Crowd(NamedTuple):
    """How many had the overview open: what the database was asked for in a second, at once at most, how often a page
    was told of news, and how long it waited for its numbers then, in the median; and which part of a core the dashboard
    took."""

    pages: int
    queries: float
    most_at_once: int
    ticks: int
    median: float
    cpu: float

    def __str__(self) -> str:
        asked = f"{self.queries:6.1f} queries a second, {self.most_at_once} at once at most"
        news = f"{self.ticks} times news, there after {self.median * 1000:.0f} ms in the median"
        return f"{self.pages:>3} open: {asked}; {news}; {self.cpu * 100:.0f} % of a core"


def crowds(found: Dashboard) -> Iterator[Crowd]:
    """More and more open dashboards, while something happens all the time."""
    ended = threading.Event()
    writer = threading.Thread(target=_go_on, args=(ended,), name="writer")
    writer.start()
    try:
        for count in CROWDS:
            yield asyncio.run(_crowd(found, count))
    finally:
        ended.set()
        writer.join()


def _go_on(ended: threading.Event) -> None:
    while not ended.wait(0.5):
        BenchOrder.start()


async def _crowd(found: Dashboard, count: int) -> Crowd:
    taken: list[float] = []
    pages = [asyncio.create_task(_look_on(found, taken)) for _ in range(count)]
    await asyncio.sleep(FRESH_S * 2)
    found.asked()
    taken.clear()
    await asyncio.sleep(CROWD_S)
    asked: Asked = found.asked()
    for page in pages:
        page.cancel()
    for page in pages:
        with contextlib.suppress(asyncio.CancelledError):
            await page
    median = statistics.median(taken) if taken else 0.0
    return Crowd(count, asked.queries / CROWD_S, asked.most_at_once, len(taken), median, asked.cpu_s / CROWD_S)


async def _look_on(found: Dashboard, taken: list[float]) -> None:
    """What the script of an open page does: it waits for a tick, and asks for the numbers."""
    tag = ""
    async with _asked(found, "/ticks") as lines:
        async for line in lines:
            if line.startswith("event: tick"):
                begin = time.perf_counter()
                async with _asked(found, "/numbers", f"If-None-Match: {tag}\r\n" if tag else "") as answer:
                    async for head in answer:
                        name, _, value = head.partition(":")
                        tag = value.strip() if name.lower() == "etag" else tag
                taken.append(time.perf_counter() - begin)


@asynccontextmanager
async def _asked(found: Dashboard, path: str, more: str = "") -> AsyncIterator[AsyncIterator[str]]:
    """The lines of an answer, as they come, on a connection of its own."""
    reader, writer = await asyncio.open_connection(found.host, found.port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {found.host}:{found.port}\r\nConnection: close\r\n{more}\r\n"
        writer.write(head.encode())
        await writer.drain()
        yield _lines(reader)
    finally:
        writer.close()


async def _lines(reader: Any) -> AsyncIterator[str]:
    while line := await reader.readline():
        yield line.decode().rstrip()
