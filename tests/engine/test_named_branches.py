"""Branches are known by their names, whatever the code has become since they were made."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fsmflow import Fail, Machine, State, UnknownBranch
from fsmflow.engine.survey import survey
from fsmflow.points import listen
from fsmflow.verify import verify
from tests.support.bench import Bench
from tests.support.deployments import definition_of, deploy
from tests.support.traces import failing, ran


class Order(Machine):
    """As it was deployed first."""

    initial = "new"
    states = [State("new"), State("checking", jobs=["stock", "credit", "where"]), State("over", final=True)]
    transitions = [["go", "new", "checking"], ["done", "checking", "over"]]

    def stock(self) -> str:
        return self.run("stock")

    def credit(self) -> str:
        return self.run("credit")

    def where(self) -> str:
        return self.run("where")

    def fraud(self) -> str:
        return self.run("fraud")

    def handle(self, item: int) -> str:
        return self.run(f"item {item}")

    def run(self, what: str) -> str:
        ran.append(what)
        if what in failing:
            raise Fail(f"no {what}")
        return what


def code(**options: Any) -> type[Machine]:
    """The same machine, with other branches."""
    states = [State("new"), State("checking", **options), State("over", final=True)]
    return type("Order", (Order,), {"states": states, "name": "order"})


WITHOUT = {"jobs": ["stock", "fraud", "where"]}


@pytest.fixture
def failed(bench: Bench) -> Bench:
    """An order whose credit was refused by the code of yesterday."""
    failing.add("credit")
    deploy(bench, Order)
    Order.start("1").trigger("go")
    bench.run()
    assert Order.get("1").state == "failed_from_checking"
    failing.clear()
    ran.clear()
    return bench


def found_by(bench: Bench, machine: type[Machine]) -> dict[str, str]:
    found = survey(bench.runtime.store.census, {"order": definition_of(machine)})
    return {finding.kind: finding.told for finding in found}


def violated(bench: Bench, machine: type[Machine]) -> list[tuple[str, str]]:
    report = verify(bench.runtime.store, {"order": definition_of(machine)})
    return [(found.invariant, found.address) for found in report.violations]


@pytest.mark.parametrize(
    "options",
    [
        {"jobs": ["stock", "fraud", "credit", "where"]},
        {"jobs": ["where", "credit", "stock"]},
        {"jobs": ["credit"]},
        {"jobs": {"where": "where", "fraud": "fraud", "credit": "credit"}, "limit": 1},
        {"jobs": {"stock": "stock", "credit": "credit"}, "only": lambda order: ["stock"]},
    ],
)
def test_a_retry_after_a_change_of_code_runs_what_failed_and_only_that(failed: Bench, options: dict[str, Any]) -> None:
    """New names are for the next visit, and what ``only`` picks then is, too."""
    now = code(**options)
    deploy(failed, now)
    now.get("1").retry()
    failed.run()
    order = now.get("1")
    assert (order.state, ran) == ("over", ["credit"])
    assert [(branch.name, branch.result) for branch in order.branches] == [
        ("stock", "stock"),
        ("credit", "credit"),
        ("where", "where"),
    ]
    assert violated(failed, now) == []


def test_a_name_goes_on_with_the_job_that_it_has_today(failed: Bench) -> None:
    now = code(jobs={"stock": "stock", "credit": "fraud", "where": "where"})
    deploy(failed, now)
    now.get("1/checking/credit").retry()
    failed.run()
    assert (now.get("1").state, ran) == ("over", ["fraud"])


def test_a_new_visit_has_the_branches_of_today(bench: Bench) -> None:
    deploy(bench, Order)
    Order.start("1").trigger("go")
    bench.run()
    now = code(jobs=["stock", "fraud"])
    deploy(bench, now)
    order = now.get("1")
    order.rewind("checking")
    bench.run()
    assert [branch.address for branch in order.refresh().branches] == [
        "order:1/checking.2/stock",
        "order:1/checking.2/fraud",
    ]
    assert (order.state, ran) == ("over", ["stock", "credit", "where", "stock", "fraud"])


def test_a_branch_whose_name_is_gone_is_refused_by_name(failed: Bench) -> None:
    """Nothing else of its step is run either, and it is told by a survey, by ``verify`` and by ``explain``."""
    now = code(**WITHOUT)
    deploy(failed, now)
    branch = now.get("1/checking/credit")
    words = (
        r"order:1/checking/credit: machine 'order' has no branch 'credit' in 'checking'; its branches are: stock, "
        r"fraud, where. It was left untouched. Deploy code that has it, or go on without it: 'skip'"
    )
    for ask in (now.get("1").retry, now.get("1").resume, branch.retry, branch.resume, lambda: branch.force("checking")):
        with pytest.raises(UnknownBranch, match=words) as caught:
            ask()
        assert (caught.value.name, caught.value.known) == ("credit", ("stock", "fraud", "where"))
    failed.run()
    assert (now.get("1").state, ran) == ("failed_from_checking", [])
    assert "has no branch 'credit' in 'checking'" in (branch.explain().blocked_by or "")
    assert violated(failed, now) == [("branch-known", "order:1/checking/credit")]
    assert "machine 'order' no longer has the branch 'credit' in 'checking'" in found_by(failed, now)["unknown_branch"]
    assert found_by(failed, Order) == {}
    deploy(failed, Order)
    Order.get("1").retry()
    failed.run()
    assert (Order.get("1").state, ran) == ("over", ["credit"])


def test_one_can_go_on_without_a_branch_whose_name_is_gone(failed: Bench) -> None:
    now = code(**WITHOUT)
    deploy(failed, now)
    now.get("1/checking/credit").skip(reason="no longer checked")
    failed.run()
    order = now.get("1")
    assert (order.state, ran) == ("over", [])
    assert [branch.is_done for branch in order.branches] == [True, True, True]
    assert violated(failed, now) == []


def test_a_worker_of_other_code_gives_a_branch_back_that_it_does_not_know(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a deployment that is under way: no attempt is counted, and one who knows it runs it."""
    caplog.set_level(logging.DEBUG, logger="fsmflow")
    now = code(jobs=["fraud"])
    deploy(bench, now)
    now.start("1").trigger("go")
    bench.step()
    deploy(bench, Order)
    bench.step()
    assert "machine 'order' has no branch 'fraud' in 'checking'" in caplog.text
    branch = Order.get("1/checking/fraud")
    assert (branch.state, branch.failure, ran) == ("checking", None, [])
    assert "has no branch 'fraud'" in (branch.explain().blocked_by or "")
    assert violated(bench, Order) == [("branch-known", "order:1/checking/fraud")]
    deploy(bench, now)
    bench.advance(60)
    bench.run()
    assert (now.get("1").state, ran) == ("over", ["fraud"])


