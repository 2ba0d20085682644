"""What must hold after every commit, whatever the weather: looked up by plain SQL, and remembered here."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fsmflow.store.tables import ENTITY, EVENT, HISTORY, PERMIT, WORK
from tests.attacks.simulation.deadlines import Deadlines
from tests.attacks.simulation.holder import keeping
from tests.attacks.simulation.machines import Design

ENTERING: Final = frozenset({"start", "transition", "forced", "skipped", "rewound"})
MAX_CRASHES: Final = 3
#: The standing of a branch that waits for its turn.
QUEUED: Final = 0
_ENTITY: Final = "id, machine, entity_id, state, phase, epoch, revision, seq, paused, parent, step, branch_of, standing"
_HISTORY: Final = 'seq, kind, "trigger", source, dest, epoch, attempt, payload, reason, at'
_WORK: Final = "entity, epoch, kind, attempt, fence, owner, held, wake_at"


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Known:
    """An entity as its history tells it."""

    row: int
    machine: str
    address: str
    is_branch: bool
    state: str = ""
    epoch: int = 0
    seq: int = 0
    paused: bool = False
    revision: int = -1
    step: int = 0
    runs_job: bool = False
    entered: dict[int, str] = field(default_factory=dict)
    ended: dict[tuple[int, int], str] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)
    failures: int = 0
    crashes: int = 0


@dataclass
class Received:
    """What became of one request, by the entries that carry its number."""

    kinds: Counter[str] = field(default_factory=Counter)


class Oracle:
    """Follows a database from commit to commit."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        design: Design,
        deadlines: Deadlines,
        tell: Callable[[str], None],
        now: Callable[[], int],
    ) -> None:
        self._now = now
        self._connection = connection
        self._design = design
        self.deadlines = deadlines
        self._tell = tell
        self.known: dict[int, Known] = {}
        self.received: dict[int, Received] = {}
        self.owners: dict[int, str | None] = {}
        self._attempts: dict[int, tuple[int, int]] = {}
        self.transitions = 0
        self._claims: Mapping[int, str] = {}
        #: The holds that kept back what was claimed as it was: its job must not begin.
        self.kept: dict[int, int | None] = {}

    def look(self, claims: Mapping[int, str] | None = None) -> None:
        """After a commit: what is new, and whether it may be so. ``claims``: the rows, and the token of each, of the
        attempts that whoever committed runs. Raises Violation."""
        self._claims = claims or {}
        for late in self.known.values():
            if self.deadlines.is_left_late(late.row, late.epoch):
                raise Violation(f"2 {late.address}: long after the time of {late.state!r} it has not been left")
        select = self._connection.execute
        work = {row[0]: row for row in select(f"SELECT {_WORK} FROM {WORK}")}
        for values in select(f"SELECT {_ENTITY} FROM {ENTITY}").fetchall():
            known = self.known.get(values[0])
            if known is None:
                address = f"{values[1]}:{values[2]}"
                known = self.known[values[0]] = Known(values[0], values[1], address, values[11] is not None)
            if known.revision != values[6]:
                self._follow(known, values)
                known.revision, known.step = values[6], values[10]
            self.deadlines.seen(known.row, known.epoch, waits=values[12] == QUEUED)
            self._check_work(known, values, work.get(values[0]))
        self._check_permits()
        for row in work:
            if row not in self.known:
                raise Violation(f"work row {row} belongs to no entity")
        left = select(
            f"SELECT e.entity_id, v.seq, e.epoch FROM {EVENT} v JOIN {ENTITY} e ON e.id = v.entity "
            f"WHERE v.kind = 'sent' AND v.seq <> e.epoch"
        ).fetchall()
        if left:
            raise Violation(f"8 {left[0][0]}: a message of epoch {left[0][1]} is there in epoch {left[0][2]}")

    def _check_permits(self) -> None:
        """No more have a permit of a limit, by a claim that is live, than may."""
        found = self._connection.execute(
            f'SELECT p."name", COUNT(*) FROM {PERMIT} p JOIN {WORK} w ON w.entity = p.entity AND w."owner" = p."owner" '
            f"AND w.epoch = p.epoch AND w.attempt = p.attempt AND w.fence = p.fence WHERE p.stage = 0 "
            f'GROUP BY p."name" HAVING COUNT(*) > 1'
        ).fetchall()
        if found:
            raise Violation(f"5 {found[0][0]}: {found[0][1]} have a permit, and one may")

    def lacks_permit(self, row: int, owner: str) -> bool:
        """Whether what is claimed so has no permit. Where the claim is gone, nobody has to have one."""
        found = self._connection.execute(
            f'SELECT p.entity FROM {WORK} w LEFT JOIN {PERMIT} p ON p.entity = w.entity AND w."owner" = p."owner" '
            f'AND w.fence = p.fence AND p.stage = 0 WHERE w.entity = ? AND w."owner" = ?',
            (row, owner),
        ).fetchall()
        return found == [(None,)]

    def _follow(self, known: Known, values: tuple[Any, ...]) -> None:
        state, epoch, seq, paused = values[3], values[5], values[7], bool(values[8])
        rows = self._connection.execute(
            f"SELECT {_HISTORY} FROM {HISTORY} WHERE entity = ? AND seq > ? ORDER BY seq", (known.row, known.seq)
        ).fetchall()
        for entry in rows:
            self._tell(f"{known.address} {entry[0]}: {entry[1]} {entry[2] or ''} {entry[3]} -> {entry[4]} e{entry[5]}")
            self._fold(known, entry)
        found, told = (known.state, known.epoch, known.seq, known.paused), (state, epoch, seq, paused)
        if found != told:
            raise Violation(f"I3 {known.address}: its history folds to {found}, its row says {told}")

    def _fold(self, known: Known, entry: tuple[Any, ...]) -> None:
        seq, kind, trigger, source, dest, epoch, attempt, payload, reason, at = entry
        if seq != known.seq + 1:
            raise Violation(f"I1 {known.address}: entry {seq} follows on {known.seq}")
        known.seq = seq
        if kind in ENTERING:
            if trigger == "timeout" and self.deadlines.is_left_early(known.row, known.epoch, at):
                raise Violation(f"2 {known.address}: the time of {known.state!r} is said to be over, and is not")
            self._enter(known, trigger, source, dest, epoch, attempt)
            self.deadlines.entered(known.row, epoch, (known.machine, "" if known.is_branch else dest), at)
        elif epoch != known.epoch:
            raise Violation(f"I1 {known.address}: entry {seq} ({kind}) has epoch {epoch} and not {known.epoch}")
        if kind in ("attempt_failed", "crashed"):
            self._end(known, epoch, attempt, kind)
        if kind == "paused":
            known.paused = True
            self.deadlines.paused(known.row, at)
        elif kind == "resumed":
            known.paused = False
            self.deadlines.resumed(known.row, epoch, at)
        elif kind == "attempt_failed":
            known.failures += 1
        elif kind == "crashed":
            known.crashes += 1
        self._check_budget(known)
        self._count(kind, payload, reason)

    def _enter(self, known: Known, trigger: str, source: str, dest: str, epoch: int, attempt: int | None) -> None:
        self.transitions += 1
        if epoch != known.epoch + 1:
            raise Violation(f"I1 {known.address}: {trigger} enters epoch {epoch} after {known.epoch}")
        if known.epoch and source is not None and source != known.state:
            raise Violation(f"I2 {known.address}: {trigger} from {source!r} while in {known.state!r}")
        if attempt is not None and known.epoch:
            self._end(known, known.epoch, attempt, f"{trigger} to {dest}")
        known.left[known.epoch] = trigger or ""
        if trigger == "done":
            self._check_join(known)
        known.state, known.epoch = dest, epoch
        known.entered[epoch] = dest
        known.failures = known.crashes = 0

    def _check_join(self, known: Known) -> None:
        unsettled = self._connection.execute(
            f"SELECT COUNT(*) FROM {ENTITY} WHERE parent = ? AND parent_step = ? AND standing IN (0, 1)",
            (known.row, known.step),
        ).fetchall()[0][0]
        if unsettled:
            raise Violation(
                f"7 {known.address}: leaves {known.state!r} by done, and {unsettled} branches have not settled"
            )

        if (known.machine, known.state) in self._design.keyed:
            self._check_items(known)

    def _check_items(self, known: Known) -> None:
        """A step is done once each item has a branch: those too that came while it ran."""
        ((data, made),) = self._connection.execute(
            f"SELECT data, (SELECT COUNT(*) FROM {ENTITY} WHERE parent = ? AND parent_step = ?) FROM {ENTITY} "
            f"WHERE id = ?",
            (known.row, known.step, known.row),
        ).fetchall()
        items = json.loads(data).get("items", [])
        if made < len(items):
            raise Violation(f"7 {known.address}: leaves {known.state!r} with {made} branches for {len(items)} items")

    def _end(self, known: Known, epoch: int, attempt: int, how: str) -> None:
        holder = self.owners.get(known.row)
        mine = self._claims.get(known.row)
        if mine is not None and known.runs_job and how != "crashed" and holder != mine:
            raise Violation(f"I4 {known.address}: attempt {attempt} is ended by {how}, and somebody else holds it")
        if (epoch, attempt) in known.ended and not how.startswith("fail "):
            raise Violation(f"I4 {known.address}: attempt {attempt} of epoch {epoch} ends a second time, by {how}")
        known.ended[epoch, attempt] = how

    def _check_budget(self, known: Known) -> None:
        budget = self._design.budgets.get((known.machine, known.state))
        if not known.is_branch and budget is not None and known.failures > budget + 1:
            raise Violation(f"I8 {known.address}: {known.failures} failures in {known.state!r}, {budget} retries")
        if known.crashes > MAX_CRASHES + 1:
            raise Violation(f"I8 {known.address}: {known.crashes} crashes in {known.state!r}")

    def _check_work(self, known: Known, values: tuple[Any, ...], work: tuple[Any, ...] | None) -> None:
        phase, epoch = values[4], values[5]
        if work is None:
            if phase == "working":
                raise Violation(f"I5 {known.address}: working in {known.state!r} without a work row")
            self.owners.pop(known.row, None)
            return
        if work[1] != epoch:
            raise Violation(f"I5 {known.address}: its work is of epoch {work[1]}, it is in {epoch}")
        owner, before = work[5], self.owners.get(known.row)
        is_other = self._attempts.get(known.row) != (work[1], work[3])
        if owner is not None and (owner != before or is_other):
            if before is not None and not is_other:
                raise Violation(f"I4 {known.address}: claimed by {owner} while {before} holds the attempt")
            if known.paused:
                raise Violation(f"6 {known.address}: claimed while it is paused")
            if phase in ("finished", "failed"):
                raise Violation(f"6 {known.address}: claimed in {known.state!r}")
            self.deadlines.claimed(known.row)
            self.kept[known.row] = keeping(self._connection, known.machine, values[11] or known.state, self._now())
        self.owners[known.row] = owner
        known.runs_job = work[2] in ("job", "more")
        self._attempts[known.row] = (work[1], work[3])

    def _count(self, kind: str, payload: str | None, reason: str | None) -> None:
        number = None
        if payload is not None and (found := json.loads(payload)) and "op" in found:
            number = found["op"]
        elif reason is not None and reason.startswith("op "):
            number = int(reason[3:])
        if number is not None:
            self.received.setdefault(number, Received()).kinds[kind] += 1

    def poked(self) -> list[tuple[int, int]]:
        """The requests that an entity has taken note of, by its row."""
        sql = f"SELECT entity, payload FROM {HISTORY} WHERE kind = 'internal' AND \"trigger\" = 'poke'"
        found = [(row, json.loads(payload or "{}")) for row, payload in self._connection.execute(sql)]
        return [(row, payload["op"]) for row, payload in found if "op" in payload]

    def lost(self) -> set[int]:
        """The messages that found nobody, as their senders keep them."""
        rows = self._connection.execute(f"SELECT payload FROM {EVENT} WHERE kind = 'lost'").fetchall()
        return {int(number) for (text,) in rows for number in re.findall(r'"op": ?(\d+)', text or "")}

    def check_left(self) -> None:
        """Nothing rests in a failure whose parent has left the step, but what goes by itself or takes back."""
        rows = self._connection.execute(
            f"SELECT c.machine, c.entity_id, c.state, p.state FROM {ENTITY} c JOIN {ENTITY} p ON p.id = c.parent "
            f"WHERE c.phase = 'failed' AND c.standing IN (3, 5) AND c.state NOT LIKE 'failed_from_undoing%' "
            f"AND (p.phase = 'finished' OR p.step <> c.parent_step)"
        ).fetchall()
        for machine, entity_id, state, above in rows:
            raise Violation(f"6 {machine}:{entity_id}: rests in {state!r}, and its parent is in {above!r}")

    def check_received(self, number: int, what: str, *, least: int, most: int) -> None:
        """Whether a request was taken as often as it may have been."""
        kinds = self.received.get(number, Received()).kinds
        kept, ignored, discarded = kinds["deferred"], kinds["ignored"], kinds["discarded"]
        applied = sum(kinds.values()) - kept - ignored - discarded - kinds["unsent"]
        if kinds["unsent"] and applied + discarded + ignored + kept:
            raise Violation(f"8 {what}: delivered, and taken back ({dict(kinds)})")
        taken = max(kept, applied + discarded) + ignored
        if not least <= taken <= most or kept > 1 or (kept and applied + discarded > 1):
            raise Violation(f"4 {what}: taken {taken} times ({dict(kinds)}), and not {least} to {most} times")
