"""Priorities within a queue. Each but the usual one is a queue of its own in RQ, which those who listen on the queue
look into before it, or after it: ``default/high``, ``default``, ``default/low``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

NORMAL: Final = "normal"
#: The most urgent one first.
PRIORITIES: Final = ("high", NORMAL, "low")


def ranked(queue: str, priority: str) -> str:
    """The queue in which jobs of this priority wait."""
    return queue if priority == NORMAL else f"{queue}/{priority}"


def queue_below(name: str) -> str:
    """The queue of which this one holds the jobs of one priority; itself where it holds the usual ones."""
    base, _, priority = name.rpartition("/")
    return base if base and priority in PRIORITIES and priority != NORMAL else name


def in_rank(names: Iterable[str]) -> list[str]:
    """These queues, those of one queue together and the most urgent one first."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(queue_below(name), set()).add(name)
    return [
        name
        for queue, there in found.items()
        for name in (ranked(queue, priority) for priority in PRIORITIES)
        if name in there
    ]
