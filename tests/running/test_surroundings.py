"""What jobs find of their process, and what they leave of it to the next one."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.processes import Supervisor, World
from tests.support.unruly_flows import Unruly


def found_after(place: World, how: str, **data: Any) -> dict[str, Any]:
    """What the second job finds, once the first one has done something."""
    (place.folder / "found").unlink(missing_ok=True)
    unruly = Unruly.start(how, how=how, **data)
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    found: dict[str, Any] = json.loads((place.folder / "found").read_text())
    return found


def of_job(place: World, how: str) -> Any:
    """What the first job found and returned."""
    unruly = Unruly.start(how, how=how)
    unruly.trigger("go")
    return unruly.wait("over", timeout=30).data


def test_all_that_a_job_changes_is_put_right_before_the_next_one(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    before = found_after(place, "nothing")
    after = found_after(place, "changes all")
    assert after == before
    things = ["timers", "signal handlers", "blocked signals", "the working folder", "the umask"]
    for what in [*things, "the default timeout of sockets", "the context of decimals"]:
        assert f"job.left: unruly:changes all: job 'do' left behind: {what} (put right)" in supervisor.log
    assert "the variable LEFT_BY_A_JOB (stays as it is)" in supervisor.log
    assert "secret-value" not in supervisor.log


def test_an_alarm_that_a_job_left_does_not_ring_in_the_next_one(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    unruly = Unruly.start("1", how="alarm", gate="gate")
    unruly.trigger("go")
    effect = place.effect("1", "looking")
    eventually(lambda: time.time() - effect.at > 1.5, what="more than a second")
    place.open("gate")
    unruly.wait("over", timeout=30)
    assert "worker.lost" not in supervisor.log
    assert len(place.effects("1", "looking")) == 1


@pytest.mark.parametrize("how", ["handles", "changes all"])
def test_sigterm_ends_a_worker_whatever_its_jobs_did_to_its_signals(place: World, how: str) -> None:
    supervisor = place.supervisor(processes=1)
    unruly = Unruly.start("1", how=how, gate="gate")
    unruly.trigger("go")
    effect = place.effect("1", "looking")
    # As systemd does with KillMode=control-group: everybody gets it.
    os.kill(effect.pid, signal.SIGTERM)
    supervisor.terminate()
    eventually(lambda: "finishing the running steps" in supervisor.log, what="the beginning of the end")
    place.open("gate")
    assert supervisor.ended() == 0
    assert unruly.refresh().state == "over"
    assert len(place.effects("1", "looking")) == 1
    assert "worker.lost" not in supervisor.log


def test_a_thread_that_a_job_left_holds_no_supervisor_up(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    found_after(place, "leaves a thread")
    assert "the thread 'pump', which is no daemon" in supervisor.log
    supervisor.terminate()
    assert supervisor.ended(within=40) == 0
    assert "worker.stays" in supervisor.log


def test_a_thread_that_a_job_left_holds_no_burst_up(place: World) -> None:
    Unruly.start("1", how="leaves a thread").trigger("go")
    supervisor = place.supervisor("--burst", processes=1)
    assert supervisor.ended(within=60) == 0
    assert Unruly.counts() == {"over": 1}


def test_what_is_printed_is_seen_at_once_and_outlives_the_process(place: World) -> None:
    place.environment.pop("PYTHONUNBUFFERED", None)
    supervisor = place.supervisor(processes=1)
    unruly = Unruly.start("1", how="prints")
    unruly.trigger("go")
    eventually(lambda: "seen at once" in supervisor.log, what="what was printed")
    place.open("gate")
    unruly.wait(timeout=30)
    assert supervisor.log.count("seen at once") == 4


def test_a_dict_config_of_a_job_does_not_silence_us(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    found_after(place, "configures logging")
    assert "said after dictConfig" in supervisor.log
    assert found_after(place, "leaves a child")
    eventually(lambda: "job.left" in supervisor.log, what="a line of ours after that")
    os.kill(int((place.folder / "child").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("path", [None, "/somewhere", str(ROOT)])
def test_programs_that_jobs_start_get_what_the_user_had(place: World, path: str | None) -> None:
    place.environment.pop("PYTHONPATH")
    if path is not None:
        place.environment["PYTHONPATH"] = path
    place.folder.joinpath("start.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fsmflow.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, str(place.folder / "start.py")]
    place.supervisors.append(Supervisor(place, ["worker", "--processes", "1"], command=command))
    unruly = of_job(place, "starts a program")
    handler, theirs = unruly["found"]
    assert handler == str(signal.default_int_handler)
    assert not int(unruly["ignored"], 16) & 1 << signal.SIGINT - 1
    assert "fsmflow" not in unruly["descriptors"]
    assert (str(ROOT) in theirs) is (path == str(ROOT))
    found = json.loads((place.folder / "found").read_text())
    assert found["path"] == path
    assert str(ROOT) in found["sys.path"]
    assert found["ours"] == sorted(name for name in place.environment if name.startswith("FSMFLOW_"))


def test_a_worker_process_runs_at_most_so_many_jobs(sampled_place: World) -> None:
    supervisor = sampled_place.supervisor("--max-jobs", "10", processes=2)
    flows = [Unruly.start(str(number), how="nothing") for number in range(25)]
    for flow in flows:
        flow.trigger("go")
    for flow in flows:
        flow.wait("over", timeout=60)
    effects = [effect for flow in flows for effect in sampled_place.effects(flow.entity_id)]
    assert len(effects) == 50
    counts = {pid: sum(effect.pid == pid for effect in effects) for pid in {effect.pid for effect in effects}}
    assert max(counts.values()) <= 10
    assert len(counts) >= 5
    eventually(lambda: "has run" in supervisor.log, what="the reason")
    assert "worker.lost" not in supervisor.log
    assert all(entry.kind != "crashed" for flow in flows for entry in flow.history)
    supervisor.terminate()
    assert supervisor.ended() == 0


def test_a_worker_process_that_uses_too_much_memory_is_replaced(place: World) -> None:
    place.environment["FSMFLOW_MAX_MEMORY"] = "200MB"
    supervisor = place.supervisor(processes=1)
    grown = Unruly.start("1", how="grows")
    grown.trigger("go")
    grown.wait("over", timeout=30)
    first, second = place.effects("1")
    assert first.pid != second.pid
    assert "MB of memory, more than 200 MB; it ends now" in supervisor.log
    assert "worker.lost" not in supervisor.log


def test_a_limit_that_every_process_exceeds_is_told(place: World) -> None:
    supervisor = place.supervisor("--max-memory", "1MiB", processes=1)
    of_job(place, "nothing")
    assert "before its first job: it will end after each one" in supervisor.log
