"""The deletion of what is finished and was kept long enough: whole trees, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, TypeVar

from fsmflow.decision.commit import EventKind
from fsmflow.definition.names import FINISHED
from fsmflow.points import point
from fsmflow.store.feeds import Feeds
from fsmflow.store.indexes import ROOT
from fsmflow.store.link import Link
from fsmflow.store.meta import Meta
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, MEMBER, TERM, WORK
from fsmflow.values import dataclass

#: Rows that are looked at in one query.
PAGE: Final = 500
#: Entities that are deleted in one transaction; one tree is, however large it is. Few, as on SQLite nobody else writes
#: meanwhile.
BATCH: Final = 50
#: Row numbers of one statement.
_ROWS: Final = 1_000
#: What is left of an entity in ``event`` once nothing of it is under way. A kind that is not known here may be.
LEFT: Final = tuple(
    sorted(
        kind.value for kind in (EventKind.KEY, EventKind.LOST, EventKind.ENTERED, EventKind.RETURNED, EventKind.FRESH)
    )
)
#: The fact that tells what was deleted, by machine.
FACT: Final = "pruned"
_TRIES: Final = 5

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Old:
    """A root that is finished: its row, since when it is, and since when it was there."""

    row: int
    entered_at: int
    created_at: int


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A root with all of its branches and children, at all levels. ``members``: rows with their revisions."""

    root: Old
    members: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Account:
    """What was deleted of a machine so far: ``trees``, and ``entities`` with their branches and children.

    ``begun_until``: the last moment at which one of them had been started. ``keys_until``: of keys that had been used
    up to then, some are gone. Moments are UTC milliseconds.
    """

    trees: int = 0
    entities: int = 0
    begun_until: int = 0
    keys_until: int = 0


class Moved(Exception):
    """Something of a tree has been written since it was read; ends the transaction that was to delete it."""


@dataclass
class _Kin:
    """Trees as they are found, level by level."""

    members: dict[int, dict[int, int]] = field(default_factory=dict)
    root_of: dict[int, int] = field(default_factory=dict)
    unfit: set[int] = field(default_factory=set)


