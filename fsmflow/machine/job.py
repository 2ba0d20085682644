"""What a job can do besides its work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fsmflow.decision.context import Undoing
from fsmflow.decision.idempotency import key_of
from fsmflow.decision.messages import message, recall
from fsmflow.engine.runtime import current
from fsmflow.log.lines import StepLog
from fsmflow.machine.base import Base, Data, as_dict


class JobMethods(Base[Data]):
    """What works inside a job, and partly in callbacks."""

    @property
    def idempotency_key(self) -> str:
        """One per step: the same over attempts, crashes and retries, and where the database has lost the step and it is
        begun again; new in a new visit of the state. ASCII, at most 64 characters."""
        return key_of(current().store.installation, self._view.snapshot)

    @property
    def log(self) -> StepLog:
        """In a job: a logger whose lines begin with the entity, its state and the attempt."""
        return self._view.log

    def heartbeat(self, progress: float | None = None) -> None:
        """In a job: tell that it is alive, and how far. Raises Cancelled once its step is no longer wanted."""
        self._view.heartbeat(progress)

    def save(self) -> None:
        """In a job: commit what it changed in ``data`` so far. Raises Cancelled once its step is no longer wanted."""
        self._view.save()

    def send(
        self,
        trigger: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        to: Any = None,
        after: float | timedelta | None = None,
        key: str | None = None,
        start: Mapping[str, Any] | bool | None = None,
        name: str | None = None,
        until_left: bool = False,
        **fields: Any,
    ) -> None:
        """In a job or callback: send an event, to this entity or to another address, now or later.

        ``payload`` and ``fields`` together come with it; fields win, and what an outsider wrote is given as
        ``payload``. It is committed with the transition, and delivered once, in the commit that it leads to. ``start``
        starts the addressee, with that data, where it is not there yet; with ``key`` the addressee takes it once,
        however often it is sent. What cannot be delivered is recorded here as ``discarded`` and shown by ``explain``;
        what the addressee refuses is recorded there.

        ``name``: what ``unsend`` takes it back by; another one of that name replaces it, while it is on its way.
        ``until_left``: it ends with the visit. That of a job is the visit of its state, that of a callback the one
        that its transition leads to. Raises DataError.
        """
        given = {**as_dict(payload, "send: the payload (an address is given as to=)"), **fields}
        options = {"to": to, "after": after, "key": key, "start": start, "name": name, "until_left": until_left}
        self._view.send(message(trigger, payload=given, **options))

    def unsend(self, name: str, /) -> bool | None:
        """In a job or callback: take back what this entity sent under a name, if it is still on its way.

        It is committed with the transition: the message is either delivered or taken back, never both, and the history
        has a line ``unsent`` where it was taken back. In a callback the result says whether it was; in a job that is
        known only with its end, and the result is None. A branch takes back what it sent itself. Raises DataError.
        """
        return self._view.unsend(recall(name))

    @property
    def undoing(self) -> Undoing:
        """In an undo job: which step is being undone, what it returned, and whether it had come to its end."""
        return self._view.undoing

    @property
    def database(self) -> Any:
        """The peewee Database that fsmflow works on. In a job with ``transactional=True`` what is written through it is
        committed with the transition, or not at all."""
        return current().store.link.db

    @property
    def session(self) -> Any:
        """In a job: a Session of SQLAlchemy for this attempt, by one thread. ``record`` is read in it where the row is
        mapped by SQLAlchemy.

        With ``transactional=True`` it works in the transaction of the attempt: what it writes is committed with the
        transition, or not at all, whatever it commits itself; what is pending is written when the job returns. Else it
        has a connection of its own and commits for itself: what it has not committed when the job ends is rolled back,
        which the log tells. Raises FsmflowError outside of a job, ConfigurationError without the extra ``sqlalchemy``.
        """
        return self._view.session
