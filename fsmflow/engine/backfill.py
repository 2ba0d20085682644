"""Starts the entities of ticks that are past and have none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from fsmflow.decision.course import Note, tick_id
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FAILED
from fsmflow.definition.schedule import ALL
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.schedules import Scheduled, birth_of
from fsmflow.engine.start import start_page
from fsmflow.errors import DataError, TransitionConflict

#: So many ticks at once.
MOST: Final = 10_000
_PAGE: Final = 200
_LOOK_S: Final = 0.5


def missing(runtime: Runtime, scheduled: Scheduled, begin: int, end: int) -> list[int]:
    """The ticks from one moment to another, these two included, that are past and have no entity. Raises DataError for
    more of them than one call deals with, and where some may have had one that was pruned."""
    pruned = runtime.store.retention.accounts().get(scheduled.name)
    if pruned is not None and begin <= pruned.begun_until:
        raise DataError(
            f"entities of {scheduled.name!r} that were started up to {tick_id(pruned.begun_until)} have been pruned: "
            f"nobody knows any more which of the ticks until then had one; begin after that"
        )
    between = scheduled.schedule.between(begin - 1, min(end, runtime.now()))
    ticks = list(islice(between, MOST + 1))
    if len(ticks) > MOST:
        raise DataError(f"there are more than {MOST:,} ticks in this span; take a shorter one, and then the next")
    there = runtime.store.entities.there(scheduled.name, [tick_id(tick) for tick in ticks])
    return [tick for tick in ticks if tick_id(tick) not in there]


def backfill(
    runtime: Runtime, scheduled: Scheduled, ticks: list[int], actor: Actor | None, told: Callable[[str], None]
) -> None:
    """Start an entity for each of these ticks, unless it is there; ``told`` of the address of each.

    Whoever is interrupted repeats it: what has been started is not started again. Where ``overlap`` lets no two run,
    each waits until the one before is finished; raises TransitionConflict where that fails.
    """
    if scheduled.schedule.overlap == ALL:
        pages = iter(ticks)
        while page := list(islice(pages, _PAGE)):
            start_page(runtime, scheduled.definition, [birth_of(tick, actor) for tick in page], skip=True)
            for tick in page:
                told(f"{scheduled.name}:{tick_id(tick)}")
    else:
        for tick in ticks:
            _one_by_one(runtime, scheduled, tick, actor)
            told(f"{scheduled.name}:{tick_id(tick)}")
    if ticks:
        about = f"{len(ticks)} from {tick_id(ticks[0])} to {tick_id(ticks[-1])}"
        note = Note.of(actor, "backfilled", runtime.now(), about=about)
        scheduled.change(lambda course: course.noting(note))


def _one_by_one(runtime: Runtime, scheduled: Scheduled, tick: int, actor: Actor | None) -> None:
    while True:
        _wait(runtime, scheduled)
        try:
            scheduled.start(birth_of(tick, actor))
            return
        except TransitionConflict:
            # Another one has been started in between, as by its tick.
            if scheduled.blocker() is None:
                raise


def _wait(runtime: Runtime, scheduled: Scheduled) -> None:
    """Wait until no entity keeps others from being started. Raises TransitionConflict for one that has failed."""
    while (blocker := scheduled.blocker()) is not None:
        found = runtime.store.entities.load_existing(scheduled.name, blocker.partition(":")[2])
        if found is not None and found.phase == FAILED:
            raise TransitionConflict(
                blocker,
                f"it has failed, and overlap={scheduled.schedule.overlap!r} lets no other one start. Retry or cancel "
                f"it, then repeat this: what was started so far stays",
            )
        runtime.idle(_LOOK_S)
