"""Which error says how an attempt ended: the one that was raised, or a member of a group of them.

Of several, in this order: ``Cancelled``; ``Fail`` or ``DataError``, which no retry would mend; the time limit; what the
retry policy does not retry; any other error. ``RetryAfter`` counts where the group holds nothing else, and then the
longest wait of them: an error beside it is not to be hidden by it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import field

from fsmflow.causes import members
from fsmflow.definition.retry import Retry
from fsmflow.errors import Cancelled, DataError, Fail, RetryAfter
from fsmflow.running.limits import TimeUp
from fsmflow.values import dataclass

_PERMANENT = (Fail, DataError)
_BEFORE_OTHERS: tuple[tuple[type[BaseException], ...], ...] = ((Cancelled,), _PERMANENT, (TimeUp,))


@dataclass(frozen=True, kw_only=True)
class Decisive:
    """The error that decides, and the classes of the groups that it was raised within, the outermost first.

    ``wait_s``: it is no failure, the job is to be run again after so many seconds.
    """

    error: BaseException = field(repr=False)
    within: tuple[type[BaseException], ...] = ()
    wait_s: float | None = None

    @property
    def permanent(self) -> bool:
        return self.is_any(*_PERMANENT)

    def is_any(self, *kinds: type[BaseException]) -> bool:
        """Whether the error is of one of these classes."""
        # Not isinstance, which asks the error itself what it is.
        return issubclass(type(self.error), kinds)

    def retried_by(self, policy: Retry) -> bool:
        """Whether the policy retries it."""
        return policy.applies_to(type(self.error), *self.within)


def decisive_of(error: BaseException, policy: Retry | None) -> Decisive:
    """What decides of an error that a job raised. It may be a group, of groups too."""
    found = list(_leaves(error))
    for kinds in _BEFORE_OTHERS:
        first = next((leaf for leaf in found if leaf.is_any(*kinds)), None)
        if first is not None:
            return first
    others = [leaf for leaf in found if leaf.wait_s is None and not leaf.is_any(asyncio.CancelledError)]
    if others:
        lasting = (leaf for leaf in others if policy is not None and not leaf.retried_by(policy))
        return next(lasting, others[0])
    return max(found, key=lambda leaf: -1.0 if leaf.wait_s is None else leaf.wait_s)


def _leaves(error: BaseException) -> Iterator[Decisive]:
    """The errors in a group, however deeply nested, in order; the error itself where it is none."""
    left: list[tuple[BaseException, tuple[type[BaseException], ...]]] = [(error, ())]
    while left:
        found, within = left.pop()
        inside = members(found)
        if inside:
            left += [(member, (*within, type(found))) for member in reversed(inside)]
        else:
            yield Decisive(error=found, within=within, wait_s=_wait_of(found))


def _wait_of(error: BaseException) -> float | None:
    """For how long a job asks to be put off; None where the error asks for no such thing, or for nothing sensible."""
    if not issubclass(type(error), RetryAfter):
        return None
    try:
        seconds = float(getattr(error, "seconds"))  # noqa: B009 - a class of the user's may have made anything of it
    except BaseException:  # noqa: BLE001 - it is then a failure like any other
        return None
    return None if math.isnan(seconds) else max(0.0, seconds)
