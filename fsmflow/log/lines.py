"""What a log line carries beside its words, how it is written, and the logger that a job gets."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from fsmflow import clock

logger = logging.getLogger("fsmflow")
of_jobs = logging.getLogger("fsmflow.job")

#: How lines are written.
TEXT: Final = "text"
JSON: Final = "json"
FORMS: Final = (TEXT, JSON)

#: The attempt that this thread runs: its address, state, attempt and epoch.
running: ContextVar[Mapping[str, Any] | None] = ContextVar("fsmflow_running", default=None)

#: So much of a text of somebody else's is logged.
_LONGEST: Final = 4_000
_FORMAT: Final = "%(asctime)s %(levelname)-7s %(message)s"
_WITH_TRACEBACK: Final = logging.Formatter("%(message)s")
_FIELDS: Final = ("event", "address", "machine", "state", "attempt", "epoch", "trace_id")


def one_line(text: str) -> str:
    """A text of somebody else's as it can be written: one line, in UTF-8, of moderate length."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


class LogFields(logging.Filter):
    """A filter for handlers: gives each log record ``event``, ``address``, ``machine``, ``state``, ``attempt``,
    ``epoch`` and ``trace_id``, each None where there is none.

    A line that is logged while a job runs gets those of its attempt, whichever logger it comes from. ``event`` is the
    name with which a line of fsmflow's own begins. ``trace_id`` is that of OpenTelemetry's current span, where one is
    recorded. A thread that a job starts has these fields only if it runs in a copy of the job's context
    (``contextvars.copy_context().run``).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every record passes."""
        own, now = record.__dict__, running.get() or {}
        # What is told of another entity while a job runs has nothing of its attempt.
        known = {**now, **own} if own.get("address") in (None, now.get("address")) else own
        found = {name: known.get(name) for name in _FIELDS}
        address = found["address"]
        found["machine"] = address.partition(":")[0] if isinstance(address, str) else found["machine"]
        if record.name == logger.name and isinstance(record.msg, str):
            found["event"] = record.msg.partition(":")[0]
        found["trace_id"] = found["trace_id"] or _trace_id()
        own.update(found)
        return True


def _trace_id() -> str | None:
    """Of the span that is being recorded. OpenTelemetry is not imported for it: without it there is no span."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span()
    return f"{span.get_span_context().trace_id:032x}" if span.is_recording() else None


class JsonLines(logging.Formatter):
    """One JSON object a line. What does not apply is left out."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = {
            "time": clock.iso(clock.to_datetime(round(record.created * 1000))),
            "level": record.levelname,
            "logger": record.name,
            **{name: getattr(record, name, None) for name in _FIELDS},
            "message": record.getMessage(),
            "exception": record.exc_text or (self.formatException(record.exc_info) if record.exc_info else None),
            "stack": record.stack_info,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None}, default=str)


class _Heard(logging.Logger):
    """One that a ``dictConfig`` of the user's does not switch off by not naming it. A level of its own still does."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Left alone: ``disable_existing_loggers`` is True where nobody says otherwise."""


def configure(level: str, form: str = TEXT) -> None:
    """Write log lines to standard error, as worker and supervisor do. ``transitions``, RQ and watchfiles only where
    they warn, and peewee too: it would log each statement with the data that it writes. What is printed is seen line by
    line: it would be lost with a process that is killed."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == JSON else logging.Formatter(_FORMAT))
    handler.addFilter(LogFields())
    logging.basicConfig(level=level, handlers=[handler])
    for ours in (logger, of_jobs):
        object.__setattr__(ours, "__class__", _Heard)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for name in ("transitions", "rq.worker", "peewee", "watchfiles"):
        logging.getLogger(name).setLevel(logging.WARNING)


class StepLog(logging.LoggerAdapter[logging.Logger]):
    """``machine.log``: each line begins with the entity, its state and the attempt, and has them as fields.

    With a ``mask`` the line is put together here, its traceback too, and handed on as text without what is redacted.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, object], mask: Callable[[str], str] | None) -> None:
        super().__init__(logger, extra)
        self._mask = mask

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log one line."""
        if not self.isEnabledFor(level):
            return
        if self._mask is not None:
            error = _error_of(kwargs.pop("exc_info", None))
            whole = self.logger.makeRecord(self.logger.name, level, "", 0, msg, args, error)
            msg, args = self._mask(_WITH_TRACEBACK.format(whole)), ()
        extra = self.extra or {}
        start = f"{extra.get('address')} {extra.get('state')} attempt {extra.get('attempt')}"
        # An id may have a '%', which is a placeholder as soon as there are arguments.
        line = f"{start.replace('%', '%%') if args else start}: {msg}"
        more = {"extra": {**(kwargs.get("extra") or {}), **extra}, "stacklevel": kwargs.get("stacklevel", 1) + 1}
        self.logger.log(level, line, *args, **{**kwargs, **more})


def step_log(fields: Mapping[str, Any], mask: Callable[[str], str] | None = None) -> StepLog:
    """The logger that a job gets, with the fields of its attempt. ``mask`` takes out of each line what is not to be
    seen."""
    return StepLog(of_jobs, fields, mask)


def _error_of(exc_info: Any) -> Any:
    """What ``exc_info=`` of a logging call means."""
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return sys.exc_info() if exc_info and not isinstance(exc_info, tuple) else exc_info
