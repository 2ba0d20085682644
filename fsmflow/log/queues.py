"""The lines that tell of queues that nobody has."""

from __future__ import annotations

from collections.abc import Sequence

from fsmflow.log.lines import logger, one_line


def of_nobody(queue: str, hint: str, known: Sequence[str]) -> None:
    there = f"; theirs are {', '.join(known)}" if known else ""
    logger.warning("queue.unknown: no machine has a queue %r%s", queue, hint or there)


def server_unused(what: str) -> None:
    logger.warning("queue.server: %s", one_line(what))
