"""What ``fsmflow worker --queues`` says: which queues, how often each has its turn, and how many of its jobs run beside
each other."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

import click

from fsmflow.definition.priority import queue_below
from fsmflow.values import dataclass

#: So many jobs run beside each other in a process at most.
MOST_AT_ONCE: Final = 10_000
#: A queue, how many of its jobs run beside each other in a process, and how often it has its turn.
_QUEUE: Final = re.compile(r"(?P<name>.+?)(:(?P<limit>\d{1,5}))?(=(?P<share>\d{1,4}))?")
#: The two numbers the other way round.
_TURNED: Final = re.compile(r"(?P<name>.+)=(?P<share>\d{1,4}):(?P<limit>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class Queues:
    """The queues that are meant, in their order; none where nothing was said. ``shares`` of all of them, or of none.
    ``concurrency``: how many jobs run beside each other in a process; ``limits``: how many of a queue, where not all
    of these may be of it."""

    concurrency: int
    names: list[str] = field(default_factory=list)
    shares: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


def read_queues(text: str | None, concurrency: int, threads: int) -> Queues:
    """Read them, beside what else is said of how many run at once. Without ``--concurrency`` that is the sum of what
    the queues say, and one for each that says nothing. Raises UsageError."""
    if text is None:
        return Queues(concurrency=concurrency)
    said = [_QUEUE.fullmatch(name.strip()) for name in text.split(",")]
    found = [each for each in said if each is not None and each["name"].isprintable()]
    if None in said or not found:
        raise click.UsageError(f"--queues {text!r} is no list of names separated by commas, as in default,slow")
    names = list(dict.fromkeys(each["name"] for each in found))
    shares = {each["name"]: int(each["share"]) for each in found if each["share"]}
    limits = {each["name"]: int(each["limit"]) for each in found if each["limit"]}
    _check(text, names, shares, limits)
    if limits and concurrency:
        _check_room(text, limits, concurrency, threads)
    elif limits:
        concurrency = _sum(text, [limits.get(name, 1) for name in names])
        limits = {name: limits.get(name, 1 + threads) for name in names}
    return Queues(concurrency=concurrency, names=names, shares=shares, limits=limits)


def _sum(text: str, numbers: list[int]) -> int:
    found = sum(numbers)
    if found > MOST_AT_ONCE:
        raise _wrong(text, f"that is {found} jobs at once in each process, and {MOST_AT_ONCE} are the most")
    return found


def _check_room(text: str, limits: dict[str, int], concurrency: int, threads: int) -> None:
    room = f"--concurrency {concurrency}{f' and --threads {threads}' if threads else ''}"
    for name, limit in limits.items():
        if limit > concurrency + threads:
            raise _wrong(
                text,
                f"{name}:{limit} is more than there is room for beside each other: {room}. "
                f"Give a higher --concurrency, or none",
            )


def _check(text: str, names: list[str], shares: dict[str, int], limits: dict[str, int]) -> None:
    for name in text.split(","):
        turned = _TURNED.fullmatch(name.strip())
        if turned is not None:
            right = f"{turned['name']}:{turned['limit']}={turned['share']}"
            raise _wrong(text, f"how many at once comes before the share, as in {right}")
    if (shares and len(shares) < len(names)) or 0 in shares.values():
        raise _wrong(text, "either each queue has a share of at least 1, as in default=3,slow=1, or none has")
    if 0 in limits.values():
        raise _wrong(text, "at least 1 job of a queue runs at once; leave a queue out to run none of it")
    for name in limits:
        if queue_below(name) != name:
            raise _wrong(text, f"the priorities of a queue share its room, so give {queue_below(name)!r} the number")


def _wrong(text: str, why: str) -> click.UsageError:
    return click.UsageError(f"--queues {text!r}: {why}")
