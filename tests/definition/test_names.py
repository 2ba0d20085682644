"""What fsmflow makes by itself of a machine: generated states and transitions, names, inheritance, sugar."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Machine, Retry, State, TransitionNotAllowed
from fsmflow.definition.advice import advice
from fsmflow.definition.names import snake_case
from tests.support.walk import Walk, definition_of


def act(machine: Machine) -> None:
    """A job that does nothing."""


class Shop(Machine):
    """Charges, then ships.

    The rest of the text is not for lists.
    """

    initial = "pending"
    states = ["pending", State("charging", job=act), State("shipping", job=act), State("shipped", final=True)]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "shipping"],
        ["done", "shipping", "shipped"],
        ["fail", "charging", "pending", "is_harmless"],
    ]

    def is_harmless(self) -> bool:
        return self.failure is not None and self.failure.message == "harmless"


def test_each_working_state_gets_a_failed_state_and_all_of_them_cancelled_after_the_users_own() -> None:
    states = definition_of(Shop).states
    assert list(states) == [
        "pending",
        "charging",
        "shipping",
        "shipped",
        "failed_from_charging",
        "failed_from_shipping",
        "cancelled",
    ]
    assert [spec.generated for spec in states.values()] == [False] * 4 + [True] * 3
    assert [spec.phase for spec in states.values()] == [
        "waiting",
        "working",
        "working",
        "finished",
        "failed",
        "failed",
        "finished",
    ]
    assert states["failed_from_shipping"].failed_from == "shipping"


def test_generated_transitions_come_after_the_users_own() -> None:
    made = [(spec.trigger, spec.source, spec.dest) for spec in definition_of(Shop).transitions if spec.generated]
    assert made == [
        ("fail", "charging", "failed_from_charging"),
        ("retry", "failed_from_charging", "charging"),
        ("fail", "shipping", "failed_from_shipping"),
        ("retry", "failed_from_shipping", "shipping"),
        ("cancel", "pending", "cancelled"),
        ("cancel", "charging", "cancelled"),
        ("cancel", "shipping", "cancelled"),
        ("cancel", "failed_from_charging", "cancelled"),
        ("cancel", "failed_from_shipping", "cancelled"),
    ]
    written = [spec.generated for spec in definition_of(Shop).transitions]
    assert written == sorted(written)
    assert definition_of(Shop).outgoing["charging"] == ("done", "fail", "cancel")


def test_generated_transitions_may_be_shadowed() -> None:
    class Firm(Shop):
        transitions = [
            *Shop.transitions,
            ["cancel", "*", "shipped"],
            ["retry", "failed_from_charging", "pending"],
            ["give_up", "failed_from_shipping", "shipped"],
        ]

    walk = Walk(Firm)
    walk.trigger("submit")
    walk.fails()
    walk.retry()
    assert walk.state == "pending"
    walk.trigger("cancel")
    assert walk.state == "shipped"


def test_a_star_may_stand_for_what_unguarded_transitions_before_it_leave_over() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", "ajar", State("shut", final=True)]
        transitions = [["close", "open", "shut"], ["push", "open", "ajar"], ["close", "*", "shut"]]

    assert [spec.position for spec in definition_of(Door).transitions if spec.trigger == "close"] == [1, 3, 3]


def test_a_function_that_tells_no_signature_is_taken_at_its_word() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut", max]]

    assert definition_of(Door).transitions[0].conditions == (max,)


def test_cancelled_and_undone_may_be_declared_final_and_keep_their_meaning() -> None:
    seen: list[str] = []

    class Door(Machine):
        initial = "open"
        states = ["open", State("cancelled", final=True, on_enter=lambda machine: seen.append("told")), "shut"]
        states += [State("undone", final=True), State("gone", final=True)]
        transitions = [["close", "open", "shut"], ["leave", "shut", "gone"]]

    states = definition_of(Door).states
    assert list(states) == ["open", "cancelled", "shut", "undone", "gone"]
    assert not states["cancelled"].generated
    walk = Walk(Door)
    walk.trigger("cancel")
    assert (walk.state, seen) == ("cancelled", ["told"])


def test_a_subclass_inherits_states_and_transitions_and_its_own_guards_are_bound() -> None:
    class Careless(Shop):
        name = "careless"

        def is_harmless(self) -> bool:
            return True

    class Careful(Careless):
        """Its name is not inherited."""

        def is_harmless(self) -> bool:
            return False

    assert [definition_of(kind).name for kind in (Shop, Careless, Careful)] == ["shop", "careless", "careful"]
    for machine, state in ((Careless, "pending"), (Careful, "failed_from_charging")):
        walk = Walk(machine)
        walk.trigger("submit")
        walk.fails()
        assert walk.state == state
    assert list(definition_of(Careful).states) == list(definition_of(Shop).states)


def test_a_subclass_may_redefine_transitions_alone() -> None:
    class Straight(Shop):
        transitions = [*Shop.transitions, ["skip_it", "pending", "shipped"]]

    walk = Walk(Straight)
    walk.trigger("skip_it")
    assert walk.state == "shipped"
    assert not hasattr(Shop, "skip_it")


def test_a_class_without_states_is_only_a_base_and_may_bring_guards() -> None:
    class Common(Machine):
        transitions = [["close", "open", "shut", "is_ready"]]

        def is_ready(self) -> bool:
            return True

    class Door(Common):
        initial = "open"
        states = ["open", State("shut", final=True)]

    assert "_definition" not in vars(Common)
    walk = Walk(Door)
    walk.trigger("close")
    assert walk.state == "shut"


def test_a_mixin_may_bring_guards_and_jobs() -> None:
    class Ready:
        def is_ready(self) -> bool:
            return True

        def work(self) -> None: ...

    class Door(Ready, Machine):
        initial = "open"
        states = [State("open", job="work"), State("shut", final=True)]
        transitions = [["done", "open", "shut", "is_ready"]]

    walk = Walk(Door)
    walk.returns()
    assert walk.state == "shut"


def test_the_defaults_of_a_retry_policy_are_those_that_are_promised() -> None:
    assert Retry(3) == Retry(max=3, interval=10, backoff=2.0, max_interval=600, jitter=0.1, on=(Exception,), never=())
    assert [Retry(9).delay_ms(failures, 0.5) for failures in (1, 2, 6, 7, 8)] == [
        10_000,
        20_000,
        320_000,
        600_000,
        600_000,
    ]
    assert Retry(9, 0, backoff=10**400).delay_ms(9, 0.5) == 0
    assert Retry(9, 1, backoff=10**400).delay_ms(9, 0.5) == 600_000


@pytest.mark.parametrize("policy", [Retry(0), Retry(1, 0, 1, 0, 0), Retry(1, jitter=1), Retry(1, [0], on=(), never=())])
def test_the_bounds_of_a_retry_policy_are_allowed(policy: Retry) -> None:
    class Careful(Shop):
        states = ["pending", State("charging", job=act, retry=policy), *Shop.states[2:]]

    walk = Walk(Careful)
    walk.trigger("submit")
    walk.fails()
    assert walk.state == ("charging" if policy.max and policy.on else "failed_from_charging")


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Order", "order"),
        ("OrderRefund", "order_refund"),
        ("HTTPCheck", "http_check"),
        ("CheckHTTP", "check_http"),
        ("Order2Refund", "order2_refund"),
        ("_Order", "order"),
        ("order", "order"),
    ],
)
def test_the_default_name_is_the_class_name_in_snake_case(class_name: str, name: str) -> None:
    assert snake_case(class_name) == name
    body = {"initial": "open", "states": ["open", State("shut", final=True)], "transitions": [["go", "open", "shut"]]}
    machine: Any = type(class_name, (Machine,), body)
    assert (machine.name, definition_of(machine).name) == (name, name)


def test_every_trigger_is_a_method_but_those_that_methods_fire_keep_theirs() -> None:
    assert {"submit", "done", "fail"} <= set(vars(Shop))
    assert "retry" not in vars(Shop)
    assert "cancel" not in vars(Shop)
    assert Shop.submit.__name__ == "submit"  # type: ignore[attr-defined]
    assert "submit" in (Shop.submit.__doc__ or "")  # type: ignore[attr-defined]


def test_the_sugar_is_inherited_and_no_obstacle_to_the_trigger_of_a_subclass() -> None:
    class Again(Shop):
        transitions = [*Shop.transitions, ["submit", "failed_from_charging", "charging"]]

    assert definition_of(Again).offers("submit", "failed_from_charging")


def test_a_callback_that_fires_by_sugar_is_refused_like_any_other() -> None:
    class Loop(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [{"trigger": "close", "source": "open", "dest": "shut", "before": "meddle"}]

        def meddle(self) -> None:
            self.close()  # type: ignore[attr-defined]

    with pytest.raises(TransitionNotAllowed, match="guards and callbacks cannot fire"):
        Walk(Loop).trigger("close")


def test_the_summary_is_the_first_line_of_the_machines_own_text() -> None:
    class Silent(Shop):
        pass

    assert definition_of(Shop).summary == "Charges, then ships."
    assert definition_of(Silent).summary == ""


def test_advice_tells_of_what_may_be_forgotten() -> None:
    notes = advice(definition_of(Shop))
    assert notes == [
        "job 'act' in state 'charging' has no retry: its first failure needs somebody",
        "job 'act' in state 'shipping' has no retry: its first failure needs somebody",
    ]


def test_advice_tells_of_states_without_a_deadline_but_where_an_entity_was_just_started() -> None:
    class Draft(Machine):
        initial = "drafted"
        states = ["drafted", "asked", State("answered", final=True)]
        transitions = [["ask", "drafted", "asked"], ["answer", "asked", "answered"]]

    assert advice(definition_of(Draft)) == ["state 'asked' waits without a deadline: an entity may stay there for ever"]


def test_advice_tells_of_guards_that_may_all_refuse_and_of_machines_that_never_end() -> None:
    class Endless(Machine):
        initial = "open"
        states = [State("open", delay=5), State("shut", timeout=5)]
        transitions = [["done", "open", "shut", "is_ready"], ["timeout", "shut", "open", None, "is_ready"]]

        def is_ready(self) -> bool:
            return True

    assert advice(definition_of(Endless)) == [
        "no state is final: an entity never finishes but by 'cancel'",
        "state 'open': the guards of 'done' (is_ready) may all refuse, and then it rests",
        "state 'shut': the guards of 'timeout' (is_ready) may all refuse, and then it rests",
    ]
