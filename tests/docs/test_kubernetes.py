"""The manifests and units of the examples: they are what Kubernetes and systemd take, they fit together, and workers
are started and ended by what they ask.

No cluster is needed: kubectl renders the manifests, a schema of Kubernetes checks them, and a loop does what KEDA does.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import psycopg
import pytest
import yaml

from fsmflow.engine.runtime import current
from fsmflow.objects.counts import demand_object
from tests.docs.test_pages import blocks_of
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.process_flows import Flaky
from tests.support.processes import Supervisor, World

MANIFESTS = ROOT / "examples" / "kubernetes"
PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
FILES = {block.title: block.body for block in blocks_of(PAGE.read_text(encoding="utf-8"), PAGE.name) if block.title}
UNITS = ROOT / "examples" / "systemd"
VERSION = "1.31"
LIMIT_S = 60.0


@cache
def rendered(name: str) -> list[dict[str, Any]]:
    """What kubectl would apply of a folder."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not there, which renders the manifests")
    told = subprocess.run([kubectl, "kustomize", MANIFESTS / name], capture_output=True, text=True, check=True)
    return [found for found in yaml.safe_load_all(told.stdout) if found]


def of_kind(kind: str, name: str = "keda") -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in rendered(name) if found["kind"] == kind}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def queue_of(worker: dict[str, Any]) -> str:
    command: list[str] = container(worker)["command"]
    return command[command.index("--queues") + 1]


def test_the_manifests_are_what_kubernetes_takes() -> None:
    for found in rendered("keda"):
        if "keda.sh" not in found["apiVersion"]:
            kubernetes_validate.validate(found, VERSION, strict=True)


def test_each_workload_stops_as_told_and_writes_no_files() -> None:
    workloads = {**of_kind("Deployment", "base"), **of_kind("Job", "base")}
    assert {"shop-init", "shop-worker", "shop-worker-slow", "shop-dashboard", "shop-metrics"} == set(workloads)
    for name, workload in workloads.items():
        runs = container(workload)
        assert runs["command"][0] == "fsmflow", "no shell in front of it, which would keep SIGTERM to itself"
        assert runs["securityContext"]["readOnlyRootFilesystem"]
        assert runs["image"].partition(":")[0] == "registry.example/shop"
        if "worker" in name:
            assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
        elif workload["kind"] == "Deployment":
            assert {"livenessProbe", "readinessProbe"} <= set(runs)


def test_what_scales_workers_asks_for_their_queue_and_leaves_their_number_to_nobody_else() -> None:
    workers = {name: found for name, found in of_kind("Deployment").items() if name.startswith("shop-worker")}
    scaled = of_kind("ScaledObject")
    assert set(scaled) == set(workers)
    for name, found in scaled.items():
        assert "replicas" not in workers[name]["spec"]
        assert found["spec"]["scaleTargetRef"] == {"name": name}
        (trigger,) = found["spec"]["triggers"]
        assert set(map(type, trigger["metadata"].values())) == {str}
        query = trigger["metadata"]["query"]
        assert f"'{queue_of(workers[name])}'" in query
        assert query.replace("'default'", "'slow'") == FILES["wanted.sql"].strip()


class Scaler:
    """What KEDA does by a ScaledObject, with worker processes for pods, and fewer seconds."""

    def __init__(self, place: World, ask: Callable[[], int]) -> None:
        self._place, self._ask = place, ask
        self._spec = of_kind("ScaledObject")["shop-worker-slow"]["spec"]
        (trigger,) = self._spec["triggers"]
        self._target = int(trigger["metadata"]["targetQueryValue"])
        command = container(of_kind("Deployment")["shop-worker-slow"])["command"][1:]
        self._command = ["1" if word == "2" else word for word in command]
        self.pods: list[Supervisor] = []

    def look(self) -> int:
        """Ask once, and start or end workers by that; how many there are then."""
        most = min(self._spec["maxReplicaCount"], math.ceil(self._ask() / self._target))
        wanted = max(self._spec["minReplicaCount"], most)
        while len(self.pods) < wanted:
            self.pods.append(Supervisor(self._place, self._command))
            self._place.supervisors.append(self.pods[-1])
        while len(self.pods) > wanted:
            pod = self.pods.pop()
            pod.terminate()
            assert pod.ended() == 0, pod.log
        return len(self.pods)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_workers_come_from_nothing_and_go_again_by_the_query_of_the_manifest(
    any_place: World, database_url: str
) -> None:
    (trigger,) = of_kind("ScaledObject")["shop-worker-slow"]["spec"]["triggers"]
    with psycopg.connect(database_url, autocommit=True) as connection:

        def ask() -> int:
            row = connection.execute(trigger["metadata"]["query"].encode()).fetchone()
            assert row is not None
            return int(row[0])

        check_scaling(any_place, ask)


def check_scaling(place: World, ask: Callable[[], int]) -> None:
    scaler = Scaler(place, ask)
    assert scaler.look() == 0
    for turn in ("first", "second"):
        flaky = [Flaky.start(f"{turn}-{number}", fails=0) for number in range(2)]
        for each in flaky:
            each.trigger("go")
        assert ask() == demand_object(current(), ["slow"])["wanted"] == 2
        assert scaler.look() == 1, "a pod is to have two of them"
        eventually(lambda: scaler.look() == 0, within=LIMIT_S, what="no worker any more")
        assert {each.refresh().phase for each in flaky} == {"finished"}


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not there, which checks units")
    for unit in UNITS.iterdir():
        text = unit.read_text(encoding="utf-8").replace("/srv/shop/.venv/bin/fsmflow", "/bin/true")
        (tmp_path / unit.name.replace("@", "@default")).write_text(text, encoding="utf-8")
    units = sorted(path for path in tmp_path.iterdir() if path.suffix in (".service", ".target"))
    assert len(units) == 4
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"}
    told = subprocess.run([verify, "verify", *units], env=environment, capture_output=True, text=True)
    ours = [line for line in told.stderr.splitlines() if str(tmp_path) in line or "shop" in line]
    assert (told.returncode, ours) == (0, [])
