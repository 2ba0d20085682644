"""What is died in: a kind of step, with what its clients call, and where it comes to rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsmflow import Machine
from fsmflow.engine.runtime import current
from fsmflow.operations import repairs
from fsmflow.operations.repair import Repair
from tests.attacks.killed import machines

When = Callable[[Any], bool]


def always(handle: Any) -> bool:
    """Of a call that comes as soon as the one before it has returned."""
    return True


@dataclass(frozen=True)
class Call:
    """One call of a client: made as soon as ``when`` holds, and repeated with its key by whoever comes after a client
    that died in it."""

    do: Callable[[type[Machine], str, str], object]
    when: When = always
    #: Whether the call leaves an entry with its key in the history of the entity.
    leaves_key: bool = True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of step. ``ends``: where its entities come to rest. ``same_shape``: whether a death changes nothing but
    the attempts that crash, so that all else in every history is what it is without one."""

    name: str
    machine: type[Machine]
    calls: Sequence[Call]
    ends: tuple[str, ...] = ("over",)
    others: tuple[type[Machine], ...] = ()
    same_shape: bool = True
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def all_machines(self) -> tuple[type[Machine], ...]:
        return (self.machine, *self.others)


def _start(**data: Any) -> Call:
    return Call(lambda machine, id_, key: machine.start(id_, data, key=key))


def _fire(trigger: str, when: When = always, **payload: Any) -> Call:
    return Call(lambda machine, id_, key: machine.get(id_).trigger(trigger, key=key, **payload), when)


def _act(action: str, *arguments: Any, when: When = always, **options: Any) -> Call:
    def do(machine: type[Machine], id_: str, key: str) -> object:
        return getattr(machine.get(id_), action)(*arguments, key=key, **options)

    return Call(do, when)


def _phase(phase: str) -> When:
    return lambda handle: bool(handle.phase == phase)


def _state(state: str) -> When:
    return lambda handle: bool(handle.state == state)


def _paused(handle: Any) -> bool:
    return bool(handle.paused)


def _all_paused(handle: Any) -> bool:
    branches = (type(handle).get(branch.address.partition(":")[2]) for branch in handle.branches)
    return bool(handle.paused) and all(branch.paused or branch.phase == "finished" for branch in branches)


def _branches(count: int) -> When:
    return lambda handle: len(handle.branches) >= count


def _start_many(machine: type[Machine], id_: str, key: str) -> object:
    return machine.start_many([(f"{id_}-{number}", {}) for number in range(4)], page=2, if_exists="return")


def _flush(machine: type[Machine], id_: str, key: str) -> object:
    return current().doorbell.client().flushall()


def _retry_branch(machine: type[Machine], id_: str, key: str) -> object:
    machines.mend()
    return machine.get(machine.get(id_).branches[1].address.partition(":")[2]).retry(key=key)


def _repair(machine: type[Machine], id_: str, key: str) -> object:
    return repairs.start(addresses=[machine.get(id_).address], data=MENDED, canary=1, rate="1/s", id=id_)


MENDED = {"mended": True}

KINDS = [
    Kind(name="job", machine=machines.Plain, calls=[_start()]),
    Kind(
        name="start or trigger",
        machine=machines.Waiting,
        calls=[
            Call(lambda machine, id_, key: machine.start_or_trigger(id_, "answer", key=key)),
        ],
    ),
    Kind(name="automatic retry", machine=machines.Retried, calls=[_start()]),
    Kind(name="failure for good", machine=machines.Failing, calls=[_start()], ends=("failed_from_one",)),
    Kind(
        name="retry by hand",
        machine=machines.Failing,
        calls=[
            _start(),
            _act("retry", when=_phase("failed"), data=MENDED),
        ],
    ),
    Kind(
        name="repair",
        machine=machines.Failing,
        others=(Repair,),
        calls=[_start(), Call(_repair, _phase("failed"), leaves_key=False)],
    ),
    Kind(name="skip", machine=machines.Failing, calls=[_start(), _act("skip", when=_phase("failed"))]),
    Kind(name="rewind", machine=machines.Plain, calls=[_start(), _act("rewind", "two", when=_state("over"))]),
    Kind(name="force", machine=machines.Failing, calls=[_start(), _act("force", "two", when=_phase("failed"))]),
    Kind(name="wait", machine=machines.Waiting, calls=[_start(), _fire("answer", _phase("waiting"))]),
    Kind(name="wait in vain", machine=machines.Waiting, calls=[_start()]),
    Kind(name="timer and delay", machine=machines.Timed, calls=[_start()]),
    Kind(name="jobs", machine=machines.SideBySide, calls=[_start()]),
    Kind(name="each", machine=machines.Listed, calls=[_start(items=[0, 1, 2])]),
    Kind(name="each, lazily", machine=machines.Lazy, calls=[_start()]),
    Kind(
        name="each, through a gate",
        machine=machines.Gated,
        calls=[Call(lambda machine, id_, key: machine.start(id_, {"at": id_}, key=key))],
        same_shape=False,
    ),
    Kind(
        name="each, retried",
        machine=machines.Mended,
        calls=[
            _start(),
            _act("retry", when=_phase("failed"), data=MENDED),
        ],
    ),
    Kind(
        name="retry of a branch",
        machine=machines.Repaired,
        calls=[_start(items=[0, 1, 2]), Call(_retry_branch, _phase("failed"))],
    ),
    Kind(name="child", machine=machines.Child, calls=[_start()], others=(machines.Parcel,)),
    Kind(name="nested", machine=machines.Nested, calls=[_start()], others=(machines.Lazy,)),
    Kind(name="transactional", machine=machines.Transactional, calls=[_start()]),
    Kind(
        name="at most once", machine=machines.Once, calls=[_start()], ends=("over", "failed_from_one"), same_shape=False
    ),
    Kind(name="undo", machine=machines.Undone, calls=[_start(items=[0, 1])], ends=("undone",)),
    Kind(name="send", machine=machines.Sending, calls=[_start()], others=(machines.Receiving,)),
    Kind(name="save and heartbeat", machine=machines.Saving, calls=[_start()]),
    Kind(name="deferred", machine=machines.Deferring, calls=[_start(), _fire("note")]),
    Kind(name="pause", machine=machines.Plain, calls=[_start(), _act("pause"), _act("resume", when=_paused)]),
    Kind(
        name="pause passed down",
        machine=machines.Listed,
        calls=[
            # No more than a page: none of them is made later than the others, when these are done.
            _start(items=[0, 1]),
            _act("pause", when=_branches(2)),
            _act("resume", when=_all_paused),
        ],
    ),
    Kind(
        name="cancel passed down",
        machine=machines.Nested,
        others=(machines.Lazy,),
        ends=("cancelled",),
        same_shape=False,
        calls=[_start(), _act("cancel", when=_branches(2))],
    ),
    Kind(name="schedule", machine=machines.Scheduled, calls=[]),
    Kind(name="start many", machine=machines.Plain, calls=[Call(_start_many, leaves_key=False)]),
    Kind(name="flush", machine=machines.Plain, calls=[_start(), Call(_flush, leaves_key=False)]),
]
