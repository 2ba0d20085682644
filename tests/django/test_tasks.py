"""Tasks of Django's by fsmflow: enqueued with the rows of their transaction, run after it, tried again, and told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings

from fsmflow import ConfigurationError, Retry
from fsmflow.django.machines import read_tasks
from fsmflow.queries import queues_of
from tests.support import errands
from tests.support.bench import Bench, bench_on
from tests.support.django_shops import ALIAS, forget_database, name_database
from tests.support.servers import on_sqlite
from tests.support.shops import Purchase

BACKEND = "fsmflow.django.tasks.FsmflowBackend"
TASKS: dict[str, Any] = {
    "default": {"BACKEND": BACKEND},
    "Mail-2": {"BACKEND": BACKEND, "QUEUES": ["default", "slow"], "OPTIONS": {"retry": Retry(max=1, interval=60)}},
}


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    name_database(ALIAS, database_url)
    errands.done.clear()
    with override_settings(TASKS=TASKS, USE_TZ=True):
        machines = (Purchase, *read_tasks())
        with bench_on(redis_url, database_url=f"django://{ALIAS}", machines=machines) as bench:
            yield bench
    forget_database(ALIAS)


def test_a_task_is_enqueued_with_the_transaction_or_not_at_all_and_its_result_is_told(bench: Bench) -> None:
    with pytest.raises(LookupError):
        called_off()
    with transaction.atomic(using=ALIAS):
        Purchase.start(1)
        enqueued = errands.fetch.enqueue("a parcel", often=2)
        assert (bench.queued(), enqueued.status) == ([], "READY")
    found = errands.fetch.get_result(enqueued.id)
    assert (found.status, found.args, found.kwargs) == ("READY", ["a parcel"], {"often": 2})
    assert (found.attempts, found.started_at, found.is_finished) == (0, None, False)
    assert found.task == errands.fetch
    bench.clock.ms += 1000
    bench.step()
    found.refresh()
    assert (errands.done, found.status, found.attempts, found.errors) == (["a parcel"], "SUCCESSFUL", 1, [])
    assert found.return_value == {"fetched": ["a parcel", "a parcel"]}
    assert found.enqueued_at <= found.started_at <= found.finished_at
    assert bench.queued() == []


@on_sqlite
def test_what_fails_is_tried_again_as_the_backend_says_and_keeps_its_errors(bench: Bench) -> None:
    task = errands.try_it.using(backend="Mail-2", queue_name="slow")
    enqueued = async_to_sync(task.aenqueue)(2)
    bench.step("slow")
    found = async_to_sync(task.aget_result)(enqueued.id)
    assert (found.status, found.attempts, found.task.queue_name) == ("READY", 1, "slow")
    assert found.errors[0].exception_class is errands.Refused
    assert f"attempt 1 of {enqueued.id}" in found.errors[0].traceback
    bench.advance(90)
    bench.step("slow")
    found.refresh()
    assert (found.status, found.return_value, found.attempts, len(found.errors)) == ("SUCCESSFUL", 2, 2, 1)
    lost = errands.return_nothing_that_is_json.enqueue()
    bench.step()
    lost.refresh()
    assert (lost.status, lost.errors[0].exception_class) == ("FAILED", TypeError)


@on_sqlite
def test_what_is_to_run_later_waits_until_then(bench: Bench) -> None:
    at = datetime.fromtimestamp(bench.clock.now() / 1000, UTC) + timedelta(hours=1)
    enqueued = errands.fetch.using(run_after=at).enqueue("tomorrow's paper")
    bench.advance(3500)
    assert (bench.queued(), errands.fetch.get_result(enqueued.id).task.run_after) == ([], at)
    bench.advance(200)
    bench.step()
    enqueued.refresh()
    assert enqueued.status == "SUCCESSFUL"


@on_sqlite
def test_signals_tell_of_it_and_who_listens_makes_no_attempt_fail(bench: Bench) -> None:
    signals, told = import_module("fsmflow.django.task_library").signals, []

    def listen(task_result: Any, **_: Any) -> None:
        told.append(str(task_result.status))
        if told[1:]:
            raise LookupError("a listener")

    sent = (signals.task_enqueued, signals.task_started, signals.task_finished)
    try:
        for signal in sent:
            signal.connect(listen)
        errands.fetch.enqueue("a parcel")
        bench.step()
    finally:
        for signal in sent:
            signal.disconnect(listen)
    assert told == ["READY", "RUNNING", "SUCCESSFUL"]


@on_sqlite
def test_what_means_nothing_is_refused_and_what_is_not_there_is_told(bench: Bench) -> None:
    missing = import_module("fsmflow.django.task_library").TaskResultDoesNotExist
    for strange in ("0", "x" * 300, enqueued_elsewhere(bench)):
        with pytest.raises(missing):
            errands.fetch.get_result(strange)
    with pytest.raises(TypeError):
        errands.fetch.enqueue(object())
    for options, match in (
        ({"retries": 3}, r"TASKS\['default'\]\['OPTIONS'\] has 'retries', which means nothing"),
        ({"timeout": "soon"}, r"(?s)TASKS\['default'\]\['OPTIONS'\]: .*timeout"),
    ):
        wrong = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}
        with override_settings(TASKS=wrong), pytest.raises(ConfigurationError, match=match):
            read_tasks()
    assert [machine.name for machine in read_tasks()] == ["django_task", "django_task_mail_2"]
    assert queues_of(machine._compiled() for machine in read_tasks()) == ["default", "slow"]
    check = import_module("fsmflow.django.tasks").FsmflowBackend("default", {}).check
    assert [message.id for message in check()] == ["fsmflow.E003"]


def called_off() -> None:
    with transaction.atomic(using=ALIAS):
        errands.fetch.enqueue("a parcel that was called off")
        raise LookupError


def enqueued_elsewhere(bench: Bench) -> str:
    return str(errands.fetch.using(backend="Mail-2").enqueue("a parcel").id)
