"""Failures for good, and schedules, for Sentry: ``sentry_sdk.init(integrations=[FsmflowIntegration()])``. Needs the
extra ``sentry``."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final

import sentry_sdk
from sentry_sdk.crons import capture_checkin
from sentry_sdk.integrations import Integration
from sentry_sdk.scope import add_global_event_processor
from sentry_sdk.utils import event_from_exception, single_exception_from_error_tuple

from fsmflow.causes import traceback_of
from fsmflow.log.lines import logger
from fsmflow.observers import CAUGHT, RETRIED, Failing, Observer, Step, Tick, watch

#: What Sentry makes events of by itself, and is told here with more to it.
_TOLD: Final = "step.failed:"
_LONGEST_SLUG: Final = 50
_CHECK_INS: Final = uuid.UUID("0c9c2a52-6d5f-4b8b-9a3e-6c8d0a6a3f10")
_STATUS: Final = {None: "in_progress", True: "ok", False: "error"}


class FsmflowIntegration(Integration):
    """Sends what has failed for good, with the fingerprint of its failure group; what is run again is not sent.

    ``data``: whether those of the entity go along, without what its machine redacts. ``schedules``: whether machines
    with a ``schedule`` are monitored as crons. ``max_runtime``: after how long Sentry takes the entity of a tick for
    lost.
    """

    identifier = "fsmflow"

    def __init__(
        self, *, data: bool = False, schedules: bool = True, max_runtime: timedelta = timedelta(days=1)
    ) -> None:
        self.data = data
        self.schedules = schedules
        self.max_runtime = max_runtime

    @staticmethod
    def setup_once() -> None:
        """Called by Sentry, once a process."""
        watch(_Reports())
        add_global_event_processor(_without_what_is_told)


def _integration() -> FsmflowIntegration | None:
    return sentry_sdk.get_client().get_integration(FsmflowIntegration)


def _without_what_is_told(event: Any, hint: Any) -> Any:
    """The line of the log about the same failure is not sent, too."""
    record = hint.get("log_record")
    if record is None or record.name != logger.name or _integration() is None:
        return event
    return None if str(record.msg).startswith(_TOLD) else event


class _Reports(Observer):
    name = "Sentry"

    @property
    def is_on(self) -> bool:
        return _integration() is not None

    def attempt_begins(self, step: Step) -> ExitStack | None:
        """What a job tells Sentry, and what others do meanwhile, has the tags of its attempt, and ends with it."""
        if not self.is_on:
            return None
        stack = ExitStack()
        scope = stack.enter_context(sentry_sdk.isolation_scope())
        scope.clear_breadcrumbs()
        scope.set_transaction_name(f"{step.machine}.{step.state}")
        scope.set_tags(_tags(step))
        return stack

    def attempt_ends(self, begun: ExitStack | None, error: BaseException | None) -> None:
        if begun is not None:
            begun.close()

    def failed(self, failing: Failing) -> None:
        integration = _integration()
        if failing.outcome != RETRIED and integration is not None:
            event, hint = _event(failing, with_data=integration.data)
            sentry_sdk.capture_event(event, hint)

    def ticked(self, tick: Tick) -> None:
        integration = _integration()
        if integration is None or not integration.schedules:
            return
        capture_checkin(
            monitor_slug=_slug(tick.machine),
            check_in_id=uuid.uuid5(_CHECK_INS, tick.address).hex,
            status=_STATUS[tick.ok],
            duration=tick.seconds,
            monitor_config={
                "schedule": {"type": "crontab", "value": tick.cron},
                "timezone": tick.zone,
                "max_runtime": max(round(integration.max_runtime.total_seconds() / 60), 1),
            },
        )


def _slug(machine: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", machine.lower())[:_LONGEST_SLUG]


def _tags(step: Step) -> dict[str, str]:
    tags = {
        "fsmflow.machine": step.machine,
        "fsmflow.state": step.state,
        "fsmflow.queue": step.queue,
        "fsmflow.address": step.address,
    }
    return {name: value for name, value in tags.items() if value is not None}


def _event(failing: Failing, *, with_data: bool) -> tuple[Any, Any]:
    step, is_caught = failing.step, failing.outcome == CAUGHT
    event, hint = _raised(failing, {"type": "fsmflow", "handled": is_caught})
    for frame in _frames(event):
        # However fsmflow is installed, it is not what people look for.
        if str(frame.get("module")).startswith("fsmflow."):
            frame["in_app"] = False
    data = {"data": dict(failing.data())} if with_data else {}
    release = {} if failing.release is None else {"fsmflow.release": failing.release}
    about: Mapping[str, Any] = {
        "address": step.address,
        "state": step.state,
        "attempt": step.attempt,
        "epoch": step.epoch,
        "group": f"fsmflow failures {failing.fingerprint}",
        **({} if is_caught else {"retry": failing.retry}),
        **data,
    }
    event.update(
        {
            "level": "warning" if is_caught else "error",
            "logger": logger.name,
            "transaction": f"{step.machine}.{step.state}",
            "fingerprint": [failing.fingerprint],
            "tags": {**_tags(step), **release},
            "contexts": {"fsmflow": about},
        }
    )
    return event, hint


def _frames(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for value in event["exception"]["values"]:
        yield from (value.get("stacktrace") or {}).get("frames", ())


def _raised(failing: Failing, mechanism: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error as Sentry shows it, without variables: those of the user's frames have been emptied, and what is left
    of ours may be what a job has returned. Where a machine redacts, the words are those of the failure; what is behind
    the error, which has words of its own, does not go along."""
    options = {**sentry_sdk.get_client().options, "include_local_variables": False}
    error = failing.raised
    if error is not None and not failing.redacts:
        event, hint = event_from_exception(error, client_options=options, mechanism=mechanism)
        return dict(event), dict(hint)
    told: dict[str, Any] = {"mechanism": mechanism}
    if error is not None:
        told = single_exception_from_error_tuple(type(error), None, traceback_of(error), options, mechanism)
    told |= {"type": failing.error_type, "value": failing.message}
    return {"exception": {"values": [told]}}, {}
