"""Whether an installation is ready: the database and Redis answer, the tables are right, and the machines load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fsmflow import clock, settings
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError
from fsmflow.log import probes
from fsmflow.metrics.single import Single, Turn
from fsmflow.store.store import WrongTables

#: For how long the answer to all of it may take, and how long it is good for.
LIMIT_S: Final = 3.0
_FRESH_S: Final = 1.0

NO_ANSWER: Final = "does not answer"
WRONG_TABLES: Final = "does not have the tables of this release; run 'fsmflow init'"
NOT_ASKED: Final = "was not asked, as the database does not answer"
NOT_LOADED: Final = "cannot be loaded; run 'fsmflow check'"
NONE_FOUND: Final = "were not found; set FSMFLOW_MACHINES to the modules that have them"


class Readiness:
    """The checks of one process. They run side by side, each no more than once at a time, so that a server that hangs
    neither keeps the answer back nor is asked again and again."""

    def __init__(self, runtime: Callable[[], Runtime] = current) -> None:
        self._runtime = runtime
        checks = {"database": self._database, "redis": self._redis, "machines": self._machines}
        self._checks = {name: Single(check, fresh_s=_FRESH_S) for name, check in checks.items()}
        self._told: dict[str, str | None] = dict.fromkeys(checks)

    def faults(self) -> Mapping[str, str]:
        """What is not ready, and why, in words that anybody may read; the log has the error, once. It takes no longer
        than ``LIMIT_S``."""
        until_s = clock.monotonic() + LIMIT_S
        turns = {name: check.turn() for name, check in self._checks.items()}
        answers = {name: self._fault(name, turn, until_s) for name, turn in turns.items()}
        return {name: fault for name, fault in answers.items() if fault is not None}

    def _fault(self, name: str, turn: Turn[str | None], until_s: float) -> str | None:
        try:
            fault, error = turn.result(until_s - clock.monotonic()), None
        except TimeoutError as late:
            fault, error = NO_ANSWER, late
        before, self._told[name] = self._told[name], fault
        if fault is None and before is not None:
            probes.ready(name)
        elif fault is not None and error is not None and before != fault:
            probes.not_ready(name, error)
        return fault

    def _database(self) -> str | None:
        try:
            store = self._runtime().store
        except WrongTables as error:
            return self._met("database", WRONG_TABLES, error)
        except ConfigurationError as error:
            return self._met("database", NO_ANSWER, error)
        try:
            store.check()
        except WrongTables as error:
            return self._met("database", WRONG_TABLES, error)
        except ConfigurationError as error:
            return self._met("database", NO_ANSWER, error)
        finally:
            store.link.forget_connection()
        return None

    def _redis(self) -> str | None:
        try:
            runtime = self._runtime()
        except ConfigurationError:
            return NOT_ASKED
        try:
            for server in runtime.doorbell.servers:
                server.client().ping()
        except runtime.doorbell.errors as error:
            runtime.doorbell.forget()
            return self._met("redis", NO_ANSWER, error)
        return None

    def _machines(self) -> str | None:
        try:
            found = Registry(settings.current().machines).of_user()
        except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything
            return self._met("machines", NOT_LOADED, error)
        return None if found else NONE_FOUND

    def _met(self, name: str, fault: str, error: BaseException) -> str:
        if self._told[name] != fault:
            probes.not_ready(name, error)
        return fault
