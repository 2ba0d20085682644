"""The lines that tell of hosts that drain."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def asked(drain: str) -> None:
    logger.warning("drain.asked: %s; its workers take nothing new and end what they run", one_line(drain))


def undone(host: str, by: str | None) -> None:
    logger.warning("drain.undone: host %s drains no more%s", one_line(host), f", by {one_line(by)}" if by else "")


def heeded(drain: str) -> None:
    logger.warning("drain.heeded: %s; finishing the running steps, and no more are taken here", one_line(drain))


def over() -> None:
    logger.warning("drain.over: workers are put to work again")
