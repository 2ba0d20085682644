"""A receiver that hangs, or puts us off, holds up neither the workers nor the day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsmflow import clock
from fsmflow.channels import Command, Webhook, new_secret
from fsmflow.engine.runtime import current
from fsmflow.operations import notice as notice_of
from fsmflow.operations.deliveries import deliver
from fsmflow.operations.notice import Notice
from tests.support.receivers import receiver
from tests.support.sandbox import sandbox


def told(key: str) -> Notice:
    address = deliver(current(), "shop", "a.b", clock.to_datetime(current().now()), {}, about="order:1", key=key)
    return Notice.get(address.removeprefix("notice:"))


@pytest.fixture(autouse=True)
def all_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_of, "_slow", {})


def test_a_channel_that_hangs_is_left_alone_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message waits until the time is up; the others do not wait for that too."""
    monkeypatch.setattr(notice_of, "SLOW_S", 0.1)
    hangs = Command(["sh", "-c", "echo x >> tried; sleep 30"], timeout=0.2)
    monkeypatch.chdir(tmp_path)
    with sandbox(machines=[], channels={"shop": hangs}) as box:
        messages = [told(str(number)) for number in range(5)]
        box.run()
        assert (tmp_path / "tried").read_text() == "x\n"
        waiting = [each.data["answered"] for each in messages if "answered" in each.refresh().data]
        assert waiting == ["channel 'shop' has just taken long, and was not asked"] * 4
        assert {each.phase for each in messages} == {"working"}


def test_whoever_puts_us_off_is_asked_ever_later_and_not_for_ever() -> None:
    answers: list[Any] = [(429, {"Retry-After": "1"}, b"too many")]
    with receiver(*answers) as there:
        shop = Webhook(there.url, secret=new_secret(), allow_private=True)
        with sandbox(machines=[], channels={"shop": shop}) as box:
            message = told("1")
            box.advance(minutes=10)
            assert len(there.taken) == 4, "at once, and after 5 s, 1 min and 5 min"
            assert message.refresh().data["answered"].endswith("too many, and asks to come again in 1 s")
            box.advance(days=2)
            assert (message.refresh().state, len(there.taken)) == ("failed_from_sending", 12)
