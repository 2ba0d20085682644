"""Posts a message to a webhook: signed, to an address that was checked, with one limit of time for all of it."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from fsmflow import clock
from fsmflow.channels.addresses import Address, addresses_of
from fsmflow.channels.kinds import Webhook, check_url, host_of
from fsmflow.channels.message import Message
from fsmflow.channels.reply import MAX_TEXT, NotDelivered, Reply, judged
from fsmflow.channels.secret import revealed, signatures
from fsmflow.errors import text_of
from fsmflow.values import dataclass

_PORTS: Final = {"http": 80, "https": 443}
#: A body is sent in pieces, each with what is left of the time.
_PIECE: Final = 16_384
_SAFE: Final = "%/:=&?~+!$,;'@()*[]-._"


def send(channel: Webhook, message: Message) -> str:
    """Post it once; what was answered. Raises NotDelivered, RetryAfter, Fail, ConfigurationError."""
    url = revealed(channel.url)
    check_url(url, allow_private=channel.allow_private)
    body, now = message.body, clock.local_now() // 1000
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "fsmflow",
        "webhook-id": message.id,
        "webhook-timestamp": str(now),
        "webhook-signature": signatures(channel.secret, message.id, now, body),
    }
    until, host = clock.monotonic() + channel.timeout, host_of(url)
    try:
        reply = _post(urlsplit(url), headers, body, until=until, allow_private=channel.allow_private)
    except NotDelivered:
        raise
    except TimeoutError as error:
        raise NotDelivered(f"{host} did not answer within {channel.timeout:g} s") from error
    except (ssl.SSLCertVerificationError, ssl.CertificateError) as error:
        raise NotDelivered(f"the certificate of {host} is not accepted: {text_of(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(f"{host} cannot be reached: {type(error).__name__}: {text_of(error)}") from error
    return judged(host, reply)


def _post(parts: SplitResult, headers: Mapping[str, str], body: bytes, *, until: float, allow_private: bool) -> Reply:
    host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
    port = parts.port or _PORTS[parts.scheme]
    left = until - clock.monotonic()
    found = addresses_of(host, port, allow_private=allow_private, wait_s=left)
    wire = _connected(found, until)
    try:
        if parts.scheme == "https":
            wire.encrypt(host)
        return _ask(wire, parts, host, headers, body)
    finally:
        wire.sock.close()


def _connected(addresses: list[Address], until: float) -> _Wire:
    """A connection to the first of them that takes one; each gets its share of the time."""
    for turn, address in enumerate(addresses, start=1):
        plain = socket.socket(address.family, socket.SOCK_STREAM)
        wire = _Wire(sock=plain, until=until)
        try:
            plain.settimeout(wire.left() / (len(addresses) - turn + 1))
            plain.connect(address.sockaddr)
        except OSError:
            plain.close()
            if turn == len(addresses):
                raise
        else:
            return wire
    raise AssertionError("there is an address at least")


def _ask(wire: _Wire, parts: SplitResult, host: str, headers: Mapping[str, str], body: bytes) -> Reply:
    connection = http.client.HTTPConnection(host)
    connection.sock = wire
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", f"{shown}:{parts.port}" if parts.port else shown)
    for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    text = b"" if 200 <= response.status < 300 else _beginning(response)
    return Reply(
        status=response.status,
        reason=response.reason,
        text=text.decode("utf-8", "replace"),
        retry_after=response.getheader("Retry-After"),
    )


def _beginning(response: http.client.HTTPResponse) -> bytes:
    """As much as came of a body that is wanted for its words alone: the status is there."""
    try:
        return response.read(MAX_TEXT * 4)
    except (OSError, http.client.HTTPException):
        return b""


@dataclass(kw_only=True)
class _Wire:
    """A socket whose calls share one limit of time, for ``http.client``. Raises TimeoutError."""

    sock: Any
    until: float

    def left(self) -> float:
        seconds = self.until - clock.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def encrypt(self, name: str) -> None:
        """TLS, by the certificate of this name, whatever address was connected to."""
        self.sock.settimeout(self.left())
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=name)

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self.sock.settimeout(self.left())
            self.sock.sendall(data[start : start + _PIECE])

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """``http.client`` is done with it as soon as the headers are there; the body is yet to be read."""


class _Incoming(io.RawIOBase):
    """What comes in, each piece within what is left of the time."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wire.sock.settimeout(self._wire.left())
        received: int = self._wire.sock.recv_into(buffer)
        return received
