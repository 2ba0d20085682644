"""The lines of what answers probes and scrapes. The answers themselves say little, as anybody may read them."""

from __future__ import annotations

from fsmflow.causes import likely
from fsmflow.errors import text_of
from fsmflow.log.lines import logger, one_line


def listening(url: str) -> None:
    logger.info("metrics.listening: %s; beside it /healthz and /readyz", url)


def not_answered(part: str, error: BaseException) -> None:
    logger.warning("metrics.left_out: %s: %s", part, likely(one_line(text_of(error) or type(error).__name__)))


def not_ready(part: str, error: BaseException) -> None:
    logger.warning("probe.not_ready: %s: %s", part, likely(one_line(text_of(error) or type(error).__name__)))


def ready(part: str) -> None:
    logger.info("probe.ready: %s is ready again", part)
