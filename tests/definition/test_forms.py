"""Every form in which a machine may be written, and what it is compiled to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum, auto
from functools import partial
from typing import Any

import pytest

from fsmflow import Machine, Retry, State
from fsmflow.definition.model import Definition, TransitionSpec
from tests.support.walk import NOW, Walk, definition_of


class Place(Enum):
    OPEN = "open"
    SHUT = "shut"


Trigger = Enum("Trigger", {"CLOSE": "close"})


class Numbered(Enum):
    OPEN = auto()
    SHUT = auto()


class Textual(str, Enum):  # noqa: UP042 - what users still write
    OPEN = "open"
    SHUT = "shut"


class Stringly(StrEnum):
    OPEN = "open"
    SHUT = "shut"


def always(machine: Machine) -> bool:
    return True


def never(machine: Machine) -> bool:
    return False


def compiled(**body: Any) -> Definition:
    """The definition of a machine with this class body; states ``open`` and ``shut`` unless it says otherwise."""
    two = {"initial": "open", "states": ["open", State("shut", final=True)], "transitions": [["close", "open", "shut"]]}
    return definition_of(type("Door", (Machine,), {**two, **body}))


def spec(definition: Definition, trigger: str, source: str) -> TransitionSpec:
    """The first transition on a trigger from a state."""
    return next(item for item in definition.transitions if (item.trigger, item.source) == (trigger, source))


def edges(definition: Definition) -> list[tuple[str, str, str | None]]:
    return [(item.trigger, item.source, item.dest) for item in definition.transitions]


@pytest.mark.parametrize(
    "states",
    [
        ["open", State("shut", final=True)],
        ("open", {"name": "shut", "final": True}),
        [{"name": "open"}, State("shut", final=True)],
        [State("open"), State("shut", final=True)],
        [Place.OPEN, State(Place.SHUT, final=True)],
        [{"name": Place.OPEN}, {"name": Textual.SHUT, "final": True}],
        [Textual.OPEN, State(Textual.SHUT, final=True)],
        [Stringly.OPEN, State(Stringly.SHUT, final=True)],
        [Numbered.OPEN, State(Numbered.SHUT, final=True)],
    ],
    ids=["strings", "a tuple", "dicts", "State", "an enum", "enums in dicts", "str enums", "StrEnum", "numbers"],
)
def test_states_may_be_strings_dicts_states_or_enum_members(states: Any) -> None:
    definition = compiled(states=states)
    assert list(definition.states) == ["open", "shut", "cancelled"]
    assert {type(name) for name in definition.states} == {str}
    assert definition.states["shut"].is_final


@pytest.mark.parametrize("enum", [Place, Numbered, Textual, Stringly])
def test_an_enum_class_stands_for_all_its_members(enum: Any) -> None:
    transitions = [["close", enum.OPEN, enum.SHUT], ["reopen", enum.SHUT, enum.OPEN]]
    definition = compiled(states=enum, initial=enum.OPEN, transitions=transitions)
    assert (definition.initial, list(definition.states)) == ("open", ["open", "shut", "cancelled"])


@pytest.mark.parametrize("state", ["open", Place.OPEN, Textual.OPEN, State("open"), State(Place.OPEN)])
def test_initial_may_be_written_like_any_reference_to_a_state(state: Any) -> None:
    definition = compiled(initial=state)
    assert (definition.initial, type(definition.initial)) == ("open", str)


@pytest.mark.parametrize(
    "transition",
    [
        ["close", "open", "shut"],
        ("close", "open", "shut"),
        {"trigger": "close", "source": "open", "dest": "shut"},
        {"trigger": "close", "source": ["open"], "dest": Place.SHUT},
        ["close", Place.OPEN, Textual.SHUT],
        ["close", Numbered.OPEN, Stringly.SHUT],
        ["close", State("open"), State(Place.SHUT)],
        [Trigger["CLOSE"], {"open"}, "shut"],
    ],
)
def test_transitions_may_be_lists_tuples_dicts_and_name_enums(transition: Any) -> None:
    definition = compiled(transitions=[transition])
    assert edges(definition)[0] == ("close", "open", "shut")
    assert {type(name) for name in edges(definition)[0]} == {str}


def test_the_positional_order_is_that_of_transitions() -> None:
    rule = ["close", "open", "shut", always, never, "note_before", "note_after", "prepare_it"]
    methods = {name: lambda self: None for name in ("note_before", "note_after", "prepare_it")}
    found = spec(compiled(transitions=[rule], **methods), "close", "open")
    assert (found.conditions, found.unless, found.guards) == ((always,), (never,), ("always", "never"))
    assert [callback.__name__ for callback in (*found.before, *found.after, *found.prepare)] == ["<lambda>"] * 3
    assert len({*found.before, *found.after, *found.prepare}) == 3


@pytest.mark.parametrize("sources", [["open", "ajar"], ("open", "ajar"), {"open", "ajar"}, ["ajar", "open", "open"]])
def test_a_list_of_sources_makes_one_transition_of_each(sources: Any) -> None:
    states = ["open", "ajar", State("shut", final=True)]
    definition = compiled(states=states, transitions=[["close", sources, "shut"], ["push", "open", "ajar"]])
    found = [item for item in definition.transitions if item.trigger == "close"]
    assert sorted(item.source for item in found) == ["ajar", "open"]
    assert {item.position for item in found} == {1}


def test_an_enum_class_as_source_stands_for_all_its_members() -> None:
    definition = compiled(states=["open", "shut", State("gone", final=True)], transitions=_leave_from(Place))
    assert [edge for edge in edges(definition) if edge[0] == "leave"] == [
        ("leave", "open", "gone"),
        ("leave", "shut", "gone"),
    ]


def _leave_from(sources: Any) -> list[Any]:
    return [["leave", sources, "gone"], ["close", "open", "shut"]]


def test_a_star_is_every_state_that_is_not_final_failed_ones_included() -> None:
    states = ["open", State("busy", job=always), State("shut", final=True)]
    transitions = [["work", "open", "busy"], ["done", "busy", "shut"], ["halt", "*", "shut"]]
    definition = compiled(states=states, transitions=transitions)
    halts = [item for item in definition.transitions if item.trigger == "halt"]
    assert [item.source for item in halts] == ["open", "busy", "failed_from_busy"]
    assert all(item.wildcard for item in halts)


def test_a_star_may_end_what_transitions_before_it_leave_over() -> None:
    definition = compiled(transitions=[["close", "open", "shut", "is_late"], ["close", "*", "shut"]], is_late=always)
    assert [item.position for item in definition.transitions if item.trigger == "close"] == [1, 2]


def test_an_equals_sign_enters_the_source_anew_and_none_is_internal() -> None:
    transitions = [["close", "open", "shut"], ["again", "open", "="], ["note", "*", None]]
    definition = compiled(transitions=transitions)
    assert ("again", "open", "open") in edges(definition)
    assert ("note", "open", None) in edges(definition)


def test_guards_and_callbacks_may_be_names_functions_lambdas_or_several_of_them() -> None:
    seen = []
    rule = {
        "trigger": "close",
        "source": "open",
        "dest": "shut",
        "conditions": ["is_ready", always, lambda machine: machine.data["n"] == 1],
        "unless": "is_locked",
        "before": lambda machine: seen.append(("before", machine.state)),
        "after": [lambda machine: seen.append(("after", machine.state)), "note"],
        "prepare": partial(_count, seen),
    }

    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [rule]

        def is_ready(self) -> bool:
            return bool(self.data["ready"])

        @property
        def is_locked(self) -> bool:
            return False

        def note(self) -> None:
            seen.append(("note", self.state))

    walk = Walk(Door, {"ready": 1, "n": 1})
    walk.trigger("close")
    assert (walk.state, seen) == ("shut", ["counted", ("before", "open"), ("after", "shut"), ("note", "shut")])


def _count(seen: list[Any], machine: Machine) -> None:
    seen.append("counted")


def is_dotted(machine: Machine) -> bool:
    return bool(machine.data.get("dotted"))


def test_a_guard_may_be_a_dotted_path_a_static_method_a_class_method_or_a_property() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [
            ["close", "open", "shut", [f"{__name__}.is_dotted", "is_static", "is_classy", "is_proper", "is_callable"]]
        ]

        @staticmethod
        def is_static(machine: Machine) -> bool:
            return isinstance(machine, Door)

        @classmethod
        def is_classy(cls) -> bool:
            return cls is Door

        @property
        def is_proper(self) -> bool:
            return self.state == "open"

        is_callable = partial(always)

    walk = Walk(Door, {"dotted": True})
    walk.trigger("close")
    assert walk.state == "shut"


async def later(machine: Machine) -> dict[str, Any]:
    return {"later": machine.state}


class Payments:
    async def __call__(self, machine: Machine) -> None: ...


def test_a_job_may_be_a_name_a_function_a_path_an_object_and_asynchronous() -> None:
    class Shop(Machine):
        initial = "one"
        states = [
            State("one", job="charge"),
            State("two", job=later),
            State("three", job=f"{__name__}.later"),
            State("four", job="charge_later"),
            State("five", job=Payments()),
            State("six", job=lambda machine: None),
            State("over", final=True),
        ]
        transitions = [
            ["done", source, dest]
            for source, dest in zip(
                ["one", "two", "three", "four", "five", "six"],
                ["two", "three", "four", "five", "six", "over"],
                strict=True,
            )
        ]

        def charge(self) -> dict[str, Any]:
            return {"charged": self.state}

        async def charge_later(self) -> None: ...

    states = definition_of(Shop).states
    assert [states[name].job_name for name in ("one", "two", "four", "six")] == [
        "charge",
        "later",
        "charge_later",
        "<lambda>",
    ]
    assert states["one"].job is Shop.charge
    assert states["two"].job is states["three"].job is later
    assert all(states[name].is_working for name in ("one", "two", "three", "four", "five", "six"))


def test_on_enter_and_on_exit_run_in_their_order_and_a_method_named_after_the_state_once() -> None:
    seen: list[str] = []

    class Door(Machine):
        initial = "open"
        states = [
            State("open", on_exit=[lambda machine: seen.append("exit given"), "on_exit_open"]),
            State("shut", final=True, on_enter="enter_given"),
        ]
        transitions = [["close", "open", "shut"]]

        def enter_given(self) -> None:
            seen.append("enter given")

        def on_enter_shut(self) -> None:
            seen.append("enter named")

        def on_exit_open(self) -> None:
            seen.append("exit named")

    Walk(Door).trigger("close")
    assert seen == ["exit given", "exit named", "enter given", "enter named"]


def test_generated_states_have_on_enter_methods_too() -> None:
    class Shop(Machine):
        initial = "charging"
        states = [State("charging", job=always), State("over", final=True)]
        transitions = [["done", "charging", "over"]]

        def on_enter_failed_from_charging(self) -> None:
            self.data["told"] = self.failure.message if self.failure else None

        def on_enter_cancelled(self) -> None:
            self.data["cancelled"] = True

    walk = Walk(Shop)
    walk.fails()
    assert walk.data == {"told": "the bank is away"}
    walk.trigger("cancel")
    assert walk.data["cancelled"] is True


@pytest.mark.parametrize(
    ("given", "expected_ms"),
    [(30, 30_000), (0.25, 250), (timedelta(minutes=2), 120_000), (9 * 10**9, 9 * 10**12), (None, None)],
)
def test_the_limit_of_a_job_is_seconds_a_timedelta_or_none(given: Any, expected_ms: int | None) -> None:
    states = [State("open", job=always, timeout=given), State("shut", final=True)]
    assert compiled(states=states, transitions=[["done", "open", "shut"]]).states["open"].limit_ms == expected_ms


def test_the_limit_of_a_job_is_an_hour_unless_it_is_given() -> None:
    states = [State("open", job=always), State("shut", final=True)]
    assert compiled(states=states, transitions=[["done", "open", "shut"]]).states["open"].limit_ms == 3_600_000


@pytest.mark.parametrize(
    "given",
    [
        90,
        90.0,
        timedelta(seconds=90),
        lambda machine: 90,
        "wait_for",
        lambda machine: timedelta(minutes=1.5),
        lambda machine: datetime.fromtimestamp(NOW / 1000 + 90, tz=UTC),
    ],
)
@pytest.mark.parametrize(("parameter", "trigger"), [("timeout", "timeout"), ("delay", "done")])
def test_deadlines_and_delays_are_seconds_timedeltas_or_methods(given: Any, parameter: str, trigger: str) -> None:
    class Door(Machine):
        initial = "open"
        states = [State("open", **{parameter: given}), State("shut", final=True)]
        transitions = [[trigger, "open", "shut"]]

        def wait_for(self) -> int:
            return 90

    walk = Walk(Door)
    assert (walk.work.kind, walk.work.wake_at) == ("timer", NOW + 90_000)
    walk.timer()
    assert (walk.state, walk.last.trigger) == ("shut", trigger)


def test_a_queue_is_a_name_or_a_function_of_the_machine() -> None:
    class Shop(Machine):
        initial = "one"
        states = [
            State("one", job=always),
            State("two", job=always, queue="slow lane"),
            State("three", job=always, queue=lambda machine: f"tenant-{machine.data['tenant']}-{machine.state}"),
            State("over", final=True),
        ]
        transitions = [["done", "one", "two"], ["done", "two", "three"], ["done", "three", "over"]]

    assert definition_of(Shop).queues == ("default", "slow lane")
    walk = Walk(Shop, {"tenant": 7})
    assert walk.work.queue == "default"
    walk.returns()
    assert walk.work.queue == "slow lane"
    walk.returns()
    assert walk.work.queue == "tenant-7-three"


def test_a_retry_policy_may_use_all_its_parameters() -> None:
    policy = Retry(3, [1, timedelta(seconds=2)], 1, timedelta(hours=1), 0.5, on=OSError, never=[KeyError, ValueError])
    states = [State("open", job=always, retry=policy), State("shut", final=True)]
    assert compiled(states=states, transitions=[["done", "open", "shut"]]).states["open"].retry is policy


def test_roles_are_one_name_or_several() -> None:
    for roles in ("boss", ["boss"], ("boss",), {"boss"}, frozenset({"boss"})):
        rule = {"trigger": "close", "source": "open", "dest": "shut", "roles": roles}
        assert spec(compiled(transitions=[rule]), "close", "open").roles == {"boss"}
