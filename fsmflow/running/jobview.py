"""What a job sees and does: data, event, heartbeat, save. Three roles: the job of an entity, that of a branch, and
``each=``, which gives the items that branches are made for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from fsmflow import clock, codec, log
from fsmflow.decision import asker
from fsmflow.decision.context import Branches, Undoing
from fsmflow.decision.entity import Event, Failure, Snapshot, StaleClaim
from fsmflow.decision.exhibit import exhibited
from fsmflow.decision.fit import TypedView
from fsmflow.decision.happenings import Changes, Saved
from fsmflow.decision.merge import same
from fsmflow.decision.messages import Message, Recall
from fsmflow.decision.redaction import masked
from fsmflow.engine import followup
from fsmflow.engine.branches import BranchList
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import Cancelled, DatabaseUnavailable, DataError, EntityNotFound, FsmflowError, shown
from fsmflow.log.lines import step_log
from fsmflow.points import point
from fsmflow.running.attempt import Attempt
from fsmflow.running.lease import is_live, renew
from fsmflow.running.outage import outlast
from fsmflow.running.session import Session, job_session
from fsmflow.values import replace

_BEAT_S = 1.0
#: Well inside of what every database keeps in a column of floats.
_MAX_PROGRESS = 1e9
_PROGRESS_DIGITS = 6
_PARENTS = (
    "a branch, and each= that makes branches, see the data of the parent and cannot change it; a branch returns what "
    "it found, and the parent reads machine.branches[i].result"
)


class JobView(TypedView):
    """Backs the machine object of a running job. ``shield`` defers the time limit around writes to the database;
    ``alive`` is told of each sign of life.

    It sees the data, the event and the row of the entity that it works for: its own, or that of its parent.
    """

    def __init__(
        self,
        runtime: Runtime,
        attempt: Attempt,
        shield: Callable[[], AbstractContextManager[None]],
        deadline: float,
        undoing: Undoing | None,
        alive: Callable[[], None],
    ) -> None:
        self.definition = attempt.definition
        self.snapshot = attempt.snapshot
        self.claim = attempt.claim
        self.sent: list[Message | Recall] = []
        self._works_for = attempt.parent or attempt.snapshot
        self.data = self._shown(self._works_for.data)
        self.event: Event = self._works_for.event
        self.failure: Failure | None = self.snapshot.failure
        self.log = step_log(attempt.fields, self.masked if self.definition.wide.redact else None)
        self._of_worker = runtime
        self._pid = os.getpid()
        self._root = attempt.root
        self._undoing = undoing
        self._shares = attempt.is_in_transaction
        self._session: Session | None = None
        #: The data as they were loaded or last saved, and their stored form.
        self._base = self._works_for.data
        self._base_text = self._works_for.data_text
        self._shield = shield
        self._deadline = deadline
        self._alive = alive
        self._last_beat = float("-inf")
        self._progress: float | None = None

    @property
    def _runtime(self) -> Runtime:
        self._check_process()
        return self._of_worker

    def _check_process(self) -> None:
        """Raises FsmflowError in a process that the job has forked: it holds no claim."""
        if os.getpid() != self._pid:
            raise FsmflowError(
                f"{self.snapshot.address}: process {os.getpid()} was forked by its job, and has no part in the step: "
                f"heartbeat(), save(), send(), branches and record are for process {self._pid}, which claimed it"
            )

    @property
    def state(self) -> str:
        return self.snapshot.state

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def entity_id(self) -> str:
        """In a branch's job the parent's."""
        return self._works_for.entity_id

    @property
    def branches(self) -> Branches:
        """The branches of the last step that fanned out."""
        return BranchList(self._runtime.store, self.definition, self.snapshot)

    @property
    def record(self) -> Any:
        """The user's own row; for a branch that of its parent."""
        field = self._root.wide.status_field
        if field is None:
            raise FsmflowError(f"machine {self._works_for.machine!r} has no status_field, so there is no record")
        session = self.session if field.in_session else None
        return self._runtime.store.own_rows.row_of(field, self._works_for, within=session)

    @property
    def session(self) -> Any:
        """The Session of this attempt, made as it is first asked for."""
        link = self._runtime.store.link
        if self._session is None:
            self._session = job_session(link, shares=self._shares)
        return self._session.session

    def finish_session(self) -> bool:
        """The job has returned; whether its own Session had changes that it has not committed."""
        return self._session is not None and self._session.finish()

    def close_session(self) -> None:
        """The attempt is over, well or not. Raises nothing."""
        if self._session is not None:
            self._session.close()
            self._session = None

    @property
    def undoing(self) -> Undoing:
        if self._undoing is None:
            raise FsmflowError(f"{self.snapshot.address}: undoing is there in an undo job only")
        return self._undoing

    def send(self, message: Message) -> None:
        """Commit a message with what the attempt commits next."""
        self._check_process()
        self.sent.append(message)

    def unsend(self, recall: Recall) -> None:
        """Take a message back with what the attempt commits next; whether it was on its way is known only then."""
        self.sent.append(recall)

    def changes(self, more: dict[str, Any] | None = None) -> Changes:
        """What the job has made of the data, with ``more`` on top."""
        return Changes()

    def masked(self, text: str, *more: Any) -> str:
        """A text without the values that the machine redacts: of the entity, of the parent of a branch, of what the job
        has made of the data, and of ``more``."""
        return masked(self.definition, text, self.snapshot, self.taken_back(), self._base, *more)

    def heartbeat(self, progress: float | None = None) -> None:
        """Renew the lease, note the progress, and find out whether the step is still wanted; at most once a second
        where nothing new is told. One statement; none inside a transaction of the job's own, whose locks would keep
        the lease from being renewed. A database that is away is waited for elsewhere. Raises Cancelled, DataError."""
        self._check_process()
        if progress is not None and not (isinstance(progress, (int, float)) and abs(progress) <= _MAX_PROGRESS):
            raise DataError(f"progress is {shown(progress)}; it is a number, from 0 to 1")
        # Rounded, as not every database takes a number that is all but nothing.
        latest = self._progress if progress is None else round(float(progress), _PROGRESS_DIGITS)
        self._alive()
        now = clock.monotonic()
        if (now - self._last_beat < _BEAT_S and latest == self._progress) or self._runtime.store.link.in_transaction:
            return
        point("heartbeat.before", self.snapshot.address)
        try:
            with self._shield():
                late = now >= self._deadline
                held = is_live(self._runtime, self.claim) if late else renew(self._runtime, self.claim, progress=latest)
        except DatabaseUnavailable as error:
            log.sweep_failed(f"{self.snapshot.address}: a heartbeat", error)
            return
        if not held:
            raise self.cancelled()
        self._last_beat, self._progress = now, latest

    def save(self) -> None:
        """Commit what was changed so far, waiting for a database that is away. One transaction.

        Raises Cancelled, DataError, and FsmflowError inside a transaction of the job's own, which could undo it.
        """
        if self._runtime.store.link.in_transaction:
            raise FsmflowError(
                f"{self.snapshot.address}: save() was called inside a transaction of the job's own, which may still be "
                f"rolled back; call it after that transaction"
            )
        self._alive()
        happening = Saved(claim=self.claim, changes=self.changes(), sent=tuple(self.sent))
        doubted: str | None = None

        def save() -> Snapshot:
            nonlocal doubted
            try:
                with self._shield():
                    if doubted is not None and self._runtime.store.doubt.has_written(self.claim.row, doubted):
                        return self._load()
                    return followup.apply(self._runtime, lambda: instance_of(self._root, self._load()), happening)[1]
            except DatabaseUnavailable as error:
                doubted = error.token or doubted
                raise

        try:
            self.snapshot = outlast(self.snapshot.address, save)
        except StaleClaim:
            raise self.cancelled() from None
        self._go_on_from_here()
        self.sent = []

    def permit(self, action: str) -> NoReturn:
        """Raises NestedAction: a job acts on any entity but its own, and the parent that it speaks for."""
        raise asker.of_job(action, self._works_for.address, self.state, self.snapshot.address)

    def job_refusal(self, name: str, states: tuple[str, ...]) -> None:
        """A job may call another."""

    def show(self, snapshot: Snapshot) -> None:
        """A job goes on with the entity as it was claimed or saved, whatever it brings about."""

    def replace_data(self, data: Mapping[str, Any]) -> None:
        """Other data, to be committed as what was changed in them."""
        self.data = dict(data)
        self.forget_object()

    def _shown(self, data: dict[str, Any]) -> dict[str, Any]:
        return data

    def _go_on_from_here(self) -> None:
        """What was saved is what the job goes on with."""

    def _load(self) -> Snapshot:
        snapshot = self._runtime.store.entities.load_row(self.claim.row)
        if snapshot is None:
            raise EntityNotFound(self.snapshot.address)
        return snapshot

    def cancelled(self) -> Cancelled:
        """What the job is told once its claim is gone."""
        return Cancelled(
            f"{self.snapshot.address}: attempt {self.claim.attempt} of {self.snapshot.state!r} is no longer wanted: "
            f"the step was taken over, left or cancelled"
        )


