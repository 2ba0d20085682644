"""What a machine allows, read off its definition: states, ways between them, and how often an attempt may fail."""

from __future__ import annotations

from collections.abc import Mapping

from fsmflow.definition.model import Definition, StateSpec
from fsmflow.values import dataclass
from fsmflow.verify.rows import Entity, Entry

#: (source, trigger, dest); dest None is internal.
Way = tuple[str, str, str | None]


@dataclass(frozen=True)
class Law:
    """A machine, or the small machine of the branches of one of its steps."""

    version: int
    states: Mapping[str, StateSpec]
    ways: frozenset[Way]
    #: Those triggers of each state that only fsmflow's own transitions take.
    untouched: frozenset[tuple[str, str]]
    renamed: Mapping[str, str]

    def today(self, state: str) -> str:
        """What a stored state is called today."""
        return self.renamed.get(state, state)

    def spec(self, state: str) -> StateSpec | None:
        return self.states.get(self.today(state))

    def is_of(self, entity: Entity) -> bool:
        """Whether the entity was last written by code of this version."""
        return entity.version == self.version

    def wrote(self, entry: Entry) -> bool:
        """Whether an entry was written by a machine of this version."""
        return entry.version == self.version

    def knows(self, state: str) -> bool:
        """Whether the machine has a stored state, under any name."""
        return self.today(state) in self.states

    def does(self, state: str) -> bool:
        """Whether the machine has a job for what goes on, or goes on once it is retried, in a stored state; true of
        what does nothing there."""
        spec = self.spec(state)
        step = spec if spec is None or spec.failed_from is None else self.states.get(spec.failed_from)
        return step is None or not step.lacks_job

    def objection(self, entity: Entity, entry: Entry) -> str | None:
        """Why an entry of this kind cannot have led from its source to its dest, or None. Both states are known."""
        source, dest, trigger = self.today(entry.source or ""), self.today(entry.dest), entry.trigger
        if trigger is None:
            return None
        if entry.kind == "internal":
            allowed = (source, trigger, None) in self.ways
        elif entry.kind == "skipped":
            spec = self.states[source]
            allowed = spec.failed_from is not None and (spec.failed_from, trigger, dest) in self.ways
        elif entry.kind == "transition":
            allowed = (source, trigger, dest) in self.ways or self._is_revival(entity, source, trigger)
        else:
            return None
        return None if allowed else f"the machine has no transition {trigger!r} from {source!r} to {dest!r}"

    def _is_revival(self, entity: Entity, source: str, trigger: str) -> bool:
        """A branch or child that was ended is run again with its parent."""
        return entity.parent is not None and trigger == "retry" and self.states[source].is_final


class Laws:
    """The laws of all machines that are known."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self.definitions = definitions
        self._made: dict[tuple[str, str | None, str | None], Law | None] = {}

    def of(self, entity: Entity) -> Law | None:
        """What an entity goes by; None where its machine, or its step that fans out, is not known."""
        key = (entity.machine, entity.branch_of, entity.branch_name if entity.branch_of is not None else None)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, machine: str, branch_of: str | None, name: str | None) -> Law | None:
        own = self.definitions.get(machine)
        if own is None:
            return None
        renamed = own.wide.renamed
        found = own if branch_of is None else own.branch(renamed.get(branch_of, branch_of), name)
        if found is None:
            return None
        ways = frozenset((way.source, way.trigger, way.dest) for way in found.transitions)
        drawn = {(way.source, way.trigger) for way in found.transitions if not way.generated}
        untouched = frozenset((source, trigger) for source, trigger, _ in ways) - drawn
        return Law(own.version, found.states, ways, untouched, renamed)
