"""What stands in front of the web: a proxy that is trusted says who asks, from where, and whether by https."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.requests import Request

from fsmflow.decision.inputs import Actor
from fsmflow.errors import ConfigurationError, DataError, text_of
from fsmflow.log.users import header_refused
from fsmflow.person import person_with
from fsmflow.web.identity import Entrance

#: Longer than that is no list of groups.
_MOST_CHARS = 8_192


class Proxies:
    """``trusted``: the networks of those that are believed, as in ``10.0.0.0/8``. Raises ConfigurationError."""

    def __init__(self, trusted: Iterable[str]) -> None:
        try:
            self._networks = [ipaddress.ip_network(each) for each in trusted]
        except ValueError as error:
            raise ConfigurationError(f"trusted={list(trusted)}: {text_of(error)}; write it as 10.0.0.0/8") from error

    def sent(self, request: Request) -> bool:
        """Whether a request came from one of them."""
        return request.client is not None and self._is_trusted(request.client.host)

    def address(self, request: Request) -> str:
        """Where a request comes from: the last one that no trusted proxy is. What others say of it counts nothing."""
        if request.client is None:
            return "a local socket"
        if not self.sent(request):
            return request.client.host
        told = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        passed = [each.strip() for each in told if each.strip()]
        found = next((each for each in reversed(passed) if not self._is_trusted(each)), None)
        return found or (passed[0] if passed else request.client.host)

    def is_https(self, request: Request) -> bool:
        """Whether whoever asks does so by https, as far as that is known here."""
        if request.url.scheme == "https":
            return True
        return self.sent(request) and request.headers.get("x-forwarded-proto", "").lower() == "https"

    def _is_trusted(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


class HeaderAuth(Entrance):
    """Who asks is who a trusted proxy says, which has people log in, as by OpenID Connect.

    ``header`` has the name of the person. ``groups``: the header with roles besides those that the permissions give,
    separated by commas. ``trusted``: the networks of the proxy; from elsewhere the header counts nothing, and the log
    tells of it. The proxy has to take both headers away from what it passes on.
    """

    def __init__(self, header: str, *, trusted: Iterable[str], groups: str | None = None) -> None:
        self._header, self._groups = header, groups
        self._proxies = Proxies(trusted)

    def __call__(self, request: Request) -> Actor | None:
        names = request.headers.getlist(self._header)
        if not names:
            return None
        if not self._proxies.sent(request):
            header_refused(self._header, self._proxies.address(request))
            return None
        if len(names) > 1 or not names[0].strip():
            return None
        told = ",".join(request.headers.getlist(self._groups)) if self._groups else ""
        groups = {each.strip() for each in told[:_MOST_CHARS].split(",") if each.strip()}
        try:
            return person_with(names[0].strip(), groups)
        except DataError:
            return None

    def is_https(self, request: Request) -> bool:
        return self._proxies.is_https(request)
