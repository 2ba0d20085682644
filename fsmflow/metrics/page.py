"""What is answered to a request, whoever brings it: the numbers, whether the process lives, whether it is ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow import __version__
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError
from fsmflow.log import probes
from fsmflow.metrics.exposition import CONTENT_TYPE, Numbers
from fsmflow.metrics.readiness import Readiness
from fsmflow.metrics.single import Single
from fsmflow.metrics.sources import read
from fsmflow.values import dataclass

#: For so long the same numbers are told, and for so long they are waited for: less than Prometheus waits.
FRESH_S: Final = 5.0
LIMIT_S: Final = 8.0

_TEXT: Final = "text/plain; charset=utf-8"
_WHERE: Final = "there is /metrics, /healthz and /readyz here\n"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of HTTP. ``allow``: the methods that there are, where it was another one."""

    status: int
    body: str
    content_type: str = _TEXT
    allow: str | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        found = [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body.encode()))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        return found if self.allow is None else [*found, ("Allow", self.allow)]


class Page:
    """The answers of one process. Threads share it."""

    def __init__(self, runtime: Callable[[], Runtime] = current) -> None:
        self._runtime = runtime
        self._numbers = Single(self._read, fresh_s=FRESH_S)
        self._readiness = Readiness(runtime)

    def answer(self, method: str, path: str) -> Answer:
        """Raises nothing, and takes some seconds at most, whatever the database does."""
        answers = {"/metrics": self._metrics, "/healthz": self._alive, "/readyz": self._ready}
        if path not in answers:
            return Answer(status=404, body=_WHERE)
        if method not in ("GET", "HEAD"):
            return Answer(status=405, body="only GET and HEAD\n", allow="GET, HEAD")
        return answers[path]()

    def text(self) -> str:
        """The numbers. Where the database does not answer they say so, and nothing else of it: what was read before is
        not told as if it held still."""
        try:
            return self._numbers.turn().result(LIMIT_S)
        except (ConfigurationError, TimeoutError) as error:
            probes.not_answered("database", error)
        numbers = Numbers()
        numbers.add("up", 0)
        return numbers.text()

    def _metrics(self) -> Answer:
        return Answer(status=200, body=self.text(), content_type=CONTENT_TYPE)

    def _alive(self) -> Answer:
        return Answer(status=200, body=f"fsmflow {__version__}\n")

    def _ready(self) -> Answer:
        faults = self._readiness.faults()
        if not faults:
            return Answer(status=200, body="ready\n")
        return Answer(status=503, body="".join(f"not ready: {name} {fault}\n" for name, fault in faults.items()))

    def _read(self) -> str:
        runtime, numbers = self._runtime(), Numbers()
        try:
            numbers.add("up", 1)
            read(runtime, numbers)
        finally:
            runtime.store.link.forget_connection()
        return numbers.text()
