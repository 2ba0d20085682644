"""Each action of operators by each kind of actor in each way: allowed or refused as machine and installation declare.

The actions are those of the table that all else is made from: whoever adds one adds a line to ``PLACES`` here, or the
first test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from fsmflow import Actor, Machine, NotPermitted, State
from fsmflow.cli import person
from fsmflow.decision.actions import ACTIONS
from fsmflow.definition.names import METHOD_TRIGGERS
from fsmflow.definition.operators import MOVES, OPERATIONS
from fsmflow.engine.runtime import current
from fsmflow.settings.permissions import Person
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal

#: What an action takes besides the entity, of one that rests in the failure of its packing and has sent a message.
PLACES: Final[dict[str, Callable[[Any], list[str]]]] = {
    **dict.fromkeys(("retry", "resume", "pause", "cancel", "skip", "undo", "erase"), lambda crate: []),
    "rewind": lambda crate: ["packing"],
    "force": lambda crate: ["packed"],
    "drop": lambda crate: [str(current().store.events.sent(crate._view.snapshot.row)[0].id)],
}
ROLES: Final = {
    "nobody": None,
    "plain": (),
    "named": ("lead",),
    "mapped": ("chief",),
    "wild": ("night",),
    "super": ("admin",),
    "elsewhere": ("clerk",),
}
#: Who may, by who has closed it.
ALLOWED: Final = {
    "nobody closes it": set(ROLES),
    "the machine": {"named"},
    "the installation": {"mapped", "wild", "super"},
    "both": {"named", "mapped", "wild", "super"},
}


class Crate(Machine):
    initial = "packing"
    states = [State("packing", job="pack", undo="unpack", on_enter="remind"), State("packed", final=True)]
    transitions = [["done", "packing", "packed"], ["nudge", "*", None]]

    def remind(self) -> None:
        if self.data["sends"]:
            self.send("nudge", after=3600)

    def pack(self) -> None:
        raise ValueError("the crate is torn")

    def unpack(self) -> None:
        """Nothing is left to be taken out."""


CLOSED: Final = type(
    "Crate", (Crate,), {"name": "crate", "operators": {name: ["lead"] for name in OPERATIONS}, "__module__": __name__}
)


def permissions(action: str) -> dict[str, Any]:
    # What rests is retried by a resume, which takes both.
    names = [action, "retry"] if action == "resume" else [action]
    return {
        "roles": {
            "chief": [f"crate.packing.{name}" for name in names],
            "night": [f"cr*.{name}" for name in names],
            "admin": ["*"],
            "clerk": ["crate.see", *(f"other.{name}" for name in names), f"crate.packed.{action}"],
        }
    }


@pytest.fixture(params=[(closed, action) for closed in ALLOWED for action in ACTIONS], ids=" ".join)
def declared(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Who has closed which action."""
    closed, action = request.param
    return closed, action


@pytest.fixture
def box(declared: tuple[str, str]) -> Iterator[Sandbox]:
    closed, action = declared
    kind = CLOSED if closed in ("the machine", "both") else Crate
    given = permissions(action) if closed in ("the installation", "both") else None
    with sandbox([kind], permissions=given) as box:
        yield box


def test_no_action_is_forgotten() -> None:
    assert set(PLACES) == set(ACTIONS) == set(MOVES)
    assert set(MOVES) <= set(OPERATIONS)


def torn(box: Sandbox, action: str) -> Any:
    kind: Any = box._runtime.machines.get("crate").owner
    crate = kind.start(sends=action == "drop")
    box.run()
    assert crate.refresh().state == "failed_from_packing"
    return crate


def asks(crate: Any, action: str, who: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The ways in Python."""
    roles = ROLES[who]
    actor = None if roles is None else Actor(who, roles)
    yield "a method", lambda: getattr(crate, action)(*PLACES[action](crate), actor=actor, reason="a test")
    if action in METHOD_TRIGGERS:
        yield "a trigger", lambda: crate.trigger(action, actor=actor)


def types(crate: Any, action: str) -> Iterator[tuple[str, list[str]]]:
    """The ways at the command line; what would only be done comes first."""
    why = ["--reason", "a test"]
    command = [action, crate.address, *PLACES[action](crate), *why]
    yield "a dry run", [*command, "--dry-run"]
    sure = ["--yes"] if action == "erase" else []
    if action in METHOD_TRIGGERS:
        yield "a trigger that is tried", ["trigger", crate.address, action, "--dry-run"]
    yield "a command", [*command, *sure]
    if action in METHOD_TRIGGERS:
        yield "a trigger", ["trigger", crate.address, action]
    if action != "drop":  # of a selection what is kept is dropped
        yield "many", [action, "--state", "failed_from_*", *PLACES[action](crate), *why, *sure]


def test_in_python_it_is_allowed_or_refused_as_declared(box: Sandbox, declared: tuple[str, str]) -> None:
    action, allowed = declared[1], ALLOWED[declared[0]]
    crate = torn(box, action)
    for who in ROLES:
        for way, ask in asks(crate, action, who):
            if who not in allowed:
                before = len(crate.history)
                with pytest.raises(NotPermitted):
                    ask()
                assert len(crate.history) == before, (who, way)
        if action in METHOD_TRIGGERS:
            actor = None if ROLES[who] is None else Actor(who, ROLES[who] or ())
            assert (action in crate.allowed_triggers(actor)) is (who in allowed), who
            assert crate.what_if(action, actor=actor).allowed is (who in allowed), who
    for who in sorted(allowed):
        for number, (way, _) in enumerate(list(asks(torn(box, action), action, who))):
            crate = torn(box, action)
            [ask for _, ask in asks(crate, action, who)][number]()
            assert crate.refresh().history[-1].actor == (None if who == "nobody" else who), way


def test_at_the_command_line_it_is_allowed_or_refused_as_declared(
    box: Sandbox, declared: tuple[str, str], shell: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, allowed = declared[1], ALLOWED[declared[0]]
    crate = torn(box, action)
    for who in ROLES:
        _sits(box, monkeypatch, who)
        roles = [word for role in ROLES[who] or () for word in ("--role", role)]
        for way, command in types(crate, action):
            if who not in allowed:
                done = shell.run(*command, *_said(box, roles))
                assert (done.status, "was refused" in done.err or "needs an actor" in done.err) == (1, True) or (
                    "would be refused" in done.out
                ), (who, way, done)
                assert crate.refresh().state == "failed_from_packing"
    for who in sorted(allowed - {"nobody"}):
        _sits(box, monkeypatch, who)
        roles = [word for role in ROLES[who] or () for word in ("--role", role)]
        for number, (way, _) in enumerate(list(types(torn(box, action), action))):
            crate = torn(box, action)
            done = shell.run(*[command for _, command in types(crate, action)][number], *_said(box, roles))
            assert done.status == 0, (who, way, done)


def _sits(box: Sandbox, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """Who sits there has the roles that the installation gives; where it gives none, they are typed."""
    monkeypatch.setattr(person, "login", lambda: who)
    given = box._runtime.settings.permissions
    if given is not None:
        people = {name: Person(roles=frozenset(roles or ())) for name, roles in ROLES.items()}
        monkeypatch.setitem(vars(given), "people", people)


def _said(box: Sandbox, roles: list[str]) -> list[str]:
    return [] if box._runtime.settings.permissions is not None else roles
