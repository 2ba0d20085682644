"""The lines that tell of approval links. None has the link itself, which is as good as a password."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def approval_made(address: str, trigger: str, person: str, until: str, by: str | None) -> None:
    logger.info(
        "approval.made: %s: a link to %r for %s until %s%s",
        address,
        trigger,
        one_line(person),
        until,
        f", made by {one_line(by)}" if by else "",
        extra={"address": address},
    )


def approval_refused() -> None:
    logger.warning("approval.refused: somebody came with a link that is not signed by this installation")
