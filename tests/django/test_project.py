"""A project of Django with the app, as its users run it: ``manage.py``, its tests, and a worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.test import override_settings

from fsmflow import ConfigurationError
from fsmflow.django.settings import read
from fsmflow.django.task_library import library
from fsmflow.store.schema import SCHEMA_VERSION
from tests.support.django_shops import database_of
from tests.support.mounts import in_django
from tests.support.paths import ROOT
from tests.support.servers import WHOLE, on_sqlite

SETTINGS = """
SECRET_KEY = "of the tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "fsmflow.django", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
DATABASES = {{"default": {database!r}}}
FSMFLOW = {{"REDIS_URL": {redis_url!r}, "HOME": {home!r}, "SCHEMA": {schema!r}}}
TASKS = {{"default": {{"BACKEND": "fsmflow.django.tasks.FsmflowBackend", "QUEUES": ["default", "mail"]}}}}
import pymysql
pymysql.install_as_MySQLdb()
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
MODELS = """
import django
from django.db import models
from fsmflow.django.states import state_choices

CALLED = django.VERSION >= (5,)

def states():
    return state_choices("shop.machines.OrderMachine").choices

class Order(models.Model):
    status = models.CharField(max_length=30, choices=states if CALLED else None)
    paid = models.BooleanField(default=False)
"""
MACHINES = """
from dataclasses import dataclass
from fsmflow import Machine, State, Trigger
from shop.models import Order

@dataclass
class Note:
    text: str

class OrderMachine(Machine):
    name = "order"
    initial = "new"
    states = [State("new"), State("charging", job="charge", transactional=True), State("charged", final=True)]
    transitions = [["submit", "new", "charging"], ["done", "charging", "charged"], ["annotate", "new", "new"]]
    annotate: Trigger[Note]
    status_field = Order.status

    def charge(self):
        order = self.record
        order.paid = True
        order.save(update_fields=["paid"])
"""
TASKS = f"""
from {library} import task

@task(queue_name="mail")
def tell(number):
    return f"order {{number}} is placed"
"""
TESTS = """
from io import StringIO
from unittest import mock
from types import SimpleNamespace
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import CommandError, call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import transaction
from django.db.migrations.exceptions import IrreversibleError
from django.test import RequestFactory, TestCase, TransactionTestCase
from fsmflow import DataError
from fsmflow.django.actors import actor_of
from fsmflow.django.admin import MachineAdmin
from fsmflow.django.panel import act, panel
from fsmflow.django.payload import fields_of, payload_in
from fsmflow.engine.runtime import current
from fsmflow.queries import resolve
from fsmflow.testing import sandbox
from shop.machines import OrderMachine
from shop.models import Order, states
from shop.tasks import tell

def place():
    with transaction.atomic():
        order = Order.objects.create()
        OrderMachine.start(order.pk).trigger("submit")
        tell.enqueue(order.pk)
    return order

class InTestCase(TestCase):
    def test_what_is_rolled_back_takes_all_along(self):
        with self.assertRaises(LookupError), transaction.atomic():
            place()
            self.assertEqual(Order.objects.get().status, "charging")
            raise LookupError
        self.assertEqual((OrderMachine.counts(), Order.objects.count()), ({}, 0))

    def test_its_jobs_run_once_what_waits_for_the_commit_was_run(self):
        with sandbox(database="django://default") as box:
            with self.captureOnCommitCallbacks() as waiting:
                order = place()
            self.assertEqual(box.run(), 0)
            for action in waiting:
                action()
            self.assertEqual(box.run(), 2)
            order.refresh_from_db()
            self.assertEqual((order.status, order.paid), ("charged", True))
            self.assertEqual(OrderMachine.get(order.pk).record, order)

#: A model of users need not have groups.
BOB = {
    "is_authenticated": True, "is_active": True, "get_username": lambda: "bob", "has_perm": lambda permission: True
}

class OrderAdmin(MachineAdmin):
    machine = OrderMachine

class InAdmin(TestCase):
    def test_no_form_writes_the_state(self):
        admin, order, request = OrderAdmin(Order, AdminSite()), Order.objects.create(), RequestFactory().get("/")
        self.assertEqual(list(admin.get_readonly_fields(request)), ["status"])
        request.user = User.objects.create_superuser("ada")
        form = admin.get_form(request, order, change=True)({"paid": "on", "status": "charged"}, instance=order)
        self.assertEqual(list(form.fields), ["paid"])
        OrderMachine.start(order.pk).trigger("submit")
        admin.save_model(request, admin.save_form(request, form, True), form, True)
        order = Order.objects.get()
        self.assertEqual((order.status, order.paid), ("charging", True))

    def test_what_cannot_be_done_there_is_told(self):
        order, request = Order.objects.create(), RequestFactory().get("/", {"workflow_state": "new"})
        OrderMachine.start(order.pk)
        request.user, request._messages = SimpleNamespace(**BOB), CookieStorage(request)
        actor = actor_of(request)
        found = panel(resolve(current(), f"order:{order.pk}", actor), actor)
        self.assertEqual([each.choice.name for each in found.with_more], ["annotate"])
        self.assertEqual([each.name for each in found.choices][:2], ["submit", "pause"])
        definition = OrderMachine._compiled()
        with self.assertRaises(DataError) as wrong:
            act(OrderMachine, str(order.pk), "annotate", actor, payload={"txet": "x"})
        ((field, text, fault),) = fields_of(definition, "annotate", {"field.text": "x"}, wrong.exception)
        self.assertEqual((field.label, text, "missing" in fault), ("text", "x", True))
        payload = payload_in(definition, "annotate", {"field.text": "call back"})
        self.assertIn("was fired", act(OrderMachine, str(order.pk), "annotate", actor, payload=payload))
        with self.assertRaisesRegex(DataError, "'pause' takes no payload"):
            act(OrderMachine, str(order.pk), "pause", actor, payload=payload)
        admin = OrderAdmin(Order, AdminSite())
        self.assertEqual([row._workflow_state for row in admin.get_changelist_instance(request).result_list], ["new"])
        request.user.is_active = False
        self.assertEqual(list(admin.get_changelist_instance(request).result_list), [])
        admin.get_actions(request)["workflow_cancel"][0](admin, request, Order.objects.all())
        told = "fsmflow: 'act' was refused: nobody is logged in; log in first"
        self.assertEqual([str(message) for message in request._messages], [told, told])

class InTransactions(TransactionTestCase):
    def test_each_begins_with_no_entities(self):
        place()
        self.assertEqual(OrderMachine.counts(), {"charging": 1})

    def test_each_begins_with_none(self):
        self.test_each_begins_with_no_entities()

    def test_only_a_flush_that_is_confirmed_takes_them_away(self):
        place()
        emit_post_migrate_signal(verbosity=0, interactive=False, db="default")  # as migrations of data do
        with mock.patch("builtins.input", return_value="no"):
            call_command("flush", stdout=StringIO())
        self.assertEqual((OrderMachine.counts(), Order.objects.count()), ({"charging": 1}, 1))
        call_command("flush", "--noinput", verbosity=0)
        self.assertEqual((OrderMachine.counts(), Order.objects.count()), ({}, 0))

    def test_its_jobs_run(self):
        with sandbox(database="django://default") as box:
            order = place()
            box.run()
            self.assertEqual(OrderMachine.get(order.pk).state, "charged")

    def test_the_tables_are_not_dropped(self):
        with self.assertRaisesRegex(IrreversibleError, "not dropped"):
            call_command("migrate", "fsmflow", "zero", verbosity=0)
        with self.assertRaises(CommandError):
            call_command("fsmflow", "show", "order:1")
        self.assertIn(("charged", "Charged"), states())
"""
COMMAND = """
class Command(Base):
    pass
"""

