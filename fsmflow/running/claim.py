"""Claims an attempt, and finds the code that it is to be run by."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fsmflow import log
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.permit import Wanted
from fsmflow.decision.versions import lacking
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL
from fsmflow.engine import followup
from fsmflow.engine.alignment import pass_down, try_on
from fsmflow.engine.holds import Kept, holds_of
from fsmflow.engine.lookup import Instance, instance_for, instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import UnknownMachine, UnknownState, UpgradeError
from fsmflow.running import permits
from fsmflow.running.attempt import Attempt
from fsmflow.running.lease import park, release, take, take_together
from fsmflow.running.outage import outlast
from fsmflow.running.settlement import cannot_upgrade, settle
from fsmflow.store.work import Claimed, Ticket

#: The parents of branches that are claimed together, by their rows.
Parents = dict[int, Snapshot | None]


def new_owner() -> str:
    """The token of a claim, used for that claim alone."""
    return os.urandom(12).hex()


def claim_attempt(
    runtime: Runtime, ticket: Ticket, owner: str, instead: permits.Instead | None = None
) -> Attempt | None:
    """The attempt that a ticket is for, claimed by ``owner``; None where it is not to be run here.

    Code that lacks the machine, the state or its job gives the claim back to others, and counts no attempt. An entity
    that cannot be brought up to the version of the code rests in ``failed_from_X``. Raises DatabaseUnavailable.
    """
    claimed = take(runtime, ticket, owner)
    if claimed is None:
        tell_refused(runtime, ticket)
        return None
    return attempt_of(runtime, claimed, instead)


def claim_attempts(
    runtime: Runtime, claims: Sequence[tuple[Ticket, str]], instead: permits.Instead | None = None
) -> list[Attempt | None]:
    """The same for several tickets, each with its owner, claimed in one commit. What has been claimed is waited for,
    however long the database is away then: none must be left behind."""

    parents: Parents = {}

    def attempt(claimed: Claimed) -> Attempt | None:
        return outlast(claimed.snapshot.address, lambda: attempt_of(runtime, claimed, instead, parents=parents))

    found = take_together(runtime, claims)
    for (ticket, _), claimed in zip(claims, found, strict=True):
        if claimed is None:
            tell_refused(runtime, ticket)
    return [None if claimed is None else attempt(claimed) for claimed in found]


def tell_refused(runtime: Runtime, ticket: Ticket) -> None:
    """Tell that what a ticket is for is not to be run here."""
    log.claim_refused(f"{ticket.row}-{ticket.epoch}-{ticket.attempt}")
    runtime.counting.in_vain()


def attempt_of(
    runtime: Runtime,
    claimed: Claimed,
    instead: permits.Instead | None = None,
    *,
    parents: Parents | None = None,
    permit: Wanted | None = None,
) -> Attempt | None:
    """What has been claimed, with the code that it is to be run by; None where it is not to be run here: it is given
    back then, or rests. ``parents`` keeps what was read since it was claimed; ``permit``: what it was claimed with.
    Raises DatabaseUnavailable."""
    snapshot, claim = claimed.snapshot, claim_of(claimed.snapshot)
    try:
        instance = instance_for(runtime, snapshot).checked()
        parent = _parent_of(runtime, instance, {} if parents is None else parents)
    except (UnknownMachine, UnknownState) as error:
        release(runtime, snapshot, claim, str(error))
        return None
    except UpgradeError as error:
        settle(runtime, runtime.machines.get(snapshot.machine), snapshot, cannot_upgrade(claim, error))
        return None
    snapshot, spec = instance.snapshot, instance.spec
    if claimed.holds is not None and _is_kept_back(runtime, instance, parent, claim, claimed.holds):
        return None
    if spec is not None and spec.lacks_job:
        release(runtime, snapshot, claim, str(lacking(instance.own, snapshot)))
        return None
    if spec is None or (spec.job is None and spec.fan is None):
        release(runtime, snapshot, claim, f"this code has no job for state {snapshot.state!r}")
        return None
    if snapshot.branch_of is not None and _is_unwanted(runtime, parent, instance, claim):
        return None
    wanted = permits.wanted(runtime, snapshot, spec, parent)
    attempt = Attempt(instance=instance, claim=claim, spec=spec, parent=parent, wanted=wanted)
    has_all = not wanted or wanted == (permit,)
    return attempt if has_all or permits.take(runtime, attempt, instead) else None


def claim_of(snapshot: Snapshot) -> Claim:
    """The claim that an entity was read with."""
    work = snapshot.work
    if work is None or work.owner is None:
        raise StaleClaim(f"{snapshot.address}: nobody has claimed it")
    return Claim(row=snapshot.row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=work.owner)


def _is_kept_back(runtime: Runtime, instance: Instance, parent: Snapshot | None, claim: Claim, holds: str) -> bool:
    """Whether a hold keeps an attempt back, which then waits for the end of that."""
    kept, now = Kept.of(instance.snapshot, parent), runtime.now()
    hold = holds_of(holds).keeping(kept, now)
    if hold is None:
        return False
    park(runtime, instance.snapshot, claim, lambda text: holds_of(text).parks(kept, now), str(hold))
    return True


def _parent_of(runtime: Runtime, instance: Instance, parents: Parents) -> Snapshot | None:
    """The parent of a branch, brought up to the code of today."""
    if instance.snapshot.branch_of is None:
        return None
    row = instance.snapshot.parent or 0
    if row not in parents:
        parent = runtime.store.entities.load_row(row)
        parents[row] = None if parent is None else instance_of(instance.root, parent).checked().snapshot
    return parents[row]


def _is_unwanted(runtime: Runtime, parent: Snapshot | None, instance: Instance, claim: Claim) -> bool:
    """Whether a branch is not to be run, as its parent has left the step, is paused or gone, which it is then told; or
    as the time of the step is over, and the parent about to leave it."""
    branch = instance.snapshot
    if parent is None:
        with followup.following(runtime):
            try_on(runtime, branch, Triggered(trigger=CANCEL, reason="its parent does not exist any more"))
        return True
    if parent.step == branch.parent_step and parent.state == branch.branch_of and not parent.paused:
        if not _is_over(runtime, instance.root, parent):
            return False
        release(runtime, branch, claim, f"the time that {parent.address} has in {parent.state!r} is over")
        return True
    with followup.following(runtime):
        pass_down(runtime, parent.row, [branch])
    release(runtime, branch, claim, f"{parent.address} is in {parent.state!r}{', paused' if parent.paused else ''}")
    return True


def _is_over(runtime: Runtime, root: Definition, parent: Snapshot) -> bool:
    """Whether the time of the step of a parent is over."""
    spec = root.states.get(parent.state)
    bounds = spec is not None and spec.timer is not None and spec.timer.bounds
    return bounds and parent.work is not None and parent.work.is_over(runtime.now())
