"""Workers die where a message could be lost or told twice, and neither comes about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fsmflow
from fsmflow.channels import new_secret
from fsmflow.engine.runtime import current
from fsmflow.operations.notice import Notice
from fsmflow.verify import verify
from tests.channels.flows import Parcel
from tests.support.eventually import eventually
from tests.support.processes import installation
from tests.support.receivers import raw, receiver

FLOWS = ("tests.channels.flows", "tests.support.doomed")


def test_a_worker_that_dies_loses_no_message_and_one_that_is_sent_again_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: Any
) -> None:
    """The first dies right after the transition, the second once the message was taken and before it has noted that."""
    database_url = f"sqlite:///{tmp_path}/told.db"
    arms = raw(b"HTTP/1.1 204 No Content\r\n\r\n", then=lambda: (tmp_path / "armed-settle.before").touch())
    with (
        receiver(arms, (204, {}, b"")) as there,
        installation(tmp_path, monkeypatch, database_url=database_url, redis_url=valkey.url) as world,
    ):
        shop = {"url": there.url, "secret": new_secret(), "allow_private": "true"}
        lines = [f"{name} = {value if value == 'true' else json.dumps(value)}" for name, value in shop.items()]
        (tmp_path / "channels.toml").write_text("\n".join(["[shop]", 'kind = "webhook"', *lines]))
        world.environment |= {
            "FSMFLOW_MACHINES": ",".join(FLOWS),
            "FSMFLOW_CHANNELS": str(tmp_path / "channels.toml"),
        }
        fsmflow.configure(database_url=database_url, redis_url=valkey.url, machines=FLOWS[:1], home=tmp_path)
        (tmp_path / "armed-deliver.before").touch()
        world.supervisor()
        Parcel.start("1", to="Ulm")
        (delivery,) = eventually(
            lambda: [each for each in Notice.find(data={"about": "told_parcel:1"}) if each.phase == "finished"],
            within=30,
            what="a delivery that has ended",
        )
        runtime = current()
        assert verify(runtime.store, runtime.machines.all()).violations == []
    assert (tmp_path / "died-deliver.before").exists()
    assert (tmp_path / "died-settle.before").exists()
    first, second = there.taken
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.entity_id
    assert json.loads(first.body)["data"]["fields"] == {"to": "Ulm"}
    assert [entry.kind for entry in delivery.history] == ["start", "transition", "crashed", "transition"]
    assert [entry.kind for entry in Parcel.get("1").history] == ["start", "transition"]
