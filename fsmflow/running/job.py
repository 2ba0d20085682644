"""Runs a job, and tells how that ended."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fsmflow import codec, log
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Failed, Postponed, Returned, Settling
from fsmflow.decision.inputs import Outcome
from fsmflow.decision.view import subject_of
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import DONE, FAIL, RETRY
from fsmflow.errors import DataError, Fail, RetryAfter, StepTimeout, shown, told
from fsmflow.running.jobview import JobView
from fsmflow.running.limits import TimeLimit, TimeUp

#: The folder of the modules that stand between a worker and a job.
_HERE = os.path.dirname(__file__)


def run_job(
    spec: StateSpec,
    view: JobView,
    limit: TimeLimit,
    elapsed_ms: Callable[[], int],
    work: Callable[[Any], Settling] | None = None,
) -> Settling:
    """Run the job of a state, or ``work`` in its place; how the attempt ended. Raises nothing."""
    claim, result = view.claim, None
    subject = subject_of(view.definition, view)
    try:
        with limit.running():
            ended = work(subject) if work is not None else None
            result = _call(spec, subject) if ended is None else None
        return ended or _returned(spec, view, result, elapsed_ms())
    except RetryAfter as error:
        return Postponed(claim=claim, duration_ms=elapsed_ms(), seconds=max(0.0, float(error.seconds)))
    except TimeUp as error:
        limit.disarm()
        limit_s = (spec.limit_ms or 0) / 1000
        message = f"job {spec.job_name!r} ran longer than its limit of {limit_s:g} s"
        return _failed(view, Facts(kind=StepTimeout, message=message, traceback=trace(error)), elapsed_ms())
    except BaseException as error:  # noqa: BLE001 - whatever a job raises is recorded
        limit.disarm()
        permanent = isinstance(error, (Fail, DataError))
        facts = Facts(kind=type(error), message=told(error), traceback=trace(error), permanent=permanent)
        return _failed(view, facts, elapsed_ms(), result.data if isinstance(result, Outcome) else result)


def _call(spec: StateSpec, subject: Any) -> Any:
    if spec.job is None:
        raise AssertionError(f"state {spec.name!r} has no job")
    result = spec.job(subject)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def _returned(spec: StateSpec, view: JobView, result: Any, duration_ms: int) -> Returned:
    """What a job returned, read. Raises DataError for what it cannot be."""
    trigger, more = DONE, result
    if isinstance(result, Outcome):
        if not isinstance(result.trigger, str) or result.trigger in (FAIL, RETRY):
            raise DataError(
                f"job {spec.job_name!r} returned {shown(result)}; it fails by raising, for good with Fail(...)"
            )
        trigger, more = result.trigger, result.data
    changes = Changes()
    if view.snapshot.branch_of is not None:
        codec.encode(more, what=f"what job {spec.job_name!r} returned", limit=2**31)
    elif more is None or isinstance(more, Mapping):
        changes = view.changes(dict(more or {}))
    else:
        raise DataError(
            f"job {spec.job_name!r} returned {shown(result)} ({type(result).__name__}); a job returns None, a mapping "
            f"to be merged into data, or Outcome(...)"
        )
    return Returned(
        claim=view.claim, duration_ms=duration_ms, trigger=trigger, changes=changes, result=more, sent=tuple(view.sent)
    )


def _failed(view: JobView, facts: Facts, duration_ms: int, result: Any = None) -> Failed:
    """What only the job knows, its result and what it made of the data, is taken out here; the rest with the commit."""
    message, text = (view.masked(found, result) for found in (facts.message, facts.traceback))
    facts = replace(facts, message=message, traceback=text)
    log.attempt_failed(
        view.snapshot.address, view.snapshot.state, view.claim.attempt, f"{facts.error_type}: {facts.message}"
    )
    return Failed(claim=view.claim, duration_ms=duration_ms, facts=facts)


def trace(error: BaseException) -> str:
    """The traceback from the job on, without fsmflow's own frames and without locals."""
    frames = traceback.extract_tb(error.__traceback__)
    while len(frames) > 1 and frames[0].filename.startswith(_HERE):
        frames = traceback.StackSummary.from_list(frames[1:])
    return "".join(["Traceback (most recent call last):\n", *frames.format(), *traceback.format_exception_only(error)])
