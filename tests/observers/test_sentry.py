"""What Sentry is sent: what failed for good, once and without what is redacted; and what becomes of schedules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.rq import RqIntegration
from sentry_sdk.transport import Transport

from fsmflow import Machine, Retry, Schedule, State
from fsmflow.sentry import FsmflowIntegration
from fsmflow.testing import sandbox


class Order(Machine):
    initial = "new"
    redact = ["card"]
    states = [
        "new",
        State("charging", job="charge", retry=Retry(max=1, interval=1)),
        State("shipping", job="ship"),
        State("refused", final=True),
        State("over", final=True),
    ]
    transitions = [
        ["approve", "new", "charging"],
        ["done", "charging", "shipping"],
        ["done", "shipping", "over"],
        ["fail", "shipping", "refused"],
    ]

    def charge(self) -> None:
        sentry_sdk.set_tag("bank", "theirs")
        logging.getLogger("shop").warning("asking the bank, attempt %d", self.attempt)
        if self.data["card"] != "good":
            raise ValueError(f"no money on {self.data['card']}")

    def ship(self) -> None:
        raise OSError("no truck")


class Letter(Machine):
    initial = "writing"
    states = [State("writing", job="write"), State("over", final=True)]
    transitions = [["done", "writing", "over"]]

    def write(self) -> list[str]:
        secret = "".join(["se", "same"])
        return [secret]  # which is no mapping, and so a failure


class Nightly(Machine):
    initial = "running"
    schedule = Schedule("0 3 * * *", zone="Europe/Vienna")
    states = [State("running", job="go"), State("over", final=True)]
    transitions = [["done", "running", "over"]]

    def go(self) -> None:
        if self.data.get("scheduled_at") == datetime(2030, 1, 2, 2, tzinfo=UTC):
            raise ValueError("a bad night")


Init = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def sent() -> Iterator[Init]:
    """Switches Sentry on, and gives what it is sent from then on."""
    found: list[dict[str, Any]] = []

    class Collected(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            found.extend(item.payload.json for item in envelope.items)  # type: ignore[misc]

    def init(integration: FsmflowIntegration, **options: Any) -> list[dict[str, Any]]:
        sentry_sdk.init(
            "https://key@sentry.invalid/1",
            transport=Collected,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[LoggingIntegration(), RqIntegration(), integration],
            **options,
        )
        return found

    yield init
    sentry_sdk.init()


def test_what_failed_for_good_is_sent_once_with_the_fingerprint_of_its_group(sent: Init) -> None:
    events = sent(FsmflowIntegration(), release="shop@7")
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="4444333322221111").trigger("approve")
        box.run()
        assert events == []  # it is run again
        box.advance(2)
        failure = Order.get("1").failure
    [event] = events  # and neither RQ's integration nor that of logging tells of it, too
    assert failure is not None
    assert event["fingerprint"] == [failure.fingerprint]
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no money on [redacted]")
    assert error["mechanism"] == {"type": "fsmflow", "handled": False}
    last = error["stacktrace"]["frames"][-1]
    assert (last["function"], "vars" in last) == ("charge", False)
    assert "4444" not in str(event)
    assert (event["level"], event["transaction"], event["release"]) == ("error", "order.charging", "shop@7")
    assert (
        event["tags"].items()
        >= {
            "fsmflow.machine": "order",
            "fsmflow.state": "charging",
            "fsmflow.queue": "default",
            "fsmflow.address": "order:1",
            "bank": "theirs",
        }.items()
    )
    assert event["tags"]["fsmflow.release"]
    assert event["contexts"]["fsmflow"] == {
        "address": "order:1",
        "state": "charging",
        "attempt": 2,
        "epoch": 2,
        "group": f"fsmflow failures {failure.fingerprint}",
        "retry": "fsmflow retry order:1",
    }
    crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "shop"]
    assert crumbs == ["asking the bank, attempt 2"]  # those of the attempt before ended with it
    assert "bank" not in sentry_sdk.get_isolation_scope()._tags


def test_what_a_transition_takes_up_is_a_warning_and_data_go_along_only_where_they_may(sent: Init) -> None:
    events = sent(FsmflowIntegration(data=True))
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="good", street="Elm").trigger("approve")
        box.run()
    [event] = events
    assert (event["level"], event["exception"]["values"][-1]["mechanism"]["handled"]) == ("warning", True)
    assert event["contexts"]["fsmflow"]["data"] == {"card": "[redacted]", "street": "Elm"}
    assert "retry" not in event["contexts"]["fsmflow"]


def test_no_variable_goes_along_of_whichever_frame(sent: Init) -> None:
    events = sent(FsmflowIntegration())
    with sandbox(machines=[Letter]) as box:
        Letter.start("1")
        box.run()
    [event] = events
    [error] = event["exception"]["values"]
    assert error["type"] == "DataError"
    assert [frame for frame in error["stacktrace"]["frames"] if "vars" in frame] == []


def test_so_is_what_its_supervisor_finds_out_of_a_worker_that_was_lost(sent: Init) -> None:
    events = sent(FsmflowIntegration())
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="good").trigger("approve")
        box.crash("charge", times=4)
        box.run()
    [event] = events
    [error] = event["exception"]["values"]
    assert error["type"] == "WorkerLost"
    assert event["tags"]["fsmflow.address"] == "order:1"
    assert error.get("stacktrace") is None


def test_a_machine_with_a_schedule_is_monitored_as_a_cron(sent: Init) -> None:
    told = sent(FsmflowIntegration())
    with sandbox(machines=[Nightly], start=datetime(2030, 1, 1, 12, tzinfo=UTC)) as box:
        box.advance(days=2)
        Nightly.run_schedule()
        box.run()
    ticks = [each for each in told if each.get("monitor_slug")]
    assert [each["status"] for each in ticks] == ["in_progress", "error", "in_progress", "ok"]
    assert ticks[0]["check_in_id"] == ticks[1]["check_in_id"] != ticks[2]["check_in_id"] == ticks[3]["check_in_id"]
    assert ticks[1]["duration"] is not None
    assert ticks[0]["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 3 * * *"},
        "timezone": "Europe/Vienna",
        "max_runtime": 1440,
    }
