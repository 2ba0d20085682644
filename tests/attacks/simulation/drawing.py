"""A simulated worker that takes doorbells ahead: what it draws of them is claimed in the commit of the step before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fsmflow.dispatch.reserve import Reserve, Taken
from fsmflow.store.work import Ticket

#: How many a worker takes ahead.
_AHEAD: Final = 2
#: Of so many schedules one has such workers: a rest that none of the seeds has which find wrong variants.
_EVERY: Final = 24
_RESTS: Final = (5, 9, 13, 23)


def draws_there(seed: int) -> bool:
    """Whether the workers of a schedule take doorbells ahead."""
    return seed % _EVERY in _RESTS


class Ahead(Reserve):
    """Filled where a step begins; in virtual time nothing of it is given back."""

    def __init__(self, take_more: Callable[[int], Sequence[Ticket]]) -> None:
        super().__init__()
        self._take_more = take_more

    def after(self, first: Ticket) -> Iterator[Ticket]:
        """The first, and those that were taken ahead, as each has its turn; before them what was drawn already, where
        the database went away before it began."""
        self._ahead.append(_taken(first))
        while (taken := self.take()) is not None:
            if self.is_empty:
                self._ahead += map(_taken, self._take_more(_AHEAD))
            self.begin()
            yield taken.ticket


def _taken(ticket: Ticket) -> Taken:
    return Taken(b"", b"", ticket)
