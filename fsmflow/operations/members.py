"""What a repair does to its members: sees who they are, does the action to them, and looks what became of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as checked
from itertools import islice
from typing import Any, Final

from fsmflow.causes import place_of
from fsmflow.decision.actions import PAUSE
from fsmflow.decision.deferral import DROP
from fsmflow.decision.entity import ClaimLost, Snapshot
from fsmflow.decision.erasure import ERASE
from fsmflow.decision.member import Fate, Member, change_of, fate_of
from fsmflow.engine import requests
from fsmflow.engine.lookup import Instance, instance_of, under_todays_names
from fsmflow.engine.permission import permit_action
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import select
from fsmflow.engine.teams import may_see
from fsmflow.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    EntityNotFound,
    FsmflowError,
    GuardError,
    TransitionConflict,
    UnknownState,
    name_of,
    text_of,
)
from fsmflow.operations.plan import Plan
from fsmflow.points import point
from fsmflow.store.work import Due
from fsmflow.values import replace

#: So many are seen, and written, at once.
PAGE: Final = 200
#: How many kinds of refusals are told apart.
_KINDS: Final = 50
_MAX_WHY: Final = 2_000
_SECOND_MS: Final = 1_000
#: Actions that lead into no step of which it could be seen how it ends.
_WITHOUT_STEP: Final = (PAUSE, DROP, ERASE)
NAME: Final = "repair"


def key_of(entity_id: str) -> str:
    """The key with which a repair asks. It is the same for all members, as keys are counted by entity: whatever dies
    and is run again, a member is asked once."""
    return f"{NAME}:{entity_id}"


class Members:
    """The members of one repair. ``row`` and ``entity_id`` are those of the repair."""

    def __init__(self, runtime: Runtime, row: int, entity_id: str, plan: Plan) -> None:
        self._runtime = runtime
        self._rows = runtime.store.members
        self._row = row
        self._key = plan.key or key_of(entity_id)
        self._plan = plan

    def freeze(self, repair: Snapshot) -> bool:
        """See and write the next page of them; False where none are left. What has been written stays as it is,
        whatever runs this again. ``repair``: as it was claimed. Raises ClaimLost where that does not hold any more."""
        last = self._rows.last(self._row) or (self._plan.first or 1) - 1
        room = PAGE
        if self._plan.limit is not None:
            room = min(PAGE, self._plan.limit - sum(self._rows.counts(self._row).values()))
        seen = list(islice(self.meant(last), max(room, 0)))
        claim = None if repair.work is None else Due(row=repair.row, work=repair.work).claim
        if claim is None:
            raise ClaimLost(f"{repair.address} was not claimed")
        if seen:
            self._rows.add(claim, [self._member(snapshot) for snapshot in seen])
            point("members.page", self._row)
        return len(seen) == PAGE

    def meant(self, last: int = 0) -> Iterator[Snapshot]:
        """Who is meant, from a row on, in order of rows. No repair means itself, and none means what comes with fsmflow
        unless it names that."""
        if self._plan.addresses:
            yield from (snapshot for snapshot in self._named() if snapshot.row > last)
            return
        selection, action = self._plan.selection, self._plan.definite
        if action is not None and not selection.waiting:
            selection = checked(selection, phase=selection.phase or action.phase)
        for snapshot in select(self._runtime, selection, after=last, actor=self._plan.who):
            if is_built_in(snapshot.machine) and (selection.machine is None or snapshot.row == self._row):
                continue
            if self._fits(snapshot):
                yield snapshot

    def _named(self) -> Sequence[Snapshot]:
        found: dict[int, Snapshot] = {}
        for address in self._plan.addresses:
            machine, _, entity_id = address.partition(":")
            snapshot = self._runtime.store.entities.load(machine, entity_id)
            if snapshot is not None and may_see(self._runtime, snapshot, self._plan.who):
                found[snapshot.row] = snapshot
        return [found[row] for row in sorted(found)]

    def _fits(self, snapshot: Snapshot) -> bool:
        """Whether the action is for one that stands so; whoever it would be refused to is told with the reason."""
        action = self._plan.definite
        if action is None or self._plan.selection.waiting:
            return True
        if action.phase is not None and snapshot.phase != action.phase:
            return False
        try:
            own = under_todays_names(self._runtime.machines.get(snapshot.machine), snapshot).own
        except (UnknownState, FsmflowError):
            own = None
        return action.fits(own, snapshot, self._plan.asked(self._key, snapshot.epoch))

    def _member(self, snapshot: Snapshot) -> Member:
        """An entity as a member. Unless all is done by hand, what the action would do to it is decided."""
        return _as_seen(self._row, snapshot) if self._plan.by_hand else self.foreseen(snapshot)

    def foreseen(self, snapshot: Snapshot) -> Member:
        """An entity as a member: what the action would do to it is decided, and nothing of that is written."""
        member = _as_seen(self._row, snapshot)
        try:
            root = self._runtime.machines.get(snapshot.machine)
            instance = instance_of(root, snapshot)
            asked = self._plan.asked(self._key if self._row else self._plan.key, snapshot.epoch)
            self._permit(instance)
            after = requests.plan(self._runtime, instance, self._plan.definite, asked)
        except Exception as error:  # noqa: BLE001 - what a guard of the user's raises among it
            return replace(member, fate=Fate.REFUSED, why=_told(error))
        spec = instance.own.states.get(after.state)
        runs = after.work is not None and after.work.runs and after.epoch != snapshot.epoch
        job = (spec.job_name or "branches") if spec is not None and runs else None
        changed = change_of(instance.snapshot, after)
        return replace(member, would=after.state, job=job, why=changed, asked_epoch=after.epoch)

    def next(self, limit: int) -> list[Member]:
        """Whose turn it is, so many at most."""
        return self._rows.page(self._row, Fate.PENDING, limit=limit)

    def ask(self, member: Member, turn: int) -> Member:
        """Do the action to a member, once, and only if it is as it was seen; the member as it is to be noted, still
        pending where others kept writing. Raises DatabaseUnavailable, ConfigurationError."""
        machine, _, entity_id = member.address.partition(":")
        try:
            root = self._runtime.machines.get(machine)
            asked = self._plan.asked(self._key, member.epoch)
            once = requests.act_once(self._runtime, root, entity_id, self._plan.definite, asked, self._permit)
        except TransitionConflict as error:
            now = self._runtime.store.entities.load_row(member.entity)
            if now is not None and now.epoch == member.epoch:
                return member
            return replace(member, fate=Fate.MOVED, why=_told(error))
        except EntityNotFound as error:
            if self._runtime.store.entities.load_row(member.entity) is not None:
                return replace(member, fate=Fate.REFUSED, why=f"{member.address} is in a team of others by now")
            return replace(member, fate=Fate.MOVED, why=_told(error))
        except Exception as error:  # noqa: BLE001 - one entity's guard must not keep the others from being asked
            return replace(member, fate=Fate.REFUSED, why=_told(error))
        return self._asked(member, turn, once)

    def _asked(self, member: Member, turn: int, once: requests.Once | None) -> Member:
        """A member that was asked, and what came of it; settled where that leads to no step."""
        if once is None:
            # Of a selection only those are meant to which something can be done: somebody has just done it.
            fate = Fate.REFUSED if self._plan.addresses else Fate.MOVED
            return replace(
                member, fate=fate, why=f"{member.address} is in {member.state!r}, and there was nothing to do"
            )
        now, after = self._runtime.now(), once.after
        if self._plan.by_hand:
            now -= now % _SECOND_MS  # many of a second are noted together then
        changed = None if once.before is None else change_of(once.before, after)
        asked = replace(
            member, turn=turn, would=once.state, asked_epoch=once.epoch, asked_at=now, settled_at=now, why=changed
        )
        if once.is_noted:
            return replace(asked, fate=Fate.PROPOSED)
        if self._plan.action in _WITHOUT_STEP:
            return replace(asked, fate=Fate.RECOVERED)
        fate = fate_of(asked, after, None) if after.epoch == once.epoch else Fate.UNDER_WAY
        return replace(asked, fate=fate, settled_at=None if fate is Fate.UNDER_WAY else now)

    def _permit(self, instance: Instance) -> None:
        """Raises NotPermitted where whoever asked for the repair may not repair an entity. What is done by hand takes
        the permission for the action, and no other."""
        if not self._plan.by_hand:
            permit_action(self._runtime, instance, NAME, self._plan.who)

    def note(self, before: Iterable[Member], after: Iterable[Member]) -> None:
        """Write what became of some. A crash before this is healed: the key answers who is asked again."""
        point("members.asked", self._row)
        changed = [(old.fate, new) for old, new in zip(before, after, strict=True) if old != new]
        self._rows.mark(changed)

    def settle(self) -> list[Member]:
        """Look what became of those under way, and note it; those that have settled now. One query, two more for each
        of these."""
        found: list[Member] = []
        while page := self._rows.moved_on(self._row, limit=PAGE):
            looked_at = [judged(self._runtime, member) for member in page]
            self.note(page, looked_at)
            settled = [member for member in looked_at if member.fate is not Fate.UNDER_WAY]
            found += settled
            if len(page) < PAGE or not settled:
                break
        return found

    def preview(self) -> dict[str, Any]:
        """What the action would do, counted: the ways that entities would go, and kinds of refusals."""
        ways = [
            {"count": count, "state": state, "would": would, "job": job}
            for state, would, job, count in self._rows.ways(self._row)
        ]
        kinds: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for member in self._rows.of(self._row, Fate.REFUSED):
            kind = kind_of(member)
            if kind in examples or len(examples) < _KINDS:
                examples.setdefault(kind, member.why or "")
                kinds[kind] += 1
        refusals = [{"count": count, "why": examples[kind]} for kind, count in kinds.most_common()]
        return {"members": sum(self._rows.counts(self._row).values()), "ways": ways, "refusals": refusals}


def _as_seen(repair: int, snapshot: Snapshot) -> Member:
    return Member(
        repair=repair,
        entity=snapshot.row,
        address=snapshot.address,
        epoch=snapshot.epoch,
        state=snapshot.state,
        fingerprint=snapshot.fingerprint,
    )


def judged(runtime: Runtime, member: Member) -> Member:
    """A member that is under way, as it is now. Two queries."""
    entities = runtime.store.entities
    now = entities.load_row(member.entity)
    left = None if now is None else entities.past_epoch(member.entity, member.asked_epoch or 0)
    fate = fate_of(member, now, left)
    return member if fate is Fate.UNDER_WAY else replace(member, fate=fate, settled_at=runtime.now())


def tally(runtime: Runtime, repairs: Sequence[int]) -> dict[int, dict[Fate, int]]:
    """How many members of each repair have which fate by now, those among them that nobody has looked at since they
    settled: nobody does while the repair is stopped. Writes nothing. One query, and one for each that has any under
    way."""
    return {
        repair: _looked_at(runtime, repair, counts) if counts.get(Fate.UNDER_WAY) else counts
        for repair, counts in runtime.store.members.counts_of(repairs).items()
    }


def _looked_at(runtime: Runtime, repair: int, counted: Mapping[Fate, int]) -> dict[Fate, int]:
    counts, last = Counter(counted), 0
    while page := runtime.store.members.moved_on(repair, after=last, limit=PAGE):
        last = page[-1].entity
        counts.update(judged(runtime, member).fate for member in page)
        counts[Fate.UNDER_WAY] -= len(page)
    return counts


def kind_of(member: Member) -> str:
    """What refusals have in common that differ in addresses and numbers alone."""
    return re.sub(r"\d+", "#", (member.why or "").replace(member.address, "@"))


def _told(error: Exception) -> str:
    """Why one was refused, in words. Raises the error again where it would be met at every other one too."""
    if isinstance(error, DatabaseUnavailable | ConfigurationError | OSError):
        raise error
    is_ours = isinstance(error, FsmflowError)
    words = text_of(error) if is_ours else f"{name_of(type(error))}: {text_of(error)}"
    raised = error.__cause__ if isinstance(error, GuardError) else None if is_ours else error
    place = None if raised is None else place_of(raised)
    words = words if place is None else f"{words} ({place})"
    return words if len(words) <= _MAX_WHY else f"{words[: _MAX_WHY - 3]}..."
