"""Reads what a decision may look at besides the entity: what it keeps, what it could undo, its branches, its row."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, overload

from fsmflow import codec
from fsmflow.decision.context import Branch, Branches, Context, Progress
from fsmflow.decision.entity import FAILED_ONES, UNTOLD, Snapshot, Standing
from fsmflow.decision.happenings import BranchSettled, Happening
from fsmflow.decision.versions import renamed, retraced
from fsmflow.definition.fanout import MAX_NAMED
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.definition.names import BRANCH_DONE, BRANCH_FAILED, CANCELLED, UNDOING_PREFIX, WORKING
from fsmflow.engine.runtime import current
from fsmflow.errors import UnknownBranch
from fsmflow.store.store import Store
from fsmflow.values import replace

_PAGE = 200
_SHOWN = 3
#: No index has so many.
_DIGITS = 10


def is_told(definition: Definition, state: str) -> bool:
    """Whether the machine asks to be told of each branch that settles while it is in a state."""
    return definition.offers(BRANCH_DONE, state) or definition.offers(BRANCH_FAILED, state)


def context_of(store: Store, definition: Definition, snapshot: Snapshot, happening: Happening | None = None) -> Context:
    """The context of an entity, to decide ``happening``. No query for one that keeps nothing, until the decision asks
    for more.

    What a machine that asks to be told of its branches sees of them depends on what it has been told, and on what it is
    being told: that changes with the entity's own commits alone, so whatever is decided by it is still true as it is
    committed.
    """
    as_told = is_told(definition, snapshot.state)
    news = happening if isinstance(happening, BranchSettled) else None
    field = definition.wide.status_field
    return Context(
        kept=store.events.kept(snapshot.row) if snapshot.kept else (),
        on_their_way=lambda: store.events.sent(snapshot.row),
        give_up=lambda: store.events.lost(snapshot.row),
        retrace=lambda: retraced(definition, store.events.trail(snapshot.row)) if definition.undoes else (),
        branches=lambda of: BranchList(store, definition, of, as_told=as_told, news=news),
        record=lambda of: store.own_rows.row_of(field, of) if field is not None else None,
    )


def unknown_branch(
    store: Store, root: Definition, step: StateSpec, parent: Snapshot
) -> tuple[Definition, Snapshot] | None:
    """The first branch of a step that has not come to its end, and whose name the code lacks; with the definition that
    it goes by. Two queries where the branches have names and run jobs."""
    if step.fan is None or not step.fan.named or step.fan.has_children:
        return None
    for standing in FAILED_ONES:
        for branch in store.branches.standing(parent.row, parent.step, standing, limit=MAX_NAMED):
            own = root.branch(step.name, branch.branch_name)
            if own is not None and own.states[step.name].lacks_job:
                return own, branch
    return None


class BranchList(Branches):
    """The branches of the step that an entity is in, or, where that has none, of the last step that had some; in the
    order of their items, read in pages as they are looked at.

    Job branches are shown under the names that states have today, children under those that they are stored with.
    ``as_told``: what has settled is shown so where the parent has been told of it, or is being told: ``news`` says
    of which.
    """

    def __init__(
        self,
        store: Store,
        definition: Definition,
        snapshot: Snapshot,
        *,
        as_told: bool = False,
        news: BranchSettled | None = None,
    ) -> None:
        self._as_told = as_told
        self._news = news
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
        if not step:
            return None
        tally = self._store.branches.tally(row, step)
        news = self._news.branch if self._news is not None else None
        told = [standing for standing in tally if not (self._as_told and standing in UNTOLD)]
        cancelled = self._store.branches.cancelled(row, step, told)
        for standing in UNTOLD if self._as_told else ():
            count = tally.pop(standing, 0)
            if news is not None and news.standing == standing and count:
                count, tally[standing] = count - 1, 1
                cancelled += news.state == CANCELLED
            tally[Standing.ACTIVE] = tally.get(Standing.ACTIVE, 0) + count
        return Progress.of(tally, cancelled)

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._store.branches.made(*self._key)
        return self._length

    @overload
    def __getitem__(self, index: int | str) -> Branch: ...

    @overload
    def __getitem__(self, index: slice) -> list[Branch]: ...

    def __getitem__(self, index: int | str | slice) -> Branch | list[Branch]:
        if isinstance(index, str):
            return self._of_name(index)
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"branch {index} of {len(self)}")
        if not self._first <= at < self._first + len(self._read):
            page = self._store.branches.page(*self._key, after=at - 1, limit=_PAGE)
            self._first, self._read = at, [branch_of(self._told(self._today(snapshot))) for snapshot in page]
        return self._read[at - self._first]

    def _told(self, snapshot: Snapshot) -> Snapshot:
        """A branch that has settled, and that its parent does not know of yet, as it was before."""
        if not self._as_told or snapshot.standing not in UNTOLD:
            return snapshot
        if self._news is not None and self._news.row == snapshot.row:
            return snapshot
        unsettled = replace(snapshot, standing=Standing.ACTIVE, result_text=None, failure_text=None)
        if snapshot.branch_of is None:
            return unsettled
        return replace(unsettled, state=snapshot.branch_of, phase=WORKING)

    def _today(self, snapshot: Snapshot) -> Snapshot:
        return snapshot if snapshot.branch_of is None else renamed(self._definition, snapshot)

    def get(self, name: str) -> Branch | None:
        """The branch of this name, None where there is none. What is made for an item is found by its index."""
        if name[:1].isdecimal():
            at = int(name) if name.isdecimal() and len(name) < _DIGITS else len(self)
            return self[at] if at < len(self) and self[at].name == name else None
        found = self._store.branches.named(*self._key, name)
        return None if found is None else branch_of(self._told(self._today(found)))

    def _of_name(self, name: str) -> Branch:
        found = self.get(name)
        if found is None:
            raise UnknownBranch(self._snapshot.address, name, [branch.name for branch in self[:_PAGE]])
        return found

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
        name=snapshot.part or "",
        address=snapshot.address,
        state=snapshot.state,
        phase=snapshot.phase,
        item=item_of(snapshot),
        result=result,
        failure=snapshot.failure,
        standing=snapshot.standing or Standing.QUEUED,
        opened=partial(_handle_on, snapshot.machine, snapshot.entity_id),
    )


def _handle_on(machine: str, entity_id: str) -> Any:
    owner: Any = current().machines.get(machine).owner
    return owner.get(entity_id)


def item_of(snapshot: Snapshot) -> Any:
    """What a branch was made for; None where it was not made for an item. One that undoes a branch has the item of
    that."""
    found = stored_item(snapshot)
    return found["item"] if (snapshot.branch_of or "").startswith(UNDOING_PREFIX) else found


def stored_item(snapshot: Snapshot) -> Any:
    """The item as it is stored: of a branch that undoes another, what it is to undo."""
    return codec.decode(snapshot.item_text) if snapshot.item_text else None
