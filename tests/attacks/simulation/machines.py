"""Machines made at random: every kind of state, in every order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Final

from fsmflow import Limit, Machine, Retry, State
from tests.attacks.simulation.jobs import branch_work, work

KINDS: Final = ("job", "job", "job", "wait", "rest", "delay", "jobs", "each", "lazy", "child")
#: Of a machine that is mostly steps in a row.
ROW: Final = ("job", "job", "job", "job", "wait")


@dataclass(frozen=True)
class Design:
    """A machine, the machines of its children, and what is to be known of its states."""

    machine: type[Machine]
    children: tuple[type[Machine], ...]
    budgets: dict[tuple[str, str], int | None] = field(default_factory=dict)
    once: frozenset[tuple[str, str]] = frozenset()
    transactional: frozenset[tuple[str, str]] = frozenset()
    #: Those that make a branch for each of ``data["items"]``.
    keyed: frozenset[tuple[str, str]] = frozenset()
    #: How many seconds a step may take, where that is bounded.
    bounds: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[type[Machine], ...]:
        return (self.machine, *self.children)


def _items(machine: Machine) -> Iterator[dict[str, int]]:
    for number in range(int(machine.data.get("size", 2))):
        yield {"item": number}


def _picked(machine: Machine) -> list[str]:
    """Of the branches that have names the last ones, the more the larger; none of them at times."""
    return ["third", "second", "first"][: int(machine.data.get("size", 2))]


def _picked_data(machine: Machine) -> dict[str, dict[str, int]]:
    return {name: {"item": len(name)} for name in _picked(machine)}


def _is_large(machine: Machine) -> bool:
    return bool(machine.data.get("size", 2) > 2)


def takes_back(name: str) -> bool:
    """Whether a machine sends messages that can be taken back, and keeps events for a time: every fifth does."""
    return int(name.partition("_")[0].removeprefix("m")) % 5 == 2


def is_limited(name: str) -> bool:
    """Whether of all entities of a machine one job runs at once: every thirteenth is."""
    return int(name.partition("_")[0].removeprefix("m")) % 13 == 9


def merges(name: str) -> bool:
    """Whether a machine says itself how what was changed by two is merged: every third does."""
    return int(name.partition("_")[0].removeprefix("m")) % 3 == 1


def add_line(machine: Machine, line: Any) -> None:
    """Append to the log in the data, and count that; the count of two is right where the machine merges it."""
    machine.data.setdefault("log", []).append(line)
    if merges(str(type(machine).name)):
        machine.data["count"] = machine.data.get("count", 0) + 1


def _merge(machine: Machine, key: str, base: Any, theirs: Any, mine: Any) -> Any:
    return (theirs or 0) + (mine or 0) - (base or 0) if key == "count" else mine


def _note(machine: Machine) -> None:
    pokes = machine.data["pokes"] = machine.data.get("pokes", 0) + 1
    if pokes % 2 and len(machine.data.get("items", [])) in range(1, 6):
        machine.data["items"].append(100 + pokes)
    if "op" not in machine.event.payload:
        return
    add_line(machine, machine.event.payload["op"])
    if not takes_back(str(type(machine).name)):
        return
    # Somebody asked for it: an echo, which the next one replaces, takes back, or has end with the visit.
    if pokes % 4 == 3:
        machine.unsend("echo")
    else:
        machine.send("poke", after=8, name="echo", until_left=pokes % 2 == 1)


def _two_done(machine: Machine) -> bool:
    return sum(branch.is_done for branch in machine.branches) >= 2


@cache
def design(number: int, *, in_a_row: bool = False) -> Design:
    """The machine of a number: always the same. ``in_a_row``: one that is mostly one job after the other."""
    return _Designer(number, ROW if in_a_row else KINDS).design()


class _Designer:
    def __init__(self, number: int, kinds: tuple[str, ...]) -> None:
        self._kinds_of_states = kinds
        self._dice = Random(number * 7919 + 13)
        #: Dice of their own, so that what they decide leaves all else as it is.
        self._names = Random(number * 7919 + 17)
        self._name = f"m{number}"
        self._children: list[type[Machine]] = []
        self._budgets: dict[tuple[str, str], int | None] = {}
        self._once: set[tuple[str, str]] = set()
        self._transactional: set[tuple[str, str]] = set()
        self._keyed: set[tuple[str, str]] = set()
        self._bounded: dict[tuple[str, str], int] = {}
        self._has_undo = False

    def design(self) -> Design:
        most = (1, 4) if self._kinds_of_states is KINDS else (3, 6)
        machine = self._machine(self._name, self._dice.randint(*most), deep=True)
        return Design(
            machine,
            tuple(self._children),
            self._budgets,
            frozenset(self._once),
            frozenset(self._transactional),
            frozenset(self._keyed),
            self._bounded,
        )

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _machine(self, name: str, length: int, *, deep: bool) -> type[Machine]:
        outer, self._has_undo = self._has_undo, False
        middle = [f"s{number}" for number in range(1, length + 1)]
        states: list[Any] = [State("new", **self._patience())] if deep else []
        transitions: list[Any] = [["go", "new", "s1"], ["timeout", "new", "s1"]] if deep else []
        for state, following in zip(middle, [*middle[1:], "end"], strict=True):
            kind = self._dice.choice(self._kinds_of_states) if deep else "job"
            early: dict[str, Any] = {"defer": ["go"]} if deep and self._chance(0.3) else {}
            if early and takes_back(name) and state in ("s2", "s4"):
                early = {"defer": {"go": 15}}  # kept for a time
            made, ways = self._state(name, state, following, kind, early)
            states.append(made)
            transitions += ways
        states.append(State("end", final=True))
        transitions.append({"trigger": "poke", "source": "*", "dest": None, "before": _note})
        if self._chance(0.3):
            transitions.append(["again", self._dice.choice(middle), "="])
        if self._chance(0.2):
            transitions.append({"trigger": "back", "source": middle[-1], "dest": middle[0], "conditions": _is_large})
        wide: dict[str, Any] = {"on_cancel": "undo"} if self._has_undo and self._chance(0.4) else {}
        self._has_undo = outer
        if merges(name):
            wide["merge"] = _merge
        if is_limited(name) and any(isinstance(each, State) and (each.job or each.jobs) for each in states):
            wide["limits"] = [Limit("gate", running=1)]
        body = {"name": name, "initial": states[0].name, "states": states, "transitions": transitions, **wide}
        return type(name.upper(), (Machine,), body)

    def _patience(self) -> dict[str, Any]:
        return {"timeout": self._dice.choice([5, 30, 200])} if self._chance(0.3) else {}

    def _state(
        self, name: str, state: str, following: str, kind: str, early: dict[str, Any]
    ) -> tuple[State, list[Any]]:
        done: list[Any] = [["done", state, following]]
        go: list[Any] = [["go", state, following]]
        if kind in ("job", "wait"):
            options = {**self._job_options(name, state, plain=kind == "job"), **early}
            bounds, late = self._bounds(name, state, following)
            if kind == "job":
                if bounds and "transactional" in options:
                    # While it waits for its turn to write, both may come to their end.
                    options["timeout"] = 4
                return State(state, job=work, **options, **bounds), [*done, *late]
            options.pop("defer", None)
            reminded = self._late(state, following)
            if bounds and not late:
                # Longer than the operator is away: what fails sooner is retried again and again, and never led on.
                bounds["within"] = self._bounded[name, state] = 90
            if bounds:
                return State(state, job=work, wait=True, **options, **bounds), [*go, *late]
            return State(state, job=work, wait=True, timeout=40, **options), [*go, reminded]
        if kind == "rest":
            return State(state, **self._patience()), [*go, self._late(state, following)]
        if kind == "delay":
            return State(state, delay=self._dice.choice([0, 3, 60]), **early), done
        return self._fan(name, state, following, kind, early)

    def _bounds(self, name: str, state: str, following: str) -> tuple[dict[str, Any], list[Any]]:
        """How long a whole step may take, and where it goes then. By dice of its own, as the seeds that are known are
        to stay what they are."""
        dice = Random(f"within {name} {state}")
        if dice.random() > 0.3:
            return {}, []
        within = self._bounded[name, state] = dice.choice([6, 15, 40])
        return {"within": within}, [["timeout", state, following]] if dice.random() < 0.4 else []

    def _late(self, state: str, following: str) -> Any:
        """What a deadline leads to: on, or only to a note."""
        if self._chance(0.3):
            return {"trigger": "timeout", "source": state, "dest": None, "before": _note}
        return ["timeout", state, following]

    def _job_options(self, name: str, state: str, *, plain: bool) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if plain and self._chance(0.12):
            options["at_most_once"] = True
            self._once.add((name, state))
        elif plain and self._chance(0.2):
            options["transactional"] = True
            self._transactional.add((name, state))
        if not options.get("at_most_once") and self._chance(0.6):
            options["retry"] = Retry(self._dice.choice([0, 1, 2]), self._dice.choice([0, 2, 20]), jitter=0)
        retry = options.get("retry")
        self._budgets[name, state] = retry.max if retry is not None else 0
        if plain and not options.get("transactional") and self._chance(0.3):
            options["timeout"] = 8
        if self._chance(0.3):
            options["undo"] = work
            self._has_undo = True
            self._budgets[name, f"undoing_{state}"] = self._budgets[name, state]
        if self._has_undo and self._chance(0.3):
            options["on_failure"] = "undo"
        return options

    def _fan(self, name: str, state: str, following: str, kind: str, early: dict[str, Any]) -> tuple[State, list[Any]]:
        options: dict[str, Any] = dict(early)
        ways: list[Any] = [["done", state, following]]
        if self._chance(0.4):
            options["limit"] = self._dice.choice([1, 2])
        if self._chance(0.3):
            options["branch_failure"] = "stop"
        if self._chance(0.25):
            ways.append({"trigger": "branch_done", "source": state, "dest": None, "before": _note})
        elif self._chance(0.2):
            ways.append({"trigger": "branch_done", "source": state, "dest": following, "conditions": _two_done})
        bounds, late = self._bounds(name, state, following)
        if kind == "jobs":
            return State(state, **self._side_by_side(), **self._undone(options), **bounds), [*ways, *late]
        if kind == "child":
            child = f"{name}_{state}"
            self._children.append(_Child(self, child).machine())
            # By dice of its own: with those of all, each seed would be another schedule.
            if Random(child).random() < 0.3:
                ways.append(["fail", state, following])
            return State(state, **self._kinds(child), **options, **bounds), [*ways, *late]
        if self._chance(0.5):
            options["retry"] = Retry(self._dice.choice([0, 1]), self._dice.choice([0, 4]), jitter=0)
        if kind == "each":
            self._keyed.add((name, state))
        each: Any = "items" if kind == "each" else _items
        return State(state, job=branch_work, each=each, **self._undone(options), **bounds), [*ways, *late]

    def _side_by_side(self) -> dict[str, Any]:
        if self._names.random() < 0.4:
            return {"jobs": [work, branch_work]}
        jobs = {"first": work, "second": branch_work, "third": work}
        return {"jobs": jobs, **({"only": _picked} if self._names.random() < 0.6 else {})}

    def _kinds(self, child: str) -> dict[str, Any]:
        """Children one for each item, or of several machines that there are."""
        if self._names.random() < 0.6:
            return {"machine": child, "each": _items}
        other = str(self._children[0].name)
        options: dict[str, Any] = {"machines": {"first": other, "second": child, "third": child}}
        only = self._names.choice([None, _picked, _picked_data])
        return options if only is None else {**options, "only": only}

    def _undone(self, options: dict[str, Any]) -> dict[str, Any]:
        if self._chance(0.2):
            options["undo"] = branch_work
            self._has_undo = True
        return options


class _Child:
    """A small machine for children, made by the same dice."""

    def __init__(self, designer: _Designer, name: str) -> None:
        self._designer = designer
        self._name = name

    def machine(self) -> type[Machine]:
        return self._designer._machine(self._name, self._designer._dice.randint(1, 2), deep=False)
