"""The lines of logins, users and API tokens. None of them has a password or a secret."""

from __future__ import annotations

from fsmflow.log.lines import logger, one_line


def login_accepted(name: str, address: str) -> None:
    logger.info("login.accepted: %r from %s", name, one_line(address))


def login_refused(name: str, address: str, why: str) -> None:
    logger.warning("login.refused: %r from %s: %s", one_line(name), one_line(address), why)


def login_ended(name: str, address: str) -> None:
    logger.info("login.ended: %r from %s", name, one_line(address))


def token_refused(address: str, why: str) -> None:
    logger.warning("token.refused: from %s: %s", one_line(address), one_line(why))


def header_refused(header: str, address: str) -> None:
    logger.warning("header.refused: %s came from %s, which is no trusted proxy", header, one_line(address))


def token_made(token: str, owner: str, by: str) -> None:
    logger.info("token.made: %s acts as %r; made by %r", token, owner, by)


def token_revoked(token: str, owner: str, by: str) -> None:
    logger.info("token.revoked: %s of %r; revoked by %r", token, owner, by)


def user_changed(name: str, what: str, by: str) -> None:
    logger.info("user.changed: %r was %s by %r", name, what, by)
