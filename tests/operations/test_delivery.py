"""A delivery brings one message to one channel, and tells what was answered."""

from __future__ import annotations

import logging

import pytest

from fsmflow import clock
from fsmflow.engine.runtime import current
from fsmflow.operations.deliveries import deliver
from fsmflow.operations.delivery import Delivery
from fsmflow.testing import Sandbox


def told(key: str = "1", channel: str = "log") -> Delivery:
    now, data = clock.to_datetime(current().now()), {"text": "payment:7 is in 'shipped'", "address": "payment:7"}
    address = deliver(current(), channel, "payment.shipped", now, data, about="payment:7", key=key)
    return Delivery.get(address.removeprefix("delivery:"))


def test_a_message_is_delivered_once_however_often_it_is_told(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    first, again, other = told(), told(), told("2")
    assert first.address == again.address != other.address
    with caplog.at_level(logging.WARNING, "fsmflow"):
        assert box.run() == 2
    assert [(each.refresh().state, each.data["answered"]) for each in (first, other)] == [
        ("delivered", "written to the log")
    ] * 2
    assert caplog.messages == ["message.told: payment.shipped: payment:7 is in 'shipped'"] * 2
