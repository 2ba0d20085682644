"""The example machines, on a real worker: what users copy works."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsmflow
from fsmflow import Actor, Machine, NotPermitted
from fsmflow.engine import runtime
from machines import ffmpeg, gateway
from machines.order import Order
from machines.podcast import Podcast
from tests.support.paths import ROOT
from tests.support.servers import Valkey

LIMIT_S = 60.0
SOUND_S = 2
RATE = 16_000
FFMPEG = importlib.util.find_spec("imageio_ffmpeg") is not None

needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="needs the extra 'demo'")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[Path]:
    """One home for all tests, which have ids of their own: with a real ``fsmflow worker``, and us as its client."""
    valkey.start()
    folder = tmp_path_factory.mktemp("machines")
    fsmflow.configure(home=folder, redis_url=valkey.url, machines=["machines"])
    environment = {"FSMFLOW_HOME": str(folder), "FSMFLOW_REDIS_URL": valkey.url, "PYTHONPATH": str(ROOT)}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fsmflow.cli", "worker", "--processes", "2"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FSMFLOW_HOME", str(folder))
            yield folder
    finally:
        process.terminate()
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()  # its worker processes end with it
            process.wait()
            runtime.close()


@pytest.fixture
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a worker, for what needs none."""
    monkeypatch.setenv("FSMFLOW_HOME", str(tmp_path))
    return tmp_path


def ended(machine: Machine) -> str:
    """The state in which it comes to rest."""
    return machine.wait(["failed", "finished"], timeout=LIMIT_S).state


def steps(machine: Machine) -> list[tuple[str, str]]:
    """What has happened to it: kind or trigger, and the state after it."""
    return [(entry.trigger or entry.kind, entry.dest) for entry in machine.history]


WHOLE_WAY = [("done", "reserving"), ("done", "packing"), ("done", "shipping"), ("done", "shipped")]


def test_an_order_goes_from_its_payment_to_its_parcel(home: Path) -> None:
    order = Order.start("parcel", amount=30, lines=["tea", "cup"])
    order.trigger("submit")
    assert ended(order) == "shipped"
    assert steps(order) == [("start", "pending"), ("submit", "charging"), *WHOLE_WAY]
    assert amounts_charged("parcel") == [30]
    assert (home / "labels" / "order-parcel.txt").read_text() == "order parcel, 1 parcel(s)\n"


@pytest.mark.usefixtures("home")
def test_a_large_order_waits_for_a_manager() -> None:
    order = Order.start("large", amount=1001)
    order.trigger("submit")
    order.wait("awaiting_approval", timeout=LIMIT_S)
    with pytest.raises(NotPermitted):
        order.trigger("approve", actor="alice")
    order.trigger("approve", actor=Actor("alice", roles={"manager"}), reason="called the customer")
    assert ended(order) == "shipped"


@pytest.mark.usefixtures("home")
def test_an_order_that_is_rejected_goes_no_further() -> None:
    order = Order.start("rejected", amount=1001)
    order.trigger("submit")
    order.wait("awaiting_approval", timeout=LIMIT_S)
    order.trigger("reject")
    assert ended(order) == "rejected"


@pytest.mark.usefixtures("home")
def test_an_order_that_the_gateway_failed_goes_on_from_there_and_is_charged_once() -> None:
    gateway.break_for("failing")
    failing, other = Order.start("failing", amount=30), Order.start("other", amount=40)
    failing.trigger("submit")
    other.trigger("submit")
    assert (ended(failing), ended(other)) == ("failed_from_charging", "shipped")
    assert failure_of(failing) == ("GatewayDown", 3)
    before = steps(failing)
    gateway.mend()
    failing.retry()
    assert ended(failing) == "shipped"
    assert steps(failing) == [*before, ("retry", "charging"), *WHOLE_WAY]
    assert (amounts_charged("failing"), amounts_charged("other")) == ([30], [40])


def test_the_gateway_charges_once_for_each_key(quiet_home: Path) -> None:
    assert gateway.charge("1", 30, key="a") == gateway.charge("1", 30, key="a")
    gateway.charge("1", 40, key="b")
    assert amounts_charged("1") == [30, 40]


def test_a_gateway_that_is_down_for_nobody_by_name_is_down_for_all(quiet_home: Path) -> None:
    (quiet_home / "gateway.down").touch()
    with pytest.raises(gateway.GatewayDown, match=re.escape(str(quiet_home))):
        gateway.charge("1", 30, key="a")


@needs_ffmpeg
def test_a_podcast_is_released_as_audio_with_its_metadata(home: Path) -> None:
    podcast = Podcast.start("good", recording=str(record(home / "good.wav")), title="Tones")
    podcast.trigger("submit")
    assert ended(podcast) == "released"
    folder = home / "releases" / "podcast-good"
    assert sorted(file.name for file in folder.iterdir()) == ["episode.json", "episode.mp3"]
    released = Path(podcast.data["released"])
    assert json.loads((folder / "episode.json").read_text()) == {"title": "Tones", "bytes": released.stat().st_size}
    assert seconds_of(released) == pytest.approx(SOUND_S, abs=0.2)


@needs_ffmpeg
def test_a_step_of_a_podcast_that_runs_again_does_no_harm(home: Path) -> None:
    encoded = home / "work" / "podcast-again" / "episode.mp3"
    encoded.parent.mkdir(parents=True)
    encoded.write_bytes(b"what an earlier attempt left behind")
    podcast = Podcast.start("again", recording=str(record(home / "again.wav")), title="Tones")
    podcast.trigger("submit")
    assert ended(podcast) == "released"
    assert seconds_of(encoded) == pytest.approx(SOUND_S, abs=0.2)


def test_a_podcast_without_a_recording_fails_at_once_and_goes_on_when_it_gets_one(home: Path) -> None:
    podcast = Podcast.start("late", recording=str(home / "late.wav"), title="Tones")
    podcast.trigger("submit")
    assert ended(podcast) == "failed_from_processing"
    assert failure_of(podcast) == ("Fail", 1)
    if FFMPEG:
        record(home / "late.wav")
        podcast.retry()
        assert ended(podcast) == "released"


@needs_ffmpeg
def test_a_recording_that_is_no_audio_fails_with_what_ffmpeg_said(home: Path) -> None:
    (home / "bad.wav").write_text("no audio")
    podcast = Podcast.start("bad", recording=str(home / "bad.wav"), title="Tones")
    podcast.trigger("submit")
    assert ended(podcast) == "failed_from_processing"
    assert failure_of(podcast) == ("FfmpegError", 3)
    assert podcast.failure is not None
    assert "Invalid data" in podcast.failure.message


def test_without_any_ffmpeg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ffmpeg, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(fsmflow.Fail, match=re.escape("fsmflow[demo]")):
        ffmpeg.executable()


def failure_of(machine: Machine) -> tuple[str, int]:
    """Type of its failure, and how many attempts there were."""
    assert machine.failure is not None
    return machine.failure.error_type, machine.failure.attempts


def amounts_charged(order: str) -> list[float]:
    """What the gateway has charged for an order, charge by charge."""
    return [charge["amount"] for charge in gateway.charges() if charge["order"] == order]


def record(path: Path) -> Path:
    """A WAV file with a tone in it: a square wave needs no sines."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((b"\x00\x10" * 20 + b"\x00\xf0" * 20) * (SOUND_S * RATE // 40))
    return path


def seconds_of(path: Path) -> float:
    """How long the sound in a file is, by decoding it."""
    command = [ffmpeg.executable(), "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
    decoded = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert not decoded.stderr
    return len(decoded.stdout) / 2 / 8000
