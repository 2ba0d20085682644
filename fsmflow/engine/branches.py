"""Reads what a decision may look at besides the entity: what it keeps, what it could undo, its branches, its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

from fsmflow import codec
from fsmflow.decision.context import NOTHING, Branch, Context, Progress
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.versions import renamed, retraced
from fsmflow.definition.model import Definition
from fsmflow.definition.names import UNDOING_PREFIX
from fsmflow.store.store import Store

_PAGE = 200
_SHOWN = 3


def context_of(store: Store, definition: Definition, snapshot: Snapshot) -> Context:
    """The context of an entity. No query for one that keeps nothing, until the decision asks for more."""
    kept = store.events.kept(snapshot.row) if snapshot.kept else ()
    field = definition.wide.status_field
    if not kept and field is None and not definition.undoes and not definition.fans:
        return NOTHING
    return Context(
        kept=kept,
        retrace=lambda: retraced(definition, store.events.trail(snapshot.row)) if definition.undoes else (),
        branches=lambda of: BranchList(store, definition, of),
        record=lambda of: store.own_rows.row_of(field, of) if field is not None else None,
    )


class BranchList(Sequence[Branch]):
    """The branches of the step that an entity is in, or, where that has none, of the last step that had some; in the
    order of their items, read in pages as they are looked at.

    Job branches are shown under the names that states have today, children under those that they are stored with.
    """

    def __init__(self, store: Store, definition: Definition, snapshot: Snapshot) -> None:
        self._store = store
        self._definition = definition
        self._snapshot = snapshot
        self._length: int | None = None
        self._first = 0
        self._read: list[Branch] = []

    @cached_property
    def _key(self) -> tuple[int, int]:
        snapshot = self._snapshot
        step = self._definition.step_of(snapshot.state)
        if step is not None and step.fan is not None:
            return snapshot.row, snapshot.step
        return snapshot.row, self._store.branches.last_step(snapshot.row)

    def progress(self) -> Progress | None:
        """How far they are; None where no step has fanned out yet."""
        row, step = self._key
        return self._store.branches.progress(row, step) if step else None

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._store.branches.made(*self._key)
        return self._length

    @overload
    def __getitem__(self, index: int) -> Branch: ...

    @overload
    def __getitem__(self, index: slice) -> list[Branch]: ...

    def __getitem__(self, index: int | slice) -> Branch | list[Branch]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"branch {index} of {len(self)}")
        if not self._first <= at < self._first + len(self._read):
            page = self._store.branches.page(*self._key, after=at - 1, limit=_PAGE)
            self._first, self._read = at, [branch_of(self._today(snapshot)) for snapshot in page]
        return self._read[at - self._first]

    def _today(self, snapshot: Snapshot) -> Snapshot:
        return snapshot if snapshot.branch_of is None else renamed(self._definition, snapshot)

    def __iter__(self) -> Iterator[Branch]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{branch.address} in {branch.state!r}" for branch in self[:_SHOWN])
        return f"<{len(self)} branches{': ' if shown else ''}{shown}{', ...' if len(self) > _SHOWN else ''}>"


def branch_of(snapshot: Snapshot) -> Branch:
    """A branch or child as its parent sees it."""
    result: Any = None
    if snapshot.has_settled and snapshot.branch_of is not None and snapshot.result_text and not snapshot.failure_text:
        result = codec.decode(snapshot.result_text)
    elif snapshot.branch_of is None:
        result = snapshot.data if snapshot.has_settled and snapshot.standing != Standing.FREE else None
    return Branch(
        index=snapshot.parent_index or 0,
        address=snapshot.address,
        state=snapshot.state,
        phase=snapshot.phase,
        item=item_of(snapshot),
        result=result,
        failure=snapshot.failure,
        standing=snapshot.standing or Standing.QUEUED,
    )


def item_of(snapshot: Snapshot) -> Any:
    """What a branch was made for; None where it was not made for an item. One that undoes a branch has the item of
    that."""
    found = stored_item(snapshot)
    return found["item"] if (snapshot.branch_of or "").startswith(UNDOING_PREFIX) else found


def stored_item(snapshot: Snapshot) -> Any:
    """The item as it is stored: of a branch that undoes another, what it is to undo."""
    return codec.decode(snapshot.item_text) if snapshot.item_text else None
