"""Classes to be refused, most of them: garbage in place of states, transitions, parameters and what is machine-wide."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from fsmflow import Machine, Retry, Schedule, State
from tests.attacks.fuzz.inputs import HUGE_NUMBERS, TEXTS, Mute
from tests.definition.test_faults import act, passes

STATE_NAMES = ["open", "shut", "busy", "cancelled", "undone", "failed_from_busy", "undoing_busy", "Open"]
TRIGGERS = ["done", "fail", "timeout", "retry", "cancel", "undo", "undone", "close", "branch_done", "branch_failed"]
OTHER_NAMES = [*TRIGGERS, "start", "data", "__init__", "passes", "act", "*", "="]
NAMES = st.sampled_from([*STATE_NAMES, *OTHER_NAMES, "", "op en"])
NUMBERS = st.one_of(st.integers(), st.floats(), HUGE_NUMBERS, st.timedeltas())
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.binary(max_size=4), NAMES)
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


class Door(enum.Enum):
    """States as an enum, one of whose values is no name."""

    open = "open"
    shut = 1
    busy = "bu sy"


_ODD = (passes, act, object(), State, State("busy", job=act), Retry(2), len, type, ..., Door, Door.open, Mute, Machine)
#: What is long or cannot be shown is built: Hypothesis shows the strategies themselves, too.
ODD = st.one_of(
    st.sampled_from([*_ODD, ["\x00"], "\ud800", int, property(passes)]),
    st.builds(Mute),
    st.lists(st.builds(Mute), min_size=1, max_size=1),
    st.sampled_from([100, 10_000]).map(lambda length: "x" * length),
    st.just(10_000).map(lambda length: list(range(length))),
)
ANYTHING = st.one_of(GARBAGE, NAMES, ODD)
POLICIES = st.builds(Retry, ANYTHING, *[ANYTHING] * 6)
_OWN = {
    "job": st.just(act),
    "jobs": st.one_of(
        st.lists(st.sampled_from([act, "work", "nope"]), max_size=3),
        st.dictionaries(st.one_of(NAMES, TEXTS, HASHABLE), st.sampled_from([act, "work", "nope"]), max_size=3),
    ),
    "machines": st.one_of(st.lists(NAMES, max_size=3), st.dictionaries(HASHABLE, NAMES, max_size=3)),
    "only": st.sampled_from(["wanted", "work", act]),
    "retry": POLICIES,
    "final": st.booleans(),
    "wait": st.booleans(),
    "machine": NAMES,
    "limit": st.integers(-1, 3),
    "defer": st.sampled_from(TRIGGERS),
    "ignore": st.lists(st.sampled_from(TRIGGERS), max_size=2),
}
_ANY = (
    *("timeout", "delay", "queue", "priority", "on_enter", "on_exit", "undo", "each", "branch_failure"),
    *("on_failure", "on_cancel"),
)
_FLAGS = ("transactional", "at_most_once")
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.one_of(own, ANYTHING) for name, own in _OWN.items()},
        **dict.fromkeys(_ANY, ANYTHING),
        **{name: st.one_of(st.booleans(), ANYTHING) for name in _FLAGS},
    },
)
#: What some parameter or other takes.
FITTING = st.sampled_from(
    [
        *(0, 0.5, 10**9, timedelta(days=1), True, False, None, "slow", "note", "is_ready", act, passes, ["note", act]),
        *("open", "busy", "slow", "shut", ["open", "busy"], {"slow"}, "*", "=", "cancelled", "failed_from_busy"),
        *("done", "fail", "timeout", "cancel", "close", ["boss"], Retry(0), Retry(9, [1, 2], on=OSError)),
        *(Retry(5, 0.1, 10**400, max_interval=0), Retry(5, 10**9, 1e300, 9 * 10**9, 1, never=[KeyError])),
        *("undo", "stop", "wait", "each", 1, 20, ["close"], "garbage", {"old": "open"}),
    ]
)
STATES = st.one_of(
    NAMES,
    ANYTHING,
    st.sampled_from(list(Door)),
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


def _two(self: Any, one: Any) -> None:
    """A method that takes an argument."""


def _upgrade(self: Any, data: Any, from_version: int) -> Any:
    return data


async def _later(self: Any, one: Any) -> None:
    """A hook must not be async."""


_HOOKS = st.one_of(st.sampled_from([_two, _upgrade, _later, act]), ANYTHING)
_RENAMED = st.dictionaries(HASHABLE, st.one_of(NAMES, ANYTHING), max_size=3)
_CRON = st.sampled_from(["0 3 * * *", "* * 31 2 *", "*/5 * * * *", "@daily", "0 0 29 2 *"])
_SCHEDULES = st.builds(
    Schedule,
    st.one_of(_CRON, ANYTHING),
    zone=st.one_of(st.sampled_from(["UTC", "Europe/Vienna", "Europe", "..", "\0", "zone.tab"]), ANYTHING),
    overlap=st.one_of(st.sampled_from(["all", "skip", "queue"]), ANYTHING),
)
WIDE: dict[str, Any] = {
    "version": st.one_of(st.integers(0, 3), ANYTHING),
    "upgrade": _HOOKS,
    "renamed_states": st.one_of(_RENAMED, ANYTHING),
    "redact": st.one_of(st.lists(TEXTS, max_size=3), ANYTHING),
    "schedule": st.one_of(_CRON, _SCHEDULES, ANYTHING),
    "catch_up": st.one_of(st.sampled_from(["once", "skip"]), ANYTHING),
    "on_transition": _HOOKS,
    "on_failed": _HOOKS,
    "on_failure": st.one_of(st.just("undo"), ANYTHING),
    "on_cancel": st.one_of(st.just("undo"), ANYTHING),
    "status_field": ANYTHING,
}
BODIES = st.fixed_dictionaries(
    {
        "initial": st.one_of(NAMES, ANYTHING),
        "states": st.one_of(st.lists(STATES, max_size=5), st.dictionaries(HASHABLE, ANYTHING, max_size=3), ANYTHING),
        "transitions": st.one_of(st.lists(TRANSITIONS, max_size=6), ANYTHING),
    },
    optional={"name": ANYTHING, "close": ANYTHING, "on_enter_open": ANYTHING, "data": ANYTHING, **WIDE},
)
METHODS: dict[str, Any] = {
    "work": lambda self: None,
    "note": lambda self: None,
    "is_ready": lambda self: True,
    "wait_for": lambda self: 5,
}


def good() -> dict[str, Any]:
    """The body of a machine without a fault."""
    rule = {"trigger": "close", "source": ["open", "slow"], "dest": "shut", "conditions": ["is_ready"], "roles": "boss"}
    return {
        "initial": "open",
        "states": [
            {"name": "open", "timeout": 60, "on_enter": "note", "on_exit": [act]},
            {"name": "busy", "job": "work", "retry": Retry(3), "timeout": 5, "queue": "slow", "undo": "work"},
            {"name": "slow", "delay": "wait_for"},
            {"name": "wide", "jobs": ["work", act], "limit": 1, "branch_failure": "stop"},
            {"name": "shut", "final": True},
        ],
        "transitions": [
            {**rule, "unless": [passes], "before": act, "after": "note", "prepare": "note"},
            ["timeout", "open", "busy"],
            ["done", "busy", "slow"],
            ["done", "slow", "wide"],
            ["done", "wide", "shut"],
            ["note_it", "*", None],
        ],
        **METHODS,
    }


@st.composite
def nearly_good(draw: st.DrawFn) -> dict[str, Any]:
    """A machine without a fault, but for one part; sometimes the part fits, too."""
    body = good()
    any_part = draw(st.sampled_from([FITTING, FITTING, ANYTHING, POLICIES]))
    where = draw(st.sampled_from(["states", "transitions", "new", "wide"]))
    if where == "wide":
        name = draw(st.sampled_from(sorted(WIDE)))
        return {**body, name: draw(st.one_of(WIDE[name], FITTING))}
    if where == "new":
        draw(st.sampled_from(body["states"][:4])).update(draw(PARAMETERS))
        return body
    item = draw(st.sampled_from(body[where]))
    slot = draw(st.sampled_from(list(item) if isinstance(item, dict) else range(len(item))))
    item[slot] = draw(any_part)
    return body


CLASSES = st.one_of(BODIES, nearly_good(), nearly_good(), nearly_good())
