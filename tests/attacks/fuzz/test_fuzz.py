"""Inputs that are mostly wrong, about a thousand by every way in: accepted, or refused by a named error, nothing else.

The same targets take as many inputs as one likes with ``python scripts/fuzz.py``, which prints what came of them.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import redis

from fsmflow import State
from fsmflow.dispatch.tickets import rq_queue
from fsmflow.engine.runtime import current
from tests.attacks.fuzz.cli import Line
from tests.attacks.fuzz.definitions import good
from tests.attacks.fuzz.driver import Servers, Tally, drive
from tests.attacks.fuzz.inputs import CANARY, OURS, Call, Made, Mute, Pickled, Planted, nested
from tests.attacks.fuzz.planted import plant
from tests.attacks.fuzz.targets import TARGETS
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order
from tests.support.process_flows import Chain
from tests.support.processes import World
from tests.support.sample import SAMPLED

INPUTS = {
    "definitions": 300 if SAMPLED else 800,
    "cli": 800,
    "payloads": 800,
    "planted": 150 if SAMPLED else 400,
    "texts": 1_000,
}
#: Always the same inputs: a run that fails must not go away by itself. Others are tried by ``scripts/fuzz.py``.
SEED = 1
ENTRY = "fsmflow.running.executor.run"
LONG = 10_000 * "x"


@pytest.mark.parametrize("name", INPUTS)
def test_whatever_comes_is_accepted_or_refused_by_name(name: str, tmp_path: Path, redis_url: str) -> None:
    tally, wanted = Tally(), INPUTS[name]
    for _ in drive(TARGETS[name], Servers(tmp_path, redis_url), tally, inputs=wanted, first_seed=SEED):
        pass
    assert tally.inputs >= wanted
    assert len(tally.outcomes) > 1, tally.outcomes


def planted(data: Any, *, id_: str | bytes = "theirs", kind: str = "hash", **fields: bytes) -> Planted:
    given = {name.encode(): value for name, value in fields.items()}
    return Planted(id=id_, queue="default", kind=kind, data=data, is_packed=True, cut=0, fields=given)


#: What was found once, each as small as it could be made.
ONCE_WRONG: list[tuple[str, Any]] = [
    ("definitions", {"initial": ["open"], "states": [{"name": ["open"]}], "transitions": [[{}, {}, {}]]}),
    ("definitions", {**good(), "transitions": [["close", [[]], [], [], [], {}, 5, set()]]}),
    ("definitions", {**good(), "states": [State("open", timeout=10**5000)]}),
    ("definitions", {**good(), "renamed_states": {"a": []}}),
    ("definitions", {**good(), "renamed_states": {None: [], LONG: "b", "b": LONG}}),
    ("definitions", {**good(), "states": [{"name": "open", "defer": LONG}, {"name": "shut", "final": True}]}),
    ("definitions", {**good(), "states": [State("open", defer=LONG, ignore=LONG), State("shut", final=True)]}),
    ("definitions", {**good(), "transitions": [[LONG, "open", "shut"], [LONG, "open", LONG], [LONG, "shut", "open"]]}),
    ("definitions", {**good(), f"on_enter_{LONG}": len}),
    ("payloads", ("start", datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))),
    ("payloads", ("trigger", Made("10**5000", lambda: 10**5000))),
    ("payloads", ("state", Made("10**5000", lambda: 10**5000))),
    ("payloads", ("whole", Made("Mute", Mute))),
    ("payloads", ("saved", Made("mappingproxy", lambda: MappingProxyType({"a": [1]})))),
    ("payloads", ("progress", Made("10**400", lambda: 10**400))),
    ("payloads", ("progress", 6.471895741694962e-87)),
    ("payloads", ("returned", Made("Mute", Mute))),
    ("texts", ("duration", LONG * 10)),
    ("texts", ("field", LONG * 10)),
    ("planted", [planted(b"", kind="string"), planted(b"")]),
    ("planted", [planted(b"", kind="list", id_=b"\xff\xfe")]),
    ("planted", [planted(b"[]", enqueued_at=b"now", id_=b"\xff"), planted(b"[]", enqueued_at=b"\xff")]),
    ("planted", [planted(b"[]", id_="a\nERROR all is lost")]),
    ("planted", [planted(Call(ENTRY, None, "a\nb\ud800", {})), planted(Call(nested(900), None, [], {}))]),
    ("cli", Line(("draw", "order"), b"")),
    ("cli", Line(("list", "--error", "[" * 100_000), b"")),
]


@pytest.mark.parametrize(("name", "value"), ONCE_WRONG)
def test_what_was_wrong_once_is_refused_by_name(name: str, value: Any, tmp_path: Path, redis_url: str) -> None:
    with TARGETS[name].open(Servers(tmp_path, redis_url)) as check:
        assert list(check(value))


def test_a_head_of_a_queue_that_cannot_be_read_keeps_nobody_from_being_rung_for(tmp_path: Path, redis_url: str) -> None:
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/heads.db") as bench:
        order = Order.start("1")
        order.trigger("submit")
        for id_, at in ((b"\xff", b""), (b"theirs", b"yesterday"), (b"late", b"\xff")):
            _lose_behind(bench, id_, at)
            bench.clock.ms += 60_000
            assert bench.sweep() == 1
            assert len(bench.redis.lrange(bench.queue_key(), 0, -1)) == 2
            assert bench.runtime.doorbell.oldest(["default"]) == {"default": None}


def _lose_behind(bench: Bench, id_: bytes, enqueued_at: bytes) -> None:
    """All doorbells are lost, and somebody else's stands in the queue."""
    bench.redis.delete(bench.queue_key())
    bench.redis.hset(b"rq:job:" + id_, mapping={b"data": b"x", b"enqueued_at": enqueued_at})
    bench.redis.rpush(bench.queue_key(), id_)


CALLS: list[Any] = [
    *(Pickled(protocol, as_call) for protocol in range(pickle.HIGHEST_PROTOCOL + 1) for as_call in (False, True)),
    Call("os.system", None, [f"touch {CANARY}"], {}),
    Call(ENTRY, None, [OURS, 1, 1, 1, 2**70], {}),
    Call(ENTRY, None, ["other", 1, 1, 1, 1], {}),
    b"0" * 10**7,
    b"[" * 4_000,
]


def test_a_running_worker_drops_planted_jobs_and_goes_on_with_its_own(place: World, redis_url: str) -> None:
    supervisor = place.supervisor(processes=1)
    _finish("before")
    workers = supervisor.workers()
    canary, ours = place.folder / "canary", current().store.installation
    hostile = [planted(data, id_=f"theirs-{number}") for number, data in enumerate(CALLS)]
    bare = [planted(data, id_=f"theirs-{number}-bare") for number, data in enumerate(CALLS)]
    hostile += [replace(one, is_packed=False) for one in bare]
    broken = [
        planted(b"", id_="text", kind="string"),
        planted(b"", id_="gone", kind="nothing"),
        planted(b"", id_=b"\xff"),
    ]
    with redis.Redis.from_url(redis_url) as client:
        for one in (*hostile, *broken):
            plant(client, one, ours, canary)
        _finish("after")
        assert client.llen(f"rq:queue:{rq_queue(ours, 'default')}") == 0
    assert not canary.exists()
    assert supervisor.workers() == workers
    assert supervisor.log.count("job.refused") == len(hostile) + 1


def _finish(entity_id: str) -> None:
    chain = Chain.start(entity_id)
    chain.trigger("go")
    chain.wait("ended", timeout=30)
