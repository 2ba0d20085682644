"""The lines that tell of alarms."""

from __future__ import annotations

from fsmflow.errors import name_of, noted, text_of
from fsmflow.log.lines import logger, one_line


def alarm_raised(address: str, text: str, todo: str) -> None:
    logger.error(
        "alarm.raised: %s: %s; next: '%s', or 'fsmflow pause %s' to silence it",
        address,
        one_line(text),
        todo,
        address,
        extra={"address": address},
    )


def alarm_over(address: str, text: str) -> None:
    logger.warning("alarm.over: %s: %s", address, one_line(text), extra={"address": address})


def alarm_unseen(rule: str, error: BaseException) -> None:
    logger.error(
        "alarm.unseen: %s: %s: %s; it is looked for again, and until then no such alarm begins or ends",
        rule,
        name_of(type(error)),
        one_line(text_of(error) + noted(error)),
    )


def alarm_untold(address: str, error: BaseException) -> None:
    logger.error(
        "alarm.untold: %s: %s: %s; it is tried again",
        address,
        name_of(type(error)),
        one_line(text_of(error) + noted(error)),
        extra={"address": address},
    )


def alarm_nowhere(address: str, error: BaseException) -> None:
    logger.error(
        "alarm.nowhere: %s: %s; nobody is told of it there",
        address,
        one_line(text_of(error)),
        extra={"address": address},
    )