#: Each takes some seconds.
on_one_server = pytest.mark.parametrize(
    "database_url",
    [
        *(["sqlite"] if WHOLE else []),
        pytest.param("postgres", marks=pytest.mark.postgres),
        *([pytest.param("mysql", marks=pytest.mark.mysql)] if WHOLE else []),
    ],
    indirect=True,
)


class Project:
    """In a folder of its own."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self._folder = folder
        database = database_of(database_url)
        if database_url.startswith("sqlite"):
            database |= {"TEST": {}}
        # On PostgreSQL its tables are in a schema of their own, beside those of Django.
        schema = "acme" if database_url.startswith("postgresql") else None
        text = SETTINGS.format(database=database, redis_url=redis_url, home=str(folder / "home"), schema=schema)
        (folder / "settings.py").write_text(text)
        (folder / "manage.py").write_text(MANAGE)
        (folder / "shop" / "migrations").mkdir(parents=True)
        for name, code in (("models", MODELS), ("machines", MACHINES), ("tasks", TASKS), ("tests", TESTS)):
            (folder / "shop" / f"{name}.py").write_text(code)
        (folder / "shop" / "__init__.py").write_text("")

    def manage(self, *words: str) -> str:
        """What ``manage.py`` says."""
        run = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr


@on_one_server
def test_its_own_tests_see_one_transaction_and_run_jobs(tmp_path: Path, database_url: str, redis_url: str) -> None:
    project = Project(tmp_path, database_url, redis_url)
    (tmp_path / "shop" / "migrations").rmdir()  # its tables are made without
    told = project.manage("test", "--noinput")
    assert "Ran 9 tests" in told
    assert "machine order: job 'charge' in state 'charging' has no retry" in told


@on_sqlite
def test_it_migrates_and_a_worker_runs_the_jobs_of_its_apps(tmp_path: Path, database_url: str, redis_url: str) -> None:
    project = Project(tmp_path, database_url, redis_url)
    (tmp_path / "shop" / "migrations").rmdir()
    begin = "call_command('migrate', run_syncdb=True); from shop import tests; tests.place()"
    told = project.manage("shell", "-c", f"from django.core.management import call_command; {begin}")
    assert f"Applying fsmflow.000{SCHEMA_VERSION}_" in told
    told = project.manage("fsmflow", "worker", "--settings=settings", "--burst", "--processes", "1")
    assert "step.done: order:1 charging -> charged" in told
    assert re.search("step.done: django_task:.* running -> successful", told), told


def test_a_setting_that_means_nothing_is_refused_with_what_was_meant() -> None:
    in_django()
    for given, match in (
        ({"REDIS_ULR": ""}, "has 'REDIS_ULR', which means nothing; did you mean 'REDIS_URL'"),
        ({"max_jobs": 1}, "has 'max_jobs', which means nothing; did you mean 'MAX_JOBS'"),
        ({"DATABASE_URL": ""}, "DATABASE is its alias"),
        ("default", "it is a dict"),
    ):
        with override_settings(FSMFLOW=given), pytest.raises(ConfigurationError, match=match):
            read()


def test_a_flush_of_another_app_that_would_leave_the_entities_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_django()
    check = import_module("fsmflow.django.checks").check_flush
    monkeypatch.syspath_prepend(tmp_path)
    for app, base in (("strange", "django.core"), ("tame", "fsmflow.django")):
        folder = tmp_path / app / "management" / "commands"
        folder.mkdir(parents=True)
        (folder.parents[1] / "__init__.py").write_text("")
        (folder / "flush.py").write_text(f"from {base}.management.commands.flush import Command as Base\n{COMMAND}")
    ours = "fsmflow.django"
    for apps, told in (([ours], 0), ([ours, "tame"], 1), (["tame", ours], 0), (["strange", ours], 1)):
        with override_settings(INSTALLED_APPS=apps):
            assert [message.id for message in check()] == ["fsmflow.W005"] * told
