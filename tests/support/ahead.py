"""What a worker takes ahead where no thread may give it back: the test says when time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fsmflow.dispatch.reserve import Reserve, Taken
from fsmflow.store.work import Ticket

#: How many a worker takes ahead.
_AHEAD: Final = 2


class Ahead(Reserve):
    """Filled where a step begins; nothing of it is given back."""

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
