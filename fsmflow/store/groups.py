"""Failure groups: written by the very commit that lets an entity rest in a failure, and read by whoever looks.

A failure that is known costs its commit one UPDATE, of a row that hardly anybody else counts in: each process has a
slot of its own. One that is new to the process is inserted where it is missing, which nobody waits for but those who
meet it in the same moment. What people say of a group is in a row that no such commit touches.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fsmflow.decision.commit import Commit
from fsmflow.decision.group import Group, Sighting, first_of
from fsmflow.store.columns import FAILURE_COLUMNS, group_of, group_values, sighting_of
from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.tables import ENTITY, FAILURE, SIGHTING
from fsmflow.values import dataclass

#: So many processes count a group at the same time without waiting for each other.
_SLOTS: Final = 16
#: So many are remembered to be there.
_MOST_KNOWN: Final = 10_000
#: What a list of groups does without.
_LONG: Final = frozenset({"traceback"})


#: Where a database can leave rows out of an index, none of these has what has not failed.
_RESTS: Final = "e.failure IS NOT NULL AND e.fingerprint IS NOT NULL"
#: By what is counted apart: what rests alike, and of branches by how they stand to their parent.
_IN_ORDER: Final = "e.machine, e.state, e.fingerprint"
_OF_ROOTS: Final = f"{_IN_ORDER}, e.paused"
_ABOVE: Final = "CASE WHEN p.step = e.parent_step THEN p.fingerprint END"
_OF_BRANCHES: Final = (
    f"{_OF_ROOTS}, e.branch_name, {_ABOVE}, p.machine, e.standing, e.branch_of, p.state, p.step = e.parent_step"
)


@dataclass(frozen=True, kw_only=True)
class Resting:
    """Entities that rest in failures alike, and what can be done about them is alike too. ``row`` is that of the
    newest. ``above``: the fingerprint of the parent, where that rests in the failure of the same step."""

    fingerprint: str
    machine: str
    state: str
    is_branch: bool
    branch_name: str | None
    above: str | None
    above_machine: str | None
    count: int
    first_at: int
    last_at: int
    row: int


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many rest alike, and since when the first of them does."""

    machine: str
    state: str
    fingerprint: str
    count: int
    first_at: int


