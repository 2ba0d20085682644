"""The fields of log lines, as users' own formats and as JSON have them."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import fsmflow
from fsmflow import Machine, State, clock, log
from fsmflow.log.lines import JsonLines
from fsmflow.testing import sandbox

shop = logging.getLogger("shop")


class Order(Machine):
    initial = "new"
    states = ["new", State("charging", job="charge"), State("over", final=True)]
    transitions = [["pay", "new", "charging"], ["done", "charging", "over"]]

    def charge(self) -> None:
        shop.info("charging %s", "ä")
        self.log.info("amount %d", 5, extra={"amount": 5})
        for run in (lambda: shop.info("without"), lambda: self.log.info("with")):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        thread = threading.Thread(target=copy_context().run, args=(lambda: shop.info("in a copy"),))
        thread.start()
        thread.join()


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a handler of the user's writes, with the filter and as JSON."""
    handler = json_handler()
    before = {name: logging.getLogger(name).level for name in ("shop", "fsmflow")}
    for name in before:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    yield handler.stream
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def json_handler() -> logging.StreamHandler[io.StringIO]:
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(fsmflow.LogFields())
    handler.setFormatter(JsonLines())
    return handler


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_whatever_logger_a_job_uses_its_lines_have_the_fields_of_the_attempt(written: io.StringIO) -> None:
    with sandbox(machines=[Order]) as box:
        shop.info("before")
        Order.start("50%").trigger("pay")
        box.run()
        shop.info("after")
    before, job, own, without, with_it, in_copy, done, after = lines(written)
    fields = {"address": "order:50%", "machine": "order", "state": "charging", "attempt": 1, "epoch": 2}
    for line in (job, own, with_it, in_copy, done):
        assert fields.items() <= line.items()
    for line in (before, without, after):
        assert line.keys() == {"time", "level", "logger", "message"}
    assert (job["message"], job["level"], job["logger"]) == ("charging ä", "INFO", "shop")
    assert own["message"] == "order:50% charging attempt 1: amount 5"
    assert done["event"] == "step.done"
    assert job["time"].endswith("Z")


def test_a_line_about_another_entity_has_nothing_of_the_attempt_that_runs(written: io.StringIO) -> None:
    class Busy(Order):
        def charge(self) -> None:
            shop.info("told", extra={"address": "parcel:7", "state": "packing"})

    with sandbox(machines=[Busy]) as box:
        Busy.start("1").trigger("pay")
        box.run()
    told = lines(written)[0]
    assert (told["address"], told["machine"], told["state"]) == ("parcel:7", "parcel", "packing")
    assert not {"attempt", "epoch"} & told.keys()


def test_the_trace_is_that_of_the_span_that_is_recorded(written: io.StringIO) -> None:
    tracer = TracerProvider().get_tracer("shop")
    with tracer.start_as_current_span("charge") as span:
        shop.info("inside")
    shop.info("outside")
    inside, outside = lines(written)
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside


def test_an_error_is_one_line_too() -> None:
    # Below no other logger: pytest keeps what is logged, and can send no lone surrogate between its processes.
    alone, handler = logging.Logger("alone"), json_handler()
    alone.addHandler(handler)
    try:
        raise ValueError("wrong\nin two lines \udc80")
    except ValueError:
        alone.exception("it failed")
    (line,) = lines(handler.stream)
    assert line["exception"].startswith("Traceback")
    assert "ValueError: wrong\nin two lines" in line["exception"]


def test_a_failed_step_is_not_told_where_its_level_is_not_wanted(written: io.StringIO) -> None:
    class Failing(Order):
        def charge(self) -> None:
            raise ValueError("no")

    with sandbox(machines=[Failing]) as box:
        for id_, level in (("quiet", logging.CRITICAL), ("told", logging.ERROR)):
            logging.getLogger("fsmflow").setLevel(level)
            Failing.start(id_).trigger("pay")
            box.run()
    assert [line["address"] for line in lines(written) if line.get("event") == "step.failed"] == ["failing:told"]


def test_what_thousands_meet_for_one_reason_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    why = "no machine is named 'parcel', which reason is of this test alone"
    with caplog.at_level(logging.DEBUG, logger="fsmflow"):
        for number in range(100):
            log.claim_released(f"parcel:{number}", f"parcel:{number}: {why}", as_usual=False)
        log.claim_released("parcel:1", f"another {why}", as_usual=False)
        now += 61
        log.claim_released("parcel:7", f"parcel:7: {why}", as_usual=False)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [vars(record)["address"] for record in told] == ["parcel:0", "parcel:1", "parcel:7"]
    assert len(caplog.records) == 102
