"""What a repair refuses, who may start one, and what is left of one that is deleted."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Actor, DataError, Machine, State, TransitionNotAllowed, repairs
from fsmflow.errors import ConfigurationError
from fsmflow.operations.repair import Repair
from fsmflow.testing import Sandbox
from tests.operations.flows import Gateway, Payment, failed, mend, start
from tests.support.sandbox import sandbox


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": "fast"}, "it is so many a second, minute or hour"),
        ({"stop_after": "300%"}, "it is a share below the whole"),
        ({"canary": -1}, "it is a whole number from 0"),
        ({"at_once": 0}, "it is a whole number from 1"),
        ({"to": "shipped"}, "retry takes no state="),
        ({"canery": 1}, "did you mean 'canary'"),
        ({"addresses": ["payment:1"]}, "addresses, or a selection"),
    ],
)
def test_what_makes_no_sense_is_refused(box: Sandbox, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        start(**options)


def test_a_repair_that_is_not_running_cannot_be_stopped(box: Sandbox) -> None:
    failed(1)
    box.run()
    repair = start()
    box.run()
    with pytest.raises(TransitionNotAllowed):
        repairs.stop(repair, reason="too late")


def test_a_machine_of_the_user_cannot_have_the_name_of_one_that_comes_with_fsmflow() -> None:
    class Mine(Machine):
        name = "repair"
        initial = "broken"
        states = [State("broken"), State("mended", final=True)]
        transitions = [["mend", "broken", "mended"]]

    with (
        pytest.raises(ConfigurationError, match="has the name of one that comes with fsmflow"),
        sandbox(machines=[Mine]),
    ):
        pass


def test_a_repair_that_is_deleted_leaves_no_members_behind(box: Sandbox) -> None:
    failed(3)
    box.run()
    start()
    box.run()
    assert Repair.prune(older=0) == 1
    assert box.database.execute_sql("SELECT COUNT(*) FROM fsmflow_member").fetchone() == (0,)


def test_a_report_is_told_in_a_line(box: Sandbox) -> None:
    failed(5)
    box.run()
    repair = start(canary=2)
    box.run()
    assert str(repair.refresh().report()) == "5 in all: 2 failed again alike, 3 not asked yet"
    nobody = start(state="shipping")
    assert str(nobody.report()) == "0 seen so far"
    box.run()
    assert str(nobody.refresh().report()) == "nobody was meant"


class Closed(Payment):
    name = "closed"
    operators = {"repair": ["ops"]}


def test_a_machine_says_who_may_repair_its_entities() -> None:
    Gateway.down.clear()
    with sandbox(machines=[Closed]) as box:
        Gateway.down["acme"] = "no answer"
        Closed.start("1", customer="acme")
        box.run()
        mend("acme")
        refused = repairs.start(machine="closed", phase="failed", actor="bob")
        box.run()
        (member,) = refused.refresh().members()
        assert member.why is not None
        assert (refused.report().refused, "needs an actor with one of the roles ops" in member.why) == (1, True)
        mended = repairs.start(machine="closed", phase="failed", actor=Actor("eve", roles={"ops"}))
        box.run()
        assert mended.refresh().report().recovered == 1
