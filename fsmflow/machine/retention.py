"""Deleting what has finished."""

from __future__ import annotations

from datetime import timedelta

from fsmflow.decision import asker
from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.definition.operators import PRUNE
from fsmflow.definition.retry import as_seconds, is_duration
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.retention import Pruned, at_leisure, kept_by, prune
from fsmflow.engine.runtime import current
from fsmflow.engine.teams import permit_whole
from fsmflow.errors import DataError, shown
from fsmflow.machine.base import Base, Data


class Retention(Base[Data]):
    """The class methods of a machine whose entities need not be kept for ever."""

    @classmethod
    def prune(
        cls, *, older: float | timedelta | None = None, dry_run: bool = False, actor: Actor | str | None = None
    ) -> int:
        """Delete the entities that have finished ``older`` ago or earlier (seconds, or a timedelta; what ``retention``
        says, if it is not given), with their branches, children, history, keys and messages; how many entities,
        branches and children not counted.

        A tree goes as a whole, in one transaction, once all of it has been finished for so long. What has failed
        stays, and so does what still has a message on its way. Rests between pages, so that workers come first; one
        that is interrupted is gone on with by the next call. ``dry_run`` only counts. Raises DataError,
        and NotPermitted where an ``actor`` may not do this.
        """
        definition, runtime = cls._compiled(), current()
        asker.permit(PRUNE, definition.name)
        if older is not None and not is_duration(older):
            raise DataError(f"older is {shown(older)}; it is seconds or a timedelta")
        permit_whole(runtime, definition, PRUNE, as_actor(actor))
        if not dry_run:
            permit_machine(runtime, definition, PRUNE, as_actor(actor))
        older_ms = None if older is None else round(as_seconds(older) * 1000)
        pieces = prune(runtime, definition, kept_by(definition, older_ms), dry_run=dry_run)
        return sum(at_leisure(runtime, pieces), Pruned()).trees
