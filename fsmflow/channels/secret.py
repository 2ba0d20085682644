"""Secrets of channels: where they are kept, and how a message is signed with them, as Standard Webhooks has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final

from fsmflow.errors import ConfigurationError

_NAMED: Final = "env:"
_PREFIX: Final = "whsec_"
_SIZES: Final = range(24, 65)
_MADE: Final = 32


def is_named(secret: str) -> bool:
    """Whether a variable of the environment is named in its place."""
    return secret.startswith(_NAMED)


def named(secret: str) -> str:
    """The variable that is named."""
    return secret.removeprefix(_NAMED)


def revealed(secret: str) -> str:
    """The secret itself, of the environment where that is named. Raises ConfigurationError."""
    if not is_named(secret):
        return secret
    found = os.environ.get(named(secret))
    if not found:
        raise ConfigurationError(f"the variable {named(secret)!r} of the environment, which holds a secret, is not set")
    return found


def new_secret() -> str:
    """A fresh secret, for ``Webhook(secret=...)`` and for whoever receives."""
    return _PREFIX + base64.b64encode(os.urandom(_MADE)).decode()


def check_key(secret: str) -> bytes:
    """The key that a secret is written for. Raises ConfigurationError, which does not show it."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _SIZES:
        raise ConfigurationError(
            f"Webhook(secret=...): a secret is 'whsec_' and {_SIZES.start} to {_SIZES.stop - 1} bytes in base64, or "
            f"'env:NAME'; 'fsmflow channels secret' makes one"
        )
    return key


def signatures(secrets_: Sequence[str], id_: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: a signature for each secret. Raises ConfigurationError."""
    signed = f"{id_}.{timestamp}.".encode() + body
    digests = (hmac.new(check_key(revealed(secret)), signed, hashlib.sha256).digest() for secret in secrets_)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
