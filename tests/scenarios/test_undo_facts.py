"""What an undo job is told of what it takes back. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Fail, Machine, State
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")

done: list[Any] = []
failing: set[str] = set()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()
    failing.clear()


class Kit(Machine):
    """Named jobs, a job per part, and one that is given a new key; each undo job is told what it takes back."""

    initial = "new"
    states = [
        "new",
        State("charging", job="charge", undo="take_back"),
        State("telling", jobs={"mail": "send_mail", "text": "send_text"}, undo="take_back"),
        State("packing", job="pack", each="parts", undo="take_back"),
        State("ready"),
    ]
    transitions = [
        ["go", "new", "charging"],
        ["done", "charging", "telling"],
        ["done", "telling", "packing"],
        ["done", "packing", "ready"],
        ["again", "ready", "charging"],
    ]

    def charge(self) -> dict[str, Any]:
        done.append(("did", "charge", None, self.idempotency_key))
        if "bank" in failing:
            raise Fail("no")
        return {"charged": True}

    def send_mail(self) -> None:
        done.append(("did", "send_mail", "mail", self.idempotency_key))

    def send_text(self) -> None:
        done.append(("did", "send_text", "text", self.idempotency_key))

    def pack(self, part: str) -> None:
        done.append(("did", "pack", part, self.idempotency_key))

    def take_back(self) -> None:
        undoing = self.undoing
        what = undoing.item or undoing.branch
        done.append(("undid", undoing.job, what, undoing.idempotency_key))
        assert self.idempotency_key != undoing.idempotency_key


def test_an_undo_job_knows_the_job_the_branch_and_the_key_of_what_it_takes_back() -> None:
    with sandbox(machines=[Kit]) as box:
        failing.add("bank")
        kit = Kit.start("1", parts=["a", "b"])
        kit.trigger("go")
        box.run()
        kit.refresh().retry()
        box.run()
        failing.clear()
        kit.refresh().retry(new_key=True)
        box.run()
        kit.refresh().trigger("again")
        box.run()
        assert kit.refresh().state == "ready"
        did = {line[1:] for line in done}
        kit.undo()
        box.run()
        assert kit.refresh().state == "undone"
        undid = [line[1:] for line in done if line[0] == "undid"]
        assert len(undid) == len(did)
        assert set(undid) == did
