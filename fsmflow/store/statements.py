"""The hot statements, written once per database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from fsmflow.decision.commit import EventKind
from fsmflow.decision.entity import FAILED_ONES, FREE_ONES, UNSETTLED, UNTOLD, Standing
from fsmflow.decision.work import FAR_FUTURE_MS, RUNS, WATCHES
from fsmflow.definition.names import CANCELLED, FINISHED
from fsmflow.store.columns import (
    ENTITY_COLUMNS,
    EVENT_COLUMNS,
    GUARD_COLUMNS,
    HISTORY_COLUMNS,
    NEW_ENTITY_COLUMNS,
    READ_ENTITY_COLUMNS,
    READ_EVENT_COLUMNS,
    READ_HISTORY_COLUMNS,
    WORK_COLUMNS,
)
from fsmflow.store.dialect import Dialect
from fsmflow.store.link import Link
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, HOLDS, META, WORK

#: Work is due no later than at its deadline. Takes the same moment twice.
WAKE = "wake_at = CASE WHEN deadline < ? THEN deadline ELSE ? END"


#: What is added to the standing of a branch once its parent has been told of it.
_TOLD = Standing.DONE_TOLD - Standing.DONE


def among(kinds: Iterable[Enum]) -> str:
    """What follows a column that has one of these kinds."""
    values = sorted(kind.value for kind in kinds)
    return f"IN ({', '.join(repr(value) for value in values)})"


class Statements:
    """SQL texts for one database; ``?`` stands as that database's driver wants it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        dialect = link.dialect
        joined = f"{self._columns('e', READ_ENTITY_COLUMNS)}, {self._columns('w', WORK_COLUMNS)}"
        work = f"LEFT JOIN {WORK} w ON w.{self._q('entity')} = e.id"
        both = f"SELECT {joined} FROM {ENTITY} e {work}"
        #: For the numbers of some rows.
        self.by_rows = f"SELECT {joined} FROM {ENTITY} e{dialect.by_row} {work}"
        self.load = self._sql(f"{both} WHERE e.machine = ? AND e.entity_id = ?")
        self.load_row = self._sql(f"{both} WHERE e.id = ?")
        self.lock_entity = self._sql(f"SELECT revision, paused FROM {ENTITY} WHERE id = ?{dialect.locking}")
        self.load_locked = self.load + dialect.latest
        self.load_row_locked = self.load_row + dialect.latest
        self.joined = both
        self._for_entities(dialect)
        self._for_history(dialect)
        self._for_events(dialect)
        self._for_counts()
        self._for_branches()
        self._for_work()
        self._for_sweeps()
        self._for_looks()
        self.meta = self._sql(f"SELECT {self._q('value')} FROM {META} WHERE {self._q('name')} = ?")

    def _for_entities(self, dialect: Dialect) -> None:
        self.insert_entity = self._insert(ENTITY, NEW_ENTITY_COLUMNS) + dialect.returning
        self.update_entity = self._update(ENTITY, ENTITY_COLUMNS, ("id", "revision"))
        self.insert_work = self._insert(WORK, ("entity", *WORK_COLUMNS))
        self.update_work = self._update(WORK, WORK_COLUMNS, ("entity",))
        self.update_work_guarded = self._update(WORK, WORK_COLUMNS, GUARD_COLUMNS)
        self.update_work_unclaimed = (
            self._update(WORK, WORK_COLUMNS, ("entity", "epoch", "attempt", "fence", "dispatch"))
            + f" AND {self._q('owner')} IS NULL"
        )
        self.delete_work = self._sql(f"DELETE FROM {WORK} WHERE {self._equal(('entity',))}")
        self.delete_work_guarded = self._sql(f"DELETE FROM {WORK} WHERE {self._equal(GUARD_COLUMNS)}")
        self.lock_work_guarded = self._sql(f"SELECT 1 FROM {WORK} WHERE {self._equal(GUARD_COLUMNS)}{dialect.locking}")

    def _for_history(self, dialect: Dialect) -> None:
        self.insert_history = self._insert(HISTORY, HISTORY_COLUMNS)
        self.history = self._sql(
            f"SELECT {self._columns('h', READ_HISTORY_COLUMNS)} FROM {HISTORY} h "
            f"WHERE h.entity = ? AND h.seq > ? ORDER BY h.seq LIMIT ?"
        )
        self.histories = (
            f"SELECT h.{self._q('entity')}, {self._columns('h', READ_HISTORY_COLUMNS)} FROM {HISTORY} h "
            f"WHERE h.{self._q('entity')} {{among}} ORDER BY h.{self._q('entity')}, h.seq"
        )
        of = f"SELECT {self._columns('h', READ_HISTORY_COLUMNS)} FROM {HISTORY} h WHERE h.entity = ? AND "
        self.entry = self._sql(f"{of} h.seq = ?") + dialect.latest_shared
        self.past_epoch = self._sql(f"{of} h.epoch > ? ORDER BY h.seq LIMIT 1")
        self.last_edit = self._sql(f"{of} h.edit IS NOT NULL ORDER BY h.seq DESC LIMIT 1")
        self.last_source = self._sql(
            f"SELECT source FROM {HISTORY} WHERE entity = ? AND dest = ? ORDER BY seq DESC LIMIT 1"
        )
        self.last_tokens = self._sql(f"SELECT token FROM {HISTORY} WHERE entity = ? ORDER BY seq DESC LIMIT 100")
        self.token = self._sql(f"SELECT token FROM {HISTORY} WHERE entity = ? AND seq = ?")

    def _for_events(self, dialect: Dialect) -> None:
        self.insert_event = self._insert(EVENT, EVENT_COLUMNS)
        found = (
            f"SELECT seq, why FROM {EVENT} WHERE {self._equal(('entity', 'key'))} AND kind = '{EventKind.KEY.value}'"
        )
        self.event_by_key = self._sql(found)
        self.event_by_key_locked = self.event_by_key + dialect.latest
        self.take_event = self._sql(f"DELETE FROM {EVENT} WHERE id = ?")
        self.mark_event = self._sql(f"UPDATE {EVENT} SET tries = ?, why = ?, due_at = ? WHERE id = ?")
        columns = self._columns("v", READ_EVENT_COLUMNS)
        self.events = self._sql(f"SELECT {columns} FROM {EVENT} v WHERE v.entity = ? AND v.kind = ? ORDER BY v.id")
        self.events_latest = self.events + dialect.latest_shared
        self.event = self._sql(f"SELECT {columns} FROM {EVENT} v WHERE v.id = ?")
        self.due_events = self._sql(
            f"SELECT {columns} FROM {EVENT} v WHERE v.due_at <= ? ORDER BY v.due_at, v.id LIMIT ?"
        )
        self.next_event = self._sql(f"SELECT MIN(due_at) FROM {EVENT} WHERE due_at > ?")
        self.stick_event = self._sql(f"UPDATE {EVENT} SET due_at = ?, tries = ?, why = ? WHERE id = ? AND due_at = ?")
        self.stuck_events = self._sql(
            f"SELECT {columns} FROM {EVENT} v WHERE v.due_at > 0 AND v.tries > 0 ORDER BY v.due_at, v.id LIMIT ?"
        )
        self.stuck_events_of = f"SELECT {columns} FROM {EVENT} v WHERE v.due_at > 0 AND v.tries > 0 AND v.entity "
        self.postpone_event = self._sql(f"UPDATE {EVENT} SET due_at = ? WHERE id = ? AND due_at = ?")

    def _for_counts(self) -> None:
        """How branches stand, by index, whatever their number."""
        mine = f"FROM {ENTITY} e WHERE e.parent = ? AND e.standing"
        # A range, as it is in order then: of a list PostgreSQL would read all, to sort them.
        self.first_unsettled = self._sql(
            f"SELECT e.standing {mine} BETWEEN {min(UNSETTLED)} AND {max(UNSETTLED)} AND e.parent_step = ? "
            f"ORDER BY e.standing LIMIT 1"
        )
        self.failed_since = self._sql(
            f"SELECT 1 {mine} {among(FAILED_ONES)} AND e.parent_step = ? AND e.entered_at >= ? LIMIT 1"
        )
        self.count_standing = self._sql(
            f"SELECT COUNT(*) FROM (SELECT 1 {mine} = ? AND e.parent_step = ? LIMIT ?) counted"
        )
        self.tally = self._sql(
            f"SELECT e.standing, COUNT(*) FROM {ENTITY} e WHERE e.parent = ? AND e.parent_step = ? "
            f"AND e.standing {among(Standing)} GROUP BY e.standing"
        )
        self.count_cancelled = self._sql(
            f"SELECT COUNT(*) {mine} = ? AND e.parent_step = ? AND e.state = '{CANCELLED}'"
        )

    def _for_branches(self) -> None:
        """All by index, whatever the number of branches."""
        joined = f"{self.joined} WHERE e.parent = ?"
        one = self._link.dialect.one_of_order
        self.by_standing = self._sql(
            f"{joined} AND e.standing {one} AND e.parent_step = ? AND e.parent_index > ? "
            f"ORDER BY e.standing, e.parent_index LIMIT ?"
        )
        self.failing = self._sql(
            f"{joined} AND e.standing {among(FAILED_ONES)} AND e.fingerprint IS NOT NULL AND e.parent_step = ? "
            f"ORDER BY e.parent_index LIMIT ?"
        )
        self.untold = self._sql(
            f"{joined} AND e.standing {among(UNTOLD)} AND e.parent_step = ? ORDER BY e.entered_at, e.id LIMIT ?"
        )
        self.branches = self._sql(
            f"{joined} AND e.parent_step = ? AND e.parent_index > ? ORDER BY e.parent_index LIMIT ?"
        )
        self.named_branch = self._sql(f"{joined} AND e.parent_step = ? AND e.branch_name = ? LIMIT 1")
        self.unsettled = self._sql(f"{joined} AND e.standing {among(UNSETTLED)} AND e.id > ? ORDER BY e.id LIMIT ?")
        rests = f"e.standing {among(FAILED_ONES)} AND e.fingerprint IS NOT NULL AND e.parent_step <> ?"
        self.unlike = self._sql(
            f"{joined} AND e.id > ? AND (e.standing {among(UNSETTLED)} AND (e.paused <> ? OR e.parent_step <> ?) "
            f"OR {rests}) ORDER BY e.id LIMIT ?"
        )
        free = f"e.standing {among(FREE_ONES)} AND e.phase <> '{FINISHED}'"
        self.left_over = self._sql(
            f"{joined} AND e.id > ? AND (e.standing {among(UNSETTLED)} OR {rests} OR {free} AND ? = 1) "
            f"ORDER BY e.id LIMIT ?"
        )
        self._for_parents()

    def _for_parents(self) -> None:
        """What a parent asks of all its steps, and what is written there for it."""
        self.items = self._sql(
            f"SELECT e.parent_index, e.item FROM {ENTITY} e WHERE e.parent = ? AND e.parent_step = ? "
            f"AND e.parent_index > ? ORDER BY e.parent_index LIMIT ?"
        )
        self.last_step = self._sql(f"SELECT MAX(parent_step) FROM {ENTITY} WHERE parent = ?")
        self.last_index = self._sql(f"SELECT MAX(parent_index) FROM {ENTITY} WHERE parent = ? AND parent_step = ?")
        self.first_branches = self._sql(
            f"SELECT parent_step, entity_id FROM {ENTITY} WHERE parent = ? AND parent_index = 0 ORDER BY parent_step"
        )
        free = f"w.{self._q('owner')} IS NULL AND w.held IS NULL AND w.parked IS NULL"
        waits = f"w.kind {among(RUNS)} AND {free} AND w.rung_at IS NULL"
        active = (
            f"SELECT id FROM {ENTITY} WHERE parent = ? AND standing = {Standing.ACTIVE.value} AND parent_step = ? "
            f"ORDER BY parent_index LIMIT ?"
        )
        self.waiting = self._sql(
            f"{self.joined} JOIN ({active}) a ON a.id = e.id WHERE {waits} ORDER BY w.wake_at, e.id LIMIT ?"
        )
        self.tell = self._sql(
            f"UPDATE {ENTITY} SET standing = standing + {_TOLD}, revision = revision + 1 "
            f"WHERE id = ? AND revision = ? AND standing {among(UNTOLD)}"
        )
        self.free = self._sql(
            f"UPDATE {ENTITY} SET standing = {Standing.FREE_FAILED.value}, revision = revision + 1 "
            f"WHERE parent = ? AND parent_step = ? AND standing {among(FAILED_ONES)} AND fingerprint IS NOT NULL"
        )
        self.nudge = self._sql(
            f"UPDATE {WORK} SET wake_at = ? WHERE entity = ? AND kind {among(WATCHES)} AND held IS NULL "
            f"AND (wake_at > ? OR wake_at <= ?)"
        )

    def _for_work(self) -> None:
        self.claim = self._sql(
            f"UPDATE {WORK} SET fence = fence + 1, {self._q('owner')} = ?, lease_until = ?, parked = NULL, {WAKE} "
            f"WHERE entity = ? AND epoch = ? AND attempt = ? AND {self._q('owner')} IS NULL AND held IS NULL "
            f"AND kind {among(RUNS)}"
        )
        # What is kept back is read with what is claimed, so that there is no moment in between.
        holds = f"SELECT {self._q('value')} FROM {META} WHERE {self._q('name')} = '{HOLDS}'"
        self.holds = holds
        self.holds_locked = holds + self._link.dialect.locking
        claimed = f"{self._columns('e', READ_ENTITY_COLUMNS)}, {self._columns('w', WORK_COLUMNS)}, ({holds})"
        found = f"SELECT {claimed} FROM {ENTITY} e JOIN w ON w.entity = e.id"
        there = f"SELECT {claimed} FROM {ENTITY} e JOIN {WORK} w ON w.{self._q('entity')} = e.id WHERE e.id"
        self.load_claimed = self._sql(f"{there} = ?")
        self.load_all_claimed = f"{there} {{among}}"
        self.claim_at_once = self._link.dialect.claim_at_once(self.claim, found)
        self.claim_with_others = f"WITH w AS ({self.claim} RETURNING *) {found}"
        self.heartbeat = self._sql(
            f"UPDATE {WORK} SET lease_until = ?, {WAKE}, progress = COALESCE(?, progress) "
            f"WHERE {self._equal(GUARD_COLUMNS)}"
        )
        self.ring = self._sql(
            f"UPDATE {WORK} SET dispatch = dispatch + 1, rung_at = ?, parked = NULL, {WAKE} "
            f"WHERE entity = ? AND epoch = ? AND attempt = ? AND dispatch = ? "
            f"AND {self._q('owner')} IS NULL AND held IS NULL"
        )
        self.touch_entity = self._sql(f"UPDATE {ENTITY} SET revision = revision + 1 WHERE id = ?")
        self.release = self._sql(
            f"UPDATE {WORK} SET {self._q('owner')} = NULL, lease_until = NULL, rung_at = NULL, progress = NULL, "
            f"attempt = ?, dispatch = ?, wake_at = ?, held = ?, deadline = ?, parked = ? "
            f"WHERE {self._equal(GUARD_COLUMNS)}"
        )
        self.park = self._sql(
            f"UPDATE {WORK} SET parked = ?, wake_at = ? WHERE entity = ? AND epoch = ? AND wake_at = ? "
            f"AND held IS NULL AND {self._q('owner')} IS NULL"
        )
        self.let_go = self._sql(f"UPDATE {WORK} SET parked = NULL, wake_at = ? WHERE entity = ? AND parked = ?")
        self.parked_by = self._sql(
            f"SELECT {self._q('entity')} FROM {WORK} WHERE parked = ? ORDER BY {self._q('entity')} LIMIT ?"
        )

    def _for_sweeps(self) -> None:
        wakes = self._link.dialect.wakes
        self.due = self._sql(
            f"SELECT {self._q('entity')}, {self._columns('w', WORK_COLUMNS)} FROM {WORK} w "
            f"WHERE {wakes.until('?', 'w.')} ORDER BY w.{wakes.column} LIMIT ?"
        )
        unanswered = f"kind {among(RUNS)} AND rung_at IS NOT NULL AND held IS NULL AND {self._q('owner')} IS NULL"
        self.unanswered_queues = f"SELECT DISTINCT queue FROM {WORK} WHERE {unanswered} AND queue IS NOT NULL"
        self.unanswered = self._sql(
            f"SELECT {self._q('entity')}, {self._columns('w', WORK_COLUMNS)} FROM {WORK} w "
            f"WHERE {unanswered} AND queue = ? ORDER BY rung_at LIMIT ?"
        )
        #: Of what is no job that is only to be dispatched.
        self._no_doorbell = f"w.kind NOT {among(RUNS)} OR w.deadline <= w.wake_at OR w.{self._q('owner')} IS NOT NULL"
        self.due_but_doorbells = self.due.replace("ORDER BY", f"AND ({self._no_doorbell}) ORDER BY")
        self.wake_rung = self._sql(
            f"UPDATE {WORK} SET wake_at = ?, rung_at = NULL WHERE kind {among(RUNS)} AND rung_at IS NOT NULL "
            f"AND held IS NULL AND {self._q('owner')} IS NULL"
        )
        self.put_off = self._sql(
            f"UPDATE {WORK} SET deadline = ?, overdue = 1, wake_at = ?, tries = ?, why = ? WHERE entity = ? "
            f"AND epoch = ? AND deadline = ? AND held IS NULL"
        )
        self.stick = self._sql(
            f"UPDATE {WORK} SET wake_at = ?, tries = ?, why = ? WHERE entity = ? AND epoch = ? AND tries = ? "
            f"AND held IS NULL"
        )
        self.postpone = self._sql(f"UPDATE {WORK} SET wake_at = ? WHERE entity = ? AND epoch = ? AND wake_at = ?")

    def _for_looks(self) -> None:
        """What is looked for by the moment at which it is due."""
        wakes, owner = self._link.dialect.wakes, self._q("owner")
        key, source = wakes.column, f"FROM {WORK} WHERE {wakes.column} > ?"
        ahead = f"wake_at > ? AND wake_at < {FAR_FUTURE_MS} AND ({owner} IS NULL OR wake_at < lease_until)"
        # One that the index has after this moment; what is due before that one, the index has before it too.
        one = f"SELECT wake_at {source} AND {ahead} ORDER BY {key} LIMIT 1"
        self.next_due = self._sql(
            f"SELECT MIN(wake_at) {source} AND {key} <= COALESCE(({one}), {FAR_FUTURE_MS}) AND {ahead}"
        )
        self.claimed_between = self._sql(
            f"SELECT wake_at, entity {source} AND {wakes.until('?')} AND wake_at >= ? AND {owner} IS NOT NULL "
            f"ORDER BY {key} LIMIT ?"
        )

    def due_but(self, count: int) -> str:
        """What is due, without jobs of so many queues that are only to be dispatched."""
        others = f"COALESCE(w.queue, 'default') NOT IN ({', '.join([self._link.mark] * count)})"
        return self.due.replace("ORDER BY", f"AND ({self._no_doorbell} OR {others}) ORDER BY")

    def _q(self, name: str) -> str:
        return self._link.quoted(name)

    def _columns(self, alias: str, names: Sequence[str]) -> str:
        return ", ".join(f"{alias}.{self._q(name)}" for name in names)

    def _equal(self, names: Sequence[str]) -> str:
        return " AND ".join(f"{self._q(name)} = ?" for name in names)

    def _insert(self, table: str, names: Sequence[str]) -> str:
        columns = ", ".join(self._q(name) for name in names)
        return self._sql(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})")

    def _update(self, table: str, names: Sequence[str], where: Sequence[str]) -> str:
        columns = ", ".join(f"{self._q(name)} = ?" for name in names)
        return self._sql(f"UPDATE {table} SET {columns} WHERE {self._equal(where)}")

    def _sql(self, text: str) -> str:
        return text.replace("?", self._link.mark)
