"""The sections of ``fsmflow top``: what stands in each, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fsmflow import clock
from fsmflow.cli import output
from fsmflow.cli.board import Board, processes_of
from fsmflow.definition.names import CANCELLED, FAILED, FINISHED, WORKING
from fsmflow.operations.alarms import Raised
from fsmflow.values import dataclass

STATE: Final = "state"
GROUP: Final = "group"
ENTITY: Final = "entity"
QUEUE: Final = "queue"
WORKER: Final = "worker"
REPAIR: Final = "repair"
ALARM: Final = "alarm"
SET_ASIDE: Final = "what is set aside"

_STYLES: Final = {FAILED: "red", FINISHED: "green", WORKING: "cyan"}
#: States of a repair in which it waits for a person.
_RESTS: Final = ("previewed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row. ``kind`` and ``name`` say what it is about, from one look to the next; ``count``: how many entities."""

    kind: str
    name: str
    cells: tuple[str, ...]
    style: str = ""
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Section:
    """Rows under a title, which is the name of the first column. Columns whose name begins with ``>`` stand at the
    right of their place; the last one that has no such mark is cut where there is no room. ``nothing`` is told where
    there is no row."""

    columns: tuple[str, ...]
    items: Sequence[Item]
    nothing: str = ""

    @property
    def title(self) -> str:
        return self.columns[0]


def sections_of(board: Board) -> tuple[Section, ...]:
    """All of them, the most telling first."""
    return (
        Section(
            columns=("STATES", ">ENTITIES", ">OLDEST"),
            items=[*_states(board)],
            nothing="there is no entity yet",
        ),
        Section(
            columns=("FAILURES", ">COUNT", ">LAST", "STATE", "ERROR"),
            items=[*_groups(board), *_set_aside(board)],
            nothing="nothing that failed waits for somebody",
        ),
        *([] if board.alarms is None else [_alarms(board, board.alarms)]),
        Section(
            columns=("RUNNING", "STATE", ">ATTEMPT", ">THERE FOR"),
            items=[*_running(board)],
            nothing="no job runs",
        ),
        Section(
            columns=("REPAIRS", "STATE", "REPORT"),
            items=[*_repairs(board)],
            nothing="there is none",
        ),
        Section(
            columns=("QUEUES", ">PROCESSES", ">WAITING FOR"),
            items=[*_queues(board)],
            nothing="no machine has jobs",
        ),
        Section(
            columns=("WORKERS", ">UP FOR", "RELEASE", "QUEUES"),
            items=[*_workers(board)],
            nothing=f"not known: {board.unheard}" if board.unheard else "none runs: start 'fsmflow worker'",
        ),
    )


def _states(board: Board) -> Iterator[Item]:
    for each in board.counts:
        name = f"{each.machine}:{each.state}"
        is_overdue = (each.machine, each.state) in board.overdue
        style = "yellow" if is_overdue else _STYLES.get(board.phases.get((each.machine, each.state), ""), "")
        cells = (name, f"{each.count:,}", f"{_ago(board, each.since)}{', overdue' if is_overdue else ''}")
        yield Item(kind=STATE, name=name, cells=cells, style=style, count=each.count)


def _groups(board: Board) -> Iterator[Item]:
    for each in board.groups:
        error = output.one_line(f"{each.error_type}: {each.message}")
        last = output.duration(max(0, board.now - round(each.last_at.timestamp() * 1000)))
        cells = (each.short, f"{each.count:,}", last, f"{each.machine}:{each.state}", error)
        yield Item(kind=GROUP, name=each.id, cells=cells, style="red", count=each.count)


def _set_aside(board: Board) -> Iterator[Item]:
    """That entities rest in groups which somebody called resolved, or to be ignored."""
    if board.set_aside:
        count = sum(each.count for each in board.set_aside)
        cells = ("set aside", f"{count:,}", "", "resolved, ignored", "failures --all")
        yield Item(kind=SET_ASIDE, name=SET_ASIDE, cells=cells, style="dim")


def _alarms(board: Board, raised: Sequence[Raised]) -> Section:
    items = []
    for each in raised:
        ago = "" if each.since is None else output.duration(max(0, board.now - clock.from_datetime(each.since)))
        text = f"{'silent: ' if each.silent else ''}{each.text}"
        style = "dim" if each.silent else "red"
        items.append(Item(kind=ALARM, name=each.address, cells=(each.address, ago, text), style=style))
    return Section(columns=("ALARMS", ">FOR", "WHAT"), items=items, nothing="none is raised")


def _running(board: Board) -> Iterator[Item]:
    for each in board.running:
        work = each.work
        attempt = "" if work is None else str(work.attempt)
        done = "" if work is None or work.progress is None else f" {work.progress:.0%}"
        cells = (each.address, f"{each.state}{done}", attempt, _ago(board, each.entered_at))
        yield Item(kind=ENTITY, name=each.address, cells=cells, style="cyan")


def _repairs(board: Board) -> Iterator[Item]:
    for each, report in board.repairs:
        state = f"{each.state}, paused" if each.paused else each.state
        style = "yellow" if each.state in _RESTS else "red" if each.phase == FAILED else ""
        is_over = each.phase == FINISHED or each.state == CANCELLED
        cells = (each.entity_id, state, str(report))
        yield Item(kind=REPAIR, name=each.entity_id, cells=cells, style="dim" if is_over else style)


def _queues(board: Board) -> Iterator[Item]:
    for name, since in board.oldest.items():
        processes = processes_of(board, name)
        listens = "not known" if processes is None else f"{processes:,}"
        cells = (name, listens, _ago(board, since))
        yield Item(kind=QUEUE, name=name, cells=cells, style="yellow" if processes == 0 else "")


def _workers(board: Board) -> Iterator[Item]:
    for each in board.workers:
        up = output.duration(max(0, board.now - each.since))
        cells = (f"{each.host} {each.pid}", up, each.release or "not known", ", ".join(each.queues))
        yield Item(kind=WORKER, name=each.name, cells=cells)


def _ago(board: Board, since: int | None) -> str:
    return "" if since is None else output.duration(max(0, board.now - since))
