"""What a trigger would lead to, were it fired now: a decision that is looked at, and not committed."""

from __future__ import annotations

from collections.abc import Iterator

from fsmflow.decision.commit import Commit, EventKind
from fsmflow.decision.deadline import deadline_of
from fsmflow.decision.edit import Edit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.messages import envelope_of, when_due
from fsmflow.decision.notice import told_in
from fsmflow.decision.offers import Way
from fsmflow.definition.graph import reached
from fsmflow.definition.model import Definition, Fan, source_name
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a trigger would lead to. Nothing is written, and others may move the entity meanwhile. Its ``str()`` is what
    the command line prints.

    ``allowed``: it would be taken; ``why`` not, or what it comes to besides. ``kind``: that of the history entry that
    would be written, ``transition`` or ``internal``, or ``deferred`` or ``ignored``. ``source``, ``state`` and
    ``phase``: where the entity is, and where it would be then. ``ways``: the transitions that were asked, in the order
    in which they are tried, each with its guards' words. ``job`` would be run, on ``queue``. ``deadline``: of the state
    that is entered. ``sends``: messages; ``edit``: what callbacks and guards would change of the data; ``then``: what
    follows in the same commit, as an event that was kept; ``also``: what becomes of other entities, and of the row of
    ``status_field``. ``ahead``: the states that can be reached from there, whatever guards say; ``ends``: the final
    ones among them.
    """

    address: str
    trigger: str
    allowed: bool
    source: str
    state: str
    phase: str
    kind: HistoryKind | None = None
    why: str | None = None
    ways: tuple[Way, ...] = ()
    job: str | None = None
    queue: str | None = None
    deadline: str | None = None
    sends: tuple[str, ...] = ()
    edit: Edit | None = None
    then: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = [
            *(("asked:", _told(way)) for way in self.ways if way.allowed is not True),
            ("job:", self.job and (f"{self.job}, on queue {self.queue!r}" if self.queue else self.job)),
            ("deadline:", self.deadline),
            ("changes:", self.edit and str(self.edit)),
            *(("sends:", message) for message in self.sends),
            *(("then:", step) for step in self.then),
            *(("also:", other) for other in self.also),
            ("ahead:", ", ".join(self.ahead)),
            ("ends:", ", ".join(self.ends)),
        ]
        return "\n".join([self._head(), *(f"{name:<12} {text}" for name, text in facts if text)])

    def _head(self) -> str:
        if not self.allowed:
            return f"it would be refused. {self.why}"
        if self.kind is HistoryKind.TRANSITION:
            return f"{self.address} would go from {self.source} to {self.state} ({self.phase})"
        told = f": {self.why}" if self.why else ""
        kind = "" if self.kind is None else f", {self.kind}"
        return f"{self.address} would stay in {self.state} ({self.phase}){kind}{told}"


def refused(definition: Definition, snapshot: Snapshot, trigger: str, why: str, ways: tuple[Way, ...]) -> Forecast:
    """A trigger that would not be taken. What can be reached from where the entity is, is told all the same."""
    ahead, ends = _reach(definition, snapshot.state)
    return Forecast(
        address=snapshot.address,
        trigger=trigger,
        allowed=False,
        why=why,
        source=snapshot.state,
        state=snapshot.state,
        phase=snapshot.phase,
        ways=ways,
        ahead=ahead,
        ends=ends,
    )


def repeated(snapshot: Snapshot, trigger: str, why: str) -> Forecast:
    """A trigger that would change nothing, as it was taken before."""
    return Forecast(
        address=snapshot.address,
        trigger=trigger,
        allowed=True,
        why=why,
        source=snapshot.state,
        state=snapshot.state,
        phase=snapshot.phase,
    )


def forecast_of(definition: Definition, commit: Commit, trigger: str, ways: tuple[Way, ...]) -> Forecast:
    """What a decision about a trigger comes to."""
    before, after, first = commit.before, commit.after, commit.entries[0]
    work = after.work
    runs = work is not None and work.runs and (before is None or before.work is not work)
    ahead, ends = _reach(definition, after.state)
    return Forecast(
        address=after.address,
        trigger=trigger,
        allowed=True,
        why=first.reason if first.kind in (HistoryKind.DEFERRED, HistoryKind.IGNORED) else None,
        kind=first.kind,
        source=first.source or first.dest,
        state=after.state,
        phase=after.phase,
        ways=ways,
        job=_job(definition, after) if runs else None,
        queue=work.queue if runs and work is not None else None,
        deadline=deadline_of(definition, after),
        sends=tuple(_sends(commit)),
        edit=first.edit,
        then=tuple(_step(entry) for entry in commit.entries[1:]),
        also=tuple(_also(commit)),
        ahead=ahead,
        ends=ends,
    )


def _told(way: Way) -> str:
    leads = "stays" if way.dest is None else f"to {way.dest}"
    return f"{leads}: {way.why}"


def _reach(definition: Definition, state: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The states that can be reached from one, those that fsmflow makes left out, and the final ones."""
    found = reached(state, definition.transitions) - {state}
    there = [spec for spec in definition.states.values() if spec.name in found]
    ahead = tuple(spec.name for spec in there if not spec.is_final and not spec.generated)
    return ahead, tuple(spec.name for spec in there if spec.is_final)


def _job(definition: Definition, after: Snapshot) -> str | None:
    spec = definition.states[after.state]
    held = ", held by the pause" if after.paused else ""
    return f"{spec.job_name or after.state if spec.fan is None else _branches(spec.fan, spec.job_name)}{held}"


def _branches(fan: Fan, job: str) -> str:
    """What a step fans out into. The items are not read, as that may take its time."""
    if fan.named:
        names = ", ".join(branch.name for branch in fan.named)
        return f"branches {names}" + (f" (those of {source_name(fan.only)!r})" if fan.only is not None else "")
    what = f"children of {fan.machine!r}" if fan.machine is not None else f"branches of {job!r}"
    return what if fan.each is None else f"{what}, one for each of {source_name(fan.each)!r}"


def _sends(commit: Commit) -> Iterator[str]:
    for post in commit.posts:
        if post.kind is EventKind.SENT:
            due = "at once" if (post.due_at or 0) <= post.at else when_due(post)
            yield f"{told_in(post) or f'{post.trigger} to {envelope_of(post).to}'}, {due}"


def _step(entry: HistoryEntry) -> str:
    way = entry.dest if entry.source == entry.dest else f"{entry.source} -> {entry.dest}"
    told = f": {entry.reason}" if entry.reason else ""
    return f"{entry.trigger or entry.kind}, {way} ({entry.kind}){told}"


def _also(commit: Commit) -> Iterator[str]:
    if commit.status_field is not None:
        yield f"{commit.status_field.name} of its own row becomes {commit.after.state!r}"
    if any(post.kind is EventKind.ALIGN for post in commit.posts):
        yield "its branches and children that are under way are told"
    for other in commit.also:
        was = other.before.state if other.before is not None else other.after.state
        yield f"{other.after.address} goes back from {was} to {other.after.state}"
        yield from _also(other)
