"""Spans of OpenTelemetry: one for each request, and one for each attempt. Needs the extra ``otel``.

An attempt begins a trace of its own, with a link to what it was begun by: that may be days ago, and is kept in SQL
with the work. So are the links of what a step leads to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar, Token
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fsmflow.errors import FsmflowError, name_of, text_of
from fsmflow.observers import Failing, Observer, Request, Step, watch
from fsmflow.values import dataclass

_SYSTEM: Final = "fsmflow"
_PARENT: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()
#: Of a description of a status, so much is told.
_MOST: Final = 300


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Have this process make spans, with this provider or the one that is set for all. Called again, the last call
    counts. To be called in a module that the machines import, so that workers do it too."""
    watch(_Spans(trace.get_tracer("fsmflow", tracer_provider=tracer_provider)))


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A span that is current, until its token is given back. ``step``: that of an attempt."""

    span: Span
    token: Token[Context]
    step: Step | None = None


class _Spans(Observer):
    name = "OpenTelemetry"

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._running: ContextVar[_Begun | None] = ContextVar("fsmflow_span", default=None)

    def carried(self) -> str | None:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get(_PARENT)

    def request_begins(self, request: Request) -> _Begun:
        what = request.machine if request.trigger is None else f"{request.machine}.{request.trigger}"
        attributes = _known(
            {
                **_operation(request.operation, "send"),
                "fsmflow.machine": request.machine,
                "fsmflow.address": request.address,
                "fsmflow.trigger": request.trigger,
            }
        )
        span = self._tracer.start_span(f"{request.operation} {what}", kind=SpanKind.PRODUCER, attributes=attributes)
        return _Begun(span=span, token=context.attach(trace.set_span_in_context(span)))

    def request_ends(self, begun: _Begun, led_to: Step | None, error: BaseException | None) -> None:
        if led_to is not None:
            begun.span.set_attributes(_known(_about(led_to)))
        _end(begun, error)

    def attempt_begins(self, step: Step) -> _Begun:
        attributes = _known(
            {
                **_operation("process", "process"),
                **_about(step),
                "fsmflow.trigger": step.trigger,
                "fsmflow.attempt": step.attempt,
                "fsmflow.crashed": step.crashed or None,
            }
        )
        alone = Context()
        span = self._tracer.start_span(
            f"process {step.machine}.{step.state}",
            context=alone,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(step.cause),
        )
        begun = _Begun(span=span, token=context.attach(trace.set_span_in_context(span, alone)), step=step)
        self._running.set(begun)
        return begun

    def attempt_ends(self, begun: _Begun, error: BaseException | None) -> None:
        self._running.set(None)
        _end(begun, error)

    def failed(self, failing: Failing) -> None:
        begun = self._running.get()
        if begun is None or begun.step is None or not _is_about(failing.step, begun.step):
            return
        begun.span.set_attributes({"error.type": failing.error_type, "fsmflow.outcome": failing.outcome})
        begun.span.set_status(StatusCode.ERROR, f"{failing.error_type}: {failing.message}"[:_MOST])
        begun.span.add_event(
            "exception",
            {
                "exception.type": failing.error_type,
                "exception.message": failing.message,
                "exception.stacktrace": failing.traceback,
            },
        )


def _operation(name: str, kind: str) -> dict[str, Any]:
    return {"messaging.system": _SYSTEM, "messaging.operation.name": name, "messaging.operation.type": kind}


def _about(step: Step) -> dict[str, Any]:
    """A message is the work of one visit; its attempts are deliveries of that."""
    return {
        "messaging.destination.name": step.queue,
        "messaging.message.id": f"{step.address}@{step.epoch}",
        "fsmflow.machine": step.machine,
        "fsmflow.address": step.address,
        "fsmflow.state": step.state,
        "fsmflow.epoch": step.epoch,
    }


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _is_about(failed: Step, running: Step) -> bool:
    mine = (running.address, running.epoch, running.attempt)
    return (failed.address, failed.epoch, failed.attempt or running.attempt) == mine


def _links(cause: str | None) -> Sequence[Link]:
    if cause is None:
        return ()
    found = trace.get_current_span(_W3C.extract({_PARENT: cause}, Context())).get_span_context()
    return (Link(found),) if found.is_valid else ()


def _end(begun: _Begun, error: BaseException | None) -> None:
    """What is raised may quote what is redacted, unless it is a sentence of fsmflow's own."""
    if error is not None:
        kind = name_of(type(error))
        begun.span.set_attribute("error.type", kind)
        told = f"{kind}: {text_of(error)}" if isinstance(error, FsmflowError) else kind
        begun.span.set_status(StatusCode.ERROR, told[:_MOST])
    context.detach(begun.token)
    begun.span.end()
