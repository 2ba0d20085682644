"""``Repair``: one action done to many entities with care, as an entity of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.entity import ClaimLost
from fsmflow.decision.erasure import ERASE
from fsmflow.decision.inputs import Outcome
from fsmflow.decision.member import ASKED, FAILED_AGAIN, SETTLED, Fate, Member
from fsmflow.definition.names import CANCELLED, OPERATIONS
from fsmflow.definition.retry import Retry
from fsmflow.definition.state import State
from fsmflow.engine.runtime import current
from fsmflow.errors import Cancelled, DatabaseUnavailable, RetryAfter
from fsmflow.machine import Machine
from fsmflow.operations.members import NAME, Members
from fsmflow.operations.plan import LEAST_SETTLED, Plan, Rate
from fsmflow.operations.report import FATES, Report, reports_of

#: How long one run of a job goes on at most before it gives way.
_SLICE_S: Final = 1.0
#: And how long one goes on that asks at a rate.
_PACED_S: Final = 5.0
#: So many are noted together. A crash before that asks them again, which their keys answer.
_BATCH: Final = 20
#: The same of one that asks as fast as that goes.
_HANDFUL: Final = 100
#: After how long the running step is begun anew: its budget of crashes is one for each.
_STINT_MS: Final = 600_000
#: How often it is looked whether something has settled: at first, and at last.
_LOOK_S: Final = (0.5, 60.0)
#: How long the last ones are waited for.
_PATIENCE_MS: Final = 86_400_000
#: A database that is away is asked again after so long, and no failure is counted.
_AWAY_S: Final = 2.0
_LAPSE: Final = timedelta(days=7)


class Repair(Machine):
    """Do one action to many entities: see who they are, try it on a few, then on the rest at a rate; stop if it fails.

    ``fsmflow repair`` and ``fsmflow.repairs`` start one. It asks its members one after the other, each once, in short
    jobs, so that it can be stopped, paused and killed at any moment. While it is stopped nothing more is asked.
    """

    name = NAME
    initial = "previewing"
    redact = ("patch", "payload")
    managed_triggers = ("confirm", "stop", "go_on")
    internal_triggers = ("stint_over", "failed_again")
    search = ("team",)
    team = "team"
    states = [
        State("previewing", job="preview", queue=OPERATIONS, retry=Retry(max=5, interval=2)),
        State("previewed", timeout=_LAPSE),
        State("canary", job="ask_few", queue=OPERATIONS, retry=Retry(max=5, interval=2)),
        State("judging", job="judge", queue=OPERATIONS, retry=Retry(max=5, interval=2)),
        State("running", job="ask_all", queue=OPERATIONS, retry=Retry(max=5, interval=2)),
        State("settling", job="wait_for_last", queue=OPERATIONS, retry=Retry(max=5, interval=2)),
        State("stopped"),
        State("done", final=True),
        State(CANCELLED, final=True),
    ]
    transitions = [
        {"trigger": "done", "source": "previewing", "dest": "canary", "conditions": ["is_confirmed", "has_canary"]},
        ["done", "previewing", "running", "is_confirmed"],
        ["done", "previewing", "previewed"],
        ["confirm", "previewed", "canary", "has_canary"],
        ["confirm", "previewed", "running"],
        ["timeout", "previewed", CANCELLED],
        ["done", "canary", "judging"],
        {"trigger": "done", "source": "judging", "dest": "running", "before": "note_passed"},
        ["done", "running", "settling"],
        ["done", "settling", "done"],
        ["stint_over", "running", "="],
        ["failed_again", ["judging", "running"], "stopped"],
        {"trigger": "stop", "source": ["canary", "judging", "running"], "dest": "stopped", "before": "note_stopped"},
        {"trigger": "go_on", "source": "stopped", "dest": "canary", "conditions": "has_canary", "before": "next_turn"},
        {"trigger": "go_on", "source": "stopped", "dest": "running", "before": "next_turn"},
    ]

    # What is asked of it

    def is_confirmed(self) -> bool:
        """Nobody needs to look at the preview."""
        return bool(self.data.get("confirmed"))

    def has_canary(self) -> bool:
        """Some are tried first, and that was not passed yet."""
        return self.plan.canary > 0 and not self.data.get("passed")

    def note_passed(self) -> None:
        """The canaries have recovered."""
        self.data["passed"] = True

    def note_stopped(self) -> None:
        """Keep why somebody stopped it."""
        self.data["stopped"] = str(self.event.payload.get("why") or "somebody stopped it")

    def next_turn(self) -> None:
        """What has failed so far does not count against what comes now."""
        self.data["turn"] = self._turn + 1
        self.data.pop("stopped", None)

    # Its jobs

    def preview(self) -> dict[str, Any]:
        """See who is meant and what would be done to them, a page at a time."""
        members, began = self._members(), clock.monotonic()
        try:
            while members.freeze(self._view.snapshot):
                self._give_way(began)
        except ClaimLost:
            raise Cancelled(f"{self.address}: others go on with its preview") from None
        except DatabaseUnavailable as error:
            raise RetryAfter(_AWAY_S) from error
        return {"preview": members.preview(), **self._forgotten()}

    def ask_few(self) -> None:
        """Ask the first, as many as the canary has."""
        members, counts = self._members(), self._counts()
        wanted = self.plan.canary - sum(counts.get(fate, 0) for fate in ASKED)
        while wanted > 0 and (page := members.next(min(wanted, _BATCH))):
            wanted -= sum(member.fate in ASKED for member in self._ask(members, page))

    def judge(self) -> Outcome | None:
        """Wait until each canary has settled; stop where one of them failed again."""
        self._settle(self._members())
        counts = self._counts()
        failed = sum(counts.get(fate, 0) for fate in FAILED_AGAIN)
        if failed:
            asked = sum(counts.get(fate, 0) for fate in ASKED)
            return Outcome("failed_again", stopped=f"{failed} of {asked} that were tried first failed again")
        if counts.get(Fate.UNDER_WAY):
            raise RetryAfter(self._look_s())
        return None

    def ask_all(self) -> Outcome | None:
        """Ask the rest, as many at a time as the rate and ``at_once`` let; stop where too many fail again. By hand all
        are asked, one right after the other."""
        return self._ask_by_hand() if self.plan.by_hand else self._ask_in_turn()

    def _ask_by_hand(self) -> Outcome | None:
        members, began = self._members(), clock.monotonic()
        while page := members.next(_HANDFUL):
            self._ask(members, page, until=began + _SLICE_S)
            if self._is_long():
                return Outcome("stint_over")
            self._give_way(began)
        return None

    def _ask_in_turn(self) -> Outcome | None:
        members, began, counts = self._members(), clock.monotonic(), Counter(self._counts())
        rate = None if self.plan.rate is None else Rate.of(self.plan.rate)
        while True:
            counts.update(member.fate for member in self._settle(members) if member.turn == self._turn)
            why = self._too_many(counts)
            if why is not None:
                return Outcome("failed_again", stopped=why)
            room, wait_s = self._room(rate)
            page = members.next(min(room, _BATCH if rate is None else rate.share) if room else 1)
            if not page:
                return None
            if not room:
                self._pause(began, wait_s)
                continue
            asked = self._ask(members, page)
            counts.update(member.fate for member in asked if member.fate in SETTLED)
            if self._is_long():
                return Outcome("stint_over")
            self._give_way(began, rate)

    def wait_for_last(self) -> dict[str, Any]:
        """Look how the last ones end, for a day at most; and keep how many have come to what, as nothing changes that
        afterwards."""
        self._settle(self._members())
        rows, row = current().store.members, self._view.snapshot.row
        is_late = current().now() - self._view.snapshot.entered_at > _PATIENCE_MS
        if not rows.under_way(row):
            return {FATES: {fate.value: count for fate, count in rows.counts(row).items()}}
        if not is_late:
            raise RetryAfter(self._look_s())
        return {}

    # For whoever looks

    @property
    def row(self) -> int:
        """By which its members are kept."""
        return self._view.snapshot.row

    @property
    def has_failed_so_far(self) -> bool:
        """Whether a job of the step that it is in has raised something."""
        work = self._view.snapshot.work
        return work is not None and work.failures > 0

    @property
    def plan(self) -> Plan:
        """What it is to do."""
        return Plan.from_data(self._view.snapshot.data)

    def report(self) -> Report:
        """What became of its members so far."""
        return reports_of(current(), [self._view.snapshot])[0]

    def members(self, fate: str | None = None) -> Iterator[Member]:
        """Its members in order, or those with a fate; read in pages."""
        return current().store.members.of(self._view.snapshot.row, None if fate is None else Fate(fate))

    def member_page(self, fate: str | None = None, *, after: int = 0, limit: int) -> list[Member]:
        """So many of them, those that follow on the row of an entity. One query."""
        wanted = None if fate is None else Fate(fate)
        return current().store.members.page(self._view.snapshot.row, wanted, after=after, limit=limit)

    # Their parts

    @property
    def _turn(self) -> int:
        return int(self.data.get("turn", 1))

    def _members(self) -> Members:
        return Members(current(), self._view.snapshot.row, self.entity_id, self.plan)

    def _counts(self) -> dict[Fate, int]:
        """How those stand that were asked in this turn. Reads as many rows of an index: once in a run."""
        return current().store.members.counts(self._view.snapshot.row, self._turn)

    def _settle(self, members: Members) -> list[Member]:
        """Note what became of those under way; those that have settled now."""
        self.heartbeat()
        try:
            return members.settle()
        except DatabaseUnavailable as error:
            raise RetryAfter(_AWAY_S) from error

    def _is_long(self) -> bool:
        return current().now() - self._view.snapshot.entered_at > _STINT_MS

    def _forgotten(self) -> dict[str, Any]:
        """Once it is known who is erased, what they were selected by is kept no longer: it may be of people."""
        plan = self.plan
        if plan.action != ERASE or plan.addresses:
            return {}
        states = plan.selection.states or ("*",)
        bare = replace(plan.selection, states=states, data={}, where=(), children=(), error=None)
        return {"selection": replace(plan, selection=bare).to_data()["selection"]}

    def _ask(self, members: Members, page: list[Member], *, until: float = math.inf) -> list[Member]:
        """Ask these, one at least, up to a moment of this process's clock; as they are after that. Whoever stops the
        repair is heard between two of them."""
        asked: list[Member] = []
        try:
            for member in page:
                if asked and clock.monotonic() > until:
                    break
                self.heartbeat()
                asked.append(members.ask(member, self._turn))
        except DatabaseUnavailable as error:
            raise RetryAfter(_AWAY_S) from error
        finally:
            members.note(page[: len(asked)], asked)
        return asked

    def _give_way(self, began: float, rate: Rate | None = None) -> None:
        if rate is not None:
            self._pause(began, rate.pause_s)
        elif clock.monotonic() - began > _SLICE_S:
            raise RetryAfter(0)

    def _pause(self, began: float, seconds: float) -> None:
        """Wait here for a moment: what is put off comes back a second later, which most rates have no time for."""
        if seconds > _SLICE_S or clock.monotonic() - began > _PACED_S:
            raise RetryAfter(seconds)
        try:
            current().idle(seconds)
        except TimeoutError as nothing:  # in a sandbox, where time stands still until somebody moves it
            raise RetryAfter(seconds) from nothing

    def _look_s(self) -> float:
        """Less often the longer it takes."""
        first, last = _LOOK_S
        return min(max(first, (current().now() - self._view.snapshot.entered_at) / 20_000), last)

    def _room(self, rate: Rate | None) -> tuple[int, float]:
        """How many may be asked now; where none, how long to wait."""
        rows, row, now = current().store.members, self._view.snapshot.row, current().now()
        room = self.plan.at_once - rows.under_way(row)
        if room <= 0:
            return 0, _LOOK_S[0]
        if rate is None:
            return room, 0.0
        asked, first = rows.asked_since(row, now - rate.period_ms)
        if asked >= rate.count and first is not None:
            return 0, max(first + rate.period_ms - now, 1) / 1000
        return min(room, rate.count - asked), 0.0

    def _too_many(self, counts: Mapping[Fate, int]) -> str | None:
        """Why no more are to be asked, where too many of those that settled in this turn have failed again."""
        share = self.plan.stop_after
        settled = sum(counts.get(fate, 0) for fate in SETTLED)
        failed = sum(counts.get(fate, 0) for fate in FAILED_AGAIN)
        if share is None or settled < LEAST_SETTLED or failed <= share * settled:
            return None
        return f"{failed:,} of {settled:,} that settled failed again, more than {share * 100:g} %"
