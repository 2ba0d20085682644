"""What the database refuses for good of something that has to be recorded all the same: it is decided without that."""

from __future__ import annotations

from fsmflow.decision.happenings import BranchSettled, Crashed, Failed, Happening, Joined, TimerFired, Unacceptable
from fsmflow.errors import DatabaseRefused
from fsmflow.values import replace

#: What is recorded past a refusal. What is asked for from outside is refused to whoever asks; what a job returned is
#: withheld, which is the end of an attempt by itself.
_RECORDED = Failed | Crashed | TimerFired | Unacceptable | Joined | BranchSettled


def without(happening: Happening, error: DatabaseRefused) -> Happening | None:
    """``happening``, to be decided again without what the database refused of it.

    None where whoever asked for it is to be told, or where there is nothing left that could be left out.
    """
    if not isinstance(happening, _RECORDED):
        return None
    if any((known.field, known.state) == (error.field, error.state) for known in happening.refusals):
        return None
    happening = replace(happening, refusals=(*happening.refusals, error))
    return replace(happening, error=happening.error or error) if isinstance(happening, Joined) else happening


def row_refused(happening: Happening, state: str) -> DatabaseRefused | None:
    """Why the user's own row cannot get this state; None where that is not known to be refused."""
    found = happening.refusals if isinstance(happening, _RECORDED) else ()
    return next((error for error in found if error.field is not None and error.state == state), None)


def is_too_much(happening: Unacceptable) -> bool:
    """Whether the result itself may be what is refused: then it cannot be kept."""
    return any(error.field is None for error in happening.refusals)
