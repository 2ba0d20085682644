"""Limits as people see them: who waits in which line, behind how many, and who has what is waited for."""

from __future__ import annotations

from typing import Final

from fsmflow import clock
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import reach_of
from fsmflow.store.usage import MOST, Holder, Used

#: So many who have a permit are named in a sentence.
_NAMED: Final = 5


def told_of_line(runtime: Runtime, row: int) -> str:
    """In which line an entity waits, in words. Four queries."""
    usage, now = runtime.store.usage, runtime.now()
    waiter = usage.waiter(row)
    found = None if waiter is None else next(iter(usage.used(now, name=waiter.name)), None)
    if waiter is None or found is None:
        return "a permit of a limit, for which it asks again"
    before = (
        f"behind {waiter.before:,} others"
        if waiter.before > 1
        else ("behind one other", "the first")[not waiter.before]
    )
    since = clock.to_datetime(waiter.since)
    return f"a permit of {told(found)}, {before} in line since {since:%Y-%m-%d %H:%M:%S} UTC{_why(runtime, found)}"


def told(used: Used) -> str:
    """A limit with what it allows."""
    both = (("running", used.running), ("per_minute", used.per_minute))
    return f"limit {used.name!r} ({', '.join(f'{name}={number}' for name, number in both if number is not None)})"


def _why(runtime: Runtime, used: Used) -> str:
    if used.room_at is not None:
        return (
            f"; {used.started:,} began within a minute, the next may at "
            f"{clock.to_datetime(used.room_at):%Y-%m-%d %H:%M:%S} UTC"
        )
    holders = runtime.store.usage.holders(_NAMED, name=used.name)
    if not holders:
        return ""
    more = used.held - len(holders)
    return f"; held by {', '.join(map(_holder, holders))}{f' and {more:,} more' if more > 0 else ''}"


def _holder(holder: Holder) -> str:
    return f"{holder.address} (since {clock.to_datetime(holder.at):%H:%M:%S})"


def in_use(runtime: Runtime, actor: Actor | None, *, name: str | None = None) -> list[Used]:
    """The limits that were met of late, as somebody may see them. Two queries."""
    return runtime.store.usage.used(runtime.now(), name=name, reach=reach_of(runtime, actor))


def holders_of(runtime: Runtime, actor: Actor | None, *, name: str | None = None) -> list[Holder]:
    """Who has permits, of those that are there for somebody; up to a thousand. One query."""
    return runtime.store.usage.holders(MOST, name=name, reach=reach_of(runtime, actor))
