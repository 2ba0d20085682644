"""The lines of the web: what it listens on, whom it refused, what went wrong."""

from __future__ import annotations

from fsmflow.causes import likely
from fsmflow.errors import text_of
from fsmflow.log.lines import logger, one_line


def listening(url: str, who: str) -> None:
    logger.info("web.listening: %s, for %s", url, who)


def refused(method: str, path: str, why: str) -> None:
    """Told of who tried what it may not: the address of a page holds no secret, what follows its '?' might."""
    logger.warning("web.refused: %s %s: %s", method, one_line(path), likely(one_line(why)))


def failed(method: str, path: str, error: BaseException) -> None:
    told = one_line(text_of(error) or type(error).__name__)
    logger.error("web.failed: %s %s: %s", method, one_line(path), likely(told), exc_info=error)
