"""A method that is a job is run by a worker: a handle does not call it, and says what was meant instead."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from fsmflow import Machine, State, TransitionNotAllowed
from tests.support.sandbox import sandbox


class Parties:
    """A mixin, as several machines may share one."""

    def call_police(self) -> str:
        return "called"


class Order(Parties, Machine):
    initial = "pending"
    states = [
        State("pending", timeout="patience"),
        State("paying", job="pay", undo="refund", queue=lambda machine: machine.lane()),
        State("responding", jobs=["call_police", "count"]),
        State("packing", each="lines", job="pack", undo="unpack"),
        State("paid", final=True),
    ]
    transitions = [
        ["submit", "pending", "paying"],
        ["again", "paying", "="],
        ["done", "paying", "responding"],
        ["done", "responding", "packing"],
        ["done", "packing", "paid"],
        ["timeout", "pending", "paid"],
    ]

    async def pay(self) -> dict[str, Any]:
        return {"paid": self.amount()}

    def refund(self) -> None:
        self.data["refunded"] = True

    @staticmethod
    def count(machine: Any) -> int:
        return len(machine.data)

    def lines(self) -> list[int]:
        return [1, 2]

    def pack(self, line: int) -> int:
        return line

    def unpack(self, line: int) -> None:
        pass

    def patience(self) -> int:
        return 60

    def lane(self) -> str:
        return "default"

    def amount(self) -> int:
        return int(self.data.get("amount", 0))


def refusal(handle: Any, name: str, *arguments: Any) -> str:
    with pytest.raises(TransitionNotAllowed) as refused:
        getattr(handle, name)(*arguments)
    assert (refused.value.trigger, refused.value.address) == (name, handle.address)
    return str(refused.value)


def test_a_job_is_not_called_on_a_handle_and_what_leads_to_it_is_named() -> None:
    with sandbox(machines=[Order]) as box:
        order = Order.start("1", amount=5)
        assert refusal(order, "pay") == (
            "order:1 is in 'pending': 'pay' was refused: 'pay' is the job of 'paying' and is run by a worker; "
            "did you mean submit()?"
        )
        assert "'refund' is the job of 'undoing_paying' and is run by a worker; did you mean undo()?" in refusal(
            order, "refund"
        )
        assert "'call_police' is the job of 'responding' and is run by a worker; it runs by itself" in refusal(
            order, "call_police"
        )
        assert "'count' is the job of 'responding'" in refusal(order, "count", order)
        assert "'pack' is the job of 'packing'" in refusal(order, "pack", 1)
        assert "'unpack' is the job of 'undoing_packing'" in refusal(order, "unpack", 1)
        assert [entry.kind for entry in order.history] == ["start"]
        box.fail("pay", ValueError("no"))
        order.trigger("submit")
        box.run()
        assert order.refresh().state == "failed_from_paying"
        assert "did you mean retry()?" in refusal(order, "pay")


def test_all_that_is_no_job_can_be_called_on_a_handle() -> None:
    with sandbox(machines=[Order]):
        order = Order.start("1", amount=5)
        assert (order.amount(), order.lines(), order.patience(), order.lane()) == (5, [1, 2], 60, "default")


def test_workers_run_jobs_as_they_were_written() -> None:
    with sandbox(machines=[Order]) as box:
        order = Order.start("1", amount=5)
        order.trigger("submit")
        box.run()
        assert (order.refresh().state, order.data) == ("paid", {"amount": 5, "paid": 5})


def test_a_job_may_call_another_and_the_one_that_it_replaces() -> None:
    class Twice(Order):
        name = "twice"

        async def pay(self) -> dict[str, Any]:
            first = await super().pay()
            return {"paid": first["paid"] + self.count(self), "called": self.call_police()}

    with sandbox(machines=[Twice]) as box:
        order = Twice.start("1", amount=5)
        assert "did you mean submit()?" in refusal(order, "pay")
        order.trigger("submit")
        box.run()
        assert order.refresh().data == {"amount": 5, "paid": 6, "called": "called"}


def test_a_method_that_is_no_job_of_the_class_below_can_be_called_there() -> None:
    class Quick(Order):
        name = "quick"
        states = ["pending", State("packing", each="lines", job="pack"), State("paid", final=True)]
        transitions = [["submit", "pending", "packing"], ["done", "packing", "paid"]]

    with sandbox(machines=[Quick]):
        order = Quick.start("1")
        assert order.call_police() == "called"
        assert "'pack' is the job of 'packing'" in refusal(order, "pack", 1)
        assert Parties().call_police() == "called"


def test_the_class_has_its_methods_as_they_were_written() -> None:
    """So a unit test calls the function of the class, with an entity or with whatever stands for one."""
    assert inspect.iscoroutinefunction(Order.pay)
    assert asyncio.run(Order.pay(SimpleNamespace(amount=lambda: 7))) == {"paid": 7}  # type: ignore[arg-type]
    assert Order.call_police is Parties.call_police
    with sandbox(machines=[Order]):
        order = Order.start("1", amount=5)
        assert asyncio.run(Order.pay(order)) == {"paid": 5}
        assert Order.count(order) == 1
        assert hasattr(order, "pay")


def test_a_function_that_is_no_method_leaves_a_method_of_its_name_alone() -> None:
    def take(machine: Any) -> dict[str, Any]:
        return {"charged": machine.charge()}

    take.__name__ = "charge"

    class Shop(Machine):
        initial = "charging"
        states = [State("charging", job=take), State("over", final=True)]
        transitions = [["done", "charging", "over"]]

        def charge(self) -> int:
            return 5

    with sandbox(machines=[Shop]) as box:
        shop = Shop.start("1")
        assert shop.charge() == 5
        box.run()
        assert shop.refresh().data == {"charged": 5}
