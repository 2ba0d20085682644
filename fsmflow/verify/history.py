"""One entity's history, folded row by row: no gaps, each row goes on from the one before, and all of it is the entity.

What a kind means: ``start``, ``transition``, ``forced``, ``skipped`` and ``rewound`` enter a state, and the epoch grows
by one; ``paused`` and ``resumed`` set whether it is paused; all others leave state, epoch and pause as they are. The
version of the machine that wrote a row only grows.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

from fsmflow.verify.law import Law
from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Entity, Entry
from fsmflow.verify.texts import unreadable

MAX_CRASHES: Final = 3
ENTERS: Final = frozenset({"start", "transition", "forced", "skipped", "rewound"})
STAYS: Final = frozenset(
    {
        "internal",
        "attempt_failed",
        "crashed",
        "deferred",
        "ignored",
        "discarded",
        "saved",
        "paused",
        "resumed",
        "hurried",
        "unsent",
        "delivered",
        "refused",
        "dropped",
        "asked",
        "revised",
        "erased",
    }
)
_TRIGGERED: Final = frozenset(
    {"transition", "internal", "deferred", "ignored", "discarded", "forced", "skipped", "rewound", "hurried"}
)
RUN_AGAIN: Final = frozenset({"attempt_failed", "crashed"})


class Keys:
    """The keys that the rows so far have applied. What was used up to ``until`` may have been deleted on purpose, and
    used again since."""

    def __init__(self, until: int) -> None:
        self._until = until
        #: By key: the number of the row, and what was asked.
        self.applied: dict[str, tuple[int, str]] = {}
        #: Those that need not be noted any more.
        self.old: set[str] = set()

    def apply(self, entry: Entry, key: str) -> int | None:
        """A row has applied a key; the number of the row that has done so before, where it must not again."""
        first, _ = self.applied.setdefault(key, (entry.seq, entry.trigger or entry.kind))
        if first != entry.seq and key not in self.old:
            return first
        self.applied[key] = (entry.seq, entry.trigger or entry.kind)
        self.old.discard(key)
        if entry.at <= self._until:
            self.old.add(key)
        return None


class Fold:
    """What the rows so far come to. After the first row that does not follow, only its keys are still looked at."""

    def __init__(self, entity: Entity, law: Law | None, findings: Findings, keys_until: int = 0) -> None:
        self._entity = entity
        self._law = law
        self._findings = findings
        self._is_broken = False
        #: Whether a row so far tells of a machine that was another under the same version.
        self._was_another = False
        self._token: str | None = None
        self._commits = 0
        self._attempt = 0
        self._ended: dict[str, int] = {}
        self._exceeded: set[str] = set()
        self.rows = 0
        self.state = ""
        self.epoch = 0
        self.paused = False
        #: Of the last row, and of the one that entered the state.
        self.version = 0
        self.entered_in_version = 0
        #: What was done with keys; the numbers of entries that were kept for later; how many were discarded.
        self.keys = Keys(keys_until)
        self.deferred: set[int] = set()
        self.discarded = 0
        #: Internal triggers since the state was entered, and whether an operator ever placed the entity.
        self.internal: set[str] = set()
        self.was_placed = False
        #: How often each state was entered, those in which its step rests counted with it.
        self.visits: Counter[str] = Counter()

    def feed(self, entry: Entry) -> None:
        """The next row."""
        self.rows += 1
        self._remember(entry)
        if self._is_broken:
            return
        self._check_account(entry)
        fault = self._gap(entry) or self._wrong_epoch(entry) or self._wrong_place(entry) or self._wrong_version(entry)
        if fault is not None:
            self._is_broken = True
            self._add(fault[0], f"history row {entry.seq} ({entry.kind}): {fault[1]}")
            return
        self._check_law(entry)
        self._go_on(entry)
        self._check_attempts(entry)

    def finish(self) -> None:
        """All rows have been fed: they come to what the entity is."""
        entity = self._entity
        if self._is_broken:
            return
        if self.rows != entity.seq:
            self._add("history-gap", f"it has {self.rows} history rows, and the entity says seq {entity.seq}")
            return
        found = (self._today(self.state), self.epoch, self.paused)
        is_now = (self._today(entity.state), entity.epoch, bool(entity.paused))
        names = ("state", "epoch", "paused")
        for name, folded, stored in zip(names, found, is_now, strict=True):
            if folded != stored:
                self._add("history-fold", f"its history comes to {name} {folded!r}, and the entity says {stored!r}")
        if entity.version < self.version:
            what = f"its history comes to version {self.version}, and the entity says {entity.version}"
            self._add("history-fold", what)
        self._check_step()
        if entity.revision < self._commits:
            what = f"its history was written by {self._commits} commits, and the entity says revision {entity.revision}"
            self._add("history-fold", what)

    def _check_step(self) -> None:
        """Keys are made of the visits of states: one that is not counted is given twice."""
        entity = self._entity
        if unreadable(entity.visits, kind=dict):
            return
        visits = json.loads(entity.visits)
        state, _, rest = entity.step_name.partition(".")
        visit = rest.partition(".")[0]
        if not visit.isdigit() or int(visit) != visits.get(state):
            what = (
                f"its step is called {entity.step_name!r}, and {visits.get(state, 0)} visits of {state!r} are counted"
            )
            self._add("step-named", what)
        for name, count in visits.items():
            if not 1 <= count <= self.visits[name]:
                what = f"{count} visits of {name!r} are counted, and its history has {self.visits[name]}"
                self._add("step-named", what)

    def _remember(self, entry: Entry) -> None:
        if entry.kind == "discarded":
            self.discarded += 1  # what is refused uses up no key
        elif entry.key is not None:
            first = self.keys.apply(entry, entry.key)
            if first is not None:
                what = f"the key {entry.key!r} was applied twice, in history rows {first} and {entry.seq}"
                self._add("key-once", what)
        if entry.kind == "deferred":
            self.deferred.add(entry.seq)

    def _check_account(self, entry: Entry) -> None:
        """Every row says what happened, when, and why."""
        faults = [
            (entry.kind not in ENTERS | STAYS, f"unknown kind {entry.kind!r}"),
            (entry.at <= 0, f"the time is {entry.at}"),
            (not entry.token, "the token of its commit is missing"),
            (entry.kind in _TRIGGERED and not entry.trigger, "the trigger is missing"),
            (entry.kind in RUN_AGAIN and entry.attempt is None, "the attempt is missing"),
            (entry.kind in RUN_AGAIN and entry.failure is None, "the failure is missing"),
        ]
        for is_wrong, what in faults:
            if is_wrong:
                self._add("history-account", f"history row {entry.seq} ({entry.kind}): {what}")
        for name, text in (("payload", entry.payload), ("failure", entry.failure), ("edit", entry.edit)):
            why = unreadable(text)
            if why:
                self._add("readable", f"{name} of history row {entry.seq} is no JSON: {why}")

    def _gap(self, entry: Entry) -> tuple[str, str] | None:
        if entry.seq != self.rows:
            return "history-gap", f"row {self.rows} is missing"
        if (entry.kind == "start") != (entry.seq == 1):
            return "history-fold", "only the first row starts an entity"
        return None

    def _wrong_epoch(self, entry: Entry) -> tuple[str, str] | None:
        enters = entry.kind in ENTERS
        if enters and entry.epoch <= self.epoch:
            return "one-entry-per-epoch", f"it enters epoch {entry.epoch}, which had been entered before"
        if entry.epoch != self.epoch + enters:
            return "history-fold", f"its epoch is {entry.epoch}, {self.epoch + enters} follows"
        return None

    def _wrong_place(self, entry: Entry) -> tuple[str, str] | None:
        if entry.seq > 1 and self._today(entry.source or "") != self._today(self.state):
            return "history-fold", f"it leaves {entry.source!r}, and the row before it ends in {self.state!r}"
        if entry.kind not in ENTERS and self._today(entry.dest) != self._today(self.state):
            return "history-fold", f"it ends in {entry.dest!r}, and its kind does not leave {self.state!r}"
        return None

    def _wrong_version(self, entry: Entry) -> tuple[str, str] | None:
        if entry.version < max(self.version, 1):
            return "history-fold", f"its version is {entry.version}, and that of the row before it {self.version}"
        return None

    def _check_law(self, entry: Entry) -> None:
        why = self._objection(entry)
        if why is not None:
            self._add("transition-legal", f"history row {entry.seq} ({entry.kind}): {why}")

    def _objection(self, entry: Entry) -> str | None:
        """What the machine of today says against a row that is of its version; it is silent on all others."""
        law = self._law
        if law is None or not law.wrote(entry):
            self._findings.checked["history_rows_not_compared"] += 1
            return None
        # A state that is gone, under the same version: the machine was changed without raising that.
        self._was_another = self._was_another or not law.knows(entry.dest)
        known = law.knows(entry.dest) and (entry.source is None or law.knows(entry.source))
        why = law.objection(self._entity, entry) if known else None
        if not known or (why is not None and self._was_another):
            self._findings.checked["history_rows_not_compared"] += 1
            return None
        return why

    def _go_on(self, entry: Entry) -> None:
        if entry.token != self._token:
            self._token = entry.token
            self._commits += 1
        self.version = entry.version
        if entry.kind in ENTERS:
            self.state, self.epoch, self.entered_in_version = entry.dest, entry.epoch, entry.version
            self._attempt, self._ended, self._exceeded = 0, {}, set()
            self.internal.clear()
            self.was_placed = self.was_placed or entry.kind in ("forced", "rewound")
            self.visits[entry.dest.removeprefix("failed_from_")] += 1
        elif entry.kind == "internal":
            self.internal.add(entry.trigger or "")
        elif entry.kind in ("paused", "resumed"):
            self.paused = entry.kind == "paused"

    def _check_attempts(self, entry: Entry) -> None:
        if entry.kind not in RUN_AGAIN or entry.attempt is None:
            return
        where = f"history row {entry.seq} ({entry.kind})"
        if entry.attempt <= self._attempt:
            self._add("attempts-grow", f"{where}: attempt {entry.attempt} of {self.state!r} had ended before")
        self._attempt = max(self._attempt, entry.attempt)
        self._ended[entry.kind] = self._ended.get(entry.kind, 0) + 1
        most = self._most(entry)
        if most is not None and self._ended[entry.kind] > most and entry.kind not in self._exceeded:
            self._exceeded.add(entry.kind)
            what = "was run again after a failure" if entry.kind == "attempt_failed" else "was run again after a crash"
            self._add("attempts-bounded", f"{where}: {self.state!r} {what} more than {most} times in one visit")

    def _most(self, entry: Entry) -> int | None:
        """How often the state may have been run again, up to an entry that says it is; None where nobody can tell, as
        for a step that made branches, which has a new budget each time that it goes on."""
        law = self._law
        spec = law.spec(self.state) if law is not None and law.wrote(entry) else None
        if spec is None or spec.fan is not None or self._was_another:
            return None
        if entry.kind == "attempt_failed":
            return spec.retry.max if spec.retry is not None else 0
        return 0 if spec.at_most_once else MAX_CRASHES

    def _today(self, state: str) -> str:
        return state if self._law is None else self._law.today(state)

    def _add(self, invariant: str, what: str) -> None:
        self._findings.add(invariant, self._entity.address, what)
