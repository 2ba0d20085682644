"""Makes the branches of a step, page by page: as many as its items, which come lazily where their source does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Final, TypeVar

from fsmflow import codec
from fsmflow.decision.cohort import Cohort
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.entity import FAILED_ONES, ClaimLost, Place, Snapshot, Standing
from fsmflow.decision.fit import known_to
from fsmflow.decision.happenings import Paused
from fsmflow.decision.inputs import MAX_GENERATED
from fsmflow.decision.items import mark_of
from fsmflow.decision.start import begin_and_fire
from fsmflow.decision.work import WorkKind
from fsmflow.definition.model import Definition, Fan
from fsmflow.engine.alignment import align, revive
from fsmflow.engine.fanout import admit
from fsmflow.engine.lookup import instance_for
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import note_tasks
from fsmflow.errors import Cancelled, DataError, FsmflowError, shown
from fsmflow.points import point
from fsmflow.running.attempt import Attempt
from fsmflow.running.items import Items, Part, Revision
from fsmflow.running.outage import outlast
from fsmflow.store.sizes import size_of
from fsmflow.store.work import ticket_of

Result = TypeVar("Result")

#: How many branches the first pages have, and how many a page may have: the more there are already, the less it counts
#: that the last ones come a little later, and the more that each page waits for its turn to write.
PAGE: Final = 200
_MOST: Final = 500
_PAGE_BYTES: Final = 2_000_000
_ALL_PAGES: Final = 10_000
#: How many branches may wait for their turn before more are made of a source that comes lazily.
_AHEAD: Final = 100


class BranchMaker:
    """Makes the branches of one step, under the claim of the parent's attempt.

    One transaction a page. After a crash the next attempt goes on where the last page ended: a source that comes lazily
    is read again from its beginning, and what has a branch already is passed over.
    """

    def __init__(self, runtime: Runtime, attempt: Attempt, shield: Callable[[], AbstractContextManager[None]]) -> None:
        self._runtime = runtime
        self._definition = attempt.definition
        self._spec = attempt.spec
        self._fan = attempt.spec.fan or Fan()
        self._parent = attempt.snapshot
        self._claim = attempt.claim
        self._shield = shield
        self._items = Items(runtime, attempt)
        self._branches = runtime.store.branches
        #: Those that begin together, by their machine.
        self._cohorts: dict[int, Cohort] = {}
        #: Which items are not those any more that branches were made for, in words.
        self.changes: str | None = None

    def make(self, subject: Any) -> str | None:
        """Make them all, or so many that others have to end first. The mark of the items, where no more are to come.

        Raises what the user's method raises, DataError for what is no list of items, and Cancelled once the step is no
        longer wanted.
        """
        parent, fan = self._parent, self._fan
        if fan.undoes:
            # What is still on its way must end before it is undone, or its undo would not know what it did.
            self._steadily(lambda: align(self._runtime, parent.row, pages=_ALL_PAGES))
        if parent.work is not None and parent.work.kind == WorkKind.JOB and parent.epoch != parent.step:
            self._steadily(self._revive)
        made = self._steadily(lambda: self._branches.made(parent.row, parent.step))
        if made and fan.named:
            # All are written at once. A name that the code has gained since is for the next visit.
            return mark_of(fan, parent, for_good=True)
        prefix = self._steadily(self._prefix)
        parts = self._items.read(subject)
        lazily = isinstance(parts, Iterator)
        ahead = lazily and fan.limit is not None and not fan.undoes
        size = min(PAGE, _AHEAD) if ahead else PAGE
        source = enumerate(self._after(parts, made), made)
        while True:
            if made and self._steadily(lambda: self._has_failed() or (ahead and self._is_far_ahead())):
                return None
            page, is_last = self._next_page(source, prefix, size if ahead else max(size, min(made, _MOST)))
            self._check_transaction()
            self._insert(page)
            made += len(page)
            if is_last:
                return mark_of(fan, parent, for_good=lazily)

    def _next_page(self, source: Iterator[tuple[int, Part]], prefix: str, size: int) -> tuple[list[Commit], bool]:
        """As many branches as one transaction makes, fewer where their items are large; whether these are the last.
        Those that have names are one page, whatever it weighs."""
        page: list[Commit] = []
        total = 0
        for index, part in source:
            begun = self._begin(prefix, index, part)
            page.append(begun)
            total += size_of((begun.after.data_text, begun.after.item_text))
            if len(page) == size or (total > _PAGE_BYTES and not self._fan.named):
                return page, False
        return page, True

    def _revive(self) -> None:
        parent = self._parent
        new_key = self._runtime.store.events.wants_fresh_keys(parent.row, parent.epoch)
        revive(self._runtime, parent, self._claim, queued=self._fan.limit is not None, new_key=new_key)

    def _after(self, parts: Iterable[Part], made: int) -> Iterator[Part]:
        """The parts that have no branches yet. Raises DataError for a lazy source that has changed since."""
        if not made or not self._items.are_stored:
            return islice(parts, made, None)
        if isinstance(parts, Iterator):
            return self._after_last(parts, made)
        parent = self._parent
        before = self._steadily(lambda: self._branches.items(parent.row, parent.step))
        items = [part.item for part in parts]
        revision = Revision(before, items, [self._items.encoded(index, item) for index, item in enumerate(items)])
        self.changes = revision.told(self._spec.name, secret=bool(self._definition.wide.redact))
        return map(Part, revision.new)

    def _after_last(self, parts: Iterator[Part], made: int) -> Iterator[Part]:
        parent = self._parent
        (last,) = self._steadily(lambda: self._branches.page(parent.row, parent.step, after=made - 2, limit=1))
        item = next(islice(parts, made - 1, None), Part()).item
        if self._items.encoded(made - 1, item) != last.item_text:
            before = codec.decode(last.item_text or "null")
            raise self._items.no_items(
                f"{shown(item)} as item {made - 1}, and {shown(before)} before; it is read again after a crash and "
                f"while branches end, and has to give the same items each time"
            )
        return parts

    def _steadily(self, action: Callable[[], Result]) -> Result:
        """Do what the database is to do, undisturbed by the time limit, and however long the database is away: it is
        not the user's job that fails then. Raises Cancelled once the step is no longer wanted."""

        def shielded() -> Result:
            with self._shield():
                return action()

        try:
            return outlast(self._parent.address, shielded)
        except ClaimLost:
            raise Cancelled(f"{self._parent.address}: the step is no longer wanted") from None

    def _check_transaction(self) -> None:
        """A page that is written inside a transaction of the user's could be rolled back with it."""
        if self._runtime.store.link.in_transaction:
            raise FsmflowError(
                f"{self._parent.address}: each= of {self._spec.name!r} keeps a transaction open while it yields its "
                f"items; read them in transactions that end before each yield"
            )

    def _has_failed(self) -> bool:
        parent, failed = self._parent, FAILED_ONES
        return self._fan.stops and self._branches.has(parent.row, parent.step, *failed)

    def _is_far_ahead(self) -> bool:
        waiting = (self._fan.limit or 0) + 1
        return self._branches.count(self._parent.row, self._parent.step, Standing.QUEUED, most=waiting) >= waiting - 1

    def _insert(self, commits: list[Commit]) -> None:
        if not commits:
            return
        made = self._steadily(lambda: self._insert_once(commits))
        point("spread.page", self._parent.address)
        self._runtime.ring_for([ring for ring in map(ticket_of, made) if ring is not None])
        for commit, after in zip(commits, made, strict=True):
            note_tasks(self._runtime.machines.get(after.machine), commit, after)
        limit = self._fan.limit
        if limit is not None:
            self._steadily(lambda: admit(self._runtime, self._parent, limit))

    def _insert_once(self, commits: list[Commit]) -> Sequence[Snapshot]:
        try:
            return self._runtime.store.commits.insert(commits, self._claim, if_paused=self._paused)
        except CommitLost:
            # A COMMIT that got no answer was tried again, and had taken effect: nobody else makes these.
            first, count = commits[0].after.parent_index or 0, len(commits)
            if self._branches.made(self._parent.row, self._parent.step) < first + count:
                raise
            return self._branches.page(self._parent.row, self._parent.step, after=first - 1, limit=count)

    def _paused(self, commit: Commit) -> Commit:
        """A branch of a parent that has been paused meanwhile is paused from its beginning."""
        own = instance_for(self._runtime, commit.after).own
        return begin_and_fire(commit, own, Paused(reason="with its parent"), self._runtime.now())

    def _begin(self, prefix: str, index: int, part: Part) -> Commit:
        parent, fan = self._parent, self._fan
        named = fan.branch(part.name)
        machine = fan.machine if named is None else named.machine
        kept = self._items.are_stored or part.item is not None
        place = Place(
            parent=parent.row,
            parent_step=parent.step,
            parent_index=index,
            branch_of=self._spec.name if machine is None else None,
            branch_name=part.name,
            item_text=self._items.encoded(index, part.item) if kept else None,
            standing=Standing.ACTIVE if fan.limit is None else Standing.QUEUED,
        )
        if machine is None:
            every = self._definition.branches[self._spec.name]
            own, data = every.branches.get(part.name or "", every), {}
        else:
            own = self._runtime.machines.get(machine)
            data = self._data_of(part, own)
        entity_id = f"{prefix}/{index if part.name is None else part.name}"
        if len(entity_id) > MAX_GENERATED:
            raise DataError(f"{parent.address}: the ids of its branches get too long ({entity_id[:80]}...)")
        if id(own) not in self._cohorts:
            self._cohorts[id(own)] = Cohort(own)
        return self._cohorts[id(own)].begin(entity_id, data, self._runtime.now(), place)

    def _data_of(self, part: Part, own: Definition) -> dict[str, Any]:
        item = part.item
        if self._fan.each is None and item is None:
            return known_to(own, self._parent.data)
        return dict(item) if isinstance(item, Mapping) else {"item": item}

    def _prefix(self) -> str:
        """``packing`` for the first visit of the state that has branches, then ``packing.2`` ..."""
        parent, fan = self._parent, self._fan
        above = parent.address if fan.has_children else parent.entity_id
        start = f"{above}/{self._spec.name}"
        visits = {}
        for step, entity_id in self._branches.firsts(parent.row):
            prefix = entity_id.rpartition("/")[0]
            if prefix == start or prefix.startswith(start + "."):
                visits[step] = prefix
        if parent.step in visits:
            return visits[parent.step]
        return start if not visits else f"{start}.{len(visits) + 1}"
