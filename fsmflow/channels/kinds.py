"""The kinds of channels, as values that are checked when they are made."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from fsmflow.channels.secret import check_key, is_named, named
from fsmflow.errors import ConfigurationError, did_you_mean, shown
from fsmflow.values import Options, dataclass

#: A try may take at most so long: a job that tries ends before its own limit.
MAX_TIMEOUT_S: Final = 60
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_MAIL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
STARTTLS: Final = "starttls"
TLS: Final = "ssl"
PLAIN: Final = "none"
_TLS: Final = (STARTTLS, TLS, PLAIN)
_HERE: Final = ("localhost", "127.0.0.1", "::1")


class Channel(Options):
    """Where messages go. ``kind``: what a file of channels calls it; ``place``: what may be shown of where it leads."""

    kind: ClassVar[str] = ""
    timeout: float

    @property
    def place(self) -> str:
        """Where it leads, without anything that is secret."""
        raise NotImplementedError

    @property
    def lacks(self) -> list[str]:
        """The variables that it names, and that the environment here does not have."""
        held = [one for value in vars(self).values() for one in (value if isinstance(value, tuple) else (value,))]
        names = [named(one) for one in held if isinstance(one, str) and is_named(one)]
        return [name for name in names if not os.environ.get(name)]

    def as_plain(self) -> dict[str, Any]:
        """The same as ``read_channel`` takes it, and JSON can hold it. With its secrets."""
        held = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {"kind": self.kind, **held}


@dataclass(frozen=True)
class Log(Channel):
    """Messages become lines of fsmflow's log, with ``level``: event ``message.told``."""

    kind: ClassVar[str] = "log"

    level: str = "WARNING"
    timeout: float = 10

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            near = did_you_mean(self.level.upper() if isinstance(self.level, str) else None, _LEVELS)
            hint = near or f"; it is one of {', '.join(_LEVELS)}"
            raise ConfigurationError(f"Log(level={shown(self.level)}) is no level{hint}")
        _check_timeout(self)

    @property
    def place(self) -> str:
        """Where it leads."""
        return f"lines of level {self.level}"

    @property
    def number(self) -> int:
        """The level as ``logging`` counts."""
        return logging.getLevelNamesMapping()[self.level]


@dataclass(frozen=True)
class Command(Channel):
    """A command gets each message as JSON on its standard input, and the id in ``FSMFLOW_MESSAGE_ID``.

    ``arguments``: the program and what it is called with; no shell reads them. It takes the message by ending with
    status 0, within ``timeout`` seconds; what still runs then is killed with all that it has started.
    """

    kind: ClassVar[str] = "command"

    arguments: Sequence[str]
    timeout: float = 30

    def __post_init__(self) -> None:
        words = self.arguments
        if isinstance(words, str) or not isinstance(words, Sequence) or not words:
            raise ConfigurationError(
                f"Command({shown(words)}): it takes a list of the program and its arguments, as in "
                f"Command(['notify', '--now']); no shell reads them"
            )
        if not all(isinstance(word, str) and "\0" not in word for word in words) or not words[0]:
            raise ConfigurationError(f"Command({shown(words)}): the program and its arguments are texts")
        object.__setattr__(self, "arguments", tuple(words))
        _check_timeout(self)

    def __repr__(self) -> str:
        return f"Command([{self.place!r}, ...], timeout={self.timeout:g})"

    @property
    def place(self) -> str:
        """Where it leads: the program, as arguments may be secret."""
        return self.arguments[0]


@dataclass(frozen=True)
class Email(Channel):
    """Messages go to people, by way of a mail server.

    ``host`` and ``port``: that server. ``tls``: ``"starttls"``, ``"ssl"`` from the first byte, or ``"none"``. ``user``
    and ``password``: how fsmflow logs in there; ``password="env:SMTP_PASSWORD"`` names a variable of the environment.
    """

    kind: ClassVar[str] = "email"

    to: Sequence[str]
    sender: str = ""
    host: str = "localhost"
    port: int | None = None
    tls: str = STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30

    def __post_init__(self) -> None:
        people = [self.to] if isinstance(self.to, str) else self.to
        if not isinstance(people, Sequence) or not people or not all(map(_is_mail, people)):
            raise ConfigurationError(
                f"Email(to={shown(self.to)}): it takes one or several addresses, as ops@shop.example"
            )
        object.__setattr__(self, "to", tuple(people))
        if not _is_mail(self.sender):
            raise ConfigurationError(
                f"Email(sender={shown(self.sender)}): it takes the address that messages come from"
            )
        if not isinstance(self.host, str) or not self.host or not self.host.isprintable():
            raise ConfigurationError(f"Email(host={shown(self.host)}): it takes the name of a mail server")
        if self.tls not in _TLS:
            raise ConfigurationError(f"Email(tls={shown(self.tls)}): it is one of {', '.join(_TLS)}")
        if self.port is not None and not _is_port(self.port):
            raise ConfigurationError(f"Email(port={shown(self.port)}): it is a number from 1 to 65535")
        self._check_login()
        _check_timeout(self)

    def _check_login(self) -> None:
        if (self.user is None) != (self.password is None):
            raise ConfigurationError("Email(...): user and password go together")
        if self.password is None:
            return
        if not isinstance(self.user, str) or not isinstance(self.password, str) or not self.password:
            raise ConfigurationError("Email(...): user and password are texts")
        if self.tls == PLAIN and self.host not in _HERE:
            raise ConfigurationError(
                f"Email(tls='none'): the password would go to {self.host} as everybody can read it; take 'starttls' or "
                f"'ssl'"
            )

    @property
    def place(self) -> str:
        """Where it leads."""
        return f"{', '.join(self.to)} by {self.host}"

    @property
    def at_port(self) -> int:
        """The port, by default the one that is usual for ``tls``."""
        return self.port or {STARTTLS: 587, TLS: 465, PLAIN: 25}[self.tls]


