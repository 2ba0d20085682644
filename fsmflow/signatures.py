"""How a sender of webhooks is known: by a signature over the bytes that it has sent, made with a secret that both have.

    Hook("stripe", verify=Stripe("env:STRIPE_SECRET"), ...)

A secret is ``"env:NAME"``, ``"file:/path"`` or, if it must be, the secret itself. While one is exchanged for another,
give both: ``Stripe(["env:NEW", "env:OLD"])``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fsmflow.channels.secret import is_named, revealed
from fsmflow.errors import ConfigurationError, DataError, FsmflowError, did_you_mean, shown, text_of
from fsmflow.values import Options, dataclass

__all__ = ["GitHub", "Hmac", "SignatureRefused", "StandardWebhooks", "Stripe", "Verifier"]

TOLERANCE_S: Final = 300
_FILE: Final = "file:"
_PREFIX: Final = "whsec_"
#: More signatures than this in one header are no rotation.
_MOST: Final = 20
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1")
_ENCODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "hex": lambda digest: digest.hex().encode(),
    "base64": base64.b64encode,
}


class SignatureRefused(FsmflowError):
    """What came is not signed as it has to be, or is too old. It does not say more to whoever has sent it."""


class Verifier(Options):
    """Knows a sender. ``secret``: one or several; the first that fits is enough."""

    secret: str | Sequence[str]

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """Raises SignatureRefused where the body does not come from the sender, or came at another time.

        ``headers``: by their names in small letters. Compared in constant time. Raises ConfigurationError where a
        secret is not there.
        """
        raise NotImplementedError

    def event_id(self, headers: Mapping[str, str], body: Any) -> str | None:
        """What the sender calls this very event, however often it is sent; None where it does not say."""
        raise NotImplementedError

    def event_name(self, headers: Mapping[str, str], body: Any) -> str | None:
        """What kind of event the sender calls it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    @property
    def keys(self) -> list[bytes]:
        """The keys that sign. Raises ConfigurationError, which shows none of them."""
        return [self._key(_revealed(one)) for one in self.secret]

    def _key(self, secret: str) -> bytes:
        return secret.encode()


