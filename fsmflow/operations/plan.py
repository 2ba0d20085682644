"""What a repair is to do: which action, to whom, and how carefully. It is stored in the data of the repair."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, Final, Self

from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.deferral import DROP
from fsmflow.decision.happenings import Asked, Triggered
from fsmflow.decision.inputs import Actor, checked_text
from fsmflow.decision.terms import Condition
from fsmflow.definition.names import RETRY
from fsmflow.engine.selection import Selection
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

TRIGGER: Final = "trigger"
#: What can be done to many at once.
REPAIRS: Final = (*ACTIONS, TRIGGER)
#: So many may be under way at once where nothing else is said.
AT_ONCE: Final = 100
#: Before so many have settled, no share of them says anything.
LEAST_SETTLED: Final = 20

#: What a rate lets be asked in its period comes in so many parts.
_SHARES: Final = 4

_RATE = re.compile(r"([0-9]{1,9})/(s|m|h)")
_PERIODS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most ``count`` within any ``period_ms``."""

    count: int
    period_ms: int

    @classmethod
    def of(cls, rate: object) -> Self:
        """``20/s``, ``100/m``, ``500/h``, in steps of a second or more. Raises DataError."""
        found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        if found is None or not int(found[1]):
            raise DataError(f"rate is {shown(rate)}; it is so many a second, minute or hour: '20/s', '100/m', '500/h'")
        count, period_ms = int(found[1]), _PERIODS[found[2]]
        # As evenly as that goes: a hundred in a minute are five in three seconds, not all at its beginning.
        shared = math.gcd(count, period_ms // 1_000)
        return cls(count=count // shared, period_ms=period_ms // shared)

    @property
    def share(self) -> int:
        """How many to ask between two pauses. What could not be asked in time is made up for within the period."""
        return math.ceil(self.count / min(self.count, _SHARES))

    @property
    def pause_s(self) -> float:
        """How long to wait then."""
        return self.period_ms / min(self.count, _SHARES) / 1_000


def share_of(stop_after: object) -> float:
    """``3%``, or 0.03. Raises DataError."""
    found = _SHARE.fullmatch(stop_after) if isinstance(stop_after, str) else None
    share: object = float(found[1]) / 100 if found is not None else stop_after
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise DataError(f"stop_after is {shown(stop_after)}; it is a share below the whole: '3%', or 0.03")
    return float(share)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Checked as it is made, and read again from the data of the repair. ``action`` is one of REPAIRS.

    ``state``: where rewind and force lead. ``event``: what is dropped. ``trigger`` and ``payload``: what is fired.
    ``patch`` and ``new_key``: those of a retry. ``addresses``: who is meant, where they are named; else ``selection``,
    at most ``limit`` of it. ``canary``: so many first. ``rate``: as it was written. ``at_once``: so many under way at
    most. ``stop_after``: the share of those that settled which may fail again. ``key``: what each is asked with, if not
    with a key of the repair. ``by_hand``: as if somebody asked one after the other: it is not decided before what would
    be done, all are asked as fast as that goes, and it takes the permission for the action alone. ``first``: the row of
    the first one, where that is known.
    """

    action: str = RETRY
    state: str | None = None
    event: str | None = None
    trigger: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    new_key: bool = False
    addresses: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    canary: int = 0
    rate: str | None = None
    at_once: int = AT_ONCE
    stop_after: float | None = None
    actor: str | None = None
    roles: tuple[str, ...] = ()
    login: str | None = None
    teams: tuple[str, ...] = ()
    reason: str | None = None
    key: str | None = None
    by_hand: bool = False
    first: int | None = None

    def __post_init__(self) -> None:
        if self.action not in REPAIRS:
            hint = did_you_mean(self.action, REPAIRS)
            raise DataError(f"a repair cannot {shown(self.action)}{hint}; it does one of {', '.join(REPAIRS)}")
        self._check_options()
        if bool(self.addresses) == self.selection.narrows:
            raise DataError("which entities? A repair takes addresses, or a selection, and not both")
        if self.rate is not None:
            Rate.of(self.rate)
        for name, least in (("canary", 0), ("at_once", 1), ("limit", 1)):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < least):
                raise DataError(f"{name} is {shown(number)}; it is a whole number from {least}")
        self.asked("check", 0)

    def _check_options(self) -> None:
        """Raises DataError for an option that the action does not take, and for one that it lacks."""
        takes = {"state": ("rewind", "force"), "event": (DROP,), "trigger": (TRIGGER,), "payload": (TRIGGER,)}
        takes |= {"patch": (RETRY,), "new_key": (RETRY,)}
        for option, actions in takes.items():
            is_given = bool(getattr(self, option))
            name = "data" if option == "patch" else option
            if is_given and self.action not in actions:
                raise DataError(f"{self.action} takes no {name}=; {' and '.join(actions)} do")
            if not is_given and self.action in actions and option in ("state", "event", "trigger"):
                raise DataError(f"{self.action} needs {name}=")

    @property
    def definite(self) -> Action | None:
        """The row of the table of actions; None for a trigger."""
        return ACTIONS.get(self.action)

    @property
    def who(self) -> Actor | None:
        """Whoever has asked for it, as they were then."""
        return None if self.actor is None else Actor(self.actor, self.roles, login=self.login, teams=self.teams)

    @staticmethod
    def person(actor: Actor | None) -> dict[str, Any]:
        """What a plan keeps of whoever asks for it."""
        if actor is None:
            return {}
        roles, teams = tuple(sorted(actor.roles)), tuple(sorted(actor.teams))
        return {"actor": actor.name, "roles": roles, "login": actor.login, "teams": teams}

    def asked(self, key: str | None, epoch: int | None) -> Asked:
        """The request for one entity that was seen at an epoch. Raises DataError."""
        common: dict[str, Any] = {"actor": self.who, "reason": self.reason, "key": key, "epoch": epoch}
        action = self.definite
        if action is None:
            return Triggered(trigger=checked_text(self.trigger, "trigger"), payload=self.payload, **common).checked()
        if self.action == RETRY:
            common |= {"patch": self.patch, "new_key": self.new_key}
        common |= {name: getattr(self, name) for name in ("state", "event") if getattr(self, name) is not None}
        return action.asks(**common).checked()

    def to_data(self) -> dict[str, Any]:
        """As it stands in the data of the repair; what is not said is left out."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, (), {}, False)}
        chosen = {name: value for name, value in given.pop("selection").items() if value not in (None, (), {}, False)}
        return {**given, **({"selection": chosen} if chosen else {})}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_data`` wrote, beside whatever else stands there."""
        given = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        chosen = dict(given.pop("selection", {}))
        if chosen.get("states") is not None:
            chosen["states"] = tuple(chosen["states"])
        for name in ("where", "children"):
            chosen[name] = tuple(Condition(**each) for each in chosen.get(name, ()))
        for name in ("addresses", "roles", "teams"):
            given[name] = tuple(given.get(name, ()))
        return cls(selection=Selection(**chosen), **given)
