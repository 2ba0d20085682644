"""Who is told, in a worker or its supervisor, of what is counted. Anywhere else nobody is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Happening


class Counting:
    """Told after the fact: of commits, once they are durable. It raises nothing, asks nobody and waits for nothing.
    This one does nothing at all."""

    def together(self) -> AbstractContextManager[None]:
        """Inside, what this thread tells may be handed on at the end, all at once."""
        return nullcontext()

    def ended(self, commit: Commit, happening: Happening | None) -> None:
        """A decision is committed; it may have ended an attempt."""

    def answered(self, claimed: Snapshot, now: int) -> None:
        """A doorbell was answered: an attempt is claimed, and about to run."""

    def in_vain(self) -> None:
        """A doorbell was answered, and there was nothing to claim."""

    def rung_again(self, queue: str) -> None:
        """A doorbell was rung that had been rung before."""

    def swept(self, seconds: float, rows: int) -> None:
        """A sweep has looked after so many rows."""
