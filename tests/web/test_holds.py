"""The pages of holds, schedules and workers."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from fsmflow import Machine, Schedule, State, holds
from fsmflow.dispatch import listeners
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine import drains
from tests.support.bench import Bench, bench_on
from tests.support.website import Site, site_of
from tests.web.shop import HOSTILE, Sale
from tests.web.ward import clerks_site, value

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Tally(Machine):
    """Count the till, every night."""

    initial = "open"
    schedule = Schedule("0 3 * * *", overlap="skip")
    states = [State("open"), State("counted", final=True)]
    transitions = [["count", "open", "counted"]]


class Census(Machine):
    """Count the people, one count beside another."""

    initial = "open"
    schedule = Schedule("0 3 * * *", overlap="all")
    states = [State("open"), State("counted", final=True)]
    transitions = [["count", "open", "counted"]]


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, machines=(Sale, Tally, Census), database_url=database_url) as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with site_of() as found:
        yield found


def test_what_is_held_waits_and_goes_on_once_it_is_released(bench: Bench, site: Site) -> None:
    assert "Nothing is held." in site.page("/holds")
    form = site.page("/holds/new?machine=sale&state=charging")
    assert "fsmflow hold sale --state=charging" in form
    fields = {"machine": "sale", "state": "charging", "until": "2h", "reason": "bank maintenance"}
    made = site.post("/holds/new", **fields, where="amount:=1500\n").headers["location"]
    assert made == "/holds?made=1"
    sale = Sale.start("1", amount=1500, card="tok_1")
    sale.trigger("submit")
    bench.advance(10)
    bench.run()
    assert sale.refresh().state == "charging"
    page = html.unescape(site.page("/holds"))
    assert "sale in charging with amount=1500" in page
    assert "“bank maintenance”" in page
    assert '<td class="number" data-label="wait"><b>1</b></td><td data-label="by">ada</td>' in page
    assert "1 wait for its end, and go on" in site.page("/holds/1/release")
    site.post("/holds/1/release", rate="60/m")
    assert "1 a second" in site.page("/holds")
    bench.advance(10)
    bench.run()
    assert sale.refresh().state == "approval"


def test_a_hold_until_a_moment_that_cannot_be_shown_is_refused(bench: Bench, site: Site) -> None:
    for until in ("0001-01-01T00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31", "0001-01-01"):
        assert "its year is one from" in site.post("/holds/new", 422, machine="sale", until=until).text
        assert site.client.post("/api/v1/holds", json={"machine": "sale", "until": until}).status_code == 422
    site.page("/holds")


def test_a_button_that_is_pressed_twice_does_it_once(bench: Bench, site: Site) -> None:
    fields = {"machine": "sale", "state": "charging", "until": "2h", "reason": "bank maintenance"}
    for _ in range(2):
        assert site.post("/holds/new", **fields).headers["location"] == "/holds?made=1"
        bench.clock.ms += 300
    bench.advance(10)
    assert site.post("/holds/new", **fields).headers["location"] == "/holds?made=2"
    form = site.page("/schedules/census/run")
    started = set()
    for _ in range(2):
        started.add(site.post("/schedules/census/run", key=value(form, "key")).headers["location"])
        bench.clock.ms += 300
    assert len(started) == 1
    site.post("/schedules/census/run", key="another")
    assert len(list(Census.find())) == 2


def test_a_hold_that_makes_no_sense_is_told(bench: Bench, site: Site) -> None:
    for fields, status, told in (
        ({}, 422, "so that not all is kept back"),
        ({"machine": "sale", "until": "soon"}, 422, "write 2h"),
        ({"machine": "sale", "where": "amount"}, 422, "neither name=text"),
        ({"machine": "sale", "state": "nowhere"}, 422, "nowhere"),
    ):
        answer = html.unescape(site.post("/holds/new", status, **fields).text)
        assert "Nothing was changed." in answer
        assert told in answer
    for number in ("7", "9" * 5_000, "-1", "x", "٣"):
        site.page(f"/holds/{number}/release", 404)
    assert holds.current_holds() == []


def test_a_schedule_is_paused_resumed_and_run_by_hand(bench: Bench, site: Site) -> None:
    page = site.page("/schedules")
    assert ">0 3 * * *</code>" in page
    assert "none yet" in page
    assert "fsmflow schedule pause tally" in site.page("/schedules/tally/pause")
    site.post("/schedules/tally/pause", reason="the printer is away")
    assert Tally.timetable().paused is not None
    page = site.page("/schedules")
    assert "the printer is away" in page
    assert "/schedules/tally/resume" in page
    started = site.post("/schedules/tally/run", data='{"till": 7}').headers["location"]
    assert started.startswith("/entity/tally:by-hand-")
    site.post("/schedules/tally/resume")
    assert Tally.timetable().paused is None
    assert str(Tally.timetable().last) in site.page("/schedules")
    site.post("/schedules/tally/run", 409)
    site.post("/schedules/tally/run", 422, data="[")
    for path in ("/schedules/sale/run", "/schedules/nobody/run", "/schedules/tally/explode"):
        site.page(path, 404)


def test_a_clerk_sees_no_button_and_is_refused(bench: Bench, site: Site) -> None:
    site.post("/holds/new", machine="sale", state="charging")
    with clerks_site(bench) as clerks:
        assert "/holds/new" not in clerks.page("/holds")
        assert "/release" not in clerks.page("/holds")
        assert "/pause" not in clerks.page("/schedules")
        clerks.post("/holds/new", 403, machine="sale", state="charging")
        clerks.post("/holds/1/release", 403)
        clerks.post("/schedules/tally/pause", 403)
        clerks.post("/schedules/tally/run", 403)
    assert [hold.released_at for hold in holds.current_holds()] == [None]
    assert (Tally.timetable().paused, Tally.timetable().last) == (None, None)


def test_workers_queues_and_what_runs_are_shown(bench: Bench, site: Site) -> None:
    sale = Sale.start("1")
    page = site.page("/workers")
    assert "Nobody listens</b> on queue default. Start" in page
    assert "Nothing runs now." in page
    sale.trigger("submit")
    bench.clock.ms += 90_000
    assert "in which jobs wait for" in site.page("/workers")
    part = site.page("/workers/part")
    assert "<html" not in part
    assert "No worker is there" in part


def test_worker_processes_are_shown_with_the_code_that_they_have_loaded(bench: Bench, site: Site) -> None:
    doorbell = bench.runtime.doorbell
    told: dict[str, Any] = {
        "host": "app-1<b>",
        "pid": 4711,
        "queues": ("default",),
        "release": "2.4.1",
        "source": "x",
        "machines": {},
    }
    doorbell.appear("sup1")
    listeners.present(bench.redis, doorbell.installation, Listener(name="sup1.1", since=bench.clock.ms, **told))
    page = site.page("/workers")
    assert "app-1&lt;b&gt;" in page
    assert "supervisor sup1" in page
    assert "2.4.1" in page
    assert "other code" in page
    assert "1 process<" in page
    assert "Nobody listens" not in page


def test_a_host_is_drained_and_put_to_work_again_by_who_may(bench: Bench, site: Site) -> None:
    doorbell = bench.runtime.doorbell
    told: dict[str, Any] = {"host": "web1", "pid": 7, "queues": ("default",), "release": "2", "source": "x"}
    doorbell.appear("sup1")
    listener = Listener(name="sup1.1", since=bench.clock.ms, machines={}, **told)
    listeners.present(bench.redis, doorbell.installation, listener)
    assert 'href="/workers/drain/web1"' in site.page("/workers")
    asked = site.page("/workers/drain/web1")
    assert "fsmflow drain web1" in asked
    assert drains.drains(bench.runtime) == {}
    site.post("/workers/drain/web1", token=value(asked, "token"), key="k", reason=HOSTILE)
    assert drains.drains(bench.runtime)["web1"].by == "ada"
    page = site.page("/workers")
    assert "<b>web1 drains</b>" in page
    assert "1 process is left there" in page
    assert "<script>alert" not in page
    assert "web1 drains" in site.page("/")
    form = site.page("/workers/undo/web1")
    site.post("/workers/undo/web1", token=value(form, "token"), key="k")
    assert drains.drains(bench.runtime) == {}
    site.post("/workers/undo/web1", 422, token=value(form, "token"), key="k")
    with clerks_site(bench) as clerks:
        assert "/workers/drain/web1" not in clerks.page("/workers")
        clerks.post("/workers/drain/web1", 403)
    assert drains.drains(bench.runtime) == {}


def test_hostile_texts_are_texts(bench: Bench, site: Site) -> None:
    site.post("/holds/new", machine="sale", where=f"note={HOSTILE}", reason=HOSTILE)
    site.post("/schedules/tally/pause", reason=HOSTILE)
    pages = ["/holds", "/holds/1/release", "/schedules", f"/schedules?did={quote(HOSTILE)}&about={quote(HOSTILE)}"]
    pages += [f"/holds/new?where={quote(HOSTILE)}&until={quote(HOSTILE)}", f"/holds?made={quote(HOSTILE)}", "/workers"]
    for page in pages:
        text = site.page(page)
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        assert "49</textarea>" not in text, page