@dataclass(frozen=True)
class Webhook(Channel):
    """Messages are posted to an address of HTTPS, signed as Standard Webhooks has it.

    ``url``: the address, or ``"env:NAME"``, a variable of the environment that holds it. ``secret``: one or several, as
    while they are rotated, each ``"whsec_..."`` or ``"env:NAME"``; ``fsmflow channels secret`` makes one.
    ``allow_private``: take also addresses of private networks and of this host, and ``http://``. ``timeout``: seconds
    for one try in all. No redirect is followed, and no proxy of the environment is used.
    """

    kind: ClassVar[str] = "webhook"

    url: str
    secret: str | Sequence[str]
    allow_private: bool = False
    timeout: float = 15

    def __post_init__(self) -> None:
        if not isinstance(self.allow_private, bool):
            raise ConfigurationError(f"Webhook(allow_private={shown(self.allow_private)}): it is True or False")
        if not isinstance(self.url, str):
            raise ConfigurationError("Webhook(...): the address is no text; write 'https://...' or 'env:NAME'")
        if not is_named(self.url):
            check_url(self.url, allow_private=self.allow_private)
        given = [self.secret] if isinstance(self.secret, str) else self.secret
        if not isinstance(given, Sequence) or not given or not all(isinstance(one, str) for one in given):
            raise ConfigurationError("Webhook(secret=...): it takes one or several secrets, 'whsec_...' or 'env:NAME'")
        for one in given:
            if not is_named(one):
                check_key(one)
        object.__setattr__(self, "secret", tuple(given))
        _check_timeout(self)

    def __repr__(self) -> str:
        return f"Webhook({self.place!r}, allow_private={self.allow_private}, timeout={self.timeout:g})"

    @property
    def place(self) -> str:
        """Where it leads: the host, as the rest of an address may be secret."""
        return f"${named(self.url)}" if is_named(self.url) else host_of(self.url)


def host_of(url: str) -> str:
    """Host and port of an address, as they may be shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises ConfigurationError for what is no address of a webhook. It tells no more of it than the host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna" if not host.isascii() else "ascii")
    except ValueError:
        raise ConfigurationError("Webhook(...): its address cannot be read; write https://host/path") from None
    if not host or any(char.isspace() or not char.isprintable() for char in url):
        raise ConfigurationError("Webhook(...): its address cannot be read; write https://host/path")
    if parts.scheme == "http" and not allow_private:
        raise ConfigurationError(
            f"Webhook(...): http://{host} is not encrypted; write https://, or allow_private=True for a receiver in a "
            f"network of your own"
        )
    if parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"Webhook(...): its address begins with {shown(parts.scheme)}; write https://host/path"
        )
    if "@" in parts.netloc:
        raise ConfigurationError(f"Webhook(...): the address of {host} has a user or password; a secret signs instead")
    if parts.fragment:
        raise ConfigurationError(f"Webhook(...): the address of {host} has a part behind '#', which is never sent")


def _is_mail(address: object) -> bool:
    return isinstance(address, str) and len(address) <= 254 and bool(_MAIL.fullmatch(address)) and address.isprintable()


def _is_port(port: object) -> bool:
    return isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65_536


def _check_timeout(channel: Channel) -> None:
    given = channel.timeout
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MAX_TIMEOUT_S:
        raise ConfigurationError(
            f"{type(channel).__name__}(timeout={shown(given)}): it takes seconds, more than 0, at most {MAX_TIMEOUT_S}"
        )


#: By what a file of channels calls them.
KINDS: Final[Mapping[str, type[Channel]]] = {kind.kind: kind for kind in (Log, Command, Email, Webhook)}
