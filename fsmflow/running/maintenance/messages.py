"""Messages that are due, and what parents have to pass down to their branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow import log
from fsmflow.decision.commit import EventKind, Posted
from fsmflow.decision.failure import clip
from fsmflow.decision.mover import MAX_WHY
from fsmflow.decision.work import GRACE_MS
from fsmflow.decision.work import again_ms as again_ms_after
from fsmflow.engine import followup
from fsmflow.engine.alignment import align
from fsmflow.engine.delivery import answer, deliver, tend_kept
from fsmflow.engine.lookup import address_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable, text_of
from fsmflow.running.maintenance.row import POISON_MS

PAGE: Final = 200
#: How many pages of branches are passed down to at once; the rest comes with the next round.
_MAX_PAGES: Final = 50


def deliver_due(runtime: Runtime, go_on: Callable[[], None]) -> int:
    """Deliver the messages that are due, and pass down what parents have to pass down. How many there were.

    ``go_on`` is called before each.

    Raises DatabaseUnavailable; one that cannot be delivered is logged and put off, and keeps no other waiting.
    """
    due = runtime.store.events.due(runtime.now(), PAGE)
    for post in due:
        go_on()
        try:
            with followup.following(runtime):
                _deliver(runtime, post)
        except DatabaseUnavailable:
            raise
        except BaseException as error:  # noqa: BLE001 - one of them must not keep the others waiting
            again_ms = again_ms_after(post.tries + 1, POISON_MS)
            log.sweep_failed(f"{address_of(runtime, post.entity)}: {post.kind} {post.trigger!r}", error)
            why = clip(f"{type(error).__name__}: {text_of(error)}", MAX_WHY)
            runtime.store.events.stick(post, again_at=runtime.now() + again_ms, why=why)
    return len(due)


def _deliver(runtime: Runtime, post: Posted) -> None:
    if post.kind is EventKind.SENT:
        deliver(runtime, post)
    elif post.kind is EventKind.ANSWER:
        answer(runtime, post.entity)
    elif post.kind is EventKind.KEPT:
        tend_kept(runtime, post)
    elif post.kind is EventKind.ASKED:
        runtime.store.events.remove(post.id)
    elif not align(runtime, post.entity, pages=_MAX_PAGES):
        runtime.store.events.postpone(post, runtime.now() + GRACE_MS)
