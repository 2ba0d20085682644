"""The methods for asyncio: each waiting one has one, with the same parameters; in a sandbox and in jobs they work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Machine, NestedAction, State, TransitionNotAllowed
from fsmflow.machine.job import JobMethods
from fsmflow.testing import Sandbox, sandbox

#: What a job calls while it runs, and what asks no database.
WITHOUT = {name for name in vars(JobMethods) if not name.startswith("_")} | {"name", "initial", "states", "transitions"}
QUIET = {"entity_id", "address", "state", "phase", "epoch", "created_at", "since", "paused", "data", "event"} | {
    *("failure", "attempt", "item", "plain_data"),
}


class Parcel(Machine):
    initial = "new"
    states = [State("new"), State("packing", job="pack"), State("packed", final=True)]
    transitions = [["pack_it", "new", "packing"], ["done", "packing", "packed"], ["hold", "packing", "new"]]

    async def pack(self) -> dict[str, Any]:
        if self.data.get("alone"):
            return {}
        other = await Parcel.astart(f"{self.entity_id}-2", alone=True)
        await other.atrigger("pack_it")
        try:
            await self.apause()
        except NestedAction as error:
            return {"other": other.state, "told": str(error)}
        return {}


class Written(Machine):
    """Its job writes in its own transaction."""

    initial = "writing"
    states = [State("writing", job="write", transactional=True), State("written", final=True)]
    transitions = [["done", "writing", "written"]]

    async def write(self) -> None:
        await Parcel.astart("first", if_exists="return")
        if not self.data["good"]:
            await Parcel.astart("of one that fails")
            raise LookupError("it fails")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Parcel, Written]) as found:
        yield found


def names() -> list[str]:
    return [name for name in dir(Machine) if not name.startswith("_") and name not in WITHOUT | QUIET]


def parameters(function: Any) -> list[tuple[Any, ...]]:
    return [
        (each.name, each.kind, each.default, each.annotation)
        for each in inspect.signature(function).parameters.values()
    ]


def test_each_method_that_waits_has_one_to_await_with_the_same_parameters() -> None:
    awaited = {
        "until" if name == "awaits" else name for name in names() if name.startswith("a") and name[1:] in names()
    }
    assert set(names()) == awaited | {name[1:] for name in awaited} | {"until", "wait"}
    for name in sorted(awaited | {"until"}):
        mine, other = getattr(Machine, name), getattr(Machine, "wait" if name == "until" else name[1:])
        if not isinstance(other, property):
            assert parameters(mine) == parameters(other), name
        assert inspect.iscoroutinefunction(mine) == (name not in ("abranches", "afind")), name


def test_what_has_no_method_to_await_asks_no_database(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    Parcel.start("1", for_whom="Ada")
    parcel = Parcel.get("1")
    statements: list[str] = []
    run = box.database.execute_sql

    def execute_sql(sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return run(sql, *rest)

    monkeypatch.setattr(box.database, "execute_sql", execute_sql)
    for name in sorted(QUIET):
        getattr(parcel, name)
    assert statements == []
    assert len(parcel.history) == len(statements) == 1


def test_an_entity_lives_its_life_by_what_is_awaited(box: Sandbox) -> None:
    async def main() -> None:
        parcel = await Parcel.astart("1", within_days=3, act="a field")
        assert [offer.trigger for offer in await parcel.atriggers()] == ["pack_it", "cancel"]
        assert (await parcel.awhat_if("pack_it")).state == "packing"
        await parcel.atrigger("pack_it")
        with pytest.raises(TransitionNotAllowed):
            await parcel.atrigger("pack_it")
        assert (await parcel.until(timeout=timedelta(seconds=5))).state == "packed"
        assert "'pause'" in parcel.data["told"]
        assert [entry.trigger for entry in await parcel.ahistory()] == [None, "pack_it", "done"]
        assert {each.entity_id async for each in Parcel.afind(state="packed")} == {"1", "1-2"}
        assert await Parcel.acounts() == {"packed": 2}
        assert [branch async for branch in parcel.abranches()] == []
        assert await parcel.aprogress() is await parcel.aparent() is None

    asyncio.run(main())


def test_a_task_of_the_same_loop_brings_about_what_another_waits_for(box: Sandbox) -> None:
    async def main() -> None:
        parcel = await Parcel.astart("1", alone=True)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(parcel.until("packed"))
            also = tasks.create_task((await Parcel.aget("1")).until("packed"))
            tasks.create_task((await Parcel.aget("1")).atrigger("pack_it"))
        assert waiting.result().state == also.result().state == "packed"

    asyncio.run(main())


def test_in_a_transactional_job_it_is_part_of_the_transaction(box: Sandbox) -> None:
    Written.start("good", good=True)
    Written.start("bad", good=False)
    box.run()
    assert Written.counts() == {"written": 1, "failed_from_writing": 1}
    assert [parcel.entity_id for parcel in Parcel.find()] == ["first"]
