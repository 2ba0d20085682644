"""What needs attention on the first page: each kind of it, made as it is made in real life, is told and ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import Actor, Machine, State, holds
from fsmflow.dispatch.listeners import Listener, present
from fsmflow.values import replace
from fsmflow.web.attention import Notice, notices
from tests.operations.parcels import raising
from tests.support.bench import Bench, bench_on
from tests.support.website import ADA, site_of
from tests.web.shop import Sale

HOUR = 3_600


class Claim(Machine):
    """Its timer is refused as long as it is disputed; its message goes to nobody."""

    initial = "open"
    states = [State("open", timeout=60), "told", State("over", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "open", "dest": "over", "unless": "is_disputed"},
        {"trigger": "tell", "source": "open", "dest": "told", "before": "write"},
        ["close", "told", "over"],
    ]

    def is_disputed(self) -> bool:
        return bool(self.data.get("disputed"))

    def write(self) -> None:
        self.send("note", to="sale:nobody")


@pytest.fixture
def bench(tmp_path: Any, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, machines=(Sale, Claim), database_url=f"sqlite:///{tmp_path}/fsmflow.db") as made:
        yield made


def told(bench: Bench, kind: str, actor: Actor = ADA) -> list[Notice]:
    """What is told of a kind."""
    return [each for each in notices(bench.runtime, actor) if each.kind == kind]


def test_jobs_to_which_nobody_listens_and_those_that_wait_too_long(bench: Bench) -> None:
    Sale.start("1", card="tok").trigger("submit")
    assert notices(bench.runtime, ADA) == [], "workers are restarted"
    bench.clock.ms += 60_000
    (unheard,) = told(bench, "nobody-listens")
    assert unheard.text.startswith("1 job waits in queue 'default'")
    assert unheard.is_grave
    bench.clock.ms += 300_000
    bench.runtime.doorbell.announce(["default"])
    assert told(bench, "nobody-listens") == []
    (due,) = told(bench, "oldest-due")
    assert "default" in due.text
    bench.run()
    assert told(bench, "oldest-due") == []


def test_workers_that_die_again_and_again(bench: Bench) -> None:
    Sale.start("1", card="tok").trigger("submit")
    for _ in range(3):
        ticket = bench.take()
        assert bench.runtime.store.work.claim(ticket, "gone", lease_until=bench.clock.ms + 10) is not None
        bench.advance(1)
        bench.advance(120)
    (crashes,) = told(bench, "crash-loop")
    assert "has lost its workers 3 times" in crashes.text
    assert crashes.is_grave
    bench.step()
    assert told(bench, "crash-loop") == []


def test_what_is_there_for_longer_than_expected(bench: Bench) -> None:
    Sale.start("1", card="tok").trigger("submit")
    bench.run()
    assert told(bench, "overdue") == []
    bench.clock.ms += 61_000
    (overdue,) = told(bench, "overdue")
    assert "1 entity overdue in 'approval'" in overdue.text
    Sale.get("1").trigger("approve", actor=ADA)
    assert told(bench, "overdue") == []


def test_what_is_paused_for_long_and_what_a_hold_keeps_back(bench: Bench) -> None:
    waits, works = Sale.start("1"), Sale.start("2", card="tok")
    works.trigger("submit")
    for sale in (waits, works):
        sale.pause()
    hold = holds.hold("sale", state="charging", reason="bank maintenance")
    bench.clock.ms += HOUR * 1000
    assert (told(bench, "paused"), told(bench, "hold")) == ([], [])
    bench.clock.ms += HOUR * 1000
    assert sorted(each.text for each in told(bench, "paused")) == [
        "1 paused in sale:charging, for up to 2 h",
        "1 paused in sale:pending, for up to 2 h",
    ]
    (kept,) = told(bench, "hold")
    assert (kept.text, kept.todo) == (f"{hold}, for 2 h", "fsmflow release 1")
    for sale in (waits, works):
        sale.resume()
    holds.release(hold.number)
    bench.sweep()
    assert (told(bench, "paused"), told(bench, "hold")) == ([], [])


def test_states_that_the_code_does_not_know_after_a_deployment(bench: Bench) -> None:
    Sale.start("1")
    link = bench.runtime.store.link
    link.execute("UPDATE fsmflow_entity SET state = 'weighing'")
    (unknown,) = told(bench, "unknown")
    assert unknown.text == "1 in sale:weighing, for example sale:1: the code has no such state"
    assert (unknown.todo, unknown.is_grave) == ("fsmflow check --database", True)
    link.execute("UPDATE fsmflow_entity SET machine = 'rental'")
    (unknown,) = told(bench, "unknown")
    assert unknown.text.endswith("the code has no such machine")
    link.execute("UPDATE fsmflow_entity SET phase = 'finished'")
    assert told(bench, "unknown") == []


def test_messages_that_could_not_be_delivered(bench: Bench) -> None:
    for number in range(3):
        Claim.start(str(number)).trigger("tell")
    bench.sweep()
    bench.advance(2 * 24 * HOUR)
    (lost,) = told(bench, "undeliverable")
    assert lost.text.startswith("messages could not be delivered, 3 in claim:told, for example claim:0: message 'note'")
    assert lost.path == "/entity/claim:0"


def test_of_more_than_are_counted_it_says_that_there_may_be_more(bench: Bench) -> None:
    Claim.start("1").trigger("tell")
    bench.sweep()
    bench.advance(2 * 24 * HOUR)
    link = bench.runtime.store.link
    names = ("entity", "kind", "trigger", "payload", "actor", "at", "due_at", "seq", "until", "tries", "why")
    columns = ", ".join(map(link.quoted, names))
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    whole = ", ".join(f"({digits}) {name}" for name in ("t1", "t2", "t3"))
    link.execute(f"INSERT INTO fsmflow_event ({columns}) SELECT {columns} FROM fsmflow_event, {whole}")
    (lost,) = told(bench, "undeliverable")
    assert lost.text.startswith("messages could not be delivered, 1,000 or more in claim:told, for example claim:1: ")
    with site_of(lambda request: ADA) as site:
        assert "<b>1,000 or more</b>" in site.page("/failures")


def test_timers_that_cannot_fire_are_one_line_however_many_they_are(bench: Bench) -> None:
    claims = [Claim.start(str(number), disputed=True) for number in range(3)]
    bench.advance(60)
    (stuck,) = told(bench, "stuck")
    assert stuck.text.startswith("3 in claim:open, for example claim:0: timer 'timeout': ")
    assert stuck.is_grave
    hold = holds.hold("claim", state="open")
    bench.advance(600)
    (kept,) = told(bench, "stuck")
    assert "not tried again" in kept.text
    assert "not tried again" in str(claims[0].explain().stuck[0])
    holds.release(hold.number)
    for claim in claims:
        claim.cancel()
    assert told(bench, "stuck") == []


def test_workers_with_other_code(bench: Bench) -> None:
    bench.runtime.release = replace(bench.runtime.release, name="2.5.0")
    bench.runtime.doorbell.appear("sup1")
    own: dict[str, Any] = {"host": "app-1", "pid": 1, "since": 1, "queues": ("default",), "source": "x", "machines": {}}
    for name, release in (("sup1.1", "2.5.0"), ("sup1.2", "2.4.1"), ("sup1.3", None)):
        present(bench.redis, bench.runtime.doorbell.installation, Listener(name=name, release=release, **own))
    (old,) = told(bench, "old workers")
    assert old.text == "1 worker processes have other code than this (2.5.0): 2.4.1"


def test_redis_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    away = bench.runtime.doorbell.errors[0]("refused")
    monkeypatch.setattr(bench.runtime.doorbell, "listened", raising(away))
    (redis,) = told(bench, "redis")
    assert redis.text == "Redis does not answer: refused"


def test_who_is_in_some_teams_alone_is_told_nothing_of_the_others(bench: Bench) -> None:
    Claim.start("1", disputed=True)
    bench.advance(60)
    assert told(bench, "stuck") != []
    assert notices(bench.runtime, Actor("cleo", ("clerk",), teams=("acme",))) == told(bench, "stuck")