class EntityJobView(JobView):
    """The job of an entity: what it makes of the data is committed with its end, or by ``save``."""

    def changes(self, more: dict[str, Any] | None = None) -> Changes:
        """The top-level keys that differ from what was loaded or last saved, with ``more`` on top.

        Raises DataError for what cannot be stored.
        """
        now = {**self.taken_back(), **(more or {})}
        changed = {
            key: value for key, value in now.items() if key not in self._base or _differs(value, self._base[key])
        }
        removed = tuple(key for key in self._base if key not in now)
        codec.encode(changed, what="data", limit=2**31)
        base = {key: self._base[key] for key in (*changed, *removed) if key in self._base}
        return Changes(changed=changed, removed=removed, base=base, began_with=self._base_text)

    def _go_on_from_here(self) -> None:
        self._base_text, self._base = self.snapshot.data_text, self.snapshot.data
        text = codec.encode(self.taken_back(), limit=2**31)
        # Only where others wrote too does the job see something else than what it had.
        if text != self._base_text and not same(codec.decode(text), self._base):
            _become(self.data, self.snapshot.data)
            self.renew_object()


class _ReadingView(JobView):
    """Sees the data of a parent, and cannot change them."""

    def masked(self, text: str, *more: Any) -> str:
        """A text without what is redacted of the parent, too."""
        return masked(self.definition, super().masked(text, *more), self._works_for)

    def replace_data(self, data: Mapping[str, Any]) -> NoReturn:
        """Raises DataError."""
        raise DataError(_PARENTS)

    def _shown(self, data: dict[str, Any]) -> dict[str, Any]:
        return exhibited(data, _PARENTS)


