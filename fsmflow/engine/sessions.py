"""Sessions of browsers: each begins with a login, and ends by a logout, by itself, or with the password."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Final

from fsmflow.decision.inputs import Actor
from fsmflow.decision.user import Token, TokenKind, User
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tokens import digest_of, note_use, secret
from fsmflow.engine.users import actor_of, find

#: So many may somebody have at once; beyond that the oldest ends.
MOST: Final = 20
#: One login of a name, and from an address, that is remembered; how long each takes to be forgotten; how many may be
#: remembered at once.
NAME_MS, NAME_TRIES = 60_000, 10
ADDRESS_MS, ADDRESS_TRIES = 20_000, 30
_NEWER, _NETWORK_BITS = 6, 64


def begin(runtime: Runtime, user: User, longest_ms: int) -> str:
    """Let somebody in whose password was right: the secret of a new session, which ends after ``longest_ms``. Where the
    password has changed since ``user`` was read, it lets nobody in."""
    now, text = runtime.now(), secret()
    before = runtime.store.tokens.of_owner(user.name, TokenKind.SESSION)
    ended = [one.id for one in before if not one.stands(now)]
    there = [one.id for one in before if one.stands(now)]
    runtime.store.tokens.remove([*ended, *there[: max(0, len(there) - MOST + 1)]])
    runtime.store.tokens.add(
        Token(
            id=secrets.token_hex(6),
            digest=digest_of(text),
            kind=TokenKind.SESSION,
            owner=user.name,
            mark=user.mark,
            made_at=now,
            made_by=user.name,
            until=now + longest_ms,
            used_at=now,
        )
    )
    if runtime.settings.users is None:
        runtime.store.users.seen(user.name, now)
    return text


def look(runtime: Runtime, text: str, idle_ms: int) -> Actor | None:
    """Whom a session acts as; None where there is no such session any more. Up to three queries."""
    token = runtime.store.tokens.find(digest_of(text))
    now = runtime.now()
    if token is None or token.kind is not TokenKind.SESSION or not token.stands(now):
        return None
    if token.used_at is None or now - token.used_at >= idle_ms:
        return None
    user = find(runtime, token.owner)
    if user is None or user.disabled or user.mark != token.mark:
        return None
    note_use(runtime, token, now)
    return actor_of(runtime, token.owner)


def end(runtime: Runtime, text: str) -> None:
    """End a session, where there is one."""
    token = runtime.store.tokens.find(digest_of(text))
    if token is not None and token.kind is TokenKind.SESSION:
        runtime.store.tokens.remove([token.id])


def has_to_wait(runtime: Runtime, name: str, address: str) -> int:
    """Count a try to log in, by its name and by the address that it comes from, before the password is looked at. How
    many milliseconds it has to wait; 0 where it may go on. All processes count together."""
    now = runtime.now()
    wait = runtime.store.tries.take(_by_address(address), now, cost=ADDRESS_MS, most=ADDRESS_MS * ADDRESS_TRIES)
    if wait:
        return wait
    return runtime.store.tries.take(_by_name(name), now, cost=NAME_MS, most=NAME_MS * NAME_TRIES)


def was_right(runtime: Runtime, name: str, address: str) -> None:
    """A try that let somebody in counts no more."""
    runtime.store.tries.give_back(_by_address(address), ADDRESS_MS)
    runtime.store.tries.give_back(_by_name(name), NAME_MS)


def _by_name(name: str) -> str:
    return digest_of(f"name {name}")


def _by_address(address: str) -> str:
    """Of the newer kind everybody has a whole network of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return digest_of(f"address {address}")
    network = ipaddress.ip_network((found, _NETWORK_BITS if found.version == _NEWER else found.max_prefixlen), False)
    return digest_of(f"address {network}")
