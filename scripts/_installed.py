"""An installation with real processes, on a new database of a server of the tests, or on a file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import World, installation
from tests.support.servers import Valkey, fresh_mysql, fresh_postgres


@contextlib.contextmanager
def installed(kind: str) -> Iterator[World]:
    """Such an installation, with this process as its client. The servers are those of FSMFLOW_TEST_POSTGRES_URL and
    FSMFLOW_TEST_MYSQL_URL."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        valkey = Valkey(folder)
        valkey.start()
        stack.callback(valkey.stop)
        url = f"sqlite:///{folder}/fsmflow.db"
        if kind != "sqlite":
            fresh = {"postgres": fresh_postgres, "mysql": fresh_mysql}[kind]
            url = stack.enter_context(fresh(os.environ[f"FSMFLOW_TEST_{kind.upper()}_URL"]))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        yield stack.enter_context(installation(folder, patch, database_url=url, redis_url=valkey.url))
