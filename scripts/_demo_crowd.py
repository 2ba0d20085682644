"""The entities that the demo looks after, as the database shows them."""

import contextlib
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from fsmflow import Actor, HistoryEntry, Machine, TransitionNotAllowed

MANAGER = Actor("demo", roles={"manager"})
APPROVE_AFTER_S = 1.5
LATEST = 12


@dataclass
class Member:
    """One entity, with all of its history so far, and when it last moved."""

    handle: Machine
    entries: list[HistoryEntry] = field(default_factory=list)
    moved: float = field(default_factory=time.monotonic)
    ended: bool = False

    def look(self) -> list[HistoryEntry]:
        """Read it anew; what is new in its history."""
        self.ended = self.handle.refresh().phase in ("failed", "finished")
        known, self.entries = len(self.entries), self.handle.history
        if len(self.entries) > known:
            self.moved = time.monotonic()
        return self.entries[known:]


class Crowd:
    """All that one run of the demo looks after."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.latest: deque[tuple[str, HistoryEntry]] = deque(maxlen=LATEST)
        self._started = time.monotonic()

    def add(self, handle: Machine, *, known: list[HistoryEntry] | None = None) -> None:
        """Look after this one too; what is ``known`` of its history is no news."""
        self.members.append(Member(handle, known or []))

    def look(self) -> list[tuple[str, HistoryEntry]]:
        """Read anew whoever has not ended yet; what has happened since, in the order of time."""
        waiting = [member for member in self.members if not member.ended]
        news = [(member.handle.address, entry) for member in waiting for entry in member.look()]
        news.sort(key=lambda item: item[1].at)
        self.latest.extend(news)
        return news

    def approve(self) -> None:
        """Approve what has waited for it a while, as a manager would."""
        for member in self.members:
            waited = time.monotonic() - member.moved >= APPROVE_AFTER_S
            if waited and not member.ended and member.handle.state == "awaiting_approval":
                with contextlib.suppress(TransitionNotAllowed):  # whoever watches may have been quicker
                    member.handle.trigger("approve", actor=MANAGER, reason="the demo approves")

    def is_at_work(self) -> bool:
        """Whether a worker has taken up any of them."""
        return any(member.ended or member.handle.explain().doing for member in self.members)

    def obstacle(self) -> str:
        """What stands in the way of the first that has not ended, to be put behind a sentence."""
        waiting = [member.handle.explain() for member in self.members if not member.ended][:1]
        return "".join(f"; {found.address} is blocked by {found.blocked_by}" for found in waiting if found.blocked_by)

    @property
    def has_ended(self) -> bool:
        return all(member.ended for member in self.members)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def still_s(self) -> float:
        """For how long nothing has moved."""
        return time.monotonic() - max([self._started, *(member.moved for member in self.members)])

    def counts(self) -> Counter[tuple[str, str]]:
        """How many of them stand in each (machine, state)."""
        return Counter((member.handle.name, member.handle.state) for member in self.members)
