"""Moves an entity along transitions, in memory: fires, enters, and plans the work of the state that is entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from fsmflow import clock, codec, release
from fsmflow.decision.commit import Commit, EventKind, Mark, Post, alignment
from fsmflow.decision.context import NOTHING, Context, being_undone
from fsmflow.decision.edit import Edit, edit_of
from fsmflow.decision.entity import Claim, Event, Failure, Snapshot, standing_in
from fsmflow.decision.failure import Facts, clip, describe
from fsmflow.decision.fit import Settled, fitting_data
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.idempotency import begun, renewed
from fsmflow.decision.inputs import Actor
from fsmflow.decision.messages import Answer, Message, Recall, answer_to, envelope_of, mail_of
from fsmflow.decision.notice import notices
from fsmflow.decision.outbox import held, is_on_its_way, marks_of_pause, sorted_out
from fsmflow.decision.redaction import masked
from fsmflow.decision.versions import lacking
from fsmflow.decision.view import DecisionView, subject_of
from fsmflow.decision.work import Work, WorkKind, dispatched, hold, hurried
from fsmflow.definition.guards import Firing, call_on_enter, fire
from fsmflow.definition.model import Definition, StateSpec, WrongValue, due_after, priority_of, queue_of
from fsmflow.definition.names import CANCELLED, DONE, RETRY, UNDOING_PREFIX, UNDONE
from fsmflow.definition.priority import ranked
from fsmflow.errors import Fail, MethodError, TransitionNotAllowed, text_of
from fsmflow.redaction import hide
from fsmflow.values import replace

Result = TypeVar("Result")

#: Of why something cannot go on, or how a message ended, so much is kept.
MAX_WHY: Final = 1_000


class Refused(TransitionNotAllowed):
    """No transition accepts the trigger. Told apart from what a callback raises that fires something itself."""


class Mover:
    """One decision in the making: the snapshot as it changes, and the history entries that tell of it.

    Firing may raise what the user's guards and callbacks raise; the mover is then to be thrown away.
    """

    def __init__(self, definition: Definition, snapshot: Snapshot, now: int, context: Context = NOTHING) -> None:
        self.definition = definition
        self.before = snapshot
        self.after = snapshot
        self.now = now
        self.context = context
        self.entries: list[HistoryEntry] = []
        self.posts: list[Post] = []
        #: What is sent and taken back, in order.
        self.mail: list[Post | Recall] = []
        self.takes: list[int] = []
        self.marks: list[Mark] = []
        #: Whose message is decided, where it is one.
        self.sender: int | None = None
        self.told: list[tuple[int, int]] = []
        self.frees: int | None = None

    def trial(self) -> Mover:
        """A mover that goes on from here, and may be thrown away."""
        trial = Mover(self.definition, self.after, self.now, self.context)
        trial.mail, trial.sender = list(self.mail), self.sender
        return trial

    def adopt(self, trial: Mover) -> None:
        """Take over what a trial came to."""
        self.after = trial.after
        self.entries += trial.entries
        self.posts += trial.posts
        self.mail = trial.mail
        self.takes += trial.takes
        self.marks += trial.marks

    def fire(
        self,
        trigger: str,
        *,
        data: dict[str, Any] | Settled,
        event: Event,
        actor: Actor | None = None,
        by_engine: bool = False,
        failure: Failure | None = None,
        new_key: bool = False,
        **entry: Any,
    ) -> None:
        """Fire a trigger and take the entity where it leads.

        Raises Refused, without ``allowed``, where no transition accepts it; NotPermitted; DataError.
        """
        source = self.after
        permits = None if by_engine else self.context.permits(self.definition, source, actor)
        firing = Firing(source.address, source.state, permits)
        fitting = self.fitting(data.data if isinstance(data, Settled) else data)
        settled = replace(data, data=fitting).noted(self.definition) if isinstance(data, Settled) else None
        view = DecisionView(self.definition, source, firing, event, fitting, failure or source.failure, self.context)
        view.is_on_its_way = lambda name: is_on_its_way(name, self.mail, self.context)
        subject = subject_of(self.definition, view)
        if not fire(self.definition, trigger, firing, subject) or firing.fired is None:
            raise self._refused(trigger, event, firing)
        trigger, dest = firing.fired.trigger, firing.fired.dest
        self._take_along(source, view, trigger, enters=dest is not None)
        entry["edit"] = self.edit(settled, source.data_text if settled is None else settled.text)
        kind = HistoryKind.INTERNAL
        if dest is not None:
            kind = HistoryKind.TRANSITION
            continues = trigger == RETRY and self.definition.states[source.state].failed_from == dest
            self.enter(dest, event=event, subject=subject, failure=failure, continues=continues, new_key=new_key)
        self.note(kind, trigger=trigger, source=source.state, actor=actor, event=event, failure=failure, **entry)

    def fitting(self, data: dict[str, Any]) -> dict[str, Any]:
        """Data that are to be those of the entity, as they are stored. Raises Unfit."""
        return fitting_data(self.definition, self.after, data, lambda text: self.masked(text, data))

    def stored(self, data: dict[str, Any]) -> str:
        """The same as text. Raises DataError."""
        return codec.encode(self.fitting(data))

    def begin(self, event: Event, actor: Actor | None) -> None:
        """Enter the state that the entity is to begin in, callbacks included.

        Raises what those raise, DataError.
        """
        source = self.after
        firing = Firing(source.address, source.state)
        view = DecisionView(self.definition, source, firing, event, source.data, None, self.context)
        subject = subject_of(self.definition, view)
        if call_on_enter(self.definition, source.state, subject):
            self._take_along(source, view, event.trigger, enters=True)
        self.enter(source.state, event=event, subject=subject)

    def edit(self, settled: Settled | None, text: str | None) -> Edit | None:
        """What is told of the data: what became of ``text`` since, and what the end of a job has overwritten."""
        overwritten = settled.overwritten if settled is not None else {}
        after = self.after.data_text
        if text is None or text == after:
            return edit_of({}, {}, overwritten, self.definition.wide.redact) if overwritten else None
        return edit_of(codec.decode(text), codec.decode(after), overwritten, self.definition.wide.redact)

    def _refused(self, trigger: str, event: Event, firing: Firing) -> Refused:
        refusals = [self.masked(str(refusal), event.payload) for refusal in firing.refusals]
        words = [self.masked(refusal.words, event.payload) for refusal in firing.refusals if refusal.words is not None]
        return Refused(self.after.address, self.after.state, trigger, refusals=refusals, words=words)

    def _take_along(self, source: Snapshot, view: DecisionView, trigger: str, *, enters: bool) -> None:
        """What callbacks made of the data, what they sent, and that a step has been undone."""
        self.after = replace(source, data_text=self.stored(view.taken_back()))
        # What a callback sends belongs to the visit that the transition leads to.
        self.send(view.sent, replace(source, epoch=source.epoch + enters))
        undoes = self.definition.states[source.state].undoes
        if undoes and trigger in (DONE, UNDONE):
            undone = being_undone(self.context.trail, undoes)
            self.takes += undone.rows if undone is not None else ()

    def send(self, sent: Sequence[Message | Recall], sender: Snapshot) -> None:
        """Commit what was sent, and take back what was taken back, by ``sender``: the entity as it was then."""
        roles = self.definition.wide.sends_as
        self.mail += [mail_of(asked, sender, self.now, roles) for asked in sent]

    def answer(self, how: HistoryKind, trigger: str, why: str, sender: int | None = None) -> None:
        """Tell the sender of a message how it ended, where that is another entity."""
        sender = self.sender if sender is None else sender
        if sender is not None and sender != self.before.row:
            address = self.after.address
            said = Answer(how=how.value, why=clip(why if why.startswith(address) else f"{address}: {why}", MAX_WHY))
            self.posts.append(answer_to(sender, trigger, said, self.now))

    def close(self) -> None:
        """All is decided: take back what has a name and was taken back or replaced, and what ends with a visit that is
        over. No query where nothing of that can be on its way."""
        found = sorted_out(self.mail, self.before, self.after, self.context)
        self.posts += held(found.posts, self.after, self.now)
        self.marks += marks_of_pause(self.before, self.after, self.context, self.now)
        self.takes += found.takes
        self.after = replace(self.after, bound=found.bound)
        for post, why in found.ended:
            event = self.event(post.trigger, envelope_of(post).payload)
            self.note(HistoryKind.UNSENT, trigger=post.trigger, source=self.after.state, event=event, reason=why)

    def enter(
        self,
        dest: str,
        *,
        event: Event,
        subject: Any = None,
        failure: Failure | None = None,
        continues: bool = False,
        new_key: bool = False,
    ) -> None:
        """Stand in ``dest`` anew, without callbacks. ``continues``: the step that failed goes on."""
        source = self.after
        spec = self.definition.states[dest]
        epoch = source.epoch + 1
        rests = spec.is_failed and spec.failed_from == source.state
        last = source.failure if continues else None
        if spec.is_failed and failure is None:
            failure = self._led_to_fail(event, spec)
        elif not spec.is_failed:
            failure = self._remembered(dest, failure, event)
        self.after = replace(
            source,
            state=dest,
            phase=spec.phase,
            epoch=epoch,
            **self._step_in(spec, same=rests or continues, new_key=continues and new_key),
            event_text=source.event_text if rests or continues else event.to_text(),
            result_text=None,
            failure_text=failure.to_text() if failure else None,
            fingerprint=failure.fingerprint if failure and spec.is_failed else None,
            entered_at=self.now,
            standing=standing_in(source, spec),
        )
        self._post_beside(source, renews=continues and new_key)
        work = self._work_for(spec, subject, attempt=last.attempts + 1 if last else 1)
        self.after = replace(self.after, work=work)

    def _step_in(self, spec: StateSpec, *, same: bool, new_key: bool) -> dict[str, Any]:
        """Which step a state that is entered belongs to, and how that is called."""
        source = self.after
        epoch = source.epoch + 1
        if new_key and spec.fan is None:
            return {"step": epoch, "step_name": renewed(source.step_name)}
        # A branch or child that is stopped may be told to go on: with the same key, and the branches that it has.
        if same or (spec.name == CANCELLED and source.parent is not None):
            return {}
        step_name, visits = begun(source, spec.failed_from or spec.name)
        if spec.is_final and source.branch_of is not None:
            step_name = source.step_name  # an undo asks by which name the step was known
        return {"step": epoch, "step_name": step_name, "visits_text": visits, "items": None}

    def _post_beside(self, source: Snapshot, *, renews: bool) -> None:
        """What entering a state leads to besides its work: for branches, and for an undo."""
        after = self.after
        spec, step_left = self.definition.states[after.state], self.definition.step_of(source.state)
        goes_on = spec.fan is not None and after.step == source.step
        # A state that the code lacks may have fanned out. A cancel also ends children that go by themselves.
        left = not goes_on and (step_left is None or step_left.fan is not None)
        if source.epoch and (left or (self.definition.has_children and spec.takes_back)):
            self.posts.append(alignment(self.now))
        if renews and goes_on:
            # The step goes on, with the branches that are done; those that are run again get keys of their own.
            self.posts.append(Post(kind=EventKind.FRESH, trigger=spec.name, key=str(after.epoch), at=self.now))
        if spec.undo is not None and after.step == after.epoch:
            step, text = after.step, codec.encode(after.step_name)
            self.posts.append(
                Post(kind=EventKind.ENTERED, trigger=spec.name, key=str(step), text=text, at=self.now, seq=step)
            )

    def _remembered(self, dest: str, failure: Failure | None, event: Event) -> Failure | None:
        """The failure that is still shown in a state that is none: why steps are or were undone, or a branch was
        ended."""
        source = self.after
        last = failure or source.failure
        if last is None or last.state.startswith(UNDOING_PREFIX):
            return None
        undone = UNDONE in (dest, event.trigger) or self.definition.states[dest].undoes is not None
        return last if undone or (dest == CANCELLED and source.branch_of is not None) else None

    def plan_work(self, subject: Any) -> None:
        """Give the state that the entity stands in the work that it would have had on being entered."""
        spec = self.definition.states[self.after.state]
        last = self.after.failure
        self.after = replace(self.after, phase=spec.phase, failure_text=None)
        self.after = replace(self.after, work=self._work_for(spec, subject, attempt=last.attempts + 1 if last else 1))

    def _led_to_fail(self, event: Event, spec: StateSpec) -> Failure:
        """Why an entity rests in ``failed_from_X`` that a transition of the user's own led there: what counts the
        attempts so far, and shows it among the failures."""
        source = self.after
        work = source.work if spec.failed_from == source.state else None
        failure = source.failure or self.describe(
            Facts(kind=Fail, message=f"{event.trigger!r} led here from {source.state!r}")
        )
        runs = 0 if work is None else work.attempt if work.owner is not None else work.attempt - 1
        return replace(failure, state=spec.failed_from or spec.name, attempts=runs, permanent=True)

    def _work_for(self, spec: StateSpec, subject: Any, *, attempt: int) -> Work | None:
        fence = self.before.work.fence if self.before.work else 0
        ends_at = None
        timer, moment = spec.timer, clock.to_datetime(self.now)
        if timer is not None:
            left = self._asked(spec, timer.parameter, timer.after, lambda: due_after(timer, subject, moment))
            ends_at = self.now + clock.to_ms(left)
        if spec.is_working:
            if spec.lacks_job:
                raise lacking(self.definition, self.after)
            queue = self._asked(spec, "queue", spec.queue, lambda: queue_of(spec, subject))
            priority = self._asked(spec, "priority", spec.priority, lambda: priority_of(spec, subject))
            blank = Work(epoch=self.after.epoch, kind=WorkKind.JOB, attempt=attempt, fence=fence, wake_at=0)
            waiting = replace(blank, deadline=ends_at, queue=ranked(queue, priority))
            work = hurried(dispatched(waiting, self.now))
        elif ends_at is None:
            return None
        else:
            work = Work(epoch=self.after.epoch, kind=WorkKind.TIMER, fence=fence, wake_at=ends_at)
        return hold(work, self.now) if self.after.paused else work

    def _asked(self, spec: StateSpec, parameter: str, method: object, ask: Callable[[], Result]) -> Result:
        """What a method of the user's gives for a parameter of a state. Raises MethodError."""
        try:
            return ask()
        except WrongValue as error:
            what, cause = text_of(error), None
        except Exception as error:  # noqa: BLE001 - whatever the user's method raises
            what, cause = f"raised {type(error).__name__}: {text_of(error)}", error
        name = getattr(method, "__name__", parameter)
        raise MethodError(self.after.address, spec.name, parameter, name, self.masked(what)) from cause

    def note(
        self,
        kind: HistoryKind,
        *,
        trigger: str | None = None,
        source: str | None = None,
        actor: Actor | None = None,
        event: Event | None = None,
        **entry: Any,
    ) -> None:
        """Append a history entry that tells where the entity stands now."""
        self.after = replace(self.after, seq=self.after.seq + 1, updated_at=self.now)
        payload: Mapping[str, Any] = event.payload if event else {}
        if entry.get("reason"):
            entry["reason"] = self.masked(entry["reason"], payload)
        self.entries.append(
            HistoryEntry(
                seq=self.after.seq,
                kind=kind,
                at=clock.to_datetime(self.now),
                trigger=trigger,
                source=source or self.before.state,
                dest=self.after.state,
                epoch=self.after.epoch,
                actor=actor.name if actor else None,
                payload=hide(payload, self.definition.wide.redact),
                version=self.after.version,
                release=release.here(),
                **entry,
            )
        )

    def describe(self, facts: Facts, *more: Any) -> Failure:
        """The failure that is recorded for an error in the state that the entity is in. ``more`` may hold values that
        are redacted, as the entity itself may."""
        return describe(facts, self.after, self.now, lambda text: self.masked(text, *more))

    def masked(self, text: str, *more: Any) -> str:
        """A text without the values of the entity, and of ``more``, that its machine redacts."""
        return masked(self.definition, masked(self.definition, text, self.before, *more), self.after)

    def event(self, trigger: str, payload: Mapping[str, Any] | None = None, actor: Actor | None = None) -> Event:
        """An event that happens now."""
        return Event(
            trigger=trigger, payload=payload or {}, actor=actor.name if actor else None, at=clock.to_datetime(self.now)
        )


