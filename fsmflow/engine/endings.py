"""What the log says of an attempt or a step that has ended: done, run again, caught, failed."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from typing import Any, cast

from fsmflow import clock
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.happenings import Failed, Happening, Joined, Postponed
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.definition.model import Definition
from fsmflow.engine.observation import tell_failure
from fsmflow.engine.registry import is_built_in
from fsmflow.log import endings


def tell_ending(definition: Definition, commit: Commit, after: Snapshot, happening: Happening | None) -> None:
    """Tell of the attempt or step that a commit ended, if it did; after the commit. Next to nothing where nobody
    listens."""
    for entry in commit.entries:
        if entry.failure is not None:
            tell_failure(definition, commit, entry, after, happening)
            _tell_failure(definition, commit, entry, after, happening)
        elif (entry.duration is not None or isinstance(happening, Joined)) and endings.tells(logging.INFO):
            _tell_success(commit, entry, after)
    if isinstance(happening, Postponed) and endings.tells(logging.INFO):
        how = f"{after.address} {after.state}, attempt {happening.claim.attempt}"
        is_usual = is_built_in(after.machine)
        endings.attempt_postponed(how, _then(after), {"address": after.address}, is_usual=is_usual)


def _tell_success(commit: Commit, entry: HistoryEntry, after: Snapshot) -> None:
    fields = _fields(entry, after)
    if entry.kind is HistoryKind.SAVED:
        endings.step_waits(_how(entry, after, entry.duration), fields)
    elif entry.kind.enters and entry is commit.entries[0]:
        endings.step_done(_how(entry, after, _seconds(commit, entry)), fields)


def _tell_failure(
    definition: Definition, commit: Commit, entry: HistoryEntry, after: Snapshot, happening: Happening | None
) -> None:
    failure = cast(Failure, entry.failure)
    facts = happening.facts if isinstance(happening, Failed) else None
    error = f"{failure.error_type}: {failure.message}{facts.behind if facts is not None else ''}"
    took = _seconds(commit, entry) if isinstance(happening, Joined) else entry.duration
    how, fields = _how(entry, after, took), _fields(entry, after)
    if entry.kind is HistoryKind.ATTEMPT_FAILED:
        if endings.tells(logging.WARNING):
            endings.attempt_failed(how, error, _then(after), fields)
        return
    if not entry.kind.enters:
        return
    # The error itself has what is redacted, in its words and in its frames.
    raised = facts.raised if facts is not None and not definition.wide.redact else None
    # That of a branch stands in a line of its own.
    traceback = "" if isinstance(happening, Joined) else failure.traceback
    spec = definition.states.get(entry.dest)
    if spec is not None and spec.is_failed:
        retry = shlex.join(["fsmflow", "retry", after.address])
        endings.step_failed(how, error, retry, fields, traceback, raised)
    else:
        endings.step_caught(how, error, fields, traceback, raised)


def _how(entry: HistoryEntry, after: Snapshot, seconds: float | None) -> str:
    """``order:1042 charging -> reserving, attempt 1, 0.8 s``."""
    way = f" -> {entry.dest}" if entry.kind.enters else ""
    attempt = "" if entry.attempt is None else f", attempt {entry.attempt}"
    return f"{after.address} {entry.source}{way}{attempt}{'' if seconds is None else f', {_span(seconds)}'}"


def _seconds(commit: Commit, entry: HistoryEntry) -> float | None:
    """How long the job took; of a step that waited for its branches, the whole step."""
    if entry.duration is not None or commit.before is None:
        return entry.duration
    return (entry.at - clock.to_datetime(commit.before.entered_at)).total_seconds()


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


def _then(after: Snapshot) -> str:
    """When the job is run again."""
    work = after.work
    if work is None:
        return "it is run again"
    if after.paused:
        return f"attempt {work.attempt} once it is resumed"
    wait_s = max(work.wake_at - after.updated_at, 0) / 1000
    return f"attempt {work.attempt} in {_span(wait_s)}, at {clock.to_datetime(work.wake_at):%H:%M:%S} UTC"


def _fields(entry: HistoryEntry, after: Snapshot) -> Mapping[str, Any]:
    """What the line carries: of the attempt that ended, not of the state that came after it."""
    epoch = entry.epoch - 1 if entry.kind.enters else entry.epoch
    return {"address": after.address, "state": entry.source, "attempt": entry.attempt, "epoch": epoch}
