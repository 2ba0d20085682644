"""The lines that tell of webhooks of others."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def hook_refused(name: str, why: str) -> None:
    logger.warning("hook.refused: a request to hook %r is not known to come from its sender: %s", name, one_line(why))


def hook_put_off(name: str, why: str) -> None:
    logger.warning("hook.put_off: an event of hook %r is to be sent again: %s", name, one_line(why))


def hook_kept(id_: str, name: str, address: str | None, why: str) -> None:
    logger.error(
        "hook.kept: an event of hook %r led to nothing: %s; 'fsmflow hooks show %s' shows it, and "
        "'fsmflow hooks replay %s' tries it again",
        name,
        one_line(why),
        id_,
        id_,
        extra={} if address is None else {"address": address},
    )
