"""A schedule is run by programs, which may ask again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmflow import Actor, Machine, State
from tests.support.bench import Bench, bench_on
from tests.support.program import programs


class Report(Machine):
    schedule = "0 3 * * *"
    initial = "written"
    states = ["written", State("sent", final=True)]
    transitions = [["mail", "written", "sent"]]


@pytest.fixture
def bench(redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/fsmflow.db", machines=(Report,)) as made:
        yield made


def test_a_run_that_is_asked_for_again_by_its_key_starts_nothing_again(bench: Bench) -> None:
    with programs() as program:
        ada, path = program(), "/schedules/report/run"
        first = ada.ask("POST", path, {"data": {"for": "us"}}, 201, idempotency_key="click-1")
        bench.advance(1)
        again = ada.answer("POST", path, {"data": {"for": "us"}}, 201, idempotency_key="click-1")
        assert again.json()["address"] == first["address"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "another body" in ada.ask("POST", path, {"data": {}}, 422, idempotency_key="click-1")["detail"]
        other = ada.answer("POST", path, {}, 201, idempotency_key="click-2")
        assert "idempotency-replayed" not in other.headers
        assert sum(Report.counts().values()) == 2
        program(Actor("cleo", ("clerk",))).ask("GET", "/schedules")


def test_a_pause_that_is_asked_for_again_by_its_key_undoes_no_resume(bench: Bench) -> None:
    with programs() as program:
        ada, path = program(), "/schedules/report"
        asked = {"reason": "stocktaking"}
        assert ada.post(f"{path}/pause", asked, idempotency_key="p1")["paused"]["reason"] == "stocktaking"
        bench.advance(1)
        ada.post(f"{path}/resume", {}, idempotency_key="p1")
        again = ada.answer("POST", f"{path}/pause", asked, idempotency_key="p1")
        assert (again.json()["paused"], again.headers["idempotency-replayed"]) == (None, "true")
        assert "another body" in ada.post(f"{path}/pause", {}, 422, idempotency_key="p1")["detail"]
        assert Report.timetable().paused is None
