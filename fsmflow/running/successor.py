"""The step that a worker runs next: claimed in the commit that ends the one before, so that both take one commit."""

from __future__ import annotations

import os
from typing import NamedTuple

from fsmflow.decision.commit import Commit
from fsmflow.dispatch.reserve import Reserve
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
from fsmflow.points import point
from fsmflow.running.claim import new_owner
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.slot import IDLE, RUNNING, Doing, Slot
from fsmflow.store.bundles import Bid
from fsmflow.store.work import Claimed, Ticket


class Due(NamedTuple):
    """What has been bid for: ``found`` is what came of it; nothing is known of that unless it ``is_known``."""

    ticket: Ticket
    owner: str
    found: Claimed | None
    is_known: bool


class Outcome(NamedTuple):
    """Whether the end of a step was committed, and else the token by which it may be found that it was after all."""

    is_committed: bool
    token: str


class Successor:
    """Claims what was drawn from the ``reserve`` with the end of the step before, and keeps it until it begins.

    The supervisor is told of the claim by ``slot`` before it is made: a process that dies in between has it found at
    once, as that of a running step. A claim that comes in vain leaves the end of the step before as it is.
    """

    def __init__(self, runtime: Runtime, reserve: Reserve, slot: Slot) -> None:
        self._runtime = runtime
        self._reserve = reserve
        self._slot = slot
        self._due: Due | None = None

    @property
    def is_there(self) -> bool:
        """Whether there may be one."""
        return self._due is None and not self._reserve.is_empty

    @property
    def is_due(self) -> bool:
        """Whether there is one, which waits for the end of what runs."""
        return self._due is not None

    def settle(self, commit: Commit) -> Outcome | None:
        """Commit the end of a step with the claim of what comes next; None where there is nothing next, and nothing is
        done."""
        ticket = self._reserve.draw()
        if ticket is None:
            return None
        owner, token = new_owner(), os.urandom(8).hex()
        if ticket.row == commit.after.row:
            # It was rung for twice, and what it was rung for ends now.
            self._due = Due(ticket, owner, None, is_known=True)
            return None
        self._due = Due(ticket, owner, None, is_known=False)
        self._slot.write(Doing(state=RUNNING, row=ticket.row, owner=owner))
        point("claim.before", ticket.row)
        bid = Bid(ticket, owner, self._runtime.now() + LEASE_MS)
        try:
            bundle = self._runtime.store.bundles.commit([commit], token, [bid])
        except DatabaseUnavailable:
            bundle = None  # whoever commits by itself waits for the database, and tells
        if bundle is None:
            return Outcome(is_committed=False, token=token)
        self._due = Due(ticket, owner, bundle.claimed[0], is_known=True)
        return Outcome(is_committed=True, token=token)

    def take(self, ticket: Ticket) -> Due | None:
        """What has been bid for with this ticket; None where nothing has. It is for the caller from now on."""
        due, self._due = self._due, None
        return due if due is not None and due.ticket == ticket else None

    def rest(self) -> None:
        """The supervisor has been told of it by who runs it now."""
        self._slot.write(Doing(state=IDLE))
