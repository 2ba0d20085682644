"""The actions of operators: what each of them asks for, where it applies, in words, and how it is decided.

Whoever adds one adds a row to ``ACTIONS``: decisions, the engine, the command line and the table in the documentation
are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fsmflow.decision.deferral import DROP, dropped
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.erasure import ERASE, erased
from fsmflow.decision.happenings import Asked, Dropped, Erased, Forced, Paused, Resumed, Rewound, Skipped, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.mover import Mover
from fsmflow.decision.override import forced, rewound, skipped
from fsmflow.decision.pause import paused, resumed
from fsmflow.decision.resumption import Resumption, resumption
from fsmflow.definition.model import Definition
from fsmflow.definition.names import (
    CANCEL,
    FAILED,
    FINISHED,
    FORCE,
    RETRY,
    REWIND,
    SKIP,
    UNDO,
    UNDOING_PREFIX,
    UNDONE,
    WORKING,
    failed_from,
)
from fsmflow.values import dataclass

PAUSE: Final = "pause"
RESUME: Final = "resume"

#: Whether an action applies to an entity of a selection, by the definition that it goes by, if that is known.
Fits = Callable[["Definition | None", Snapshot, Asked], bool]


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that an operator can do to an entity.

    ``happening`` is what ``decide`` is given, ``kind`` what the history says of it, ``decided`` who decides it: None
    where it fires a trigger of its own name. ``options`` are what it takes besides actor, reason and key: ``epoch``,
    ``state``, ``event``, ``data``, ``new_key``. ``where`` and ``does`` are the words of the documentation, ``help`` and
    ``examples`` those of the command line. ``fits`` tells which entities of a selection it is for, all of them in
    ``phase`` where that is given. ``is_repeatable``: what it has done no longer fits, whatever is selected by.
    ``is_final``: it cannot be taken back, so a reason has to be given, and the command line asks first.
    ``is_idle``: there is nothing to do for an entity that stands so, and nothing is written.
    """

    name: str
    done: str
    happening: type[Asked]
    kind: HistoryKind
    decided: Callable[[Mover, Any], None] | None = None
    options: tuple[str, ...] = ()
    where: str
    does: str
    help: str
    examples: tuple[str, ...]
    fits: Fits
    phase: str | None = None
    is_repeatable: bool = True
    is_final: bool = False
    is_idle: Callable[[Snapshot], bool] = lambda snapshot: False

    def asks(self, **given: Any) -> Asked:
        """The request that is decided: with actor, reason, key and the options that the action takes."""
        return self.happening(**given) if self.decided is not None else Triggered(trigger=self.name, **given)

    def given(self, asked: Asked) -> tuple[list[Any], dict[str, Any]]:
        """The options of a request as the method of a handle takes them: a state or an event by its place, all else by
        name. The edits of ``data`` are the ``patch`` of the request."""
        names = {option: "patch" if option == "data" else option for option in self.options}
        found = {option: getattr(asked, name) for option, name in names.items()}
        places = [found.pop(place) for place in ("state", "event") if place in found]
        return places, found


def _has_failed(own: Definition | None, snapshot: Snapshot, asked: Asked) -> bool:
    return snapshot.phase == FAILED


def _is_on_its_way(own: Definition | None, snapshot: Snapshot, asked: Asked) -> bool:
    return snapshot.phase != FINISHED


def _can_be_resumed(own: Definition | None, snapshot: Snapshot, asked: Asked) -> bool:
    if snapshot.phase == FAILED or (snapshot.paused and snapshot.phase != FINISHED):
        return True
    work = snapshot.work
    if own is None or snapshot.state not in own.states:
        return snapshot.phase != FINISHED and work is not None and work.owner is None and work.rung_at is not None
    if work is not None and work.is_stuck_timer:
        return True
    return resumption(own, snapshot) in (Resumption.LET_GO, Resumption.RETRY, Resumption.START, Resumption.RING)


