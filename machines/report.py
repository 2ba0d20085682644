"""A report of each night: an entity that is started by the clock.

Try it:

    fsmflow worker &  # it starts one at three o'clock UTC, every night
    fsmflow start order 1 amount:=30
    fsmflow schedule run report  # one more, by hand
    fsmflow list --machine report
    cat .fsmflow/reports/*
"""

import json
from typing import Any

from fsmflow import Machine, Retry, State

from .gateway import home
from .order import Order


class Report(Machine):
    """Count the orders, and write that down under the date of the night."""

    name = "report"
    initial = "counting"
    schedule = "0 3 * * *"
    catch_up = "once"  # if no worker ran at three, it is made up for: one report, however many nights were missed
    states = [
        State("counting", job="count", retry=Retry(max=3, interval=60)),
        State("writing", job="write", retry=Retry(max=3, interval=60)),
        State("written", final=True),
    ]
    transitions = [
        ["done", "counting", "writing"],
        ["done", "writing", "written"],
    ]

    def count(self) -> dict[str, Any]:
        # A step of its own: where the writing fails and is retried, the figures stay those of the night.
        return {"orders": Order.counts()}

    def write(self) -> dict[str, Any]:
        # The night it is for, not the moment at which it runs: a rerun, even days later, writes the same file.
        night = self.data.get("scheduled_at", self.history[0].at)
        report = home() / "reports" / f"{night:%Y-%m-%d}.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(self.data["orders"]), encoding="utf-8")
        return {"report": str(report)}