class Groups:
    """Groups in one database."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: set[tuple[str, str]] = set()
        mark, notation = link.mark, link.dialect.notation
        key = ("fingerprint", link.quoted("release"), "slot")
        counted = (
            f"seen = {SIGHTING}.seen + {mark}, "
            f"last_at = CASE WHEN {SIGHTING}.last_at < {mark} THEN {mark} ELSE {SIGHTING}.last_at END"
        )
        self._count = f"UPDATE {SIGHTING} SET {counted} WHERE {' AND '.join(f'{name} = {mark}' for name in key)}"
        columns = ("fingerprint", "release", "slot", "seen", "first_at", "last_at")
        self._add_sighting = f"{self._insert(SIGHTING, columns)} {notation.or_else(key)} {counted}"
        self._add_group = f"{self._insert(FAILURE, FAILURE_COLUMNS)} {notation.unless_there(('fingerprint',))}"

    def count(self, commits: Iterable[Commit]) -> None:
        """Inside the transaction of these: count those that let an entity rest in a failure. Nothing for others."""
        found: dict[tuple[str, str], list[Commit]] = {}
        for commit in _every(commits):
            fingerprint = commit.after.fingerprint
            if fingerprint is not None and (commit.before is None or commit.before.epoch != commit.after.epoch):
                release = commit.entries[-1].release if commit.entries else None
                found.setdefault((fingerprint, release or ""), []).append(commit)
        # In the same order whoever counts.
        for key, same in sorted(found.items()):
            self._count_one(key, same)

    def _count_one(self, key: tuple[str, str], commits: Sequence[Commit]) -> None:
        slot = os.getpid() % _SLOTS if self._link.dialect.locking else 0
        at, times = commits[0].after.entered_at, len(commits)
        if key in self._known and self._link.execute(self._count, (times, at, at, *key, slot)).rowcount:
            return
        self._add_missing(commits[0])
        self._link.execute(self._add_sighting, (*key, slot, times, at, at, times, at, at))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(key)

    def _add_missing(self, commit: Commit) -> None:
        after, failure = commit.after, commit.after.failure
        if failure is None:
            return
        group = first_of(
            failure,
            machine=after.machine,
            state=after.state,
            address=after.address,
            at=after.entered_at,
            same_as=self._known_as(failure.former),
        )
        self._link.execute(self._add_group, group_values(group))

    def _known_as(self, former: Sequence[str]) -> str | None:
        """The group that older recipes have made of the same kind; the latest recipe knows best."""
        for fingerprint in reversed(former):
            for found, same_as in self._link.rows(
                f"SELECT fingerprint, same_as FROM {FAILURE} WHERE fingerprint = {self._link.mark}", (fingerprint,)
            ):
                return str(same_as or found)
        return None

    def resting(
        self,
        *,
        machine: str | None = None,
        fingerprints: Sequence[str] | None = None,
        causes: bool = False,
        reach: Reach | None = None,
    ) -> list[Resting]:
        """What rests in failures now, counted: all, what is of a machine, what is within reach, or what has one of
        these fingerprints; with ``causes``, branches of what has one, too. Three statements, which read what has failed
        alone: of what is no branch, an index."""
        terms, values = [_RESTS], list[Any]()
        if machine is not None:
            terms.append(f"e.machine = {self._link.mark}")
            values.append(machine)
        above = f"LEFT JOIN {ENTITY} p ON p.id = e.parent"
        roots, owned = [*terms, "e.parent IS NULL"], [*terms, "e.parent IS NOT NULL"]
        theirs = list(values)
        if fingerprints is not None:
            among, given = self._link.dialect.among(fingerprints)
            roots.append(f"e.fingerprint {among}")
            owned.append(f"(e.fingerprint {among} OR p.fingerprint {among})" if causes else f"e.fingerprint {among}")
            values += given
            theirs += [*given, *given] if causes else given
        if reach is not None:
            for where, params, are_owned in ((roots, values, False), (owned, theirs, True)):
                term, more = within(self._link, reach, owned=are_owned)
                where.append(term)
                params += more
        found = [
            # Nearly all of it, in the order of the index: nothing is sorted.
            *self._rows(_IN_ORDER, "", [*roots, "e.paused = 0"], values),
            *self._rows(_OF_ROOTS, "", [*roots, "e.paused <> 0"], values),
            *self._rows(_OF_BRANCHES, above, owned, theirs),
        ]
        return sorted(map(_resting, found), key=lambda one: one.row)

    def _rows(self, columns: str, join: str, where: Sequence[str], values: Sequence[Any]) -> list[Any]:
        source = f"{ENTITY} e{self._link.dialect.by_index(f'{ENTITY}_failing')} {join}"
        numbers = "COUNT(*), MIN(e.entered_at), MAX(e.entered_at), MAX(e.id)"
        found = f"SELECT {numbers}, {columns} FROM {source} WHERE {' AND '.join(where)} GROUP BY {columns}"
        return self._link.query(found, values)

    def counted(self) -> list[Counted]:
        """The same by machine, state and fingerprint alone, of which an index has the order; of branches those whose
        parent does not rest in the failure of the same step. Two statements."""
        source = f"{ENTITY} e{self._link.dialect.by_index(f'{ENTITY}_failing')}"
        alone = "(p.id IS NULL OR p.step <> e.parent_step OR p.fingerprint IS NULL)"
        places = (
            (source, f"{_RESTS} AND e.parent IS NULL"),
            (f"{source} LEFT JOIN {ENTITY} p ON p.id = e.parent", f"{_RESTS} AND e.parent IS NOT NULL AND {alone}"),
        )
        columns = "e.machine, e.state, e.fingerprint"
        select = f"SELECT {columns}, COUNT(*), MIN(e.entered_at) FROM {{}} WHERE {{}} GROUP BY {columns}"
        return [
            Counted(machine=machine, state=state, fingerprint=fingerprint, count=int(count), first_at=int(first_at))
            for place in places
            for machine, state, fingerprint, count, first_at in self._link.look(select.format(*place))
        ]

    def all(self) -> list[Group]:
        """Every group, without its traceback."""
        return self._read("1 = 1", ())

    def begin_with(self, text: str) -> list[Group]:
        """The groups whose fingerprints begin so, and what belongs to them; whole."""
        own = f"SELECT COALESCE(same_as, fingerprint) FROM {FAILURE} WHERE fingerprint >= {self._link.mark} "
        own += f"AND fingerprint < {self._link.mark}"
        values = (text, f"{text}g")
        return self._read(f"fingerprint IN ({own}) OR same_as IN ({own})", (*values, *values), whole=True)

    def _read(self, where: str, values: Sequence[Any], *, whole: bool = False) -> list[Group]:
        left_out = frozenset() if whole else _LONG
        columns = ", ".join("''" if name in left_out else self._link.quoted(name) for name in FAILURE_COLUMNS)
        rows = self._link.query(f"SELECT {columns} FROM {FAILURE} WHERE {where} ORDER BY first_at, fingerprint", values)
        return [group_of(row) for row in rows]

    def sightings(self, fingerprints: Sequence[str] | None = None) -> list[Sighting]:
        """How often groups were seen, all or these, by release."""
        where, values = "", tuple[Any, ...]()
        if fingerprints is not None:
            among, given = self._link.dialect.among(fingerprints)
            where, values = f"WHERE fingerprint {among}", tuple(given)
        release = self._link.quoted("release")
        rows = self._link.query(
            f"SELECT fingerprint, {release}, SUM(seen), MIN(first_at), MAX(last_at) FROM {SIGHTING} {where} "
            f"GROUP BY fingerprint, {release}",
            values,
        )
        return sorted(map(sighting_of, rows), key=lambda sighting: (sighting.first_at, sighting.release))

    def releases(self) -> dict[str, int]:
        """When something was first seen to fail in each release."""
        release = self._link.quoted("release")
        rows = self._link.query(f"SELECT {release}, MIN(first_at) FROM {SIGHTING} GROUP BY {release}")
        return {str(name): int(first) for name, first in rows}

    def change(self, fingerprint: str, changes: Mapping[str, Any]) -> None:
        """Write what people say of a group, by column."""
        columns = ", ".join(f"{self._link.quoted(name)} = {self._link.mark}" for name in changes)
        sql = f"UPDATE {FAILURE} SET {columns} WHERE fingerprint = {self._link.mark}"
        self._link.write(lambda: self._link.execute(sql, (*changes.values(), fingerprint)))

    def merge(self, fingerprint: str, into: str) -> None:
        """Let a group, and what belongs to it, belong to another one."""
        mark = self._link.mark
        sql = f"UPDATE {FAILURE} SET same_as = {mark} WHERE fingerprint = {mark} OR same_as = {mark}"
        self._link.write(lambda: self._link.execute(sql, (into, fingerprint, fingerprint)))

    def _insert(self, table: str, names: Sequence[str]) -> str:
        columns = ", ".join(map(self._link.quoted, names))
        return f"INSERT INTO {table} ({columns}) VALUES ({', '.join([self._link.mark] * len(names))})"


def _resting(row: Sequence[Any]) -> Resting:
    count, first_at, last_at, newest, machine, state, fingerprint, *more = row
    of_branches = more[1:]
    branch_name, above, above_machine = of_branches[:3] or (None, None, None)
    return Resting(
        fingerprint=fingerprint,
        machine=machine,
        state=state,
        is_branch=bool(of_branches),
        branch_name=branch_name,
        above=above,
        above_machine=above_machine,
        count=int(count),
        first_at=int(first_at),
        last_at=int(last_at),
        row=int(newest),
    )


def _every(commits: Iterable[Commit]) -> Iterable[Commit]:
    for commit in commits:
        yield commit
        yield from _every(commit.also)
