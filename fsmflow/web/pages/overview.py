"""The first page: every machine as its diagram, with how many are where, and beside it what needs attention."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FAILED
from fsmflow.diagram import Tally, chart, svg
from fsmflow.engine.headcount import Headcount, headcounts
from fsmflow.engine.runtime import Runtime, current
from fsmflow.objects.drawings import tally_of
from fsmflow.store.indexes import CHILD, ROOT
from fsmflow.values import dataclass
from fsmflow.web.attention import Notice, notices
from fsmflow.web.freshness import FRESH_S, Shared, sight_of
from fsmflow.web.identity import actor_of
from fsmflow.web.live import fragment
from fsmflow.web.query import written
from fsmflow.web.section import Section
from fsmflow.web.sparkline import sparkline
from fsmflow.web.templates import link, render
from fsmflow.web.threads import threaded
from fsmflow.web.trend import Trend, told

_PICTURES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there is at a moment, for some teams or for all."""

    now: int
    counts: Sequence[Headcount]
    notices: Sequence[Notice]


@dataclass(frozen=True, kw_only=True)
class State:
    """How many stand in a state, in words; ``href``: where they are listed; ``spark``: how that number has gone."""

    name: str
    phase: str
    tally: Tally
    href: str
    spark: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A machine: its picture, and the same as a list."""

    name: str
    summary: str
    href: str
    total: int
    picture: str
    states: Sequence[State]

    @property
    def has_failed(self) -> bool:
        """Whether something of it rests where it failed for good."""
        return any(each.phase == FAILED for each in self.states)


class Overview:
    """What one process knows for this page."""

    def __init__(self) -> None:
        self._shared: Shared[Look] = Shared(FRESH_S)
        self._trend = Trend()
        #: With the definition of each, so that no other one comes to stand in its place.
        self._pictures: dict[tuple[Any, ...], tuple[Definition, str]] = {}

    def look(self, runtime: Runtime, actor: Actor) -> Look:
        """What there is for this actor, read once for all of the same teams."""
        return self._shared.get(sight_of(runtime, actor), lambda: self._read(runtime, actor))

    def panels(self, request: Request, runtime: Runtime, actor: Actor, look: Look) -> list[Panel]:
        """Every machine of the user's: those first of which something failed, those last that have no entities."""
        found = [
            self._panel(request, each, sight_of(runtime, actor), look) for each in runtime.machines.of_user().values()
        ]
        return sorted(found, key=lambda each: (not each.has_failed, not each.total, each.name))

    def _read(self, runtime: Runtime, actor: Actor) -> Look:
        counts, now = headcounts(runtime, scopes=(ROOT, CHILD), actor=actor), runtime.now()
        self._trend.note(sight_of(runtime, actor), now, counts)
        return Look(now=now, counts=counts, notices=[*_failed(runtime, counts), *notices(runtime, actor)])

    def _panel(self, request: Request, definition: Definition, key: Hashable, look: Look) -> Panel:
        own = {each.state: each for each in look.counts if each.machine == definition.name}
        tallies, sparks = {}, {}
        for name in sorted(own, key=[*definition.states, *own].index):
            line = self._trend.line(key, (definition.name, name), own[name].count, look.now)
            tallies[name], sparks[name] = tally_of(definition, own[name], look.now, told(line)), sparkline(line, name)
        hrefs = {name: _href(request, definition.name, name) for name in (*definition.states, *tallies)}
        phases = {name: spec.phase for name, spec in definition.states.items()}
        states = [
            State(name=name, phase=phases.get(name, "unknown"), tally=tally, href=hrefs[name], spark=sparks[name])
            for name, tally in tallies.items()
        ]
        return Panel(
            name=definition.name,
            summary=(definition.summary or "").replace("``", ""),
            href=link(request, "/entities", {"q": written("machine", definition.name)}),
            total=sum(each.count for each in own.values()),
            picture=self._picture(definition, tallies, hrefs),
            states=states,
        )

    def _picture(self, definition: Definition, tallies: dict[str, Tally], hrefs: dict[str, str]) -> str:
        words = tuple((name, tally.told, tally.late) for name, tally in tallies.items())
        key = (id(definition), words, tuple(hrefs.values())[:1])
        found = self._pictures.get(key)
        if found is None:
            if len(self._pictures) >= _PICTURES:
                self._pictures.clear()
            drawn = svg(chart(definition, tallies=tallies, hrefs=hrefs), styled=False, titled=False)
            found = self._pictures[key] = (definition, drawn)
        return found[1]


def _failed(runtime: Runtime, counts: Sequence[Headcount]) -> Iterator[Notice]:
    """Where something rests that failed for good."""
    known = runtime.machines.of_user()
    for each in counts:
        spec = known[each.machine].states.get(each.state) if each.machine in known else None
        if spec is not None and spec.is_failed:
            query = f"{written('machine', each.machine)} {written('state', each.state)}"
            text = f"{each.count:,} in {each.machine}:{each.state}"
            yield Notice(kind="failed", text=text, todo="fsmflow failures", query=query, is_grave=True)


def _href(request: Request, machine: str, state: str) -> str:
    return link(request, "/entities", {"q": f"{written('machine', machine)} {written('state', state)}"})


_overview: Final = Overview()


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    look = _overview.look(runtime, actor)
    panels = _overview.panels(request, runtime, actor, look)
    return render(request, "overview.html", look=look, panels=panels, as_list="list" in request.query_params)


@threaded
def _news(request: Request) -> Response:
    """The numbers alone, for a page that is open."""
    runtime, actor = current(), actor_of(request)
    look = _overview.look(runtime, actor)
    return fragment(request, "numbers.html", look=look, panels=_overview.panels(request, runtime, actor, look))


SECTION: Final = Section(title="Overview", path="/", routes=[Route("/", _show), Route("/numbers", _news)])
