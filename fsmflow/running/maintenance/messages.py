"""Messages that are due, and what parents have to pass down to their branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow import log
from fsmflow.decision.commit import EventKind, Posted
from fsmflow.decision.work import GRACE_MS
from fsmflow.engine import followup
from fsmflow.engine.alignment import align
from fsmflow.engine.delivery import deliver
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
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
            log.sweep_failed(f"{post.kind} of entity row {post.entity}", error)
            runtime.store.events.postpone(post, runtime.now() + POISON_MS)
    return len(due)


def _deliver(runtime: Runtime, post: Posted) -> None:
    if post.kind != EventKind.ALIGN:
        deliver(runtime, post)
    elif not align(runtime, post.entity, pages=_MAX_PAGES):
        runtime.store.events.postpone(post, runtime.now() + GRACE_MS)
