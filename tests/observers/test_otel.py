"""Spans of OpenTelemetry: what is asked for, what runs, and how the one is linked to the other."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fsmflow import Machine, Retry, State, TransitionNotAllowed, otel
from fsmflow.observers import Observer, Request, watch, watching
from fsmflow.testing import sandbox
from tests.support.paths import ROOT

PROVIDER = TracerProvider()
EXPORTER = InMemorySpanExporter()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))


def call(name: str) -> None:
    """What a library of the user's does that makes spans itself."""
    with PROVIDER.get_tracer("theirs").start_as_current_span(name):
        """Nothing to be done."""


class Order(Machine):
    initial = "new"
    redact = ["card"]
    states = [
        "new",
        State("charging", job="charge", retry=Retry(max=1, interval=1)),
        State("packing", jobs={"box": "pack", "label": "pack"}),
        State("resting", timeout=60),
        State("shipping", job="ship", queue="slow"),
        State("over", final=True),
    ]
    transitions = [
        ["approve", "new", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "resting"],
        ["timeout", "resting", "shipping"],
        ["done", "shipping", "over"],
    ]

    async def charge(self) -> None:
        await asyncio.to_thread(call, "in a thread")
        if self.attempt == 1:
            raise ValueError(f"no money on {self.data['card']}")

    def pack(self) -> None:
        call("packing")

    def ship(self) -> None:
        call("directly")


@pytest.fixture(autouse=True)
def spans() -> Iterator[None]:
    before = list(watching)
    EXPORTER.clear()
    otel.instrument(PROVIDER)
    yield
    watching[:] = before


def made() -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in EXPORTER.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def linked(span: ReadableSpan) -> list[int]:
    assert span.parent is None
    return [link.context.span_id for link in span.links]


def id_of(span: ReadableSpan) -> int:
    found = span.context
    assert found is not None
    return int(found.span_id)


def test_an_attempt_begins_a_trace_and_is_linked_to_what_it_was_begun_by() -> None:
    with sandbox(machines=[Order]) as box:
        with PROVIDER.get_tracer("web").start_as_current_span("POST /orders") as request:
            Order.start("1", card="4444333322221111").trigger("approve")
        box.run()
        for seconds in (2, 61):
            box.advance(seconds)
            box.run()
        assert Order.get("1").state == "over"
    found = made()
    [approve], attempts, [ship] = (
        found["trigger order.approve"],
        found["process order.charging"],
        found["process order.shipping"],
    )
    assert approve.parent == request.get_span_context()
    assert approve.kind is SpanKind.PRODUCER
    assert [linked(span) for span in attempts] == [[id_of(approve)]] * 2  # a retry has the same cause
    assert {span.kind for span in attempts} == {SpanKind.CONSUMER}
    # The branches are made by the attempt that leads on to them, the next state is entered by what ended last; what a
    # timer fires was begun by what has set it.
    [making] = found["process order.packing"][:1]
    assert linked(making) == [id_of(attempts[1])]
    branches = found["process order.packing"][1:]
    assert [linked(span) for span in branches] == [[id_of(making)]] * 2
    assert linked(ship)[0] in {id_of(span) for span in branches}


def test_it_is_current_in_the_job_whatever_kind_of_job_that_is() -> None:
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="4444333322221111").trigger("approve")
        box.run()
        Order.get("1").force("shipping", reason="a test")
        box.run()
    found = made()
    for inner, outer in (("in a thread", "process order.charging"), ("directly", "process order.shipping")):
        assert found[inner][0].parent == found[outer][0].context
    # The request is over when the job runs, and nothing is left behind.
    assert found["force order"][0].parent is None