def subject_at(mover: Mover, event: Any) -> Any:
    """The machine as a queue or a timer is asked about it, where no transition is fired."""
    snapshot = mover.after
    firing = Firing(snapshot.address, snapshot.state)
    view = DecisionView(mover.definition, snapshot, firing, event, snapshot.data, None, mover.context)
    return subject_of(mover.definition, view)


def commit_of(
    mover: Mover, before: Snapshot | None, *, key: str | None, claim: Claim | None = None, lenient: bool = False
) -> Commit:
    """What a mover has come to, as the value that is committed."""
    mover.close()
    after = mover.after
    moved = before is None or (before.state, before.epoch) != (after.state, after.epoch) or before.stored_as is not None
    return Commit(
        before=before,
        after=replace(after, revision=mover.before.revision + 1, stored_as=None),
        entries=tuple(mover.entries),
        key=key,
        claim=claim,
        posts=(*mover.posts, *notices(mover.definition, after, mover.entries, mover.now)),
        takes=tuple(mover.takes),
        marks=tuple(mark for mark in mover.marks if mark.id not in mover.takes),
        told=tuple(mover.told),
        frees=mover.frees,
        status_field=mover.definition.wide.status_field if moved and after.parent is None else None,
        search=mover.definition.wide.search,
        lenient=lenient,
    )
