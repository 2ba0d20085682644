"""What users write, as a type checker is to understand it. Never run: mypy checks each line (test_typing.py)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import fsmflow
from fsmflow import (
    Actor,
    Branch,
    Branches,
    CrashLoop,
    Edit,
    Event,
    Explanation,
    Fail,
    Failing,
    Failure,
    Feed,
    FeedEntry,
    Forecast,
    HistoryEntry,
    Hook,
    Limit,
    LogFields,
    Machine,
    NewFailure,
    NobodyListens,
    Offer,
    OldestDue,
    Outcome,
    Overdue,
    Progress,
    Refuse,
    Retry,
    RetryAfter,
    Schedule,
    State,
    Stuck,
    Tell,
    Timetable,
    TransitionNotAllowed,
    Two,
    Undoing,
    Way,
    alarms,
    drains,
    failures,
    feeds,
    joining,
    metrics,
    otel,
    repairs,
)
from fsmflow.channels import Command, Email, Log, Webhook, new_secret
from fsmflow.django.actors import actor_of
from fsmflow.django.admin import MachineAdmin
from fsmflow.django.states import state_choices
from fsmflow.metrics.asgi import Receive, Send
from fsmflow.sentry import FsmflowIntegration
from fsmflow.signatures import GitHub, Hmac, StandardWebhooks, Stripe
from fsmflow.sqlalchemy import include_name
from fsmflow.testing import Sandbox, SandboxError, sandbox
from fsmflow.web import HeaderAuth, Login, TokenAuth, create_app, first_of
from fsmflow.web.django import Dashboard
from fsmflow.web.flask import blueprint
from fsmflow.web.wsgi import Wsgi


class Stage(Enum):
    OPEN = "open"


class Order(Machine):
    initial = Stage.OPEN
    states = [
        State(Stage.OPEN, timeout=timedelta(hours=2), on_enter=["note", print]),
        State(
            "paying",
            job="pay",
            expect=timedelta(hours=4),
            retry=Retry(max=3, interval=[1, timedelta(minutes=1)], on=OSError),
            undo="refund",
            queue="money",
            priority="high",
        ),
        State("packing", each="parcels", job=lambda order, parcel: parcel, limit=3, branch_failure="stop"),
        State("cooling", delay="until", defer="shipped", ignore=["hurry"]),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "open", "paying"],
        {"trigger": "done", "source": "paying", "dest": "packing", "conditions": "is_paid", "unless": "is_blocked"},
    ]

    def pay(self) -> Outcome | dict[str, Any]:
        assert_type(self.attempt, int | None)
        assert_type(self.idempotency_key, str)
        assert_type(self.undoing, Undoing)
        self.heartbeat(progress=0.5)
        self.session.commit()
        self.data["paid"] = True
        self.save()
        self.log.info("paid")
        self.send("reserve", to="stock:1", after=5, key="k", start={"kind": "shelf"}, amount=2)
        self.send("reserve", {"amount": 2})
        if self.event.payload:
            raise RetryAfter(timedelta(minutes=5), "the bank is closed")
        if self.failure is not None:
            raise Fail("refused")
        return Outcome("done", receipt=1)

    def is_paid(self) -> bool:
        assert_type(self.event, Event)
        return bool(self.data["paid"])

    def is_blocked(self) -> bool | Refuse:
        assert_type(Refuse("blocked").words, str)
        return Refuse("the customer is blocked") if self.data["blocked"] else False

    def on_transition(self, entry: HistoryEntry) -> None:
        assert_type(entry.trigger, str | None)
        assert_type(entry.edit, Edit | None)
        assert_type(entry.repeated, bool)

    def on_failed(self, failure: Failure) -> None:
        assert_type(failure.message, str)


def configuring() -> None:
    assert_type(fsmflow.configure(), None)
    fsmflow.configure(database_url="sqlite:///x.db", redis_url=None, home=Path("x"), machines=["machines", Order])
    fsmflow.configure(redis_url="redis://a", queues={"slow": "redis://b"})
    fsmflow.configure(database=object(), home="x")
    logging.StreamHandler().addFilter(LogFields())
    assert_type(otel.instrument(), None)
    assert_type(FsmflowIntegration(data=True, schedules=False, max_runtime=timedelta(hours=1)), FsmflowIntegration)
    assert_type(Limit("api-{customer}", running=5, per_minute=100), Limit)
    assert_type(Schedule("0 3 * * *", zone="Europe/Vienna", overlap="skip"), Schedule)
    assert_type(Two("lead", within=60), Two)
    told = [Overdue(tell="ops"), Failing(5, within=timedelta(minutes=10)), NewFailure(tell=["ops"]), Stuck()]
    fsmflow.configure(alarms=[*told, NobodyListens(), OldestDue(60), CrashLoop(5), {"kind": "stuck"}])
    assert_type([alarm.since for alarm in alarms.raised()], list[datetime | None])
    assert_type([alarm.values["count"] for alarm in alarms.check()], list[Any])
    assert_type(Hook("pay", trigger="submit", entity="data.id", verify=Stripe(["env:A", "env:B"]), event="paid"), Hook)
    verify = Hmac("env:A", "X-Sign", algorithm="sha512", encoding="base64", prefix="v1=", id="X-Id", event="type")
    assert_type(Hook("x", trigger="submit", entity=lambda body: body["id"], verify=verify, payload={"a": "b.c"}), Hook)
    assert_type((GitHub("file:/x"), StandardWebhooks("env:A", tolerance=60)), tuple[GitHub, StandardWebhooks])
    assert_type(Tell("ops", "log", trigger="approve", source=["new", "failed_from_*"], fields=["amount"]), Tell)
    fsmflow.configure(channels={"ops": Webhook("env:URL", secret="env:SECRET", allow_private=True), "log": Log("INFO")})
    fsmflow.configure(channels={"us": Email(to=["a@b.example"], sender="c@d.example"), "say": Command(["say"])})
    assert_type(new_secret(), str)
    assert_type(Order.timetable(), Timetable)
    assert_type(Order.pause_schedule(actor="ann", reason="moving"), Timetable)
    assert_type(Order.run_schedule({"amount": 5}, actor="ann", key="click-1"), Order)


def starting() -> None:
    assert_type(Order.start(), Order)
    assert_type(Order.start({"a": 1}, actor="ann", state="paying", total=3), Order)
    assert_type(Order.start("1"), Order)
    assert_type(Order.start("1", within=object()), Order)
    assert_type(include_name("fsmflow_work", "table", {}), bool)
    with joining(object()):
        assert_type(Order.start("2"), Order)
    assert_type(Order.start(1, {"a": 1}, actor=Actor("ann", roles=["clerk"]), key="k", total=3), Order)
    assert_type(Order.start(UUID(int=1), state="paying", if_exists="return", actor="ann"), Order)
    assert_type(Order.start_or_trigger("1", "submit", {"amount": 5}, key="k"), Order)
    assert_type(Order.start_or_trigger("1", "submit", data={"a": 1}, reason="asked", amount=5), Order)
    assert_type(Order.start_many([("1", None), (2, {"a": 1})], page=10, progress=print), int)


def finding() -> None:
    assert_type(Order.get("1"), Order)
    assert_type(Order.find(), Iterator[Order])
    assert_type(Order.find(state=["open", "failed_*"], phase="failed", older=timedelta(days=1)), Iterator[Order])
    assert_type(next(Order.find(data={"customer.city": "Graz"}, newest=True, limit=5)), Order)
    assert_type(Order.counts(branches=True), dict[str, int])
    states = [each.state for each in Order.find()]
    names: list[str] = states
    counts: dict[str, int] = {Order.get("1").state: len(names)}
    assert_type(counts, dict[str, int])


def looking(order: Order) -> None:
    assert_type(order.state, str | Any)
    assert_type(order.phase, str)
    assert_type(order.address, str)
    assert_type(order.entity_id, str)
    assert_type(order.epoch, int)
    assert_type(order.created_at, datetime)
    assert_type(order.since, datetime)
    assert_type(order.paused, bool)
    assert_type(order.data, dict[str, Any])
    assert_type(order.failure, Failure | None)
    assert_type(order.progress, Progress | float | None)
    assert_type(order.branches, Branches)
    assert_type(order.branches[0], Branch)
    assert_type(order.branches[0].entity(), Any)
    assert_type(order.branches["credit"], Branch)
    assert_type(order.branches[1:], list[Branch])
    assert_type([branch.name for branch in order.branches], list[str])
    assert_type(order.history, list[HistoryEntry])
    assert_type(order.history[0].at, datetime)
    assert_type(order.history[-1].dest, str)
    assert_type(order.allowed_triggers(actor="ann"), list[str])
    offer = order.triggers(actor=Actor("ann", {"clerk"}))[0]
    assert_type(offer, Offer)
    forecast = order.what_if("submit", {"amount": 1}, actor="ann", note="x")
    assert_type(forecast, Forecast)
    assert_type(forecast.edit, Edit | None)
    assert_type(offer.trigger, str)
    assert_type(offer.allowed, bool | None)
    assert_type(offer.why, str | None)
    assert_type(offer.dest, str | None)
    assert_type(offer.needs_roles, tuple[str, ...])
    assert_type(offer.ways, tuple[Way, ...])
    assert_type(offer.ways[0].dest, str | None)
    explanation = order.explain(actor="ann")
    assert_type(explanation.triggers, tuple[Offer, ...])
    assert_type(explanation, Explanation)
    assert_type(explanation.next_at, datetime | None)
    assert_type(explanation.allowed, tuple[str, ...])


def acting(order: Order) -> None:
    ann = Actor("ann", roles={"clerk"})
    assert_type(ann.roles, frozenset[str])
    assert_type(Actor("ann", teams=["acme", 7]).teams, frozenset[str])
    assert_type(Order.get(1, actor=ann), Order)
    assert_type(Order.find(actor=ann), Iterator[Order])
    assert_type(Order.counts(actor=ann), dict[str, int])
    assert_type(order.trigger("submit", {"amount": 5}, key="k"), HistoryEntry)
    assert_type(order.trigger("submit", within=object()), HistoryEntry)
    assert_type(order.trigger("submit", actor=ann, reason="r", key="k", epoch=1, amount=5), HistoryEntry)
    assert_type(order.retry(data={"a": 1}, new_key=True, actor="ann"), Order)
    assert_type(order.cancel(), Order)
    assert_type(order.undo(), Order)
    assert_type(order.skip(reason="by hand"), Order)
    assert_type(order.rewind("paying"), Order)
    assert_type(order.force("shipped", key="k"), Order)
    assert_type(order.drop(7, actor="ann", reason="it was stolen"), Order)
    assert_type(order.drop("approve"), Order)
    assert_type(order.erase(reason="request 77", actor="ann"), Order)
    assert_type(order.pause(), Order)
    assert_type(order.resume(), Order)
    link = order.approval_link("submit", {"a": 1}, for_="m@example.org", within=timedelta(days=1), roles=["clerk"])
    assert_type(link, str)
    assert_type(order.refresh(), Order)
    assert_type(order.wait("shipped", timeout=5), Order)
    assert_type(order.wait("shipped", timeout=timedelta(seconds=5)), Order)
    assert_type(order.wait(lambda seen: bool(seen.paused)), Order)
    try:
        order.retry()
    except TransitionNotAllowed as refused:
        assert_type(refused.allowed, tuple[str, ...])
        assert_type(refused.words, tuple[str, ...])


async def awaiting() -> None:
    order = await Order.astart({"a": 1}, actor="ann", total=3)
    assert_type(order, Order)
    assert_type(await Order.astart("1", if_exists="return", within=object()), Order)
    assert_type(await Order.aget("1"), Order)
    assert_type([found.state async for found in Order.afind(state="open")], list[str | Any])
    assert_type(await Order.acounts(), dict[str, int])
    assert_type(await Order.atimetable(), Timetable)
    assert_type(await order.atrigger("submit", {"amount": 5}, key="k", note="x"), HistoryEntry)
    assert_type(await (await order.aretry(data={"a": 1})).arefresh(), Order)
    assert_type(await order.until("shipped", timeout=5), Order)
    assert_type(await order.ahistory(), list[HistoryEntry])
    assert_type(await order.aprogress(), Progress | float | None)
    assert_type([branch.name async for branch in order.abranches()], list[str])
    assert_type([await order.aparent(), await order.arecord()], list[Any])
    assert_type(await order.aallowed_triggers(actor="ann"), list[str])
    assert_type(await order.atriggers(), list[Offer])
    assert_type(await order.awhat_if("submit", amount=5), Forecast)
    assert_type(await order.aexplain(), Explanation)
    assert_type(await order.aapproval_link("submit", for_="m@example.org", within=60), str)
    assert_type([await order.acancel(), await order.aundo(), await order.askip(), await order.apause()], list[Order])
    assert_type([await order.arewind("paying"), await order.aforce("shipped"), await order.adrop(7)], list[Order])
    assert_type([await order.aerase(reason="request 77"), await order.aresume()], list[Order])
    assert_type(await Order.astart_or_trigger("1", "submit", data={"a": 1}, amount=5), Order)
    assert_type(await Order.astart_many([("1", None)]), int)
    assert_type(await Order.aprune(dry_run=True), int)
    assert_type(await Order.apause_schedule(), Timetable)
    assert_type(await Order.aresume_schedule(), Timetable)
    assert_type(await Order.arun_schedule(amount=5), Order)
    assert_type(await Order.abackfill_schedule(datetime(2030, 1, 1, tzinfo=UTC)), list[str])
    assert_type(await fsmflow.aclose(), None)


def operating() -> None:
    repair = repairs.start("retry", machine="order", error="Timeout*", canary=1, rate="20/s", stop_after="3%")
    assert_type(repair.report().recovered, int)
    assert_type(repair.report().why, str | None)
    assert_type(repairs.resume(repairs.stop(repair, reason="the bank called")).state, str | Any)


def draining() -> None:
    assert_type(drains.drain("web1", reason="release 2.4.1", actor="ann").reason, str | None)
    assert_type(drains.undo("web1").host, str)
    assert_type(drains.current_drains(), list[drains.Drain])


def grouping() -> None:
    group = failures.groups("order", every=True)[0]
    assert_type(group, failures.FailureGroup)
    assert_type(next(Order.find(group=group.id)), Order)
    assert_type(failures.group(group.short).parts[0].last_at, datetime)
    assert_type(failures.resolve(group.id, release="2.4.1", actor="ann").life_by, str | None)
    assert_type(failures.ignore(group.id, until=datetime(2030, 1, 1, tzinfo=UTC), count=100).most, int | None)
    assert_type(failures.note(group.id, "asked", link="https://example.com").link, str | None)
    assert_type(failures.merge(group.id, failures.reopen("d15468").id).seen, int)


def following() -> None:
    lease = timedelta(minutes=5)
    feed = fsmflow.feed("billing", machine=[Order, "parcel"], states="paid", start="beginning", lease=lease)
    assert_type(feed, Feed)
    for entry in feed:
        assert_type(entry, FeedEntry)
        assert_type(entry.entry, HistoryEntry)
        assert_type((entry.address, entry.id, entry.state, entry.number), tuple[str, str, str, int])
        assert_type((entry.machine, entry.entity_id, entry.is_branch), tuple[str, str, bool])
    assert_type([len(batch) for batch in feed.batches(100)], list[int])
    with feed, feed.page(10) as entries:
        assert_type(entries, list[FeedEntry])
    feed.stop()
    feeds.begin("billing", "beginning")
    found = feeds.batch("billing", machine=Order, most=10)
    assert_type((found.entries, found.mark), tuple[tuple[FeedEntry, ...], str | None])
    feeds.acknowledge("billing", found.mark or "")
    assert_type(feeds.feeds()[0].oldest_at, datetime | None)
    feeds.rewind("billing", "now")
    feeds.forget("billing")


async def mounting(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["path"].startswith("/ops/"):
        await metrics.app({**scope, "root_path": "/ops"}, receive, send)
    login = Login(idle=60, longest=timedelta(hours=1), trusted=["10.0.0.0/8"])
    proxy = HeaderAuth("X-User", groups="X-Groups", trusted=["10.0.0.1/32"])
    await create_app(first_of(TokenAuth(), login, proxy), hosts=["example.org"])(scope, receive, send)
    app = create_app(lambda request: None, login_url="/login", roles={"support"}, home_links={"Shop": "/"}, live=False)
    assert_type(list(Wsgi(app)({}, None)), list[bytes])


def mounting_elsewhere(request: Any) -> None:
    made = blueprint(lambda: Actor("ann", ["support"]), login="login", roles={"support"}, home={"Shop": "orders"})
    assert_type(made.name, str)
    assert_type(actor_of(object()), Actor)
    assert MachineAdmin.machine is None
    assert_type(state_choices("shop.machines.OrderMachine").choices, list[tuple[str, str]])
    workflows = Dashboard("shop.see_workflows", home={"Shop": "orders"}, auth=TokenAuth(), hosts=["example.org"])
    assert_type(workflows.urls, tuple[list[Any], str, str])
    assert_type(workflows.is_open_to(request.user), bool)
    assert_type(workflows.app_list(request), list[dict[str, Any]])


def testing() -> None:
    with sandbox([Order], start=datetime(2030, 1, 1, tzinfo=UTC), limit=100) as box:
        assert_type(box, Sandbox)
        assert_type(box.run(), int)
        assert_type(box.advance(days=3), int)
        assert_type(box.advance(timedelta(hours=1)), int)
        assert_type(box.now, datetime)
        assert_type(box.next_due, datetime | None)
        box.fail("pay", OSError, times=2)
        box.crash("pay", after_job=True)
    with sandbox(Order), sandbox("machines"):
        raise SandboxError("there is no end")
