"""Which addresses of the network a webhook may connect to: those that belong to nobody's inside."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from fsmflow.channels.reply import NotDelivered
from fsmflow.errors import text_of
from fsmflow.values import dataclass

#: Not global, whatever the ``ipaddress`` of this Python says: relays, a platform's own, what stands for IPv4.
_INSIDE: Final = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("240.0.0.0/4", "::/8", "100::/64", "64:ff9b:1::/48", "2001::/23", "fc00::/7", "fe80::/9"),
    )
)
#: The IPv4 address stands in the last 32 bits.
_NAT64: Final = ip_network("64:ff9b::/96")


@dataclass(frozen=True, kw_only=True)
class Address:
    """One address of a name, as ``socket`` connects to it."""

    family: int
    sockaddr: tuple[Any, ...]


def addresses_of(host: str, port: int, *, allow_private: bool, wait_s: float) -> list[Address]:
    """The addresses of a name, resolved once and all of them checked; whoever connects takes these and asks nobody
    again. Raises NotDelivered where there is none in time, and where one of them is private."""
    found = list(dict.fromkeys((family, sockaddr) for family, sockaddr in _resolved(host, port, wait_s)))
    for _, sockaddr in found:
        why = _why_not(str(sockaddr[0]), allow_private=allow_private)
        if why is not None:
            hint = "" if allow_private else "; allow_private=True would let that be"
            raise NotDelivered(f"{host} has the address {sockaddr[0]}, which {why}{hint}")
    if not found:
        raise NotDelivered(f"{host} has no address")
    return [Address(family=family, sockaddr=sockaddr) for family, sockaddr in found]


def _resolved(host: str, port: int, wait_s: float) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """By a thread of its own, as a resolver has no limit of time."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="fsmflow-resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(wait_s, 0.001))
    except queue.Empty:
        raise NotDelivered(f"the name {host} was not resolved in time") from None
    if isinstance(found, Exception):
        raise NotDelivered(f"the name {host} cannot be resolved: {text_of(found)}") from found
    for family, _, _, _, sockaddr in found:
        yield family, sockaddr


def _why_not(text: str, *, allow_private: bool) -> str | None:
    """Why nobody connects to an address, or nothing."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "is none that can be read"
    if address.is_multicast:
        return "is one of many hosts (multicast)"
    return None if allow_private or _is_outside(address) else "is private, or is not that of a host in the internet"


def _is_outside(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return _is_outside(inner)
        if address.is_site_local:
            return False
    if any(address.version == inside.version and address in inside for inside in _INSIDE):
        return False
    return address.is_global and not address.is_multicast
