"""Deletes what is finished and was kept long enough, and used-up keys: each tree as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from fsmflow import clock
from fsmflow.decision.commit import EventKind
from fsmflow.decision.versions import names_of
from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError
from fsmflow.store.retention import BATCH, Old, Tree
from fsmflow.store.sizes import by_size
from fsmflow.values import dataclass

#: Whoever deletes by itself rests for so many times as long as each piece of it took: workers come first.
_RESTS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was deleted: ``trees``, each a finished entity with its branches and children, and how many ``entities``
    these were."""

    trees: int = 0
    entities: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(trees=self.trees + other.trees, entities=self.entities + other.entities)

    def __str__(self) -> str:
        what = "1 finished entity" if self.trees == 1 else f"{self.trees:,} finished entities"
        below = self.entities - self.trees
        return f"{what} with {below:,} of their branches and children" if below else what


class Keeper(Protocol):
    """Whoever keeps a copy of what is deleted."""

    def keep(self, trees: Sequence[Tree]) -> None:
        """Keep these; once this returns, the copy is durable."""
        ...

    def take_back(self) -> None:
        """What was kept last is not deleted after all."""
        ...


def kept_by(definition: Definition, older_ms: int | None = None) -> dict[str, int]:
    """For how many milliseconds what is finished is kept, by state. Raises DataError where nothing says so."""
    if older_ms is not None:
        return {name: older_ms for name, spec in definition.states.items() if spec.is_final}
    if not definition.wide.retention:
        raise DataError(
            f"machine {definition.name!r} says no retention; say what is old enough, or declare it: "
            f"retention = timedelta(days=90)"
        )
    return dict(definition.wide.retention)


def prune(
    runtime: Runtime,
    definition: Definition,
    kept_ms: Mapping[str, int],
    *,
    keeper: Keeper | None = None,
    dry_run: bool = False,
) -> Iterator[Pruned]:
    """Go once over what is finished of a machine, and delete what has been so for longer than ``kept_ms`` says of its
    state, with all that belongs to it. Yields what came of each page and each transaction, so that its caller can rest.

    A tree goes as a whole, in one transaction, once all of it has been finished for so long, and nothing of it is under
    way. Whoever dies in between leaves the rest as it was, for the next pass. Raises DatabaseUnavailable.
    """
    store, some = runtime.store.retention, False
    for state, kept in kept_ms.items():
        before = runtime.now() - kept
        for name in names_of(definition, state):
            last: Old | None = None
            while old := store.finished(definition.name, name, before, after=last):
                last = old[-1]
                trees = store.trees(old, before)
                yield Pruned()
                for batch in by_size(trees, lambda tree: len(tree.members), most=BATCH):
                    pruned = _counted(batch) if dry_run else _remove(runtime, definition.name, batch, keeper)
                    some = some or pruned.trees > 0
                    yield pruned
    if some and not dry_run:
        runtime.store.erasure.renew_samples()


def _remove(runtime: Runtime, machine: str, batch: Sequence[Tree], keeper: Keeper | None) -> Pruned:
    """Delete these; one by one, where something of one has been written meanwhile: that one stays."""
    if keeper is not None:
        keeper.keep(batch)
    if runtime.store.retention.remove(machine, batch):
        return _counted(batch)
    if keeper is not None:
        keeper.take_back()
    if len(batch) == 1:
        return Pruned()
    removed = Pruned()
    for tree in batch:
        removed += _remove(runtime, machine, [tree], keeper)
    return removed


def _counted(trees: Sequence[Tree]) -> Pruned:
    return Pruned(trees=len(trees), entities=sum(len(tree.members) for tree in trees))


def forget_keys(runtime: Runtime, kept_ms: Mapping[str, int]) -> Iterator[int]:
    """Go once over the keys that were used up, and delete those that were kept for longer than ``kept_ms`` says of
    their machine; yields how many were, page by page. Raises DatabaseUnavailable.

    The oldest come first: what was written since is left alone.
    """
    store, now = runtime.store.retention, runtime.now()
    youngest = max((now - kept for kept in kept_ms.values()), default=0)
    after: int | None = 0
    while after is not None:
        page, after = store.events(after=after)
        old: dict[str, list[int]] = {}
        for id_, machine, at, kind in page:
            if kind == EventKind.KEY.value and machine in kept_ms and at <= now - kept_ms[machine]:
                old.setdefault(machine, []).append(id_)
        if page and page[-1][2] > youngest:
            after = None
        removed = [len(ids) for machine, ids in old.items() if store.forget_keys(machine, ids, now - kept_ms[machine])]
        yield sum(removed)


def at_leisure(runtime: Runtime, pieces: Iterator[Pruned]) -> Iterator[Pruned]:
    """The same, with a rest after each piece that is longer than that took."""
    while True:
        began = clock.monotonic()
        piece = next(pieces, None)
        if piece is None:
            return
        yield piece
        runtime.rest((clock.monotonic() - began) * _RESTS)