def _is_elsewhere(own: Definition | None, snapshot: Snapshot, asked: Asked) -> bool:
    return not isinstance(asked, Rewound | Forced) or snapshot.state != asked.state


def _is_not_being_undone(own: Definition | None, snapshot: Snapshot, asked: Asked) -> bool:
    undoing = (UNDOING_PREFIX, failed_from(UNDOING_PREFIX))
    return snapshot.state != UNDONE and not snapshot.state.startswith(undoing)


ACTIONS: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        Action(
            name=RETRY,
            done="retried",
            happening=Triggered,
            kind=HistoryKind.TRANSITION,
            options=("data", "new_key", "epoch"),
            where="`failed_from_X`",
            does="enters X again: the same step goes on, with fresh budgets; of a fan-out only what failed",
            help=(
                "Retry failed entities from the step that failed, under the same id, with the code deployed now.\n\n"
                "Name them by address (or by id alone, where only one machine has it), or select them; of a selection "
                "those are retried that have failed. Of a step that fans out only the branches run again that failed."
            ),
            examples=(
                "fsmflow retry order:1042",
                "fsmflow retry order:1042 --set card=tok_2",
                "fsmflow retry order:1042/packing/3",
                "fsmflow retry --machine order --error 'Timeout*' --older 10m --where customer=7 --dry-run",
            ),
            fits=_has_failed,
            phase=FAILED,
        ),
        Action(
            name=RESUME,
            done="resumed",
            happening=Resumed,
            kind=HistoryKind.RESUMED,
            decided=resumed,
            where="anywhere that is not final",
            does="lets go of a pause; else retries what failed, queues again what is stuck, starts what was adopted",
            help=(
                "Let paused, failed or stuck entities go on. Failed ones are retried, stuck jobs dispatched again, and "
                "the jobs of adopted entities started."
            ),
            examples=("fsmflow resume order:1042", "fsmflow resume --machine order --state charging"),
            fits=_can_be_resumed,
        ),
        Action(
            name=PAUSE,
            done="paused",
            happening=Paused,
            kind=HistoryKind.PAUSED,
            decided=paused,
            where="anywhere that is not final",
            does="holds what comes next, timers too, until `resume`; a running attempt ends and commits",
            help=("Pause entities. What runs may end; what would come next is held, timers too, until 'resume'."),
            examples=(
                'fsmflow pause order:1042 --reason "the customer called"',
                "fsmflow pause --machine order --state awaiting_approval",
            ),
            fits=lambda own, snapshot, asked: not snapshot.paused and snapshot.phase != FINISHED,
            is_idle=lambda snapshot: snapshot.paused,
        ),
        Action(
            name=CANCEL,
            done="cancelled",
            happening=Triggered,
            kind=HistoryKind.TRANSITION,
            options=("epoch",),
            where="anywhere that is not final",
            does="to `cancelled`; a running job's result is discarded",
            help=(
                "Cancel entities. Each ends in 'cancelled', unless its machine says otherwise; the result of a running "
                "job is discarded, and what is left of its branches cancelled too."
            ),
            examples=(
                'fsmflow cancel order:1042 --actor alice --reason "ordered twice"',
                "fsmflow cancel --machine order --phase failed --older 30d --dry-run",
            ),
            fits=_is_on_its_way,
        ),
        Action(
            name=SKIP,
            done="skipped",
            happening=Skipped,
            kind=HistoryKind.SKIPPED,
            decided=skipped,
            where="`failed_from_X`",
            does="goes on as if X had been done: its `done` transitions are decided",
            help=(
                "Go on as if the step that failed had been done. For entities in 'failed_from_X': the ways of X's "
                "'done' are decided."
            ),
            examples=(
                'fsmflow skip order:1042 --actor alice --reason "packed by hand"',
                "fsmflow skip --machine order --state failed_from_packing --older 2h --dry-run",
            ),
            fits=_has_failed,
            phase=FAILED,
        ),
        Action(
            name=REWIND,
            done="rewound",
            happening=Rewound,
            kind=HistoryKind.REWOUND,
            decided=rewound,
            options=("state",),
            where="anywhere, to a state it has been in",
            does="a new step with a new key; no guards, no callbacks",
            help=(
                "Go back to STATE, in which the entity has been. Its job and timer start anew, with a new idempotency "
                "key; guards and callbacks are passed by."
            ),
            examples=(
                'fsmflow rewind order:1042 charging --reason "charged the wrong card"',
                "fsmflow rewind --machine order --state failed_from_shipping packing --dry-run",
            ),
            fits=_is_elsewhere,
            is_repeatable=False,
        ),
        Action(
            name=UNDO,
            done="undone",
            happening=Triggered,
            kind=HistoryKind.TRANSITION,
            options=("epoch",),
            where="after steps that have `undo=`",
            does="takes them back, the latest first",
            help=(
                "Take back what the entered steps did, the latest first. For machines whose states have undo=.\n\n"
                "Each step is undone in a state 'undoing_X' of its own; the entity ends in 'undone', unless its "
                "machine says otherwise."
            ),
            examples=(
                'fsmflow undo trip:7 --actor alice --reason "the customer withdrew"',
                "fsmflow undo --machine trip --state failed_from_booking_flight --dry-run",
            ),
            fits=_is_not_being_undone,
        ),
        Action(
            name=FORCE,
            done="forced",
            happening=Forced,
            kind=HistoryKind.FORCED,
            decided=forced,
            options=("state",),
            where="anywhere, to any declared state",
            does="enters it; no guards, no callbacks; its job and timer start",
            help=(
                "Enter STATE, whatever leads there. Its job and timer start; guards and callbacks are passed by. It "
                "also mends entities in a state that the code no longer has."
            ),
            examples=(
                'fsmflow force order:1042 shipping --actor alice --reason "paid in cash"',
                "fsmflow force --machine order --state old_review review --dry-run",
            ),
            fits=_is_elsewhere,
            is_repeatable=False,
        ),
        Action(
            name=DROP,
            done="dropped",
            happening=Dropped,
            kind=HistoryKind.DROPPED,
            decided=dropped,
            options=("event",),
            where="where an event is kept, or one is on its way",
            does="takes it away. `show` has its number; one that is kept is also known by its trigger",
            help=(
                "Take away an event that is kept, or a message that was sent and is not delivered yet.\n\n"
                "EVENT is the number that 'fsmflow show' gives, or the trigger of what is kept. Its sender is told."
            ),
            examples=(
                'fsmflow drop order:1042 77 --actor alice --reason "the voucher was stolen"',
                "fsmflow drop --machine order --state pending redeem --dry-run",
            ),
            fits=lambda own, snapshot, asked: snapshot.kept > 0,
        ),
        Action(
            name=ERASE,
            done="erased",
            happening=Erased,
            kind=HistoryKind.ERASED,
            decided=erased,
            where="in a state that waits, has failed or is final",
            does="takes away data, payloads, results, failures' texts, reasons and names; the bare history stays",
            help=(
                "Take away for good what entities hold of people; what happened, and when, stays.\n\n"
                "Data, payloads, items, results, reasons and the texts of failures are gone, and who acted is called "
                "actor-1, actor-2. Branches and children are erased with their parent. Refused where something is "
                "still under way. The reason stays in the history, and the id stays, too."
            ),
            examples=(
                'fsmflow erase order:1042 --actor alice --reason "request 77 of the customer"',
                "fsmflow erase --machine order --state shipped --older 365d --reason 'end of the term' --dry-run",
            ),
            fits=lambda own, snapshot, asked: snapshot.phase != WORKING,
            is_repeatable=False,
            is_final=True,
        ),
    )
}
