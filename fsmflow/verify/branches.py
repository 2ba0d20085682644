"""How branches and children stand to their parents, and whether each parent goes on with its fan-out."""

from __future__ import annotations

from typing import Final

from fsmflow.verify.entity import QUEUED, Found, Moment
from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Above, Entity, Rows, Tally

ACTIVE: Final = 1
DONE: Final = (2, 4, 7)
FAILED: Final = (3, 5, 8)
#: Of children that go by themselves: on their way, done, failed.
FREE: Final = (6, 7, 8)
#: Kinds of work that wait for branches.
WATCHES: Final = ("join", "window")
_MISSED: Final = ("cancelled", "undone")
_UNDOING: Final = ("undoing_", "failed_from_undoing_")


def check_branch(found: Found, above: dict[int, Above], at: Moment, findings: Findings) -> None:
    """Check what says to which parent an entity belongs, and how it stands to that."""
    entity = found.entity
    place = (entity.parent, entity.parent_step, entity.parent_index, entity.standing)
    if entity.parent is None or entity.standing is None:
        if any(value is not None for value in place):
            what = f"it has parent, step, index and standing {place}; all of them or none belong there"
            findings.add("branch-place", entity.address, what)
        return
    parent = above.get(entity.parent)
    if parent is None:
        findings.add("branch-place", entity.address, f"its parent, entity row {entity.parent}, does not exist")
        return
    if entity.parent_step is None or entity.parent_step > parent.step:
        what = f"it belongs to step {entity.parent_step} of its parent, which is in step {parent.step}"
        findings.add("branch-place", entity.address, what)
        return
    _check_name(found, findings)
    if _check_standing(found, findings):
        _check_wanted(found, parent, at, findings)


def _check_name(found: Found, findings: Findings) -> None:
    """What it is called ends its address; one that is not over is a branch of its step in the code, too."""
    entity, law = found.entity, found.law
    name = entity.branch_name or str(entity.parent_index)
    if entity.entity_id.rpartition("/")[2] != name:
        what = f"it is the branch {name!r} of its step, and its address says otherwise"
        findings.add("branch-named", entity.address, what)
    if law is not None and entity.version <= law.version and not law.does(entity.state):
        what = f"it is in {entity.state!r}, and its machine has no branch {name!r} in {entity.branch_of!r}"
        findings.add("branch-known", entity.address, what)


def _check_standing(found: Found, findings: Findings) -> bool:
    entity = found.entity
    if entity.phase == "failed" or (entity.phase == "finished" and entity.state in _MISSED):
        expected = FAILED
    else:
        expected = DONE if entity.phase == "finished" else (QUEUED, ACTIVE, FREE[0])
    if entity.standing not in expected:
        what = f"it is in {entity.state!r} ({entity.phase}), and stands to its parent as {entity.standing}"
        findings.add("branch-standing", entity.address, f"{what}; {' or '.join(map(str, expected))} is right")
        return False
    if entity.standing == QUEUED and (found.work is not None or entity.phase != "waiting"):
        findings.add("branch-standing", entity.address, f"it waits for its turn, and is {entity.phase} all the same")
        return False
    return True


def _check_wanted(found: Found, parent: Above, at: Moment, findings: Findings) -> None:
    """What has not settled belongs to a step that its parent is in, and what has failed to one that it has not left;
    a child that goes by itself to one that it has left."""
    entity = found.entity
    is_there = entity.parent_step == parent.step and parent.phase != "finished"
    if entity.standing in FREE:
        if entity.branch_of is not None or entity.parent_step == parent.step:
            what = f"it stands to its parent as {entity.standing}, as what goes by itself, and that waits for it"
            findings.add("branch-standing", entity.address, what)
        return
    if entity.standing in (QUEUED, ACTIVE):
        is_well, how = is_there and parent.phase != "failed", "is still on its way"
    else:
        is_well, how = is_there or entity.phase != "failed", "rests in its failure"
    if is_well or max(parent.updated_at, entity.updated_at) >= at.late or _may_live_on(found):
        return
    what = f"its parent left the step and is in {parent.state!r} since {at.ago(parent.updated_at)}"
    findings.add("branch-orphaned", entity.address, f"{what}, and this {how}, in {entity.state!r}")


def _may_live_on(found: Found) -> bool:
    """What an operator placed, what takes back what it did, and a child whose machine may refuse to be cancelled."""
    entity, law = found.entity, found.law
    if found.fold.was_placed or entity.state.startswith(_UNDOING):
        return True
    return entity.branch_of is None and (law is None or (law.today(entity.state), "cancel") not in law.untouched)


def check_tallies(entities: dict[int, Entity], tallies: list[Tally], findings: Findings) -> None:
    """The branches of a step are numbered from 0, without gaps: none is missing, none is there twice; nor is a name."""
    for tally in tallies:
        entity = entities[tally.parent]
        findings.checked["steps_with_branches"] += 1
        if (tally.first, tally.last + 1) != (0, tally.total):
            what = f"step {tally.step} has {tally.total} branches, numbered from {tally.first} to {tally.last}"
            findings.add("branch-indexes", entity.address, what)
        if tally.names != tally.named:
            what = f"the {tally.named} branches of step {tally.step} that have names have {tally.names}"
            findings.add("branch-named", entity.address, what)


def check_parent(found: Found, rows: Rows, at: Moment, findings: Findings) -> None:
    """A parent that waits for branches has some to wait for. One or two queries for each that waits."""
    entity, work = found.entity, found.work
    if work is None or work.kind not in WATCHES or work.held is not None or entity.updated_at >= at.late:
        return
    standings = rows.standings(entity.id, entity.step)
    if standings.get(ACTIVE) or (last := rows.last_change(entity.id, entity.step)) >= at.late:
        return
    if standings.get(QUEUED):
        what = f"{standings[QUEUED]} branches wait for their turn, none is on its way, since {at.ago(last)}"
    else:
        what = f"all {sum(standings.values())} branches have settled, the last {at.ago(last)}, and it did not go on"
    findings.add("fan-out-goes-on", entity.address, f"in {entity.state!r}: {what}")
