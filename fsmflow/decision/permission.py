"""Who may do what is closed: a transition with ``roles``, and what operators do, as machine and installation say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fsmflow.decision import asker
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.definition.answer import Refuse
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL, RETRY
from fsmflow.definition.operators import ALL_TEAMS, RESUME
from fsmflow.errors import NotPermitted, name_of, shown, text_of
from fsmflow.settings.permissions import Permissions
from fsmflow.values import dataclass

#: What somebody may do to a repair of their own.
_OF_ASKER: Final = frozenset({RETRY, RESUME, "pause", CANCEL})


def _no_handle() -> Any:
    return None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Asked of one entity. ``permissions``: those of the installation; ``handle``: what its ``permit`` gets to see.

    Without permissions a closed transition or action is open to the roles that the machine names for it. With some,
    their ``permit`` is asked first of all that is closed, and then roles that they give the permission open it as well.
    """

    permissions: Permissions | None = None
    handle: Callable[[], Any] = _no_handle

    def of_action(
        self, definition: Definition, snapshot: Snapshot, action: str, actor: Actor | None
    ) -> NotPermitted | None:
        """Why an actor may not do what operators do to an entity; None where it is open to everybody, or to this
        one."""
        closed = definition.wide.operators.get(action)
        if closed is None and (self.permissions is None or not self.permissions.closes):
            return None
        if action in (_OF_ASKER | definition.wide.managed) and _has_asked(definition, snapshot, actor):
            return None
        return self.of_trigger(definition, snapshot, action, actor, frozenset() if closed is None else closed.roles)

    def of_machine(self, definition: Definition, action: str, actor: Actor | None) -> NotPermitted | None:
        """The same of what is done to a machine."""
        closed = definition.wide.operators.get(action)
        if closed is None and (self.permissions is None or not self.permissions.closes):
            return None
        name, roles = definition.name, frozenset[str]() if closed is None else closed.roles
        return self._of(name, action, [f"{name}.{action}"], actor, roles)

    def opens_all_teams(self, definition: Definition, actor: Actor) -> bool:
        """Whether an actor may see and touch what belongs to any team: nobody may but those whom the machine or the
        installation names for just that. ``machine.*`` does not: it is said of whoever does everything in one team."""
        closed = definition.wide.operators.get(ALL_TEAMS)
        permission = f"{definition.name}.{ALL_TEAMS}"
        answer = self._answer(definition.name, permission, actor)
        if answer is not None:
            return answer is True
        roles = frozenset[str]() if closed is None else closed.roles
        named = frozenset[str]() if self.permissions is None else self.permissions.opening([permission], by_name=True)
        return bool((roles | named) & actor.roles)

    def of_installation(self, action: str, actor: Actor | None) -> NotPermitted | None:
        """The same of what is done beside all machines."""
        return self._of("fsmflow", action, [action], actor, frozenset())

    def of_trigger(
        self, definition: Definition, snapshot: Snapshot, trigger: str, actor: Actor | None, roles: frozenset[str]
    ) -> NotPermitted | None:
        """The same of a closed trigger, for which the machine names ``roles``."""
        machine, step = snapshot.machine, definition.step_of(snapshot.state)
        states = (snapshot.state,) if step is None else (step.name, snapshot.state)
        names = [f"{machine}.{trigger}", *(f"{machine}.{state}.{trigger}" for state in states)]
        return self._of(snapshot.address, trigger, names, actor, roles)

    def may_open(self, definition: Definition, state: str, trigger: str, roles: frozenset[str], actor: Actor) -> bool:
        """Whether a closed trigger may be open to an actor in a state, whichever entity it is: ``of_trigger`` of one
        says whether it is."""
        if self.permissions is None:
            return bool(roles & actor.roles)
        step = definition.step_of(state)
        states = (state,) if step is None else (step.name, state)
        names = [f"{definition.name}.{trigger}", *(f"{definition.name}.{each}.{trigger}" for each in states)]
        return self.permissions.permit is not None or bool((roles | self.permissions.opening(names)) & actor.roles)

    def _of(
        self, address: str, action: str, names: Sequence[str], actor: Actor | None, roles: frozenset[str]
    ) -> NotPermitted | None:
        """``names``: those of the permissions that open it, the widest first."""
        answer = self._answer(address, names[0], actor)
        if answer is True:
            return None
        if answer is not None:
            words = answer or "the installation's permit says no"
            return NotPermitted(address, action, roles, actor.name if actor else None, words=words)
        roles |= frozenset() if self.permissions is None else self.permissions.opening(names)
        if actor is not None and roles & actor.roles:
            return None
        who = "no actor was given" if actor is None else f"{actor.name!r} has none"
        words = f"it takes a role with the permission {names[0]!r}, which nobody has; {who}"
        return NotPermitted(address, action, roles, actor.name if actor else None, words=None if roles else words)

    def _answer(self, address: str, permission: str, actor: Actor | None) -> str | bool | None:
        """What ``permit`` says: True, or words that refuse, which may be empty; None where it leaves it to the rest.
        What it raises refuses, too."""
        permit = None if self.permissions is None else self.permissions.asked()
        if permit is None:
            return None
        try:
            with asker.deciding(address):
                answer = permit(actor, permission, self.handle())
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            return f"the installation's permit raised {name_of(type(error))}: {text_of(error)}"
        if isinstance(answer, Refuse):
            return answer.words
        if answer is None or answer is True:
            return answer
        return "" if answer is False else f"the installation's permit returned {shown(answer)}, and no verdict"


def _has_asked(definition: Definition, snapshot: Snapshot, actor: Actor | None) -> bool:
    """Whether this is something like a repair, and the actor is who has asked for it."""
    return bool(definition.wide.managed) and actor is not None and snapshot.data.get("login") == actor.login


#: What decides where there is no installation to ask: the roles that machines name.
BY_ROLES: Final = Gate()
