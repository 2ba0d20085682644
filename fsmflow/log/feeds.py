"""The lines that tell how feeds are read."""

from __future__ import annotations

from fsmflow.log.lines import logger


def feed_waits(name: str, holder: str, until: str) -> None:
    # Whoever waits for minutes without a word looks like one that hangs.
    logger.warning(
        "feed.waits: feed %s waits for %s, which reads it; if that one was killed, until %s at the latest",
        name,
        holder,
        until,
    )


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