def test_names_and_attributes_are_those_of_the_messaging_conventions() -> None:
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="4444333322221111").trigger("approve")
        box.run()
        with pytest.raises(TransitionNotAllowed):
            Order.get("1").trigger("approve")
    found = made()
    approve, refused = found["trigger order.approve"]
    of_work = {
        "messaging.system": "fsmflow",
        "messaging.destination.name": "default",
        "messaging.message.id": "order:1@2",
        "fsmflow.machine": "order",
        "fsmflow.address": "order:1",
        "fsmflow.state": "charging",
        "fsmflow.epoch": 2,
        "fsmflow.trigger": "approve",
    }
    assert approve.attributes == {
        **of_work,
        "messaging.operation.name": "trigger",
        "messaging.operation.type": "send",
    }
    assert refused.status.status_code is StatusCode.ERROR
    assert (refused.attributes or {})["error.type"] == "TransitionNotAllowed"
    [attempt] = found["process order.charging"]
    assert attempt.attributes == {
        **of_work,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "fsmflow.attempt": 1,
        "error.type": "ValueError",
        "fsmflow.outcome": "retried",
    }


def test_an_attempt_that_failed_tells_why_without_what_is_redacted() -> None:
    with sandbox(machines=[Order]) as box:
        Order.start("1", card="4444333322221111").trigger("approve")
        box.run()
    [attempt] = made()["process order.charging"]
    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.status.description == "ValueError: no money on [redacted]"
    [event] = attempt.events
    assert event.name == "exception"
    assert event.attributes is not None
    assert "4444" not in str(event.attributes)
    assert 'raise ValueError(f"no money' in str(event.attributes["exception.stacktrace"])


def test_what_a_message_starts_later_is_linked_to_the_job_that_sent_it() -> None:
    class Letter(Machine):
        initial = "writing"
        states = [State("writing", job="write"), State("over", final=True)]
        transitions = [["done", "writing", "over"], {"trigger": "read", "source": "*", "dest": None}]

        def write(self) -> None:
            if self.entity_id == "1":
                self.send("read", to="letter:2", after=30, start=True)

    with sandbox(machines=[Letter]) as box:
        Letter.start("1")
        box.run()
        box.advance(31)
        box.run()
    first, second = made()["process letter.writing"]
    assert linked(second) == [id_of(first)]


def test_what_goes_wrong_with_those_who_look_on_harms_no_step(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        name = "broken"

        def request_begins(self, request: Request) -> Any:
            raise OSError(f"no room for {request.operation}")

    watch(Broken())
    with sandbox(machines=[Order]):
        Order.start("1")
    assert "observer.failed: broken: OSError: no room for start; the step goes on without it" in caplog.text


MACHINES = """
import json, os, signal
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from fsmflow import Machine, State, otel


class ToFile(SpanExporter):
    def export(self, spans):
        with open("spans", "a") as file:
            for span in spans:
                told = {"links": [link.context.span_id for link in span.links], "id": span.context.span_id}
                file.write(json.dumps({**told, **span.attributes, "name": span.name, "pid": os.getpid()}) + "\\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=600_000))
otel.instrument(provider)


class Order(Machine):
    initial = "new"
    states = ["new", State("charging", job="charge"), State("over", final=True)]
    transitions = [["approve", "new", "charging"], ["done", "charging", "over"]]

    def charge(self):
        if self.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_process_exports_its_spans_as_it_ends_and_tells_of_the_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "machines.py").write_text(MACHINES)

    def run(*command: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(tmp_path / "home")}
        subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=True, capture_output=True)

    run("-c", "from machines import Order; Order.start('1').trigger('approve')")
    run("-m", "fsmflow.cli", "worker", "--burst", "--processes", "1")
    lines = map(json.loads, (tmp_path / "spans").read_text().splitlines())
    start, approve, attempt = list(lines)
    assert (start["name"], approve["name"], attempt["name"]) == (
        "start order",
        "trigger order.approve",
        "process order.charging",
    )
    assert attempt["links"] == [approve["id"]]
    assert attempt["pid"] != approve["pid"]
    assert (attempt["fsmflow.attempt"], attempt["fsmflow.crashed"]) == (2, True)