@dataclass(frozen=True, eq=True)
class StandardWebhooks(Verifier):
    """As standardwebhooks.com has it: ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``. ``tolerance``:
    so many seconds its time may be off."""

    secret: str | Sequence[str]
    tolerance: float = TOLERANCE_S

    __repr__ = Verifier.__repr__

    def __post_init__(self) -> None:
        _check(self)

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """See ``Verifier``."""
        id_, time = _given(headers, "webhook-id"), _given(headers, "webhook-timestamp")
        _check_time(time, now_s, self.tolerance)
        signed = f"{id_}.{time}.".encode() + body
        given = _given(headers, "webhook-signature").split()[:_MOST]
        _compare(self.keys, signed, [one.removeprefix("v1,") for one in given if one.startswith("v1,")], "base64")

    def event_id(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return headers.get("webhook-id")

    def event_name(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return _text_in(body, "type")

    def _key(self, secret: str) -> bytes:
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigurationError(
                "StandardWebhooks(...): a secret is 'whsec_' and bytes in base64, as the sender shows it"
            ) from None


@dataclass(frozen=True, eq=True)
class Stripe(Verifier):
    """As Stripe signs: ``Stripe-Signature``. ``tolerance``: so many seconds its time may be off."""

    secret: str | Sequence[str]
    tolerance: float = TOLERANCE_S

    __repr__ = Verifier.__repr__

    def __post_init__(self) -> None:
        _check(self)

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """See ``Verifier``."""
        parts = [part.strip().partition("=") for part in _given(headers, "stripe-signature").split(",")]
        time = next((value for name, _, value in parts if name == "t"), "")
        _check_time(time, now_s, self.tolerance)
        given = [value for name, _, value in parts if name == "v1"][:_MOST]
        _compare(self.keys, f"{time}.".encode() + body, given, "hex")

    def event_id(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return _text_in(body, "id")

    def event_name(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return _text_in(body, "type")


@dataclass(frozen=True, eq=True)
class GitHub(Verifier):
    """As GitHub signs: ``X-Hub-Signature-256``. It says no time; the same delivery is known by its id."""

    secret: str | Sequence[str]

    __repr__ = Verifier.__repr__

    def __post_init__(self) -> None:
        _check(self)

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """See ``Verifier``."""
        given = _given(headers, "x-hub-signature-256")
        _compare(self.keys, body, [given.removeprefix("sha256=")] if given.startswith("sha256=") else [], "hex")

    def event_id(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return headers.get("x-github-delivery")

    def event_name(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return headers.get("x-github-event")


@dataclass(frozen=True, eq=True)
class Hmac(Verifier):
    """A plain HMAC of the body in a ``header``: its ``algorithm``, its ``encoding`` (``"hex"`` or ``"base64"``), and
    what stands before it there (``prefix``). ``id`` and ``event``: the headers, or the fields of the body, that say
    which event it is, and of which kind; without an id it is known by its bytes."""

    secret: str | Sequence[str]
    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    id: str | None = None
    event: str | None = None

    __repr__ = Verifier.__repr__

    def __post_init__(self) -> None:
        _check(self)
        for name, known in (("algorithm", _ALGORITHMS), ("encoding", tuple(_ENCODINGS))):
            value = getattr(self, name)
            if value not in known:
                near = did_you_mean(value, known) or f"; it is one of {', '.join(known)}"
                raise DataError(f"Hmac({name}={shown(value)}) is not known{near}")
        if not isinstance(self.header, str) or not _HEADER.fullmatch(self.header):
            raise DataError(f"Hmac(header={shown(self.header)}): it takes the name of a header, as 'X-Signature'")
        for name in ("prefix", "id", "event"):
            value = getattr(self, name)
            if not (value is None and name != "prefix") and not isinstance(value, str):
                raise DataError(f"Hmac({name}={shown(value)}): it takes text")

    def check(self, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """See ``Verifier``."""
        given = _given(headers, self.header.lower())
        found = [given.removeprefix(self.prefix)] if given.startswith(self.prefix) else []
        _compare(self.keys, body, found, self.encoding, self.algorithm)

    def event_id(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return _said(self.id, headers, body)

    def event_name(self, headers: Mapping[str, str], body: Any) -> str | None:
        """See ``Verifier``."""
        return _said(self.event, headers, body)


def _check(verifier: Any) -> None:
    """Raises DataError for secrets that are none; it shows none of them."""
    name = type(verifier).__name__
    given = [verifier.secret] if isinstance(verifier.secret, str) else verifier.secret
    several = list(given) if isinstance(given, list | tuple) else []
    if not several or not all(isinstance(one, str) and one and one.isprintable() for one in several):
        raise DataError(f"{name}(secret): it takes one or several secrets, as in {name}('env:WEBHOOK_SECRET')")
    object.__setattr__(verifier, "secret", tuple(several))
    tolerance = getattr(verifier, "tolerance", TOLERANCE_S)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 < tolerance <= 86_400:
        raise DataError(f"{name}(tolerance={shown(tolerance)}): it takes seconds, more than 0, at most a day")


def _revealed(secret: str) -> str:
    if not secret.startswith(_FILE):
        return revealed(secret) if is_named(secret) else secret
    path = secret.removeprefix(_FILE)
    try:
        found = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}, which holds a secret, cannot be read: {text_of(error)}") from None
    if not found:
        raise ConfigurationError(f"{path}, which holds a secret, is empty")
    return found


def _given(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name)
    if not found:
        raise SignatureRefused(f"it has no {name}")
    return found


def _check_time(text: str, now_s: float, tolerance: float) -> None:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise SignatureRefused("it says no time")
    off = now_s - int(text)
    if abs(off) > tolerance:
        raise SignatureRefused(f"its time is {abs(off):,.0f} s {'past' if off > 0 else 'to come'}")


def _compare(
    keys: Iterable[bytes], signed: bytes, given: Sequence[str], encoding: str, algorithm: str = "sha256"
) -> None:
    """Raises SignatureRefused where none of the signatures is one of these keys. All are compared, whatever comes."""
    wanted = [_ENCODINGS[encoding](hmac.new(key, signed, getattr(hashlib, algorithm)).digest()) for key in keys]
    found = [one.strip().encode("utf-8", "replace") for one in given]
    if encoding == "hex":
        found = [one.lower() for one in found]
    fits = [hmac.compare_digest(one, other) for one in wanted for other in found]
    if not any(fits):
        raise SignatureRefused("its signature is missing or wrong")


def _said(where: str | None, headers: Mapping[str, str], body: Any) -> str | None:
    if where is None:
        return None
    return headers.get(where.lower()) or _text_in(body, where)


def _text_in(body: Any, path: str) -> str | None:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return str(body) if isinstance(body, str | int) and not isinstance(body, bool) else None
