"""What has to hold once all is done, wherever processes were killed on the way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

from fsmflow import HistoryEntry, Machine
from tests.attacks.killed.kinds import Kind
from tests.attacks.killed.machines import LEDGER

#: What a death may add, or stand in for: attempts that ended without leading on, and that a message comes too early.
_OF_THE_MOMENT = {"attempt_failed", "crashed", "deferred"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[^/]*Z")

Shape = dict[str, list[str]]


class Ended(Protocol):
    """A run that has come to its end, as it is looked at from its last process."""

    @property
    def kind(self) -> Kind: ...
    @property
    def run(self) -> str: ...
    @property
    def deaths(self) -> int: ...
    @property
    def counts_crashes(self) -> bool: ...
    @property
    def calls_returned(self) -> int: ...
    @property
    def first_row(self) -> int: ...
    @property
    def began(self) -> datetime: ...
    @property
    def effects(self) -> list[tuple[str, str, str]]: ...
    def rows(self, sql: str, *values: Any) -> list[Any]: ...
    def left_over(self) -> list[tuple[str, str]]: ...


def family_of(ended: Ended) -> dict[str, Machine]:
    """All entities that a run made, by address."""
    kinds = {kind._compiled().name: kind for kind in ended.kind.all_machines}
    rows = ended.rows("SELECT machine, entity_id FROM fsmflow_entity WHERE id >= ? ORDER BY id", ended.first_row)
    return {f"{machine}:{id_}": kinds[machine].get(id_) for machine, id_ in rows}


def shape_of(ended: Ended) -> Shape:
    """What is to be the same with and without deaths: the histories but for attempts, and how many idempotency keys
    each step had. Under ``runs`` how often each job ran, which is not."""
    shape: Shape = {}
    for address, entity in family_of(ended).items():
        lines = [_line(entry) for entry in entity.history if entry.kind not in _OF_THE_MOMENT]
        shape[f"history {_relative(ended, address)}"] = [*sorted(lines), f"ends in {entity.state}"]
    keys: dict[str, set[str]] = {}
    runs: Counter[str] = Counter()
    for address, state, key in ended.effects:
        place = f"{_relative(ended, address)} {state}"
        keys.setdefault(place, set()).add(key)
        runs[place] += 1
    shape |= {f"keys {place}": [str(len(found))] for place, found in keys.items()}
    return shape | {f"runs {place}": [str(count)] for place, count in runs.items()}


def _relative(ended: Ended, address: str) -> str:
    return _MOMENT.sub("*", address.replace(ended.run, "*"))


def _line(entry: HistoryEntry) -> str:
    return f"{entry.kind} {entry.trigger} {entry.source} > {entry.dest}"


def faults_of(ended: Ended, found: Shape, alive: Shape | None) -> list[str]:
    """All that is wrong. ``alive``: the shape of a run of this kind in which nothing died, or None for such a run."""
    family = family_of(ended)
    faults = [f"left over: {what}" for what in ended.left_over()]
    faults += [fault for address, entity in family.items() for fault in _of_history(address, entity)]
    faults += [*_of_ends(ended, family), *_of_calls(ended, family), *_of_ledger(ended, family)]
    faults += [*_of_at_most_once(ended, family), *_of_ticks(ended, family)]
    if alive is not None:
        faults += _of_runs(ended, family, found, alive)
        if ended.kind.same_shape:
            faults += _of_shape(found, alive)
    return faults


def _of_history(address: str, entity: Machine) -> Iterator[str]:
    """Without gaps; each entry goes on from the one before; each epoch is entered once; it ends where the entity is."""
    history = list(entity.history)
    if [entry.seq for entry in history] != list(range(1, len(history) + 1)):
        yield f"{address}: a gap in its history: {[entry.seq for entry in history]}"
    for before, after in pairwise(history):
        if after.source not in (None, before.dest):
            yield f"{address}: entry {after.seq} goes on from {after.source}, and it was in {before.dest}"
        if after.epoch < before.epoch:
            yield f"{address}: entry {after.seq} goes back to epoch {after.epoch}"
    entered = Counter(entry.epoch for entry in history if entry.kind in ("transition", "skipped", "rewound", "forced"))
    for epoch, count in entered.items():
        if count > 1:
            yield f"{address}: epoch {epoch} was entered {count} times"
    if history[-1].dest != entity.state or history[-1].epoch != entity.epoch:
        yield f"{address}: is in {entity.state}, epoch {entity.epoch}; its history ends with {history[-1]}"


def _of_ends(ended: Ended, family: dict[str, Machine]) -> Iterator[str]:
    tops = {address: entity for address, entity in family.items() if type(entity) is ended.kind.machine}
    tops = {address: entity for address, entity in tops.items() if "/" not in address}
    if not tops:
        yield "there is no entity"
    if all(entity.phase == "finished" for entity in tops.values()):
        below = {
            address: entity.phase for address, entity in family.items() if entity.phase not in ("finished", "failed")
        }
        yield from (f"{address}: is {phase}, and its parent is finished" for address, phase in below.items())
    for address, entity in tops.items():
        if entity.state not in ended.kind.ends:
            yield f"{address}: rests in {entity.state}, and was to come to {' or '.join(ended.kind.ends)}"
        if entity.state.startswith("failed_from") and ended.deaths and entity.failure is None:
            yield f"{address}: has failed without a failure"


def _of_calls(ended: Ended, family: dict[str, Machine]) -> Iterator[str]:
    """Each call that returned has been applied once, those that a killed client had to repeat among them."""
    if ended.calls_returned < len(ended.kind.calls):
        yield f"only {ended.calls_returned} of {len(ended.kind.calls)} calls could be made"
    for number, call in enumerate(ended.kind.calls[: ended.calls_returned]):
        entries = [entry for entity in family.values() for entry in entity.history if entry.key == f"key-{number}"]
        if call.leaves_key and len(entries) != 1:
            yield f"call {number} was applied {len(entries)} times"


def _of_ledger(ended: Ended, family: dict[str, Machine]) -> Iterator[str]:
    for address, entity in family.items():
        ((count,),) = ended.rows(f"SELECT COUNT(*) FROM {LEDGER} WHERE address = ?", address)
        booked = sum(entry.source == "booking" and entry.trigger == "done" for entry in entity.history)
        if count != booked:
            yield f"{address}: booked {booked} times, and its transactional job has written {count} times"


def _of_at_most_once(ended: Ended, family: dict[str, Machine]) -> Iterator[str]:
    for address, entity in family.items():
        states = type(entity)._compiled().states
        runs = Counter(state for of, state, _ in ended.effects if of == address)
        for state in (name for name, spec in states.items() if spec.at_most_once):
            if runs[state] > 1:
                yield f"{address}: the job of {state}, which runs at most once, ran {runs[state]} times"
            failed = entity.state == f"failed_from_{state}"
            if failed and (entity.failure is None or entity.failure.error_type != "WorkerLost"):
                yield f"{address}: has failed with {entity.failure}, not with WorkerLost"


def _of_ticks(ended: Ended, family: dict[str, Machine]) -> Iterator[str]:
    """The first tick of a month since the run began has led to an entity, and no other has."""
    if ended.kind.machine._compiled().wide.schedule is None:
        return
    tick = (ended.began.replace(day=1, hour=0, minute=0, second=0) + timedelta(days=32)).replace(day=1)
    addresses = [f"{ended.kind.machine._compiled().name}:{tick:%Y-%m-%dT%H:%M:%SZ}"]
    if list(family) != addresses:
        yield f"the schedule has started {list(family)}, and was to start {addresses}"


def _of_runs(ended: Ended, family: dict[str, Machine], found: Shape, alive: Shape) -> Iterator[str]:
    """Each run of a job is one that ended, or one whose process was killed."""
    crashed: Counter[str] = Counter()
    for address, entity in family.items():
        for entry in entity.history:
            if entry.kind == "crashed":
                crashed[f"runs {_relative(ended, address)} {entry.source or entry.dest}"] += 1
    default = "0" if ended.kind.same_shape else "1"
    for place in (name for name in found if name.startswith("runs ")):
        runs, usual = int(found[place][0]), int(alive.get(place, [default])[0])
        more = crashed[place] if ended.counts_crashes else ended.deaths
        if runs > usual + more:
            yield f"{place}: {runs}, and {usual} without a death; {more} more can be explained"


def _of_shape(found: Shape, alive: Shape) -> Iterator[str]:
    for place in sorted({*found, *alive}):
        if not place.startswith("runs ") and found.get(place) != alive.get(place):
            yield f"{place}: {found.get(place)}, and without a death {alive.get(place)}"
