"""All faults at once."""

from __future__ import annotations

import pytest

from fsmflow import DefinitionError, Machine, Retry, State
from tests.definition.test_faults import FINAL, faults_of

#: What is wrong with the machine of the test below: ten things, and some more.
FAULTS = [
    "initial: unknown state 'pendig'; did you mean 'pending'?",
    "state 'charging': there is no method 'chrge' for job; did you mean 'charge'?",
    "state 'charging': Retry(max=-1): max is a whole number from 0",
    "state 'waiting_long' has a timeout, but no 'timeout' transition says where it then goes",
    "state 'lonely': timeout=-1; it is seconds or a timedelta from 0, or a method that returns one",
    "state 'blind' is a dead end: it is not final, and no transition but 'cancel' leads out of it",
    "state 'shipped': queue= does not belong here: a final state does nothing",
    "states: 'Bad Name' is not a name: lower-case letters, digits and underscores, beginning with a letter",
    "state 'Bad Name' is a dead end: it is not final, and no transition but 'cancel' leads out of it",
    "transition 1: there is no method 'is_larg' for guard; did you mean 'is_large'?",
    "transition 2: unknown state 'shiped'; did you mean 'shipped'? (dest of 'done')",
    "transition 4: 'wait_now' from 'pending' can never be reached, as transition 3 stands before it without a guard",
    "transition 6: 'reopen' leaves 'shipped', which is final; a final state has no way out",
    "transition 7: trigger 'data' would hide Machine.data, an attribute of fsmflow; choose another name, such as "
    "'order_data'",
    "transition 7: roles=[]; it takes one or several names of roles",
    "transition 8: before 'with_more' has the wrong signature (self, event: 'object') -> 'None': a method takes "
    "nothing but self",
    "method 'on_enter_bind': there is no state 'bind'; did you mean 'blind'?",
]


def test_a_machine_with_ten_faults_tells_all_ten_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:

        class Order(Machine):
            initial = "pendig"
            states = [
                "pending",
                State("charging", job="chrge", retry=Retry(max=-1)),
                State("waiting_long", timeout=5),
                State("lonely", timeout=-1),
                "blind",
                State("shipped", final=True, queue="slow"),
                "Bad Name",
            ]
            transitions = [
                ["submit", "pending", "charging", "is_larg"],
                ["done", "charging", "shiped"],
                ["wait_now", "pending", "waiting_long"],
                ["wait_now", "pending", "blind"],
                ["look", "waiting_long", "blind"],
                ["reopen", "shipped", "pending"],
                {"trigger": "data", "source": "pending", "dest": "shipped", "roles": []},
                ["timeout", "lonely", "shipped", None, None, "with_more"],
            ]

            def is_large(self) -> bool:
                return True

            def charge(self) -> None: ...

            def with_more(self, event: object) -> None: ...

            def on_enter_bind(self) -> None: ...

    assert sorted(caught.value.faults) == sorted(FAULTS)
    assert str(caught.value).startswith(f"machine 'order' has {len(FAULTS)} faults:\n  - ")
    assert caught.value.machine == "order"


def test_unreachable_states_are_told_beside_other_faults() -> None:
    faults = faults_of(states=["open", "attic", FINAL], transitions=[["close", ["open", "attic"], "shut", "is_redy"]])
    assert faults == (
        "transition 1: there is no method 'is_redy' for guard",
        "state 'attic' can never be reached from the initial state 'open'",
    )


@pytest.mark.parametrize(
    ("transitions", "fault"),
    [
        (
            [["go", "open", "hal"], ["go", "hall", "shut"]],
            "transition 1: unknown state 'hal'; did you mean 'hall'? (dest of 'go')",
        ),
        (
            [["go", "open", "hall"], ["go", ["hal", "hall"], "shut"]],
            "transition 2: unknown state 'hal'; did you mean 'hall'? (source of 'go')",
        ),
    ],
)
def test_no_state_is_out_of_reach_while_a_state_is_unknown(transitions: list[list[object]], fault: str) -> None:
    assert faults_of(states=["open", "hall", FINAL], transitions=transitions) == (fault,)
