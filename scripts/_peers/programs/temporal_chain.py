"""Temporal: a workflow of activities, on its dev server with a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from _bench_marks import STEPS, mark

_QUEUE = "bench"
_ADDRESS = f"127.0.0.1:{os.environ['BENCH_PORT']}"
_PATIENCE_S = 60.0


@activity.defn
async def step() -> None:
    mark()


@workflow.defn
class Chain:
    @workflow.run
    async def run(self) -> None:
        for _ in range(STEPS):
            await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=30))


def attend() -> None:
    """The dev server."""
    command = str(Path(sys.executable).with_name("temporal"))
    options = ["--headless", "--ip", "127.0.0.1", "--port", os.environ["BENCH_PORT"], "--log-level", "error"]
    options += ["--db-filename", str(Path(os.environ["BENCH_MARKS"]).with_suffix(".temporal"))]
    os.execv(command, [command, "server", "start-dev", *options])


def enqueue(chains: int) -> None:
    """All of them; then the process ends at once. Its library may crash in a thread of its own while Python ends."""
    _run(lambda client: _enqueue(client, chains))
    os._exit(0)


async def _enqueue(client: Client, chains: int) -> None:
    for number in range(chains):
        await client.start_workflow(Chain.run, id=f"chain-{number}", task_queue=_QUEUE)


def serve(number: int, workers: int) -> None:
    """One worker as it is by default, with many activities at once."""
    _run(_serve)


async def _serve(client: Client) -> None:
    runner = UnsandboxedWorkflowRunner()
    await Worker(client, task_queue=_QUEUE, workflows=[Chain], activities=[step], workflow_runner=runner).run()


def _run(what: Callable[[Client], Awaitable[None]]) -> None:
    async def connected() -> None:
        await what(await _client())

    asyncio.run(connected())


async def _client() -> Any:
    """Once the server answers and has its namespace."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_S
    while True:
        try:
            client = await Client.connect(_ADDRESS)
            await client.count_workflows("WorkflowType = 'Chain'")
            return client
        except Exception:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.2)
