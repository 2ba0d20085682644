"""What users write wrongly, and a type checker tells them before it runs. Never run: mypy checks each line.

Each names the error that it is to get; mypy itself tells of one that it does not get any more, or of another.
"""

from __future__ import annotations

import fsmflow
from fsmflow import Actor, Explanation, HistoryEntry, Machine, Outcome, Retry, State
from fsmflow.testing import Sandbox, sandbox


class Order(Machine):
    states = [State("open")]


def declaring(state: State, policy: Retry) -> None:
    State()  # type: ignore[call-arg]
    State(5)  # type: ignore[arg-type]
    State("paying", "pay")  # type: ignore[call-arg]
    State("paying", jop="pay")  # type: ignore[call-arg]
    State("paying", retry=3)  # type: ignore[arg-type]
    State("paying", final="yes")  # type: ignore[arg-type]
    State("paying", limit="many")  # type: ignore[arg-type]
    state.job = "pay"  # type: ignore[misc]
    Retry()  # type: ignore[call-arg]
    Retry(max="3")  # type: ignore[arg-type]
    Retry(max=3, on="OSError")  # type: ignore[arg-type]
    policy.max = 5  # type: ignore[misc]


def configuring() -> None:
    fsmflow.configure("sqlite:///x.db")  # type: ignore[call-arg]
    fsmflow.configure(url="sqlite:///x.db")  # type: ignore[call-arg]
    fsmflow.configure(home=5)  # type: ignore[arg-type]
    fsmflow.configure(machines=[5])  # type: ignore[list-item]


def starting() -> None:
    Order.start(None)  # type: ignore[call-overload]
    Order.start(1.5)  # type: ignore[call-overload]
    Order.start({"a": 1}, {"b": 2})  # type: ignore[call-overload]
    Order.start("1", ["no", "mapping"])  # type: ignore[call-overload]
    Order.start("1", actor=5)  # type: ignore[call-overload]
    Order.start("1", if_exists=True)  # type: ignore[call-overload]
    Order.start_many(["1", "2"])  # type: ignore[list-item]


async def awaiting(order: Order) -> None:
    await Order.astart(None)  # type: ignore[call-overload]
    await Order.astart("1", if_exists=True)  # type: ignore[call-overload]
    await order.atrigger("submit", key=5)  # type: ignore[arg-type]
    await order.acancel(why="a typo")  # type: ignore[call-arg]
    await order.state  # type: ignore[misc]


def finding() -> None:
    Order.get()  # type: ignore[call-arg]
    Order.get(None)  # type: ignore[arg-type]
    Order.find("open")  # type: ignore[call-arg]
    Order.find(stat="open")  # type: ignore[call-arg]
    Order.find(older="1h")  # type: ignore[arg-type]
    len(Order.find())  # type: ignore[arg-type]


def looking(order: Order) -> None:
    print(order.stat)  # type: ignore[attr-defined]
    order.epoch = 5  # type: ignore[misc]
    count: int = order.state  # type: ignore[assignment]
    print(order.failure.message)  # type: ignore[union-attr]
    order.history[0].dest = "open"  # type: ignore[misc]
    print(order.history[0].state)  # type: ignore[attr-defined]
    order.explain().allowed.append("submit")  # type: ignore[attr-defined]
    order.history = []  # type: ignore[misc]
    order.triggers()[0].allowed = True  # type: ignore[misc]
    order.triggers(5)  # type: ignore[arg-type]
    order.what_if(5)  # type: ignore[arg-type]
    order.what_if("submit").state = "x"  # type: ignore[misc]
    order.explain().next_at.date()  # type: ignore[union-attr]
    Explanation(str(count))  # type: ignore[call-arg]


def acting(order: Order, entry: HistoryEntry) -> None:
    order.submit()  # type: ignore[attr-defined]
    order.trigger()  # type: ignore[call-arg]
    order.trigger(5)  # type: ignore[arg-type]
    order.trigger("submit", epoch="1")  # type: ignore[arg-type]
    order.trigger("submit", "alice")  # type: ignore[arg-type]
    order.trigger("submit", {}, "alice")  # type: ignore[call-arg]
    Order.start_or_trigger("1", "submit", "alice")  # type: ignore[arg-type]
    order.send("reserve", "stock:1")  # type: ignore[arg-type]
    order.trigger("submit").refresh()  # type: ignore[attr-defined]
    order.retry({"paid": True})  # type: ignore[call-arg]
    order.retry(data=["no mapping"])  # type: ignore[arg-type]
    order.retry(new_key="yes")  # type: ignore[arg-type]
    order.retry(state="open")  # type: ignore[call-arg]
    order.rewind()  # type: ignore[call-arg]
    order.force(state="open")  # type: ignore[call-arg]
    order.wait(timeout="5 s")  # type: ignore[arg-type]
    entry.seq = 5  # type: ignore[misc]
    Actor()  # type: ignore[call-arg]
    Actor(5)  # type: ignore[arg-type]
    Actor("alice", roles=5)  # type: ignore[arg-type]
    Outcome()  # type: ignore[call-arg]
    Outcome(5)  # type: ignore[arg-type]


def testing(box: Sandbox) -> None:
    sandbox(start="now")  # type: ignore[arg-type]
    sandbox(machine=Order)  # type: ignore[call-arg]
    box.advance("3 days")  # type: ignore[arg-type]
    box.advance(days="3")  # type: ignore[arg-type]
    box.fail("pay")  # type: ignore[call-arg]
    box.fail("pay", "refused")  # type: ignore[arg-type]
    box.now = box.now  # type: ignore[misc]
    with sandbox() as same:
        same.wait()  # type: ignore[attr-defined]