def test_a_branch_that_cannot_run_any_more_can_be_cancelled_or_forced(bench: Bench) -> None:
    deploy(bench, Order)
    for id_ in "12":
        Order.start(id_).trigger("go")
    bench.step()
    bench.step()
    now = code(**WITHOUT)
    deploy(bench, now)
    now.get("1/checking/credit").cancel()
    now.get("2/checking/credit").force("done")
    for _ in range(len(bench.queued())):
        bench.step()
    bench.sweep()
    assert (now.get("1").state, now.get("2").state) == ("failed_from_checking", "over")


@pytest.mark.parametrize("made_by", [{"jobs": ["credit"]}, {"job": "handle", "each": "items"}])
def test_branches_of_jobs_and_of_items_are_not_taken_for_each_other(bench: Bench, made_by: dict[str, Any]) -> None:
    """A state that runs a job for each item now has no job for a branch that has a name, and the other way round."""
    by_item = {"job": "handle", "each": "items"}
    before = code(**made_by)
    after = code(**(by_item if "jobs" in made_by else {"jobs": ["credit"]}))
    deploy(bench, before)
    before.start("1", items=[7]).trigger("go")
    bench.step()
    deploy(bench, after)
    bench.step()
    (branch,) = after.get("1").branches
    assert (branch.state, ran) == ("checking", [])
    assert [address for _, address in violated(bench, after)] == [branch.address]
    assert "unknown_branch" in found_by(bench, after)
    deploy(bench, before)
    bench.advance(60)
    bench.run()
    assert before.get("1").state == "over"


def test_names_are_written_all_at_once(bench: Bench) -> None:
    """Whatever ends the attempt that makes them leaves all of them, and what picks them is not asked again."""
    asked: list[str] = []

    def picks(order: Any) -> list[str]:
        asked.append(order.entity_id)
        return ["where", "stock"] if len(asked) == 1 else ["credit"]

    def ends(name: str, about: str) -> None:
        if name == "spread.page":
            listen(None)
            raise OSError("the host is going down")

    picky = code(jobs=["stock", "credit", "where"], only=picks)
    deploy(bench, picky)
    picky.start("1").trigger("go")
    listen(ends)
    bench.run()
    order = picky.get("1")
    assert order.state == "failed_from_checking"
    order.retry()
    bench.run()
    assert ([branch.name for branch in order.branches], order.refresh().state) == (["stock", "where"], "over")
    assert asked == ["1"]
