"""What is offered for a failure works: a retry where that is taken, else what is to be done about it."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Machine, State, UnknownBranch
from fsmflow.engine.groups import FailureGroup, Part, groups
from fsmflow.objects.failures import command_of
from tests.support.bench import Bench
from tests.support.deployments import deploy
from tests.support.traces import failing


class Order(Machine):
    """Three checks side by side, of which one fails and one is cancelled."""

    initial = "new"
    states = [
        "new",
        State("checking", jobs={"stock": "pass_it", "credit": "check", "address": "pass_it"}),
        State("paying", job="check"),
        State("over", final=True),
    ]
    transitions = [["go", "new", "checking"], ["pay", "new", "paying"], ["done", ["checking", "paying"], "over"]]

    def pass_it(self) -> None: ...

    def check(self) -> None:
        if "credit" in failing:
            raise ConnectionError("no answer")


def code(jobs: dict[str, str]) -> type[Machine]:
    """The same machine, with other branches."""
    states = [State("checking", jobs=jobs) if getattr(s, "name", s) == "checking" else s for s in Order.states]
    return type("Order", (Order,), {"states": states, "name": "order"})


WITHOUT = {"stock": "pass_it", "register": "check", "address": "pass_it"}


@pytest.fixture
def failed(bench: Bench) -> Bench:
    """An order whose credit could not be checked by the code of yesterday."""
    failing.add("credit")
    deploy(bench, Order)
    Order.start("1").trigger("go")
    bench.run()
    assert Order.get("1").state == "failed_from_checking"
    failing.clear()
    return bench


def parts(bench: Bench) -> dict[str, tuple[FailureGroup, Part]]:
    """What rests in failures, by its example."""
    return {part.example: (group, part) for group in groups(bench.runtime) for part in group.parts}


GONE = "the code has no branch 'credit' any more; deploy code that has, or 'skip' order:1/checking/credit"


def test_a_branch_whose_name_is_gone_and_its_parent_offer_no_retry_and_say_what_to_do(failed: Bench) -> None:
    new: Any = code(WITHOUT)
    deploy(failed, new)
    for id_ in ("1", "1/checking/credit"):
        entity = new.get(id_)
        assert "retry" not in entity.allowed_triggers()
        offer = next(offer for offer in entity.triggers() if offer.trigger == "retry")
        assert (offer.allowed, offer.why) == (False, GONE)
        assert entity.explain().waiting_for == f"somebody to mend this: {GONE}"
        with pytest.raises(UnknownBranch):
            entity.retry()
    for group, part in parts(failed).values():
        assert (part.remedy.action, part.remedy.address) == ("skip", "order:1/checking/credit")
        assert command_of(group, part) == "fsmflow skip order:1/checking/credit"
    new.get("1/checking/credit").skip()
    assert new.get("1").state == "over"


def test_one_that_was_only_cancelled_is_forced_into_its_end(failed: Bench) -> None:
    for action in ("retry", "cancel"):
        getattr(Order.get("1/checking/credit"), action)()
    failed.run()
    new: Any = code(WITHOUT)
    deploy(failed, new)
    (found,) = parts(failed).values()
    assert command_of(*found) == "fsmflow force order:1/checking/credit done"
    new.get("1/checking/credit").force("done")
    failed.run()
    assert new.get("1").state == "over"


def test_what_can_be_retried_is_and_with_it_what_is_of_the_same_kind(failed: Bench) -> None:
    for _, part in parts(failed).values():
        assert (part.remedy.action, part.remedy.why) == ("retry", None)
    Order.get("1").retry()
    failed.run()
    assert Order.get("1").state == "over"


def test_what_is_paused_is_resumed_which_retries_it_too(bench: Bench) -> None:
    failing.add("credit")
    deploy(bench, Order)
    for id_ in ("1", "2"):
        Order.start(id_).trigger("pay")
        bench.run()
    failing.clear()
    Order.get("2").pause()
    found = parts(bench)
    assert {example: part.remedy.action for example, (_, part) in found.items()} == {
        "order:1": "retry",
        "order:2": "resume",
    }
    group, part = found["order:2"]
    assert (group.count, len(group.parts)) == (2, 2)
    assert command_of(group, part) == f"fsmflow resume --group {group.short}"
    Order.get("2").resume()
    bench.run()
    assert Order.get("2").state == "over"


def test_what_only_other_code_can_mend_is_explained(bench: Bench) -> None:
    failing.add("credit")
    deploy(bench, Order)
    Order.start("1").trigger("pay")
    bench.run()
    states = [s for s in Order.states if getattr(s, "name", s) != "paying"]
    transitions = [["go", "new", "checking"], ["done", "checking", "over"]]
    deploy(bench, type("Order", (Order,), {"states": states, "transitions": transitions, "name": "order"}))
    (found,) = parts(bench).values()
    assert command_of(*found) == "fsmflow force order:1 STATE"
    assert "the code has no state 'failed_from_paying'" in str(found[1].remedy.why)
    deploy(bench)
    (found,) = parts(bench).values()
    assert (found[1].remedy.action, command_of(*found)) == (None, "fsmflow explain order:1")
