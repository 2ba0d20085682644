"""What the code of today would meet in the database: entities that it would strand, rename, upgrade, or let stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fsmflow.definition.model import Definition, StateSpec
from fsmflow.definition.names import CANCEL, ENGINE_TRIGGERS, FINISHED, UNDO, WAITING, WORKING
from fsmflow.store.census import Census, Group
from fsmflow.values import dataclass

#: What an operator may always do, and what only the engine fires: they are no way out for who waits.
_NO_WAYS: Final = ENGINE_TRIGGERS | {CANCEL, UNDO}
_FORCE: Final = "fsmflow force ADDRESS STATE"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Entities that have something in common which is worth knowing; ``example`` is the address of the oldest.

    ``strands``: the code of today cannot go on with them. ``told`` is a sentence, with what to do.
    """

    kind: str
    machine: str
    state: str
    count: int
    example: str
    strands: bool
    told: str


def survey(census: Census, machines: Mapping[str, Definition]) -> list[Finding]:
    """What these machines would meet, what strands first. Nothing is changed, and no entity is loaded.

    One query over all entities, one for each group that is suspected to wait for ever, and one for each example.
    """
    found = []
    for group in census.groups():
        definition = machines.get(group.machine)
        findings = _machine_is_gone(group) if definition is None else _Look(census, definition, group).findings()
        found += [_finding(census, group, fact) for fact in findings]
    return sorted(found, key=lambda finding: not finding.strands)


@dataclass(frozen=True, kw_only=True)
class _Fact:
    kind: str
    told: str
    strands: bool = False
    count: int | None = None
    row: int | None = None


def _finding(census: Census, group: Group, fact: _Fact) -> Finding:
    count = group.count if fact.count is None else fact.count
    what = ("branch" if count == 1 else "branches") if group.branch_of else ("entity" if count == 1 else "entities")
    example = census.address(fact.row or group.row)
    return Finding(
        kind=fact.kind,
        machine=group.machine,
        state=group.state,
        count=count,
        example=example,
        strands=fact.strands,
        told=f"{count:,} {what} in {group.state!r} ({'' if count == 1 else 'for example '}{example}): {fact.told}",
    )


def _machine_is_gone(group: Group) -> Iterator[_Fact]:
    if group.phase != FINISHED:
        yield _Fact(
            kind="unknown_machine",
            strands=True,
            told=f"no machine {group.machine!r} was found. Deploy it, or name its module in FSMFLOW_MACHINES",
        )


class _Look:
    """One group, as its machine meets it."""

    def __init__(self, census: Census, definition: Definition, group: Group) -> None:
        self._census = census
        self._root = definition
        self._group = group
        names = definition.wide.renamed
        self._state = names.get(group.state, group.state)
        self._branch_of = names.get(group.branch_of, group.branch_of) if group.branch_of else None
        self._own = definition if not self._branch_of else definition.branch(self._branch_of, group.branch_name)
        self._spec: StateSpec | None = None if self._own is None else self._own.states.get(self._state)

    def findings(self) -> Iterator[_Fact]:
        if self._spec is None:
            yield self._unknown()
            return
        if self._lacks_branch():
            yield self._unknown_branch()
            return
        yield from self._renamed()
        yield from self._versions()
        if self._group.phase != FINISHED:
            yield from self._way_on(self._spec)
        elif not self._spec.is_final:
            yield _Fact(
                kind="not_final", told="they have finished, and the state is no longer final; they stay as they are"
            )

    def _unknown(self) -> _Fact:
        name = self._group.machine
        if self._group.phase == FINISHED:
            told = f"they have finished, and machine {name!r} no longer has the state; they stay as they are"
            return _Fact(kind="finished_in_unknown_state", told=told)
        lacks = f"the state {self._group.state!r}" if self._own is not None else f"the branches of {self._branch_of!r}"
        return _Fact(
            kind="unknown_state",
            strands=True,
            told=f"machine {name!r} no longer has {lacks}. Deploy it again, say in renamed_states what it is called "
            f"now, or move them with '{_FORCE}'",
        )

    def _lacks_branch(self) -> bool:
        """Whether they are branches that may be to run, and whose name the code does not have."""
        step = None if self._own is None else self._own.step_of(self._state)
        return step is not None and step.lacks_job

    def _unknown_branch(self) -> _Fact:
        name = self._group.branch_name
        which = f"the branch {name!r}" if name else "branches without names"
        told = (
            f"machine {self._group.machine!r} no longer has {which} in {self._branch_of!r}. Deploy it again, or go on "
            f"without it: 'fsmflow skip ADDRESS' where it has failed, else 'fsmflow force ADDRESS done'"
        )
        return _Fact(kind="unknown_branch", strands=True, told=told)

    def _renamed(self) -> Iterator[_Fact]:
        if self._state != self._group.state:
            yield _Fact(kind="renamed", told=f"the state is called {self._state!r} now; they go on in it")

    def _versions(self) -> Iterator[_Fact]:
        stored, known = self._group.version, self._root.version
        if self._group.phase == FINISHED:
            return
        if stored > known:
            told = f"they are of version {stored}, and the code here has {known}. Deploy the code of version {stored}"
            yield _Fact(kind="newer_version", strands=True, told=told)
        elif stored < known and self._group.branch_of is None:
            told = f"their data is upgraded from version {stored} to {known} as they go on"
            yield _Fact(kind="upgraded", told=told)

    def _way_on(self, spec: StateSpec) -> Iterator[_Fact]:
        stored = self._group.phase
        if stored == WORKING and not spec.is_working:
            told = (
                f"they wait for a job, and {spec.name!r} has none any more. Move them with '{_FORCE}', or give it one"
            )
            yield _Fact(kind="job_is_gone", strands=True, told=told)
        elif stored == WAITING and spec.is_working and not spec.waits:
            told = "the state has a job, which was not started for them. 'fsmflow resume ADDRESS' starts it"
            yield _Fact(kind="not_started", told=told)
        elif stored == WAITING and spec.is_final:
            yield _Fact(
                kind="final_now", told="the state is final now, and they were waiting in it; nothing more happens"
            )
        elif stored == WAITING:
            yield from self._way_out(spec)

    def _way_out(self, spec: StateSpec) -> Iterator[_Fact]:
        """Whether those who wait still have a way out: a trigger from outside, or a timer that runs for them."""
        ways = set(self._own.outgoing[spec.name] if self._own is not None else ()) - _NO_WAYS
        by_itself = spec.timer.trigger if spec.timer is not None else None
        if ways - {by_itself}:
            return
        count, row = self._census.without_work(self._group)
        if count:
            missing = f"but by {by_itself!r}, for which no timer runs" if by_itself else "at all"
            told = f"no way leads out of it {missing}. Deploy a transition, or enter a state with '{_FORCE}'"
            yield _Fact(kind="no_way_out", strands=True, told=told, count=count, row=row)
