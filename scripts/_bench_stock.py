"""What years leave in a database besides entities: long histories, many branches, repairs, holds, what is stuck."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from _bench_machines import BenchOrder, BenchParcel
from fsmflow import Actor, feeds, holds
from fsmflow.decision.commit import EventKind, Post
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.member import Fate, Member
from fsmflow.decision.start import begin
from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import Selection
from fsmflow.operations.plan import Plan
from fsmflow.operations.report import FATES
from fsmflow.store.columns import (
    EVENT_COLUMNS,
    HISTORY_COLUMNS,
    MEMBER_COLUMNS,
    NEW_ENTITY_COLUMNS,
    TERM_COLUMNS,
    entry_values,
    member_values,
    new_entity_values,
    post_values,
)
from fsmflow.store.listing import Filter
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, MEMBER, TERM, WORK
from fsmflow.values import replace

#: One order has so many lines of history, and another one so many parcels.
LINES: Final = 10_000
PARCELS: Final = 10_000
#: So many repairs have been done, the last one to all that failed, the others to so many each.
REPAIRS: Final = 60
MEMBERS: Final = 2_000
#: So many jobs, and messages, were tried in vain.
STUCK: Final = 2_000
_PAGE: Final = 200
_DAY_MS: Final = 86_400_000
LONG, WIDE = "long", "wide"


class Stock:
    """Puts all of it into a database that has entities; once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._link = runtime.store.link
        self._begun = begin(runtime.machines.get(BenchOrder.name), "0", {}, None, None, 0)

    def fill(self) -> None:
        """All of it in one transaction, so that it is there wholly or not at all."""
        if self._runtime.store.entities.load(BenchOrder.name, LONG) is not None:
            return
        failed = list(self._runtime.store.listing.find(Filter(machine=BenchOrder.name, phase="failed")))
        with self._link.transaction():
            self._long()
            self._wide()
            self._repairs(failed)
            self._stuck()
        feeds.begin("bench", "beginning")
        hold = holds.hold(BenchOrder.name, state="charging", reason="bank maintenance", actor=Actor("bench"))
        parked = f"UPDATE {WORK} SET parked = {self._link.mark}, wake_at = {FAR_FUTURE_MS} WHERE MOD(entity, 2) = 0"
        self._link.write(lambda: self._link.execute(parked, (hold.number,)))
        if self._link.dialect.name == "postgresql":
            for table in (ENTITY, WORK, EVENT, MEMBER, TERM):
                self._link.execute(f"VACUUM ANALYSE {table}")

    def _long(self) -> None:
        (row,) = self._insert([replace(self._begun.after, entity_id=LONG, seq=LINES)])
        entry = self._begun.entries[0]
        made = [(row, *entry_values(replace(entry, seq=number + 1), "0" * 16)) for number in range(LINES)]
        self._many(HISTORY, HISTORY_COLUMNS, made)

    def _wide(self) -> None:
        whole = replace(self._begun.after, entity_id=WIDE, state="shipping", phase="working", step=4)
        (row,) = self._insert([whole])
        parcel = begin(self._runtime.machines.get(BenchParcel.name), "0", {}, None, None, 0).after
        self._insert(
            [
                replace(
                    parcel,
                    entity_id=f"{whole.address}/shipping/{number}",
                    parent=row,
                    parent_step=4,
                    parent_index=number,
                    standing=Standing.ACTIVE,
                )
                for number in range(PARCELS)
            ]
        )

    def _repairs(self, failed: Sequence[Snapshot]) -> None:
        definition = self._runtime.machines.get("repair")
        for number in range(REPAIRS):
            members = failed if number == REPAIRS - 1 else failed[:MEMBERS]
            made = [_member(0, *each) for each in enumerate(members)]
            fates = Counter(each.fate.value for each in made)
            row = self._repair(definition, number, None if number == REPAIRS - 1 else fates)
            self._many(MEMBER, MEMBER_COLUMNS, [member_values(replace(each, repair=row)) for each in made])

    def _repair(self, definition: Definition, number: int, fates: Mapping[str, int] | None) -> int:
        """A repair that is done, and has kept what became of how many; or one that is stopped."""
        plan = Plan(selection=Selection(machine=BenchOrder.name, phase="failed"), canary=5, **Plan.person(Actor("ada")))
        made = begin(definition, f"2030-{number:04}", {}, None, None, self._runtime.now()).after
        data = {**plan.to_data(), "confirmed": True, "turn": 1, "team": "acme", **({FATES: fates} if fates else {})}
        place = ("done", "finished") if fates else ("stopped", "waiting")
        made = replace(made, state=place[0], phase=place[1], data_text=json.dumps(data), work=None)
        (row,) = self._insert([made])
        self._many(TERM, TERM_COLUMNS, self._runtime.store.search.rows(replace(made, row=row), ("team",)))
        return row

    def _stuck(self) -> None:
        why = "GuardError: no answer"
        tried = f"UPDATE {WORK} SET tries = 5, why = {self._link.mark} WHERE entity IN "
        self._link.execute(f"{tried}(SELECT entity FROM {WORK} ORDER BY entity LIMIT {STUCK})", (why,))
        found = self._runtime.store.listing.find(Filter(machine=BenchOrder.name, phase="waiting"), limit=STUCK)
        now = self._runtime.now()
        text = json.dumps({"to": "bench_parcel:0", "payload": {}, "key": None, "start": None})
        posts = [
            (
                each.row,
                *post_values(
                    Post(
                        kind=EventKind.LOST,
                        trigger="deliver",
                        text=text,
                        at=now,
                        due_at=FAR_FUTURE_MS,
                        tries=5,
                        why=why,
                    )
                ),
            )
            for each in found
        ]
        self._many(EVENT, EVENT_COLUMNS, posts)

    def _insert(self, entities: Sequence[Snapshot]) -> list[int]:
        self._many(ENTITY, NEW_ENTITY_COLUMNS, [new_entity_values(each) for each in entities])
        return [
            each.row
            for first in range(0, len(entities), _PAGE)
            for each in self._runtime.store.entities.with_rows(entities[first : first + _PAGE])
        ]

    def _many(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        for first in range(0, len(rows), _PAGE):
            self._link.execute(*self._link.dialect.insert_many(table, columns, rows[first : first + _PAGE]))


def _member(repair: int, number: int, entity: Snapshot) -> Member:
    fates = (Fate.RECOVERED, Fate.RECOVERED, Fate.FAILED_ALIKE, Fate.PENDING)
    return Member(
        repair=repair,
        entity=entity.row,
        address=entity.address,
        epoch=entity.epoch,
        state=entity.state,
        fingerprint=entity.fingerprint,
        would="charging",
        job="work",
        fate=fates[number % len(fates)],
        turn=1,
        asked_epoch=entity.epoch + 1,
        asked_at=entity.updated_at,
        settled_at=entity.updated_at,
    )