class Retention:
    """Finds what may go, and deletes it. All by index; a page at a time."""

    def __init__(self, link: Link, meta: Meta, feeds: Feeds) -> None:
        self._link = link
        self._meta = meta
        self._feeds = feeds
        self._entity = link.quoted("entity")

    def finished(self, machine: str, state: str, before: int, *, after: Old | None) -> list[Old]:
        """The next page of roots that have been finished in a state since ``before`` or earlier, the oldest first."""
        mark = self._link.mark
        next_one, params = "", []
        if after is not None:
            next_one = f"AND entered_at >= {mark} AND (entered_at > {mark} OR id > {mark}) "
            params = [after.entered_at, after.entered_at, after.row]
        sql = (
            f"SELECT id, entered_at, created_at FROM {ENTITY} WHERE machine = {mark} AND state = {mark} AND {ROOT} "
            f"AND phase = '{FINISHED}' AND entered_at <= {mark} {next_one}ORDER BY entered_at, id LIMIT {PAGE}"
        )
        rows = self._link.query(sql, (machine, state, before, *params))
        return [Old(row=int(row), entered_at=int(at), created_at=int(begun)) for row, at, begun in rows]

    def trees(self, roots: Sequence[Old], before: int) -> list[Tree]:
        """The trees of these roots that may go: all of each has been finished since ``before`` at the latest, and
        nothing of it is under way. A query or two for each level and each thousand of rows."""
        kin = _Kin({root.row: {} for root in roots}, {root.row: root.row for root in roots})
        self._note(kin, self._among("id", [root.row for root in roots], ""), before)
        level = [root.row for root in roots]
        while level:
            level = self._note(kin, self._among("parent", level, ""), before)
        busy = self._link.query
        for rows in pages(list(kin.root_of)):
            among, values = self._link.dialect.among(rows)
            under_way = f"SELECT {self._entity} FROM {EVENT} WHERE {self._entity} {among} AND kind NOT IN {_kinds()}"
            works = f"SELECT {self._entity} FROM {WORK} WHERE {self._entity} {among}"
            kin.unfit |= {kin.root_of[int(row)] for sql in (under_way, works) for (row,) in busy(sql, values)}
        return [Tree(root=root, members=kin.members[root.row]) for root in roots if self._is_fit(kin, root)]

    def _is_fit(self, kin: _Kin, root: Old) -> bool:
        return root.row not in kin.unfit and root.row in kin.members[root.row]

    def _among(self, column: str, rows: Sequence[int], locking: str) -> Iterator[Any]:
        """(row, parent, phase, since when, revision) of entities, a query for each thousand."""
        for page in pages(rows):
            among, values = self._link.dialect.among(page)
            sql = f"SELECT id, parent, phase, entered_at, revision FROM {ENTITY} WHERE {column} {among}{locking}"
            yield from self._link.query(sql, values)

    def _note(self, kin: _Kin, found: Iterable[Any], before: int) -> list[int]:
        """Add these to the trees that they belong to; their rows."""
        rows = []
        for row, parent, phase, entered_at, revision in found:
            root = kin.root_of.setdefault(row, kin.root_of.get(parent, row))
            kin.members[root][row] = int(revision)
            if phase != FINISHED or entered_at > before:
                kin.unfit.add(root)
            rows.append(int(row))
        return rows

    def remove(self, machine: str, trees: Sequence[Tree]) -> bool:
        """Delete these trees, with their work, history and events, in one transaction, and count them.

        False, and nothing is deleted, where anything of them has been written since it was read.
        """
        rows = sorted(row for tree in trees for row in tree.members)
        revisions = {row: revision for tree in trees for row, revision in tree.members.items()}
        begun = max(tree.root.created_at for tree in trees)

        def counted(account: Account) -> Account:
            return Account(
                trees=account.trees + len(trees),
                entities=account.entities + len(rows),
                begun_until=max(account.begun_until, begun),
                keys_until=account.keys_until,
            )

        def remove() -> None:
            for page in pages(rows):
                self._remove_entities(page, revisions)
            self._check_left(rows)
            for page in pages(rows):
                self._feeds.miss(page)
                for table in (HISTORY, EVENT, TERM):
                    self._delete(table, self._entity, page)
                self._delete(MEMBER, "repair", page)
            point("prune.before", machine)

        return self._counting(machine, counted, remove)

    def _remove_entities(self, rows: Sequence[int], revisions: Mapping[int, int]) -> None:
        """Raises Moved where one of them is not as it was read. From then on nobody can write it."""
        among, values = self._link.dialect.among(rows)
        sql = f"SELECT id, revision FROM {ENTITY} WHERE id {among} ORDER BY id{self._link.dialect.locking}"
        found = {int(row): int(revision) for row, revision in self._link.rows(sql, values)}
        if found != {row: revisions[row] for row in rows}:
            raise Moved
        self._delete(ENTITY, "id", rows)

    def _check_left(self, rows: Sequence[int]) -> None:
        """Raises Moved where something is under way of what is deleted, or belongs to it and stays."""
        for page in pages(rows):
            among, values = self._link.dialect.among(page)
            for sql in (
                f"SELECT 1 FROM {ENTITY} WHERE parent {among} LIMIT 1",
                f"SELECT 1 FROM {WORK} WHERE {self._entity} {among} LIMIT 1",
                f"SELECT 1 FROM {EVENT} WHERE {self._entity} {among} AND kind NOT IN {_kinds()} LIMIT 1",
            ):
                if self._link.rows(sql, values):
                    raise Moved

    def _delete(self, table: str, column: str, rows: Sequence[int]) -> None:
        among, values = self._link.dialect.among(rows)
        self._link.execute(f"DELETE FROM {table} WHERE {column} {among}", values)

    def events(self, *, after: int) -> tuple[list[tuple[int, str, int, str]], int | None]:
        """A page of the rows of ``event``: (id, machine, since when, kind); and the id after which to go on, None at
        the end. One query that reads ``PAGE`` rows."""
        mark = self._link.mark
        sql = (
            f"SELECT v.id, e.machine, v.{self._link.quoted('at')}, v.kind FROM {EVENT} v "
            f"JOIN {ENTITY} e ON e.id = v.{self._entity} WHERE v.id > {mark} ORDER BY v.id LIMIT {PAGE}"
        )
        rows = [(int(id_), str(name), int(at), str(kind)) for id_, name, at, kind in self._link.query(sql, (after,))]
        return rows, rows[-1][0] if len(rows) == PAGE else None

    def forget_keys(self, machine: str, ids: Sequence[int], until: int) -> bool:
        """Delete these keys, all used up to ``until``, and note that, in one transaction. False where others counted at
        the same time; then nothing is deleted."""

        def counted(account: Account) -> Account:
            return Account(**{**vars(account), "keys_until": max(account.keys_until, until)})

        return self._counting(machine, counted, lambda: self._delete(EVENT, "id", ids))

    def accounts(self) -> dict[str, Account]:
        """What was deleted so far, by machine. One query."""
        stored = json.loads(self._meta.get([FACT]).get(FACT, "{}"))
        return {machine: Account(**account) for machine, account in stored.items()}

    def _counting(self, machine: str, change: Callable[[Account], Account], action: Callable[[], None]) -> bool:
        """Do something, and change the account with it, in one transaction; anew where others change that meanwhile.
        False where it raised Moved."""
        for _ in range(_TRIES):
            text = self._meta.get([FACT]).get(FACT)
            if text is None:
                self._meta.add(FACT, "{}")
                continue
            accounts = {name: Account(**account) for name, account in json.loads(text).items()}
            accounts[machine] = change(accounts.get(machine, Account()))
            changed = json.dumps({name: vars(account) for name, account in accounts.items()}, separators=(",", ":"))

            def act(text: str = text, changed: str = changed) -> bool:
                action()
                # Last, as who else deletes something waits for it from then on.
                if changed != text and not self._meta.swap(FACT, text, changed):
                    raise _Counted
                return True

            try:
                # What is lost of this with the server is deleted again.
                return self._link.write(act, hasty=True)
            except _Counted:
                continue
            except Moved:
                return False
        return False


class _Counted(Exception):
    """Somebody else has changed the account; ends the transaction."""


def _kinds() -> str:
    return f"({', '.join(map(repr, LEFT))})"


def pages(rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many at a time as go into one statement that names them by number alone."""
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
