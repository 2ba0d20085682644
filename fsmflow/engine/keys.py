"""What the key of a request led to, where it has been used."""

from __future__ import annotations

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.repeats import check_repeat
from fsmflow.engine.lookup import Instance
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import KeyConflict


def first_with_key(runtime: Runtime, instance: Instance, asked: Asked, *, known: bool = False) -> HistoryEntry | None:
    """The entry that a request came to when its key was used; None where it has no key, or one that is new.

    ``known``: it may have been used by somebody whom a transaction of the caller's does not see yet. One query with a
    key, two where that was used, three where the request has a form. Raises KeyConflict where it was used for another
    request.
    """
    key, snapshot = asked.key, instance.snapshot
    seq = None if key is None else runtime.store.entities.seq_of_key(snapshot.row, key, known=known)
    if key is None or seq is None:
        return None
    first = runtime.store.entities.entry(snapshot.row, seq)
    check_repeat(snapshot.address, asked, key, first, instance.root.wide.renamed)
    if asked.form is not None:
        check_form(runtime, snapshot, asked.form, key, first, known=known)
    return first


def check_form(
    runtime: Runtime, snapshot: Snapshot, form: str, key: str, first: HistoryEntry, *, known: bool = False
) -> None:
    """Raises KeyConflict where what used up a key came with something else than this request. One query."""
    there = runtime.store.entities.form_of_key(snapshot.row, key, known=known)
    if there is not None and there != form:
        name = first.trigger or first.kind.value
        raise KeyConflict(snapshot.address, key, name, f"{name} with another body", first.at)
