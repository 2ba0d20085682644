"""Every private part of a library that fsmflow stands on, by name: an upgrade that changes one fails here first.

A part is private if its name begins with ``_``, or if its library documents it nowhere. Each has the test that it is
there with the shape that fsmflow relies on; and what begins with ``_`` is used only if it is named here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import peewee
import pytest
import transitions.core
from psycopg.pq import TransactionStatus
from pymysql.connections import Connection
from pymysql.constants import CLIENT, SERVER_STATUS
from redis import Redis
from rq.job import Job
from rq.queue import Queue
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

import fsmflow
from fsmflow import clock
from fsmflow.dispatch.prefix import queue_key
from fsmflow.dispatch.tickets import ENTRY_POINT, JobTemplate
from fsmflow.store.work import Ticket
from tests.support.mounts import in_django
from tests.support.paths import ROOT

LIBRARIES = ("transitions", "rq", "redis", "peewee", "playhouse", "psycopg", "pymysql", "click", "rich", "croniter")
MOMENT = 1_893_488_645_000
Check = Callable[[], None]
PARTS: dict[str, Check] = {}


def part(name: str) -> Callable[[Check], Check]:
    def named(check: Check) -> Check:
        PARTS[name] = check
        return check

    return named


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def reads(function: Any, *names: str) -> bool:
    """Whether a function of a library looks up all these names."""
    assert isinstance(function, FunctionType)
    return set(names) <= {*function.__code__.co_names, *function.__code__.co_varnames}


class Thing(peewee.Model):
    name = peewee.CharField(primary_key=True)
    size = peewee.IntegerField(index=True)

    class Meta:
        database = peewee.SqliteDatabase(":memory:")
        table_name = "thing"


# -- transitions: definition/guards.py


@part("transitions.core.Machine._create_event")
def an_event_is_made_as_add_transition_makes_it() -> None:
    machine = transitions.core.Machine(model=None, states=["a"], initial="a", auto_transitions=False)
    event = machine._create_event("go", machine)
    assert isinstance(event, transitions.core.Event)
    assert machine.events == {}
    assert reads(transitions.core.Machine.add_transition, "_create_event", "events")


@part("transitions.core.Transition._eval_conditions")
def a_transition_asks_for_its_conditions_once_and_goes_by_the_answer() -> None:
    assert parameters(transitions.core.Transition._eval_conditions) == ["self", "event_data"]
    assert reads(transitions.core.Transition.execute, "_eval_conditions")


@part("transitions.core.Transition.condition_cls")
def a_transition_makes_its_conditions_in_the_order_of_its_guards() -> None:
    class Own(transitions.core.Condition):
        pass

    class Rule(transitions.core.Transition):
        condition_cls = Own

    made = Rule("a", "b", conditions=[len, abs], unless=[max]).conditions  # type: ignore[arg-type]
    assert all(isinstance(condition, Own) for condition in made)
    assert [(condition.func, condition.target) for condition in made] == [(len, True), (abs, True), (max, False)]


@part("transitions.core.Event.transitions")
def the_transitions_of_an_event_by_their_source() -> None:
    machine = transitions.core.Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    event = transitions.core.Event("go", machine)
    rule = transitions.core.Transition("a", "b")
    event.add_transition(rule)
    assert event.transitions.get("a", ()) == [rule]
    assert event.transitions.get("b", ()) == ()


@part("transitions.core.Event.trigger")
def a_model_that_the_machine_has_never_met_is_moved() -> None:
    class Model:
        state = "a"

    asked: list[tuple[object, ...]] = []
    machine = transitions.core.Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    event = transitions.core.Event("go", machine)
    event.add_transition(transitions.core.Transition("a", "b", after=[lambda *given: asked.append(given)]))
    model = Model()
    assert event.trigger(model, "subject") is True
    assert (model.state, asked, machine.models) == ("b", [("subject",)], [])


# -- RQ: dispatch


@part("rq.worker.BaseWorker._set_connection")
def a_worker_takes_the_connection_that_this_returns() -> None:
    ours, theirs = Redis(), Redis()

    class Worker(SimpleWorker):
        def _set_connection(self, connection: Redis) -> Redis:
            assert connection is theirs
            return ours

    worker = Worker([Queue("q", connection=theirs)], connection=theirs, prepare_for_work=False)
    assert worker.connection is ours


@part("rq.worker.BaseWorker.key")
def a_worker_is_a_key_in_redis_and_tells_birth_heartbeat_and_death() -> None:
    client = Redis()
    worker = SimpleWorker([Queue("q", connection=client)], name="w", connection=client, prepare_for_work=False)
    assert worker.key == "rq:worker:w"
    for told in (worker.register_birth, worker.register_death):
        assert parameters(told) == []
    assert parameters(worker.heartbeat)[:1] == ["timeout"]


@part("rq.job.Job.to_dict")
def what_is_put_into_redis_is_read_by_rq_as_a_job() -> None:
    client = Redis()
    stored = JobTemplate("q", client).hash("abc", Ticket(row=1, epoch=2, attempt=3, dispatch=4), moment())
    job = Job("id", connection=client, serializer=JSONSerializer)
    job.restore({name.encode(): as_bytes(value) for name, value in stored.items()})
    assert (job.func_name, job.args, job.kwargs) == (ENTRY_POINT, ["abc", 1, 2, 3, 4], {})
    assert (job.origin, job.timeout, job.result_ttl) == ("q", -1, 0)
    assert job.enqueued_at == job.created_at == moment()
    assert job.get_status(refresh=False) == "queued"
    written = {name for name, value in job.to_dict().items() if value not in ("", None)}
    assert written == set(stored)


@part("rq.job.Job.data")
def the_call_of_a_job_is_packed_json() -> None:
    job = Job.create("a.b", args=[1], id="x", connection=Redis(), serializer=JSONSerializer)
    assert json.loads(zlib.decompress(job.to_dict()["data"])) == ["a.b", None, [1], {}]


@part("rq.job.Job.key_for")
def the_key_of_a_job_is_a_prefix_and_its_id() -> None:
    assert (Job.key_for(""), Job.key_for("id")) == ("rq:job:", "rq:job:id")


@part("rq.queue.Queue.redis_queues_keys")
def where_the_queues_are_listed_and_kept() -> None:
    assert Queue.redis_queues_keys == "rq:queues"
    assert Queue("q", connection=Redis()).key == queue_key("q") == "rq:queue:q"


@part("rq.results.Result.serialize")
def how_rq_keeps_the_result_of_a_job_that_failed() -> None:
    client = Redis()
    assert Result.get_key("id") == "rq:results:id"
    told: Any = Result("", Result.Type.FAILED, client, exc_string="why", worker_name="w", serializer=JSONSerializer)
    stored = {name.encode(): as_bytes(value) for name, value in told.serialize().items()}
    found = Result.restore("id", "1-0", stored, client, JSONSerializer)
    assert (found.type, found.exc_string, found.worker_name) == (Result.Type.FAILED, "why", "w")


@part("rq.registry.FailedJobRegistry.key_template")
def where_the_failed_jobs_of_a_queue_are_listed() -> None:
    assert FailedJobRegistry("q", connection=Redis()).key == "rq:failed:q"


# -- peewee and the drivers: store


@part("peewee._manual")
def what_manual_commit_puts_on_the_stack_of_transactions() -> None:
    db = peewee.SqliteDatabase(":memory:")
    with db.manual_commit():
        assert isinstance(db.top_transaction(), vars(peewee)["_manual"])
    with db.atomic():
        assert not isinstance(db.top_transaction(), vars(peewee)["_manual"])


@part("peewee.psycopg")
def the_driver_of_postgresql_or_none() -> None:
    assert vars(peewee)["psycopg"].__name__ == "psycopg"


@part("peewee.mysql")
def the_driver_of_mysql_or_none() -> None:
    assert vars(peewee)["mysql"].__name__ == "pymysql"


@part("peewee.Model._meta")
def what_a_model_is_made_of() -> None:
    meta = Thing._meta
    assert (meta.table_name, meta.primary_key, meta.database) == ("thing", Thing.name, Thing._meta.database)
    assert [type(index) for index in meta.fields_to_index()] == [peewee.ModelIndex]


@part("peewee.Index._name")
def the_name_of_an_index_is_that_of_the_database() -> None:
    (index,) = Thing._meta.fields_to_index()
    assert index._name == "thing_size"


@part("peewee.Metadata.without_rowid")
def a_table_without_row_ids_and_with_settings_of_ours() -> None:
    assert {"without_rowid", "table_settings"} <= set(parameters(peewee.Metadata.__init__))


@part("peewee.SqliteDatabase._connect")
def a_connection_of_a_thread_is_opened_here() -> None:
    db = peewee.SqliteDatabase(":memory:")
    with closing(db._connect()) as connection:  # type: ignore[attr-defined]
        assert isinstance(connection, sqlite3.Connection)
        assert connection.isolation_level is None
    assert reads(peewee.Database.connect, "_connect")


@part("peewee.SqliteDatabase._close")
def a_connection_of_a_thread_is_closed_here() -> None:
    db = peewee.SqliteDatabase(":memory:")
    assert parameters(db._close) == ["conn"]  # type: ignore[attr-defined]
    assert reads(peewee.Database.close, "_close")


@part("peewee.Database.begin")
def a_transaction_begins_with_what_atomic_was_given() -> None:
    begun: list[tuple[str, ...]] = []

    class Own(peewee.SqliteDatabase):
        def begin(self, *settings: str) -> None:
            begun.append(settings)

        def commit(self) -> None:
            begun.append(("commit",))

    with Own(":memory:").atomic("one", "two"):
        pass
    assert begun == [("one", "two"), ("commit",)]


@part("psycopg.ConnectionInfo.transaction_status")
def no_transaction_is_a_status_of_zero() -> None:
    assert [status.name for status in TransactionStatus if not status] == ["IDLE"]


@part("pymysql.connections.Connection.server_status")
def the_status_that_each_answer_of_the_server_brings() -> None:
    assert reads(Connection._read_query_result, "server_status")
    assert SERVER_STATUS.SERVER_STATUS_IN_TRANS == 1
    assert CLIENT.FOUND_ROWS == 2


@pytest.mark.parametrize("name", PARTS)
def test_a_private_part_is_there_with_the_shape_that_is_relied_on(name: str) -> None:
    PARTS[name]()


def test_no_private_part_is_used_that_is_not_named_here() -> None:
    used = {name for tree in trees().values() for name in accessed(tree)} | overridden()
    assert used == {name.rpartition(".")[2] for name in PARTS if name.rpartition(".")[2].startswith("_")}


@pytest.mark.parametrize(
    "source",
    [
        "peewee._theirs",
        "self._theirs",
        "peewee._theirs.name",
        "made()._theirs()",
        "vars(peewee)['_theirs']",
        "getattr(peewee, '_theirs', None)",
        "from peewee import _theirs",
    ],
)
def test_an_access_is_found_however_it_is_written(source: str) -> None:
    ours = "class Own:\n    def _mine(self):\n        self._seen = 1\n        return self._mine\nx._mine\nx._seen\n"
    assert accessed(ast.parse(f"{ours}{source}\n")) == {"_theirs"}


def trees() -> dict[Path, ast.Module]:
    """The modules of fsmflow that import one of the libraries: no other has an object of theirs."""
    found = {path: ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.glob("fsmflow/**/*.py")}
    return {path: tree for path, tree in found.items() if imported(tree) & set(LIBRARIES)}


def imported(tree: ast.Module) -> set[str]:
    """The packages that a module imports."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def accessed(tree: ast.Module) -> set[str]:
    """The private names that a module reads from anything, and does not define itself."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    return {name for node in ast.walk(tree) for name in named(node) if is_private(name)} - own


def named(node: ast.AST) -> Iterator[str]:
    """The names by which a node reads a member of something."""
    match node:
        case ast.Attribute(attr=name):
            yield name
        case ast.Subscript(value=ast.Call(func=ast.Name(id="vars")), slice=ast.Constant(value=str(name))):
            yield name
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            yield name
        case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] in LIBRARIES:
            yield from (alias.name for alias in names)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


#: What Python itself gives to a class whose bases are abstract, or protocols.
BY_PYTHON = {"_abc_impl", "_is_protocol"}


def overridden() -> set[str]:
    """The private names that classes of fsmflow have from classes of these libraries, and define anew."""
    return {
        name
        for module in modules()
        for kind in vars(module).values()
        if issubclass(type(kind), type) and kind.__module__ == module.__name__  # isinstance() would ask a lazy object
        for base in kind.__mro__[1:]
        if base.__module__.partition(".")[0] in LIBRARIES
        for name in vars(kind).keys() & vars(base).keys()
        if is_private(name) and name not in BY_PYTHON
    }


def modules() -> list[ModuleType]:
    in_django()  # without settings its app cannot be imported
    found = pkgutil.walk_packages(fsmflow.__path__, "fsmflow.")
    return [importlib.import_module(module.name) for module in found if not module.name.endswith("__main__")]


def moment() -> Any:
    return clock.to_datetime(MOMENT)


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
