"""The lines that tell of limits."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def in_line(address: str, state: str, limit: str) -> None:
    logger.debug(
        "limit.in_line: %s waits in %s: %s is used up; 'fsmflow limits' shows who has it",
        address,
        state,
        one_line(limit),
        extra={"address": address, "state": state},
    )


def not_passed_on(limit: str, error: BaseException) -> None:
    logger.warning(
        "limit.not_passed_on: %s: the next in line is called by a sweep, within seconds: %s",
        one_line(limit),
        one_line(str(error)),
    )
