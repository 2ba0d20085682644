"""The idempotency key: one for each step of each entity, made of what stays when rows are lost and given out again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.idempotency import MAX_KEY, begun, key_of, renewed

NAMES = st.one_of(
    st.sampled_from(["a", "a_b", "order", "failed", "new"]), st.text("ab_1", min_size=1, max_size=64).map("a".__add__)
)
#: Ids as they can be; those with the signs that a key has a meaning for come often.
IDS = st.one_of(
    st.text("a1:/%~.+ \N{LATIN SMALL LETTER E WITH ACUTE}", min_size=1, max_size=12),
    st.text("a\N{EURO SIGN}", min_size=30, max_size=80),
    st.sampled_from(["order:1/packing/3", "1/packing.2/3", "1/packing/police", "7d444840-9dc0-11d1-b245-5ffdce74fad2"]),
)
#: Installation, machine, id, and how the step is called.
Step = tuple[str, str, str, str]
INSTALLATIONS = st.sampled_from(["00000000", "3f9a2c1b"])


def snapshot(machine: str, entity_id: str, step_name: str, *, row: int = 1, step: int = 1) -> Snapshot:
    return Snapshot(
        row=row,
        machine=machine,
        entity_id=entity_id,
        state="x",
        phase="working",
        epoch=step,
        revision=1,
        seq=1,
        data_text="{}",
        step=step,
        step_name=step_name,
        event_text="{}",
        created_at=0,
        entered_at=0,
        updated_at=0,
    )


@st.composite
def steps(draw: st.DrawFn) -> Step:
    name = f"{draw(NAMES)}.{draw(st.integers(1, 12))}"
    for _ in range(draw(st.integers(0, 2))):
        name = renewed(name)
    return draw(INSTALLATIONS), draw(NAMES), draw(IDS), name


def key(step: Step) -> str:
    installation, machine, entity_id, name = step
    return key_of(installation, snapshot(machine, entity_id, name))


@given(st.lists(steps(), min_size=2, max_size=8, unique=True))
def test_no_two_steps_have_one_key(found: Sequence[Step]) -> None:
    assert len({key(step) for step in found}) == len(found)


@given(steps())
def test_a_key_is_short_and_plain(step: Step) -> None:
    assert re.fullmatch(r"[!-.0-~]{1,64}", key(step))
    assert MAX_KEY == 64


@given(steps(), st.integers(1, 2**40), st.integers(1, 9))
def test_a_key_asks_neither_for_the_row_nor_for_the_epoch(step: Step, row: int, epoch: int) -> None:
    installation, machine, entity_id, name = step
    assert key_of(installation, snapshot(machine, entity_id, name, row=row, step=epoch)) == key(step)


def test_a_key_is_read_by_people() -> None:
    assert key(("3f9a2c1b", "order", "1042", "charging.1")) == "3f9a2c1b:order:1042:charging.1"
    assert key(("3f9a2c1b", "order", "1042/packing.2/3", "packing.1")) == "3f9a2c1b:order:1042~packing.2~3:packing.1"
    uuid = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    assert key(("3f9a2c1b", "order", uuid, "charging.1.new1")) != key(("3f9a2c1b", "order", uuid, "charging.1.new2"))
    assert key(("3f9a2c1b", "order", uuid, "charging.1")) == f"3f9a2c1b:order:{uuid}:charging.1"
    long = key(("3f9a2c1b", "subscription", uuid, "charging.12"))
    assert re.fullmatch(r"3f9a2c1b:subscription:7d\+[0-9a-f]{24}\+d2:charging.12", long)
    assert key(("3f9a2c1b", "order", "a b~%", "charging.1")) == "3f9a2c1b:order:a%20b%7E%25:charging.1"


@given(st.lists(st.tuples(NAMES, st.integers(0, 2)), max_size=12))
def test_no_two_steps_of_an_entity_are_called_the_same(way: list[tuple[str, int]]) -> None:
    """Whatever its states are called in time, and however often one is given a new key."""
    at, called = snapshot("m", "1", ""), []
    for state, renewals in way:
        name, visits = begun(at, state)
        called.append(name)
        for _ in range(renewals):
            name = renewed(name)
            called.append(name)
        at = replace(at, step_name=name, visits_text=visits)
    assert len(set(called)) == len(called)
