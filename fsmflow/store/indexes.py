"""Which indexes each table has, and for whom. A table of work or of entities pays for each of them in every step.

Where a database has partial indexes, a row is in no more of them than somebody looks for it by: most entities are no
branches, have not failed, and have nothing stuck.
"""

from __future__ import annotations

from typing import Final

from fsmflow.store.wakes import EXACT, ROUNDED, Wakes
from fsmflow.values import dataclass

#: What is told apart in listings, each entity by one of them: what is by itself, children, which go by a machine of
#: their own, and branches that run a job.
ROOT: Final = "parent IS NULL"
CHILD: Final = "parent IS NOT NULL AND branch_of IS NULL"
BRANCH: Final = "branch_of IS NOT NULL"
SCOPES: Final = (ROOT, CHILD, BRANCH)
#: What belongs to an entity.
OWNED: Final = "parent IS NOT NULL"


@dataclass(frozen=True, kw_only=True)
class Index:
    """``where``: which rows it has, None for all. ``whole``: its columns where a database has no partial indexes; none
    at all where that is empty. ``rounded``: its columns where what is due is not found by ``wake_at``."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    where: str | None = None
    whole: tuple[str, ...] | None = None
    rounded: tuple[str, ...] | None = None

    def columns_in(self, *, partial: bool, wakes: Wakes = EXACT) -> tuple[str, ...]:
        """Its columns in a database with partial indexes, or without; none where it is left out."""
        if self.rounded is not None and wakes != EXACT:
            return self.rounded
        return self.columns if partial or self.whole is None else self.whole


OF_ENTITIES: Final = (
    # An entity by its address, once.
    Index(name="address", columns=("machine", "entity_id"), unique=True),
    # What stands in a state, in pages, and how many do.
    Index(name="roots_by_state", columns=("machine", "state", "id"), where=ROOT),
    Index(name="children_by_state", columns=("machine", "state", "id", "entered_at"), where=CHILD, whole=()),
    Index(name="branches_by_state", columns=("machine", "state", "id", "entered_at"), where=BRANCH, whole=()),
    # What has stood there for long, and since when the oldest does.
    Index(
        name="roots_by_time",
        columns=("machine", "state", "entered_at", "id"),
        where=ROOT,
        whole=("machine", "state", "parent", "entered_at"),
    ),
    # The newest of a machine, and what is in a phase.
    Index(name="roots_by_phase", columns=("machine", "phase", "id"), where=ROOT, whole=("machine", "parent", "phase")),
    # What failed, among millions that did not; the groups of it are counted without a look at the rows.
    Index(
        name="failing",
        columns=("machine", "state", "fingerprint", "id", "parent", "paused", "entered_at"),
        where="failure IS NOT NULL",
        whole=("fingerprint",),
    ),
    # What somebody has paused.
    Index(name="paused", columns=("id",), where="paused > 0", whole=()),
    # The branches of a step in order, each once, and the last of them.
    Index(name="branches", columns=("parent", "parent_step", "parent_index"), unique=True, where=OWNED),
    # What a parent waits for, and which of its branches have failed.
    Index(name="standing", columns=("parent", "standing", "parent_step", "parent_index"), where=OWNED),
)
OF_WORK: Final = (
    # What is due, and when the next is.
    Index(name="due", columns=(EXACT.column,), rounded=(ROUNDED.column,)),
    # What was tried in vain.
    Index(name="stuck", columns=("entity",), where="tries > 0", whole=()),
    # What each hold keeps back, and how much that is. A whole one costs a row that comes and one that goes, and no step
    # between: none changes what is in it.
    Index(name="parked", columns=("parked", "entity"), where="parked IS NOT NULL", whole=("parked",)),
)
OF_LIMITS: Final = (
    # Whose line is to be looked at by now.
    Index(name="look_at", columns=("look_at",)),
)
OF_PERMITS: Final = (
    # Who has a permit, who was called, and who is the first in line.
    Index(name="line", columns=("name", "stage", "since", "entity")),
    # What an entity has a permit of, whose worker is gone.
    Index(name="entity", columns=("entity", "stage")),
)
OF_EVENTS: Final = (
    # Whether a key was used, once; what an entity keeps, has sent, can undo.
    Index(name="entity_kind_key", columns=("entity", "kind", "key"), unique=True),
    # What is to be delivered or passed down by now.
    Index(name="due_at", columns=("due_at",)),
)
OF_MEMBERS: Final = (
    # Who is next, and who is under way.
    Index(name="repair_fate_entity", columns=("repair", "fate", "entity")),
    # What became of those that were asked in a turn.
    Index(name="repair_turn_fate", columns=("repair", "turn", "fate")),
    # How many were asked within the last second.
    Index(name="repair_asked_at", columns=("repair", "asked_at")),
)
OF_ARRIVALS: Final = (
    # The oldest, which are forgotten first.
    Index(name="last_at", columns=("last_at",)),
)
OF_ANSWERS: Final = (
    # What may be forgotten.
    Index(name="at", columns=("at",)),
)
OF_TERMS: Final = (
    # What has a value, and what comes next in its order.
    Index(name="value", columns=("name", "value", "entity")),
)
OF_TOKENS: Final = (
    # Who comes with a secret, once.
    Index(name="digest", columns=("digest",), unique=True),
    # What somebody is let in by.
    Index(name="owner", columns=("owner", "kind")),
)
OF_TRIES: Final = (
    # What may be forgotten.
    Index(name="until", columns=("until",)),
)
