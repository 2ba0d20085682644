"""What a run left behind, read with plain SQL and from the files of the jobs and of the driver."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Source(Protocol):
    """What answers SQL."""

    kind: str

    def rows(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Entity:
    """A row of the entities."""

    row: int
    machine: str
    entity_id: str
    state: str
    phase: str
    epoch: int
    seq: int
    data: Mapping[str, Any]
    parent: int | None
    branch_of: str | None

    @property
    def address(self) -> str:
        return f"{self.machine}:{self.entity_id}"


@dataclass(frozen=True)
class Entry:
    """A row of the history. ``at`` is in milliseconds."""

    seq: int
    kind: str
    at: int
    trigger: str | None
    source: str | None
    dest: str
    epoch: int
    attempt: int | None
    key: str | None
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a job, as it was noted by the job itself. ``at`` is on the monotonic clock of the host."""

    address: str
    state: str
    key: str
    attempt: int
    pid: int
    at: float
    fails: bool
    host: str = ""


@dataclass(frozen=True)
class Call:
    """What the driver asked, and what it was answered: acknowledged, refused, unknown, or nothing (``asked``)."""

    what: str
    number: int
    key: str
    answer: str
    error: str = ""


@dataclass
class Facts:
    """All of it."""

    entities: list[Entity] = field(default_factory=list)
    histories: Mapping[int, list[Entry]] = field(default_factory=dict)
    ledger: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


def read(source: Source, folder: Path) -> Facts:
    """Read all that the run left in its database and its folder."""
    histories = defaultdict(list)
    trigger, key = (f"`{name}`" if source.kind == "mysql" else f'"{name}"' for name in ("trigger", "key"))
    columns = f"entity, seq, kind, at, {trigger}, source, dest, epoch, attempt, {key}, payload"
    for row, *values, payload in source.rows(f"SELECT {columns} FROM fsmflow_history ORDER BY entity, seq"):
        histories[row].append(Entry(*[*values, json.loads(payload or "{}")]))
    columns = "id, machine, entity_id, state, phase, epoch, seq, data, parent, branch_of"
    entities = [
        Entity(*(*values[:7], json.loads(values[7] or "{}"), *values[8:]))
        for values in source.rows(f"SELECT {columns} FROM fsmflow_entity ORDER BY id")
    ]
    ledger = [int(number) for (number,) in source.rows("SELECT voyage FROM chaos_ledger")]
    return Facts(
        entities=entities,
        histories=histories,
        ledger=ledger,
        runs=[Run(**line) for line in _lines(folder / "effects")],
        calls=_calls(_lines(folder / "acks")),
    )


def _calls(lines: Iterable[Mapping[str, Any]]) -> list[Call]:
    asked: dict[int, Mapping[str, Any]] = {}
    answers: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        (asked if line["answer"] == "asked" else answers)[line["id"]] = line
    return [
        Call(
            what=line["what"],
            number=line["number"],
            key=line["key"],
            answer=answers.get(id_, line)["answer"],
            error=answers.get(id_, {}).get("error", ""),
        )
        for id_, line in asked.items()
    ]


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
