"""Garbage in place of states, transitions and parameters: a class or a DefinitionError, never anything else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from fsmflow import DefinitionError, Machine, Retry, State
from fsmflow.definition.model import Definition
from fsmflow.definition.retry import is_duration
from test_definition_faults import act, passes
from walk import definition_of

STATE_NAMES = ["open", "shut", "busy", "cancelled", "undone", "failed_from_busy", "undoing_busy", "Open"]
OTHER_NAMES = [
    "done",
    "fail",
    "timeout",
    "retry",
    "cancel",
    "undo",
    "close",
    "start",
    "data",
    "__init__",
    "passes",
    "act",
    "*",
    "=",
]
NAMES = st.sampled_from([*STATE_NAMES, *OTHER_NAMES, "", "op en"])
#: Too large for a float, and even for a text.
HUGE = st.sampled_from([400, 5000]).map(lambda digits: 10**digits)
NUMBERS = st.one_of(st.integers(), st.floats(), HUGE, st.timedeltas())
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.binary(max_size=4), NAMES)
HASHABLE = st.one_of(st.none(), st.integers(), st.text(max_size=4), NAMES)
GARBAGE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(HASHABLE, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
    ),
    max_leaves=6,
)
ODD = st.sampled_from([passes, act, object(), State, State("busy", job=act), Retry(2), len, type, "x" * 10_000, ...])
ANYTHING = st.one_of(GARBAGE, NAMES, ODD)
POLICIES = st.builds(Retry, ANYTHING, *[ANYTHING] * 6)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "job": st.one_of(st.just(act), ANYTHING),
        "retry": st.one_of(POLICIES, ANYTHING),
        "timeout": ANYTHING,
        "delay": ANYTHING,
        "queue": ANYTHING,
        "final": st.one_of(st.booleans(), ANYTHING),
        "on_enter": ANYTHING,
        "on_exit": ANYTHING,
        "undo": ANYTHING,
        "limit": ANYTHING,
    },
)
#: What some parameter or other takes.
FITTING = st.sampled_from(
    [
        *(0, 0.5, 10**9, timedelta(days=1), True, False, None, "slow", "note", "is_ready", act, passes, ["note", act]),
        *("open", "busy", "slow", "shut", ["open", "busy"], {"slow"}, "*", "=", "cancelled", "failed_from_busy"),
        *("done", "fail", "timeout", "cancel", "close", ["boss"], Retry(0), Retry(9, [1, 2], on=OSError)),
        *(Retry(5, 0.1, 10**400, max_interval=0), Retry(5, 10**9, 1e300, 9 * 10**9, 1, never=[KeyError])),
    ]
)
STATES = st.one_of(
    NAMES,
    ANYTHING,
    st.builds(lambda name, parameters: State(name, **parameters), st.one_of(NAMES, ANYTHING), PARAMETERS),
    st.builds(lambda name, parameters: {"name": name, **parameters}, st.one_of(NAMES, ANYTHING), PARAMETERS),
)
PART = st.one_of(NAMES, ANYTHING)
KEYS = ("trigger", "source", "dest", "conditions", "unless", "before", "after", "prepare", "roles")
TRANSITIONS = st.one_of(
    st.lists(PART, min_size=3, max_size=9),
    st.tuples(NAMES, st.one_of(NAMES, st.lists(NAMES, max_size=3)), NAMES),
    st.dictionaries(st.one_of(st.sampled_from(KEYS), HASHABLE), PART, max_size=9),
    ANYTHING,
)
BODIES = st.fixed_dictionaries(
    {
        "initial": st.one_of(NAMES, ANYTHING),
        "states": st.one_of(st.lists(STATES, max_size=5), ANYTHING),
        "transitions": st.one_of(st.lists(TRANSITIONS, max_size=6), ANYTHING),
    },
    optional={"name": ANYTHING, "version": ANYTHING, "close": ANYTHING, "on_enter_open": ANYTHING, "data": ANYTHING},
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(body=BODIES)
@example(body={"initial": ["open"], "states": [{"name": ["open"]}], "transitions": [[{}, {}, {}]]})
@example(body={"initial": "open", "states": ["open"], "transitions": [["close", [[]], [], [], [], {}, 5, set()]]})
@example(body={"initial": "open", "states": [State("open", timeout=10**5000)], "transitions": []})
def test_garbage_gives_a_class_or_a_definition_error(body: dict[str, Any]) -> None:
    check(body)


def good_states() -> list[Any]:
    return [
        {"name": "open", "timeout": 60, "on_enter": "note", "on_exit": [act]},
        {"name": "busy", "job": "work", "retry": Retry(3), "timeout": 5, "queue": "slow"},
        {"name": "slow", "delay": "wait_for"},
        {"name": "shut", "final": True},
    ]


def good_transitions() -> list[Any]:
    rule = {"trigger": "close", "source": ["open", "slow"], "dest": "shut", "conditions": ["is_ready"], "roles": "boss"}
    return [
        {**rule, "unless": [passes], "before": act, "after": "note", "prepare": "note"},
        ["timeout", "open", "busy"],
        ["done", "busy", "slow"],
        ["done", "slow", "shut"],
        ["note_it", "*", None],
    ]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), part=st.sampled_from(["states", "transitions"]), fitting=st.booleans())
def test_a_good_machine_with_one_wrong_part_gives_a_class_or_a_definition_error(
    data: st.DataObject, part: str, fitting: bool
) -> None:
    body = {"initial": "open", "states": good_states(), "transitions": good_transitions(), **METHODS}
    place = data.draw(st.sampled_from(range(len(body[part]))))
    item = body[part][place]
    slot = data.draw(st.sampled_from(list(item) if isinstance(item, dict) else range(len(item))))
    item[slot] = data.draw(FITTING if fitting else st.one_of(ANYTHING, POLICIES))
    check(body)


METHODS: dict[str, Any] = {
    "work": lambda self: None,
    "note": lambda self: None,
    "is_ready": lambda self: True,
    "wait_for": lambda self: 5,
}


def check(body: dict[str, Any]) -> None:
    """A class whose definition is sound, or a DefinitionError that tells something."""
    faults: tuple[str, ...] = ()
    try:
        machine = type("Garbage", (Machine,), body)
    except DefinitionError as error:
        faults = error.faults or ("",)
    else:
        event("a class")
        if "_definition" in vars(machine):
            check_definition(definition_of(machine))
    assert all(isinstance(fault, str) and fault for fault in faults)


def check_definition(definition: Definition) -> None:
    """Nothing was accepted that the floors above would stumble over."""
    for name, spec in definition.states.items():
        assert type(name) is str
        assert spec.is_working == (spec.job is not None)
        assert spec.limit_ms is None or spec.limit_ms > 0
        assert isinstance(spec.queue, str) or callable(spec.queue)
        assert spec.timer is None or callable(spec.timer.after) or is_duration(spec.timer.after)
        if spec.retry is not None:
            assert all(spec.retry.delay_ms(failures, 0.5) >= 0 for failures in (1, 2, 1_000_000))
            assert spec.retry.applies_to(OSError) in (True, False)
    for item in definition.transitions:
        assert item.source in definition.states
        assert item.dest is None or item.dest in definition.states
        assert len(item.guards) == len(item.conditions) + len(item.unless)
        callbacks = (*item.conditions, *item.unless, *item.prepare, *item.before, *item.after)
        assert all(callable(callback) for callback in callbacks)
