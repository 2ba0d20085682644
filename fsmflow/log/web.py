"""The lines of the web: what it listens on, whom it refused, what went wrong."""

from __future__ import annotations

import re
from typing import Final

from fsmflow.causes import likely
from fsmflow.errors import text_of
from fsmflow.log.lines import logger, one_line

#: An approval link is as good as a password.
_LINK: Final = re.compile(r"(?<=/links/)[^/]+")


def listening(url: str, who: str) -> None:
    logger.info("web.listening: %s, for %s", url, who)


def refused(method: str, path: str, why: str) -> None:
    """Told of who tried what it may not: the address of a page holds no secret, what follows its '?' might."""
    logger.warning("web.refused: %s %s: %s", method, _shown(path), likely(one_line(why)))


def failed(method: str, path: str, error: BaseException) -> None:
    told = one_line(text_of(error) or type(error).__name__)
    logger.error("web.failed: %s %s: %s", method, _shown(path), likely(told), exc_info=error)


def _shown(path: str) -> str:
    return _LINK.sub("...", one_line(path))
