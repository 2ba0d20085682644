"""What limits come to, as values: who may run, who waits for that and since when, and what began within a minute.

A permit belongs to a claim. It is good for as long as that claim is the live one, so nobody has to give it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from fsmflow.decision.terms import MISSING, value_at
from fsmflow.decision.work import Work
from fsmflow.settings.limits import Limit
from fsmflow.values import dataclass, replace

#: How long the room that somebody was called for is kept free.
CALL_MS: Final = 20_000
#: Starts count for so many seconds. It is a little more than a minute: a job begins a moment after it was counted, and
#: the clocks of hosts are not quite the same.
_COUNTED_S: Final = 61


class Stage(IntEnum):
    """How somebody stands to a limit: has a permit; was called, as there is room; waits in line; is in line, and was
    not to be had when its turn came: it is paused, held, or its time to answer was over. It keeps its place."""

    HELD = 0
    CALLED = 1
    WAITING = 2
    AWAY = 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A limit as one entity meets it: ``key`` is its name with the values of that."""

    key: str
    name: str
    running: int | None
    per_minute: int | None

    @property
    def told(self) -> str:
        """In words."""
        both = (("running", self.running), ("per_minute", self.per_minute))
        numbers = ", ".join(f"{name}={number}" for name, number in both if number is not None)
        return f"limit {self.key!r} ({numbers})"


def wanted_of(limits: Iterable[Limit], data: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """What a job has to have a permit of, in the order in which that is asked for. Of two limits that come to the same
    key, as two queues may, each number is the smaller one."""
    found: dict[str, Wanted] = {}
    for limit in limits:
        values = {name: value_at(data, name) for name in limit.fields}
        key = limit.key({name: value for name, value in values.items() if value is not MISSING})
        one = Wanted(key=key, name=limit.name, running=limit.running, per_minute=limit.per_minute)
        other = found.get(key)
        found[key] = (
            one
            if other is None
            else replace(
                one,
                running=_smaller(one.running, other.running),
                per_minute=_smaller(one.per_minute, other.per_minute),
            )
        )
    return tuple(found[key] for key in sorted(found))


def _smaller(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """How many began in each second, as far as that counts."""

    by_second: Mapping[int, int]

    @classmethod
    def of_text(cls, text: str) -> Starts:
        return cls(by_second={int(second): count for second, count in json.loads(text).items()})

    def to_text(self) -> str:
        return json.dumps({str(second): count for second, count in sorted(self.by_second.items())})

    def count(self, now: int) -> int:
        """How many began within the last minute. What a clock that goes ahead has counted, counts too."""
        first = now // 1000 - _COUNTED_S
        return sum(count for second, count in self.by_second.items() if second >= first)

    def with_one(self, now: int) -> Starts:
        """The same once one more has begun; what counts no more is left out."""
        second = now // 1000
        kept = {each: count for each, count in self.by_second.items() if each >= second - _COUNTED_S}
        return Starts(by_second={**kept, second: kept.get(second, 0) + 1})

    def room_at(self, now: int, per_minute: int) -> int:
        """When there is room for one more than now: as enough of the oldest count no more."""
        over, first = self.count(now) - per_minute, now // 1000 - _COUNTED_S
        if over < 0:
            return now
        for second, count in sorted(self.by_second.items()):
            if second < first:
                continue
            over -= count
            if over < 0:
                return (second + _COUNTED_S + 1) * 1000
        return now


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Who has a permit, or wants one, with what the entity has to do as it is now. ``most``: of how many the permit
    was one."""

    entity: int
    stage: Stage
    epoch: int
    attempt: int
    fence: int
    owner: str | None
    since: int
    at: int
    most: int | None
    work: Work | None

    @property
    def is_gone(self) -> bool:
        """Whether the entity has left the step that this was for."""
        return self.work is None or self.work.epoch != self.epoch

    @property
    def has_permit(self) -> bool:
        """Whether it has a permit that is good: the claim that it is of is the live one."""
        work = self.work
        if self.stage is not Stage.HELD or work is None or self.owner is None:
            return False
        return (work.epoch, work.attempt, work.fence, work.owner) == (self.epoch, self.attempt, self.fence, self.owner)

    @property
    def has_ended(self) -> bool:
        """Whether it had a permit for an attempt that has ended. One that was given back before it began has not."""
        return self.stage is Stage.HELD and (self.work is None or self.work.attempt != self.attempt)

    def is_expected(self, now: int) -> bool:
        """Whether it was called, and may come yet."""
        work = self.work
        if self.stage is not Stage.CALLED or work is None or self.is_gone:
            return False
        return now - self.at < CALL_MS and work.held is None and work.parked is None

    @property
    def is_in_line(self) -> bool:
        """Whether it waits, and comes when it is called."""
        return self.stage is Stage.WAITING and not self.is_gone and self.work is not None and self.work.is_in_line

    @property
    def place(self) -> tuple[int, int]:
        """Who has a smaller one is before it in line."""
        return (self.since, self.entity)
