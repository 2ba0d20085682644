"""Approval links: for people who decide one thing, by a link in a mail, without an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.engine import lookup
from fsmflow.engine.approvals import Wish, address_of, issue
from fsmflow.engine.handle import HandleView
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError
from fsmflow.machine.base import Base, Data, as_dict

WITHIN: Final = timedelta(days=3)


class Approvals(Base[Data]):
    """What can be made for others to decide."""

    def approval_link(
        self,
        trigger: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        for_: str,
        within: float | timedelta = WITHIN,
        roles: Iterable[str] | None = None,
        base_url: str | None = None,
        actor: Actor | str | None = None,
    ) -> str:
        """The address of a page with a button that fires ``trigger`` with ``payload``, once, in the name of ``for_``.

        The link is the permission: whoever has it is taken for that person. It is signed, holds for ``within`` (seconds
        or a timedelta) and only while the entity stands where it does now. Who opens the page changes nothing.

        ``roles``: those that the person acts with. If they are not given, it is those that the installation's
        permissions list for a person of that name; for anybody else the roles that the trigger takes here, and no
        others. ``actor``: who makes the link, where that has to be somebody who may fire the trigger too. ``base_url``:
        where people reach the web, if not at ``FSMFLOW_WEB_URL``.

        In a job or a callback it is a link for the state that the entity enters next, and nothing is checked yet. A job
        that is run again there makes a link for the same visit. Raises NotPermitted and TransitionNotAllowed for what
        would be refused now, DataError, ConfigurationError.
        """
        given = None if roles is None else [roles] if isinstance(roles, str) else list(roles)
        wish = Wish(
            trigger=trigger,
            person=for_,
            within=within,
            payload=as_dict(payload, "payload"),
            roles=given,
            maker=as_actor(actor),
            ahead=not isinstance(self._view, HandleView),
        )
        runtime = current()
        return address_of(runtime, issue(runtime, self._meant(wish), wish), base_url)

    def _meant(self, wish: Wish) -> lookup.Instance:
        """The entity as it is now, or as the decision or job has it that the link is made in."""
        snapshot = self._view.snapshot
        if not wish.ahead:
            return lookup.load(current(), self._root, self._id, wish.maker)
        if snapshot.branch_of is not None:
            raise DataError(
                f"{snapshot.address} is a branch, and where its parent goes is not known yet; make the link in a job "
                f"or callback of the parent"
            )
        return lookup.instance_of(self._root, snapshot)
