"""Brings together what a job made of its data and what others have written since, at the end of an attempt."""

from __future__ import annotations

from functools import partial
from typing import Any

from fsmflow.decision.fit import Settled
from fsmflow.decision.happenings import Changes
from fsmflow.decision.mover import Mover
from fsmflow.decision.view import DataView, subject_of
from fsmflow.definition.guards import Firing
from fsmflow.definition.model import Hook
from fsmflow.errors import MergeError, text_of


def settled_data(mover: Mover, changes: Changes) -> Settled:
    """The data with what the job made of them. Nothing is merged where nobody else has changed them meanwhile.

    Raises MergeError where ``merge`` of the machine raises.
    """
    before, merge = mover.after, mover.definition.wide.merge
    if changes.began_with == before.data_text:
        return Settled(changes.laid_over(before.data))
    resolve = None if merge is None else partial(_resolved, mover, merge)
    merged = changes.applied_to(before.data, resolve)
    return Settled(merged.data, merged.overwritten)


def _resolved(mover: Mover, merge: Hook, key: str, base: Any, theirs: Any, mine: Any) -> Any:
    """What the machine's ``merge`` says."""
    firing = Firing(mover.after.address, mover.after.state)
    view = DataView(mover.definition, mover.after, firing, mover.after.event, mover.after.data, None, mover.context)
    try:
        return merge(subject_of(mover.definition, view), key, base, theirs, mine)
    except Exception as error:
        why = mover.masked(f"{type(error).__name__}: {text_of(error)}", {key: [base, theirs, mine]})
        raise MergeError(mover.after.address, key, why) from error
