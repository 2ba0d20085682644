"""A sandbox sees nothing of what is around it, and nothing of it is left behind."""

from __future__ import annotations

import os
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import fsmflow
from fsmflow import ConfigurationError, EntityNotFound, Machine, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.errors import RedisUnavailable
from fsmflow.testing import Sandbox, SandboxError, sandbox
from tests.testing.parcels import START, Parcel, Ring, done, play


class TestLeaving:
    def test_what_was_configured_is_in_force_again(self, tmp_path: Path) -> None:
        fsmflow.configure(home=tmp_path, machines=[Parcel])
        chosen = settings.chosen()
        try:
            Parcel.start("1")
            before = runtime_of.current()
            with sandbox([Parcel]):
                with pytest.raises(EntityNotFound):
                    Parcel.get("1")
                Parcel.start("2")
            assert runtime_of.current() is before
            assert settings.chosen() is chosen
            assert [parcel.entity_id for parcel in Parcel.find()] == ["1"]
        finally:
            runtime_of.close()
            settings.choose(None)

    def test_where_nothing_was_configured_nothing_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        environment = dict(os.environ)
        with sandbox() as box:
            assert box.run() == 0
        assert settings.chosen() is None
        assert dict(os.environ) == environment
        assert list(tmp_path.iterdir()) == []

    def test_what_is_configured_inside_changes_nothing(self, tmp_path: Path) -> None:
        with sandbox([Parcel]) as box:
            fsmflow.configure(home=tmp_path, machines=[Ring])
            Parcel.start("1").submit()
            assert box.run() == 1
        assert settings.chosen() is None
        assert list(tmp_path.iterdir()) == []

    def test_an_error_inside(self) -> None:
        with pytest.raises(EntityNotFound), sandbox([Parcel]):
            Parcel.get("1")
        assert runtime_of.stand_in() is None
        assert settings.chosen() is None

    def test_an_error_on_the_way_in(self) -> None:
        with pytest.raises(ConfigurationError, match="is no machine"), sandbox([int]):
            pass
        assert runtime_of.stand_in() is None

    def test_one_inside_another(self) -> None:
        with sandbox([Parcel], start=START) as outer:
            Parcel.start("1").submit()
            with sandbox() as inner:
                assert list(Parcel.find()) == []
                Parcel.start("2").submit()
                assert inner.run() == 1
                # What the outer one runs sees the outer one.
                play["charge"] = lambda machine: {"seen": [parcel.entity_id for parcel in Parcel.find()]}
                assert outer.run() == 1
                assert Parcel.get("2").state == "cooling"
            assert Parcel.get("1").data == {"seen": ["1"]}
            with pytest.raises(EntityNotFound):
                Parcel.get("2")

    def test_it_is_of_no_use_afterwards(self) -> None:
        with sandbox([Parcel]) as box:
            pass
        for act in (box.run, lambda: box.advance(1), lambda: box.crash("charge"), lambda: box.next_due):
            with pytest.raises(SandboxError, match="has been left"):
                act()

    def test_threads_of_the_test_are_in_it(self) -> None:
        with sandbox([Parcel]) as box, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: Parcel.start(number).submit(), range(40)))
            assert sum(pool.map(lambda _: box.run(), range(4))) == 40
            assert box.run() == 0
            assert Parcel.counts() == {"cooling": 40}
            assert len(done) == 40

    def test_side_by_side_in_threads(self) -> None:
        """Neither sees the other's, whichever is left first."""
        both = threading.Barrier(2)

        def use(number: int) -> dict[str, int]:
            with sandbox([Parcel]) as box:
                both.wait(20)
                for entity in range(number):
                    Parcel.start(entity).submit()
                both.wait(20)
                assert box.run() == number
                return Parcel.counts()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(use, (3, 5))) == [{"cooling": 3}, {"cooling": 5}]

    def test_a_job_whose_threads_use_it(self) -> None:
        def charge(machine: Machine) -> dict[str, Any]:
            with ThreadPoolExecutor(1) as pool:
                return {"state": pool.submit(lambda: Parcel.get("2").state).result(30)}

        play["charge"] = charge
        with sandbox([Parcel]) as box:
            Parcel.start("2")
            parcel = Parcel.start("1")
            parcel.submit()
            box.run()
            assert parcel.refresh().data == {"state": "new"}


class TestMachines:
    def test_of_a_module(self) -> None:
        module = types.ModuleType("parcels")
        module.Parcel = Parcel  # type: ignore[attr-defined]
        for given in (module, [module], Parcel):
            with sandbox(given) as box:
                box.crash("pack")

    def test_of_the_settings(self, tmp_path: Path) -> None:
        fsmflow.configure(home=tmp_path, machines=[Ring])
        try:
            with sandbox() as box:
                box.crash("turn")
                with pytest.raises(SandboxError):
                    box.crash("charge")
        finally:
            settings.choose(None)

    def test_one_that_was_left_out(self) -> None:
        with sandbox([Ring]) as box:
            Parcel.start("1").submit()
            with pytest.raises(SandboxError, match=r"there is no machine 'parcel'.*Name it in sandbox\(machines="):
                box.run()

    def test_there_is_no_redis(self) -> None:
        with sandbox([Parcel]), pytest.raises(RedisUnavailable, match="a sandbox has no Redis"):
            runtime_of.current().doorbell.client()


def test_it_says_what_it_is() -> None:
    assert fsmflow.testing.sandbox is sandbox
    assert fsmflow.testing.Sandbox is Sandbox
