"""What a picture of a machine shows, as boxes and arrows: before anything is measured or drawn.

A state that fsmflow makes is no box of its own where that would only repeat another: ``failed_from_X`` is told in the
box of X, and all that undo something are one box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from fsmflow.definition.model import Definition, StateSpec, TransitionSpec
from fsmflow.definition.names import CANCEL, CANCELLED, FAIL, FINISHED, RETRY, UNDO, WAITING, WORKING
from fsmflow.diagram.labels import label, marks, plain, timer_mark
from fsmflow.diagram.overlay import EMPTY, Journey, Tally
from fsmflow.values import dataclass

#: The box of all states that undo something. No state is called like that.
UNDOING: Final = "(undo)"


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is written at an arrow, or in the box that it does not leave. ``taken``: how often an entity took it."""

    text: str
    taken: int = 0
    generated: bool = False


@dataclass(frozen=True, kw_only=True)
class Note:
    """How many entities stand there; ``is_late``: one of them for too long. ``href``: where they are listed."""

    text: str
    is_bad: bool = False
    is_late: bool = False
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A state, or several. ``now``: how an entity stands in it, in a word, or None; ``inner``: what happens in it
    without leaving it; ``can_fail``: it stands for ``failed_from_X`` too; ``href``: where it leads to."""

    key: str
    title: str
    kind: str
    generated: bool
    lines: tuple[str, ...] = ()
    inner: tuple[Way, ...] = ()
    notes: tuple[Note, ...] = ()
    visited: bool = False
    now: str | None = None
    has_failed: bool = False
    can_fail: bool = False
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """All ways from one box to another."""

    source: str
    dest: str
    ways: tuple[Way, ...]

    @property
    def is_taken(self) -> bool:
        return any(way.taken for way in self.ways)

    @property
    def is_generated(self) -> bool:
        return all(way.generated for way in self.ways)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Boxes, that in which all begins first, and the arrows between them."""

    title: str
    subtitle: tuple[str, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    journey: Journey | None = None

    @property
    def initial(self) -> Box:
        return self.boxes[0]

    @property
    def can_fail(self) -> bool:
        return any(box.can_fail for box in self.boxes)


def chart(
    definition: Definition,
    *,
    journey: Journey | None = None,
    tallies: Mapping[str, Tally] | None = None,
    everything: bool = False,
    hrefs: Mapping[str, str] = MappingProxyType({}),
) -> Chart:
    """What to draw of a machine. ``everything`` adds the generated ``cancel``, and the generated ``undo`` of states
    other than ``failed_from_X``. Without it what an entity did of that is drawn all the same. ``hrefs``: where states,
    and how many are in them, lead to."""
    drawing = _Drawing(definition, journey, tallies or EMPTY, hrefs)
    for spec in definition.transitions:
        if not _is_left_out(definition, spec, everything):
            drawing.add(spec)
    drawing.add_moves()
    return Chart(
        title=plain(journey.address if journey else definition.name),
        subtitle=tuple(map(plain, _subtitle(definition, journey, tallies))),
        boxes=tuple(drawing.boxes()),
        arrows=tuple(drawing.arrows()),
        journey=journey,
    )


def _is_left_out(definition: Definition, spec: TransitionSpec, everything: bool) -> bool:
    if spec.undo:
        # Of all that dest "undo" stands for the last says everything: what it is guarded by, and no step of its own.
        return spec.generated
    if not spec.generated:
        return False
    source = definition.states[spec.source]
    if spec.trigger == RETRY or (spec.trigger == FAIL and not _undoes(definition, spec.dest)):
        return True
    if spec.trigger == UNDO:
        # Where a failure is undone by itself, that says it.
        undone_anyway = source.failed_from and definition.states[source.failed_from].undo_on_failure
        return not everything and (not source.is_failed or bool(undone_anyway))
    return spec.trigger == CANCEL and not everything


def _undoes(definition: Definition, state: str | None) -> bool:
    return state is not None and definition.states[state].undoes is not None


def _subtitle(definition: Definition, journey: Journey | None, tallies: Mapping[str, Tally] | None) -> Iterator[str]:
    if journey is not None:
        rests = f"rests in {journey.state}" if journey.failure else f"is in {journey.state}"
        yield f"{rests} since {journey.since:%Y-%m-%d %H:%M:%S} UTC"
        if journey.failure:
            yield journey.failure
    elif definition.summary:
        yield definition.summary.replace("``", "")
    for state, tally in (tallies or EMPTY).items():
        if state not in definition.states:
            yield f"{tally.told}: in {state}, which the code does not have"


@dataclass
class _Drawing:
    definition: Definition
    journey: Journey | None
    tallies: Mapping[str, Tally]
    hrefs: Mapping[str, str]
    #: By (source, dest), in order, by text.
    _ways: dict[tuple[str, str], dict[str, _Told]] = field(default_factory=dict)

    def _box_of(self, state: str) -> str:
        """The box that tells of a state."""
        spec = self.definition.states.get(state)
        if spec is None:
            return state
        if spec.undoes is not None:
            return UNDOING
        return self._box_of(spec.failed_from) if spec.failed_from is not None else state

    def add(self, spec: TransitionSpec) -> None:
        """A transition of the machine."""
        source = self.definition.states[spec.source]
        dest = UNDOING if spec.undo else self._box_of(spec.dest or spec.source)
        begin = self._box_of(spec.source)
        if begin == dest and spec.generated:
            return  # from one step that is undone to the next one
        # The guard that asks which step is undone next is nothing to be told.
        text = plain(spec.trigger if spec.generated else label(spec))
        is_told = spec.generated and text in self._ways.get((begin, dest), {})
        if source.is_failed and begin != UNDOING and not is_told:
            text = f"once failed: {text}"
        way = self._told(begin, dest, text)
        way.triggers.add(spec.trigger)
        way.generated = way.generated and spec.generated

    def _told(self, source: str, dest: str, text: str) -> _Told:
        return self._ways.setdefault((source, dest), {}).setdefault(text, _Told(text))

    def add_moves(self) -> None:
        """The steps of an entity: those that no transition here stands for are ways of their own."""
        if self.journey is None:
            return
        taken: Counter[tuple[str, str, str]] = Counter()
        for move in self.journey.moves:
            if move.source is not None:
                taken[self._box_of(move.source), self._box_of(move.dest), move.trigger] += 1
        for (source, dest, trigger), count in taken.items():
            ways = self._ways.get((source, dest), {}).values()
            meant = [way for way in ways if trigger in way.triggers] or [self._told(source, dest, plain(trigger))]
            for way in meant:
                way.taken += count

    def arrows(self) -> Iterator[Arrow]:
        for (source, dest), ways in self._ways.items():
            if source != dest:
                yield Arrow(source=source, dest=dest, ways=tuple(way.whole for way in ways.values()))

    def boxes(self) -> Iterator[Box]:
        there = {key for ends in self._ways for key in ends} | {self.definition.initial}
        if self.journey is not None:
            there |= {self._box_of(state) for state in self.journey.visited}
        there |= {self._box_of(state) for state in self.tallies if state in self.definition.states}
        names = [self.definition.initial, *self.definition.states]
        keys = dict.fromkeys([*map(self._box_of, names), *sorted(there)])
        for key in keys:
            if key in there or not self._is_hidden(key):
                yield self._box(key)

    def _is_hidden(self, key: str) -> bool:
        spec = self.definition.states.get(key)
        return key in (UNDOING, CANCELLED) or (spec is not None and spec.generated)

    def _box(self, key: str) -> Box:
        own = [spec for name, spec in self.definition.states.items() if self._box_of(name) == key]
        spec = self.definition.states.get(key)
        generated = spec.generated if spec else True
        visited = self.journey is not None and any(self._box_of(state) == key for state in self.journey.visited)
        now = self._now(key)
        return Box(
            key=key,
            title="undo, the last step first" if key == UNDOING else plain(key),
            kind=spec.phase if spec else WORKING if key == UNDOING else WAITING,
            generated=generated,
            lines=tuple(map(plain, _undo_lines(own) if key == UNDOING else _lines(spec))),
            inner=tuple(way.whole for way in self._ways.get((key, key), {}).values()),
            notes=tuple(self._notes(key, own)),
            visited=visited,
            now=now,
            has_failed=now is not None and self._is_failed(),
            can_fail=any(state.is_failed for state in own),
            href=self.hrefs.get(key, ""),
        )

    def _now(self, key: str) -> str | None:
        if self.journey is None or self._box_of(self.journey.state) != key:
            return None
        return "now" if self.journey.state == key else self.journey.state

    def _is_failed(self) -> bool:
        spec = self.definition.states.get(self.journey.state) if self.journey else None
        return spec is not None and spec.is_failed

    def _notes(self, key: str, own: Iterable[StateSpec]) -> Iterator[Note]:
        for spec in own:
            if (tally := self.tallies.get(spec.name)) is not None:
                where = "" if spec.name == key else f" in {spec.name}"
                yield Note(
                    text=tally.in_words(where),
                    is_bad=spec.is_failed,
                    is_late=tally.late,
                    href=self.hrefs.get(spec.name, ""),
                )


@dataclass
class _Told:
    """What is written once, of however many transitions."""

    text: str
    triggers: set[str] = field(default_factory=set)
    taken: int = 0
    generated: bool = True

    @property
    def whole(self) -> Way:
        return Way(text=self.text, taken=self.taken, generated=self.generated)


def _lines(spec: StateSpec | None) -> Iterator[str]:
    """What is told of a state below its name."""
    if spec is None or spec.generated:
        return
    # Of branches by name the marks say which jobs they run.
    if spec.job_name and spec.phase == WORKING and not (spec.fan and spec.fan.named):
        yield f"job {spec.job_name}"
    yield from marks(spec)
    if (timer := timer_mark(spec)) is not None and spec.phase != FINISHED:
        yield timer


def _undo_lines(own: Iterable[StateSpec]) -> Iterator[str]:
    yield from (f"{spec.undoes}: {spec.job_name}" for spec in own if spec.undoes)