class BranchJobView(_ReadingView):
    """The job of a branch: it sees its parent, and speaks for it; what it returns is its own."""

    def send(self, message: Message) -> None:
        """Commit a message with what the branch commits next; one to oneself goes to the parent."""
        super().send(message if message.to is not None else replace(message, to=self._works_for.address))


class ItemsView(_ReadingView):
    """``each=``, which gives the items that branches are made for, and does nothing else."""

    def send(self, message: Message) -> NoReturn:
        """Raises FsmflowError: the items are read again after a crash, and what is sent would be sent again."""
        raise FsmflowError(f"{self.snapshot.address}: each= only gives items; send in a job or a callback")

    def unsend(self, recall: Recall) -> NoReturn:
        """Raises FsmflowError."""
        raise FsmflowError(f"{self.snapshot.address}: each= only gives items; unsend in a job or a callback")


def role_of(attempt: Attempt) -> type[JobView]:
    """Which of the roles an attempt has."""
    if attempt.makes_branches:
        return ItemsView
    return EntityJobView if attempt.parent is None else BranchJobView


def _become(held: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Make ``held`` like ``now`` in its place, as the job may hold parts of it."""
    for key in [key for key in held if key not in now]:
        del held[key]
    held.update({key: _become_one(held.get(key), value) for key, value in now.items()})


def _become_one(old: Any, value: Any) -> Any:
    if type(old) is dict and isinstance(value, dict):
        _become(old, value)
        return old
    if type(old) is list and isinstance(value, list):
        old[:] = [*map(_become_one, old, value), *value[len(old) :]]
        return old
    return value


def _differs(one: Any, other: Any) -> bool:
    if type(one) is type(other) and isinstance(one, (str, int, float, bool, type(None))):
        return bool(one != other)
    return codec.encode(one, limit=2**31) != codec.encode(other, limit=2**31)
