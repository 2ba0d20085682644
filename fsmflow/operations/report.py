"""What became of a repair, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.member import Fate
from fsmflow.definition.names import FINISHED
from fsmflow.engine.runtime import Runtime
from fsmflow.operations.members import tally
from fsmflow.values import dataclass

#: Under this name the data of a repair that is done have how many of its members came to what.
FATES: Final = "fates"


@dataclass(frozen=True, kw_only=True)
class Report:
    """How many of the members have which fate; all of them are ``members``.

    ``recovered``, ``failed_alike``, ``failed_otherwise``, ``taken_over``, ``under_way``: of those that were asked.
    ``refused`` and ``moved``: nothing was done to them. ``proposed``: a second person is to ask too. ``pending``: their
    turn has not come. ``why``: what the repair is stopped for. ``preview``: what was found before anything was done;
    empty as long as it is looked.
    """

    address: str
    state: str
    phase: str
    members: int
    pending: int
    under_way: int
    recovered: int
    failed_alike: int
    failed_otherwise: int
    taken_over: int
    refused: int
    moved: int
    proposed: int = 0
    why: str | None = None
    preview: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """How many the action was done to."""
        settled = self.recovered + self.failed_alike + self.failed_otherwise + self.taken_over
        return self.under_way + settled + self.proposed

    def __str__(self) -> str:
        told = {
            "recovered": self.recovered,
            "failed again alike": self.failed_alike,
            "failed otherwise": self.failed_otherwise,
            "still under way": self.under_way,
            "taken over by others": self.taken_over,
            "refused": self.refused,
            "moved meanwhile, left alone": self.moved,
            "wait for a second person": self.proposed,
            "not asked yet": self.pending,
        }
        parts = [f"{count:,} {what}" for what, count in told.items() if count]
        if self.state == "previewing":
            return f"{self.members:,} seen so far"
        return f"{self.members:,} in all: {', '.join(parts)}" if parts else "nobody was meant"


def reports_of(runtime: Runtime, snapshots: Sequence[Snapshot]) -> list[Report]:
    """The reports of repairs as they are now. One query for those that have not kept how they ended, one for each with
    members that are under way, and two for each member that has just settled."""
    kept = {snapshot.row: _kept(snapshot) for snapshot in snapshots}
    counts = tally(runtime, [row for row, found in kept.items() if found is None])
    return [_report_of(snapshot, kept[snapshot.row] or counts[snapshot.row]) for snapshot in snapshots]


def _kept(snapshot: Snapshot) -> Mapping[Fate, int] | None:
    """What a repair has kept of its members once it was done."""
    fates = snapshot.data.get(FATES) if snapshot.phase == FINISHED else None
    return {Fate(fate): count for fate, count in fates.items()} if fates else None


def _report_of(snapshot: Snapshot, counts: Mapping[Fate, int]) -> Report:
    data = snapshot.data
    return Report(
        address=snapshot.address,
        state=snapshot.state,
        phase=snapshot.phase,
        members=sum(counts.values()),
        **{fate.value: counts.get(fate, 0) for fate in Fate},
        why=data.get("stopped"),
        preview=data.get("preview", {}),
    )
