"""A host as a network namespace: it has a name and a clock of its own, and reaches the database by one link and Redis
by another. Takes root on Linux."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

from _chaos.proxy import Proxy
from _packages import Unavailable

DATABASE, REDIS = LINKS = ("database", "redis")
#: Of IPv4 networks with two addresses each, which nobody else uses here.
_NETWORK: Final = "10.232.{}.{}"


class Island:
    """One host, while it is entered. ``ports``: where the servers are on this machine, by the name of the link."""

    def __init__(self, number: int, ports: dict[str, int], environment: dict[str, str]) -> None:
        self.name = f"host-{number}"
        self._space = f"chaos{os.getpid() % 10_000}-{number}"
        self._places = {link: (number, index) for index, link in enumerate(LINKS)}
        self._proxies = {link: Proxy(ports[link], environment, address=self.address(link)) for link in LINKS}

    def address(self, link: str) -> str:
        """What the machine with the servers is called on a link."""
        number, index = self._places[link]
        return _NETWORK.format(number, 4 * index + 1)

    def port(self, link: str) -> int:
        """The port of that address which leads to the server."""
        return self._proxies[link].port

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs a program there, in one process."""
        name = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self._space, *name, *words]

    @contextlib.contextmanager
    def there(self) -> Iterator[Island]:
        """It is there inside. Raises Unavailable where there are no namespaces to be had."""
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "hostname"))):
            raise Unavailable("hosts as network namespaces take root, and the programs ip, unshare and hostname")
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            try:
                self._appear()
            except subprocess.CalledProcessError as error:
                raise Unavailable(f"no network namespaces here: {error.stderr.decode().strip()}") from error
            for proxy in self._proxies.values():
                stack.enter_context(proxy)
            yield self

    def cut(self, *links: str) -> None:
        """From now on no packet comes through, and nobody is told."""
        for link in links:
            _ip("link", "set", self._device(link), "down")

    def mend(self, *links: str) -> None:
        """They carry again what is sent."""
        for link in links:
            _ip("link", "set", self._device(link), "up")

    def delay(self, seconds: float) -> None:
        """Each answer comes so much later than it would."""
        for proxy in self._proxies.values():
            proxy.tell(f"delay {seconds / 2}")

    def _device(self, link: str) -> str:
        return f"{self._space}{link[0]}"

    def _appear(self) -> None:
        _ip("netns", "add", self._space)
        for link, (number, index) in self._places.items():
            here, theirs = self._device(link), f"{link[0]}0"
            _ip("link", "add", here, "type", "veth", "peer", "name", theirs, "netns", self._space)
            _ip("addr", "add", f"{self.address(link)}/30", "dev", here)
            _ip("link", "set", here, "up")
            for words in (
                ("addr", "add", f"{_NETWORK.format(number, 4 * index + 2)}/30", "dev", theirs),
                ("link", "set", theirs, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("netns", "exec", self._space, "ip", *words)

    def _remove(self) -> None:
        devices = [("link", "del", self._device(link)) for link in LINKS]
        for words in (*devices, ("netns", "del", self._space)):
            subprocess.run(["ip", *words], check=False, capture_output=True)


@contextlib.contextmanager
def islands(count: int, ports: dict[str, int], environment: dict[str, str], *, far_s: float) -> Iterator[list[Island]]:
    """So many of them, of which the last is so far from database and Redis. Raises Unavailable."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Island(number, ports, environment).there()) for number in range(count)]
        for island in made[-1:]:
            island.delay(far_s)
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
