"""The lines that tell how feeds are read."""

from __future__ import annotations

from fsmflow.log.lines import logger


def feed_waits(name: str, holder: str) -> None:
    logger.info("feed.waits: feed %s is read by %s; this reader goes on when that one ends", name, holder)


def feed_held(name: str, gaps: int) -> None:
    logger.warning(
        "feed.held: feed %s rests, as numbers of lines are given out and not committed in %d places; it goes on once "
        "they are settled. Many transactions roll back, or one has been open for long",
        name,
        gaps,
    )


def feed_missed(name: str, lines: int) -> None:
    logger.warning(
        "feed.missed: feed %s cannot tell %d line(s) that were deleted before it had read them; read it more often, or "
        "keep what has finished for longer (retention)",
        name,
        lines,
    )
