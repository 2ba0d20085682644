"""Runs a job, and tells how that ended."""

from __future__ import annotations

import asyncio
import difflib
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any, Final

from fsmflow import clock, codec, log
from fsmflow.causes import behind, blocks, let_go, origin_of, summary
from fsmflow.decision import asker
from fsmflow.decision.context import Undoing
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Crashed, Failed, Postponed, Returned, Spread
from fsmflow.decision.inputs import Outcome
from fsmflow.decision.view import subject_of
from fsmflow.definition.names import DONE, FAIL, RETRY
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, MethodError, StepTimeout, shown, text_of
from fsmflow.running.attempt import Attempt, Ended
from fsmflow.running.fanout import BranchMaker
from fsmflow.running.fork import leave_if_forked
from fsmflow.running.jobview import role_of
from fsmflow.running.limits import LoopLimit, Silent, TimeLimit, TimeUp
from fsmflow.running.verdict import decisive_of
from fsmflow.values import replace

#: What others call what a machine has, and what it is here.
_CALLED_OTHERWISE: Final = {"id": "entity_id", "pk": "entity_id", "status": "state", "payload": "event"}
#: How alike another name has to be.
_NEAR: Final = 0.8


class Job:
    """The job of one attempt: what it sees, and until when it may run. Its time begins as this is made. ``told`` is
    called as often as it gives a sign of life."""

    def __init__(
        self,
        runtime: Runtime,
        attempt: Attempt,
        undoing: Undoing | None,
        told: Callable[[TimeLimit], None],
        limit: type[TimeLimit] | None = None,
    ) -> None:
        self._runtime = runtime
        self._attempt = attempt
        self._spec = attempt.spec
        left_s = attempt.left_s(runtime.now())
        limits = [limit_s for limit_s in (attempt.limit_s, left_s) if limit_s is not None]
        limit_s = min(limits, default=None)
        #: Whether the time of the whole step is over before that of the attempt.
        self._cut = limit_s is not None and limit_s == left_s
        self._begins = False
        self.limit = (limit or TimeLimit)(limit_s, attempt.silence_s, told)
        self._ends_at = math.inf if left_s is None else self.limit.began + left_s
        self._pid = os.getpid()
        # Nothing of what the view is given leads back to it: a ring would keep the data until garbage is collected.
        shield, deadline, alive = self.limit.shield, self.limit.deadline, self.limit.alive
        self.view = role_of(attempt)(runtime, attempt, shield, deadline, undoing, alive)

    def run(self) -> Ended:
        """Run it under its limit, or make branches in its place; how the attempt ended. Where the time of its step is
        over already nothing begins. Raises nothing."""
        result: Any = None
        try:
            self._begin()
            with self.limit.running(), asker.working(*self._attempt.addresses):
                if self._attempt.makes_branches:
                    return self._make_branches()
                result = self._call()
            return self._returned(result)
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is recorded
            self.limit.disarm()
            return self._raised(error, getattr(result, "data", None) if isinstance(result, Outcome) else result)
        finally:
            self.limit.disarm()

    async def run_in_loop(self, taking_turns: Callable[[Any], Awaitable[Any]]) -> Ended:
        """The same of an ``async`` job on an event loop that it shares. ``taking_turns`` is how it is awaited."""
        result, limit = None, self.limit
        if not isinstance(limit, LoopLimit):
            raise AssertionError("a limit that works by signals")
        try:
            self._begin()
            limit.watch()
            with asker.working(*self._attempt.addresses):
                result = await self._await(taking_turns)
            return self._returned(result)
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is recorded
            limit.disarm()
            if limit.struck is not None and isinstance(error, asyncio.CancelledError):
                error = limit.struck.with_traceback(error.__traceback__)
            return self._raised(error, getattr(result, "data", None) if isinstance(result, Outcome) else result)
        finally:
            limit.disarm()

    async def _await(self, taking_turns: Callable[[Any], Awaitable[Any]]) -> Any:
        job, what = self._spec.job, f"job {self._spec.job_name!r} of {self.view.snapshot.address}"
        try:
            result = await taking_turns(job(subject_of(self.view.definition, self.view)))  # type: ignore[misc]
        except BaseException as error:
            leave_if_forked(self._pid, what, error)
            raise
        self._has_returned(what)
        return result

    def _has_returned(self, what: str) -> None:
        leave_if_forked(self._pid, what)
        if self.view.finish_session():
            log.transaction_left_open(self.view.snapshot.address, self._spec.job_name)

    def _begin(self) -> None:
        self._begins = clock.monotonic() < self._ends_at
        if not self._begins:
            self._cut = True
            raise TimeUp

    def _elapsed_ms(self) -> int:
        return round((clock.monotonic() - self.limit.began) * 1000)

    def _make_branches(self) -> Spread:
        maker = BranchMaker(self._runtime, self._attempt, self.limit.shield)
        items = maker.make(subject_of(self.view.definition, self.view))
        return Spread(claim=self._attempt.claim, items=items, changes=maker.changes)

    def _call(self) -> Any:
        if self._spec.job is None:
            raise AssertionError(f"state {self._spec.name!r} has no job")
        job, what = self._spec.job, f"job {self._spec.job_name!r} of {self.view.snapshot.address}"
        try:
            # What it sets of context variables ends with it.
            result = copy_context().run(_called, job, subject_of(self.view.definition, self.view))
        except BaseException as error:
            leave_if_forked(self._pid, what, error)
            raise
        self._has_returned(what)
        return result

    def _returned(self, result: Any) -> Returned:
        """What the job returned, read. Raises DataError for what it cannot be."""
        duration_ms = self._elapsed_ms()
        trigger, more = DONE, result
        if isinstance(result, Outcome):
            if not isinstance(result.trigger, str) or result.trigger in (FAIL, RETRY):
                how = "it fails by raising, for good with Fail(...)"
                raise DataError(f"job {self._spec.job_name!r} returned {shown(result)}; {how}")
            trigger, more = result.trigger, result.data
        changes = Changes()
        if self.view.snapshot.branch_of is not None:
            codec.encode(more, what=f"what job {self._spec.job_name!r} returned", limit=2**31)
        elif more is None or isinstance(more, Mapping):
            changes = self.view.changes(dict(more or {}))
        else:
            raise DataError(
                f"job {self._spec.job_name!r} returned {shown(result)} ({type(result).__name__}); a job returns None, "
                f"a mapping to be merged into data, or Outcome(...)"
            )
        return Returned(
            claim=self._attempt.claim,
            duration_ms=duration_ms,
            trigger=trigger,
            changes=changes,
            result=more,
            sent=tuple(self.view.sent),
        )

    def _raised(self, error: BaseException, result: Any) -> Ended:
        """How an attempt ended whose job raised, or whose result cannot be read."""
        asked = None
        if self._attempt.makes_branches and type(error) is MethodError and error.__cause__ is not None:
            # It tells which method was asked; what that raised decides.
            asked, error = text_of(error), error.__cause__
        decisive = decisive_of(error, self._spec.retry)
        if decisive.wait_s is not None:
            return Postponed(claim=self._attempt.claim, duration_ms=self._elapsed_ms(), seconds=decisive.wait_s)
        if decisive.is_any(Silent):
            return self._fell_silent()
        overran = decisive.is_any(TimeUp)
        facts = Facts(
            kind=StepTimeout if overran else type(decisive.error),
            message=self._overran() if overran else asked or text_of(decisive.error) + self._hint(decisive.error),
            traceback=blocks(error),
            permanent=decisive.permanent,
            within=decisive.within,
            # A limit strikes wherever the job is just then.
            origin=None if overran else origin_of(decisive.error, self.view.definition.owner.__module__),
            raised=error,
            behind=f" in {summary(error)}" if decisive.within else behind(error),
        )
        # It is kept until its end is committed, and told.
        let_go(error)
        failed = self._failed(facts, result)
        return replace(failed, overdue=overran and self._cut)

    def _hint(self, error: BaseException) -> str:
        """The name that was likely meant, where the job asked its machine for an attribute that there is not."""
        owner = self.view.definition.owner
        if type(error) is not AttributeError or type(error.obj) is not owner or not isinstance(error.name, str):
            return ""
        near = difflib.get_close_matches(error.name, dir(owner), n=1, cutoff=_NEAR)
        meant = _CALLED_OTHERWISE.get(error.name) or "".join(near)
        return f"; did you mean {meant!r}?" if meant else ""

    def _fell_silent(self) -> Crashed:
        spec, seconds = self._spec, self._attempt.silence_s or 0
        detail = f"job {spec.job_name!r} gave no sign of life for {seconds:g} s, as heartbeat= asks it to"
        log.attempt_crashed(self.view.snapshot.address, detail)
        return Crashed(claim=self._attempt.claim, duration_ms=self._elapsed_ms(), detail=detail)

    def _overran(self) -> str:
        what = "making branches" if self._attempt.makes_branches else f"job {self._spec.job_name!r}"
        if self._cut:
            how = "still ran" if self._begins else "was not begun"
            return f"{what} {how} as the time that its state gives the step was over"
        return f"{what} ran longer than its limit of {self._attempt.limit_s or 0:g} s"

    def _failed(self, facts: Facts, result: Any) -> Failed:
        """What only the job knows, its result and what it made of the data, is taken out here; the rest with the
        commit."""
        view, duration_ms = self.view, self._elapsed_ms()
        texts = tuple(view.masked(block, result) for block in facts.blocks)
        message, behind = view.masked(facts.message, result), view.masked(facts.behind, result)
        facts = replace(facts, message=message, traceback=texts, behind=behind)
        return Failed(claim=self._attempt.claim, duration_ms=duration_ms, facts=facts)


def _called(job: Callable[[Any], Any], subject: Any) -> Any:
    result = job(subject)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result
