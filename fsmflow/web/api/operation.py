"""``Operation``: one thing that the API can do: its path, what it takes, what it gives, and which refusals it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fsmflow.values import dataclass
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.field import TEXT, WHOLE, Field

#: What each of them may answer besides: nobody is known, what came is not as it has to be, the database is away.
ALWAYS: Final = (401, 403, 422, 503)
LIMIT: Final = Field(name="limit", kind=WHOLE, told="At most so many on a page.", least=1, most=1_000, default=50)
CURSOR: Final = Field(name="cursor", kind=TEXT, told="The `next` of the page before.")
REASON: Final = Field(name="reason", kind=TEXT, told="Why; kept in the history.")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """``path``: below ``/api/v1``; ``gives``: the schema of its answer. ``refusals``: besides those of ``ALWAYS``.
    ``takes_key`` and ``takes_epoch``: the headers that it heeds; others refuse them, so that nobody relies on them in
    vain. ``once``: its key is kept with its answer, and what comes with it again gets that, or what ``again`` tells of
    today. ``is_of_machines``: the document has it for each machine by name."""

    name: str
    method: str
    path: str
    told: str
    tag: str
    act: Callable[[Call], Answer]
    gives: str
    status: int = 200
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] | None = None
    refusals: tuple[int, ...] = ()
    takes_key: bool = False
    takes_epoch: bool = False
    once: bool = False
    again: Callable[[Call], Answer] | None = None
    is_of_machines: bool = False

    @property
    def statuses(self) -> tuple[int, ...]:
        """All that it may answer but what it gives."""
        with_body = () if self.body is None else (413,)
        return tuple(sorted({*ALWAYS, *self.refusals, *with_body, *((412,) if self.takes_epoch else ())}))


def page(items: list[Any], cursor: str | None = None) -> dict[str, Any]:
    """A page of a list; ``cursor``: where the next one begins, None where there is none."""
    return {"items": items, "next": cursor}
