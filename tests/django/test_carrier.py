"""What ``save()`` does to the field that carries the state: nothing, where the row has an entity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, models
from django.db.models.signals import pre_save
from django.test import override_settings

from fsmflow import Machine, State
from fsmflow.django import carrier
from fsmflow.verify import verify
from tests.support.bench import Bench, bench_on
from tests.support.django_shops import ALIAS, forget_database, name_database
from tests.support.mounts import in_django
from tests.support.servers import on_sqlite

in_django()


class Parcel(models.Model):  # type: ignore[misc]
    """With a key that its driver writes otherwise than the entity's id."""

    id = models.UUIDField(primary_key=True)
    status = models.CharField(max_length=40, default="draft")
    note = models.CharField(max_length=40, blank=True)

    class Meta:
        app_label = "parcels"


class Letter(models.Model):  # type: ignore[misc]
    status = models.CharField(max_length=40, default="draft")

    class Meta:
        app_label = "parcels"


class ParcelFlow(Machine):
    name = "parcel"
    initial = "new"
    status_field = Parcel.status
    states = [State("new"), State("sent", final=True)]
    transitions = [["send_off", "new", "sent"]]


class InShop:
    """All models are in the database of the tests."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return ALIAS

    db_for_write = db_for_read


FIRST = "0b2f5dd2-7e4c-4f10-9a5c-2f52a4a8a001"
SECOND = "0b2f5dd2-7e4c-4f10-9a5c-2f52a4a8a002"


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    name_database(ALIAS, database_url)
    machines = (ParcelFlow,)
    with (
        override_settings(DATABASE_ROUTERS=[InShop()], FSMFLOW={"DATABASE": ALIAS}),
        bench_on(redis_url, database_url=f"django://{ALIAS}", machines=machines) as bench,
    ):
        with connections[ALIAS].schema_editor() as editor:
            for model in (Parcel, Letter):
                editor.create_model(model)
        yield bench
    forget_database(ALIAS)


def status_of(key: str) -> Any:
    return Parcel.objects.values_list("status", flat=True).get(pk=key)


def test_a_row_that_was_read_before_a_transition_is_saved_without_its_stale_state(bench: Bench) -> None:
    for key in (FIRST, SECOND):
        Parcel.objects.create(id=key)
    ParcelFlow.start(FIRST)
    stale, free = Parcel.objects.get(pk=FIRST), Parcel.objects.get(pk=SECOND)
    ParcelFlow.get(FIRST).trigger("send_off")
    stale.note = free.note = "fragile"
    free.status = "packed"
    stale.save()
    free.save()
    assert list(Parcel.objects.order_by("pk").values_list("status", "note")) == [
        ("sent", "fragile"),
        ("packed", "fragile"),
    ]
    stale.status = "new"
    stale.save(update_fields=["status"])
    Parcel.objects.update_or_create(pk=FIRST, defaults={"status": "new", "note": "on its way"})
    assert (status_of(FIRST), Parcel.objects.get(pk=FIRST).note) == ("sent", "on its way")
    Parcel.objects.filter(pk=FIRST).update(status="lost")
    assert status_of(FIRST) == "lost"
    report = verify(bench.runtime.store, bench.runtime.machines.all())
    assert [str(found) for found in report.violations] == [
        f"status-carried: parcel:{FIRST}: Parcel.status says 'lost', and the entity is in 'sent'"
    ]
    Parcel(id="0b2f5dd2-7e4c-4f10-9a5c-2f52a4a8a003", status="packed").save()
    assert status_of("0b2f5dd2-7e4c-4f10-9a5c-2f52a4a8a003") == "packed"


@on_sqlite
def test_what_another_database_holds_is_saved_as_ever(bench: Bench, tmp_path: Any) -> None:
    name_database("other", f"sqlite:///{tmp_path}/other.db")
    with connections["other"].schema_editor() as editor:
        editor.create_model(Parcel)
    parcel = Parcel.objects.using("other").create(id=FIRST)
    parcel.status = "packed"
    parcel.save(using="other")
    assert Parcel.objects.using("other").get().status == "packed"
    forget_database("other")


@on_sqlite
def test_machines_are_found_by_the_first_row_that_is_saved(bench: Bench) -> None:
    carrier.keep_from_first_save()
    Letter.objects.create()
    assert not pre_save.disconnect(carrier._find_machines)
