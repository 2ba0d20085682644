"""In which order a worker looks into its queues: always the same one, or each in its turn to be the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsmflow.definition.priority import queue_below


class Turns:
    """``shares``: how often a queue is the first that is looked into, beside the others that have a share. What waits
    there is taken then, however much waits in the others; so none starves. A queue without a share comes before those
    that have one, in the order of ``queues``. The priorities of a queue share its turn.
    """

    def __init__(self, queues: Sequence[str], shares: Mapping[str, int] | None = None) -> None:
        self._shares = dict(shares or {})
        self._first = [name for name in queues if queue_below(name) not in self._shares]
        self._of = {queue: [name for name in queues if queue_below(name) == queue] for queue in self._shares}
        self._due = dict.fromkeys(self._shares, 0)
        self._sum = sum(self._shares.values())

    def order(self) -> list[str]:
        """The queues as they are looked into now. Each call is a turn, whatever was found in the one before."""
        if not self._shares:
            return self._first
        for queue, share in self._shares.items():
            self._due[queue] += share
        turn = sorted(self._due, key=lambda queue: -self._due[queue])
        self._due[turn[0]] -= self._sum
        return self._first + [name for queue in turn for name in self._of[queue]]
