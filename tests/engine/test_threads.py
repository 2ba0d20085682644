"""The threads of what is awaited, where the system gives none, and in a process that was forked."""

from __future__ import annotations

import asyncio
import os
import threading
from unittest.mock import patch

import pytest

from fsmflow.engine.threads import Pool


def test_where_no_thread_can_be_started_the_call_is_refused_and_the_next_one_is_made() -> None:
    pool = Pool(2, name="few", kept_s=5)

    async def call() -> None:
        with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            for _ in range(2):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await pool.run(int)
        assert await pool.run(int) == 0
        await asyncio.wait_for(pool.aclose(), 10)

    asyncio.run(call())


def test_what_one_thread_can_do_is_not_refused_where_no_second_one_can_be_started() -> None:
    pool, free = Pool(2, name="few", kept_s=5), threading.Event()

    async def call() -> None:
        first = asyncio.ensure_future(pool.run(free.wait, 10))
        await asyncio.sleep(0)
        with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            second = asyncio.ensure_future(pool.run(int))
            await asyncio.sleep(0)
        free.set()
        assert (await first, await second) == (True, 0)
        await pool.aclose()

    asyncio.run(call())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_threads_of_a_parent_are_not_waited_for_in_a_process_that_was_forked() -> None:
    pool = Pool(1, name="few", kept_s=5)
    asyncio.run(pool.run(int))
    child = os.fork()
    if not child:
        try:
            asyncio.run(asyncio.wait_for(pool.aclose(), 10))
            pool.close()
        except BaseException:  # noqa: BLE001 - the parent is told by the status
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    asyncio.run(pool.aclose())
