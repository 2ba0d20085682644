"""The lines of messages to people and other systems."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def message_told(level: int, type_: str, text: str, id_: str, address: str | None) -> None:
    extra = {"message_type": type_, "message_id": id_, **({"address": address} if address else {})}
    logger.log(level, "message.told: %s: %s", one_line(type_), one_line(text), extra=extra)
