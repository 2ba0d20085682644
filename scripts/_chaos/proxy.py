"""A TCP proxy in a process of its own, which drops a reply, hangs, delays or cuts connections when it is told to.

    python proxy.py LISTEN_ADDRESS LISTEN_PORT TARGET_PORT

It reads commands from standard input, a line each, and ends with it: ``drop TEXT`` (the next request that contains
TEXT is forwarded, and the connection is closed when the answer comes), ``hang SECONDS``, ``cut SHARE`` (close so many
of the connections), ``shut SECONDS`` (close all, and refuse new ones that long), ``delay SECONDS`` (all that is carried
arrives so much later, from now on).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
import time
from weakref import WeakKeyDictionary

from _servers import free_port

_CHUNK = 65536
#: Two pieces of one connection never arrive at once, or their order would be left to chance.
_APART_S = 1e-6


class Proxy:
    """Forwards between its port and another one of this host, while it is entered."""

    def __init__(self, target_port: int, environment: dict[str, str], *, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "_chaos.proxy", address, str(self.port), str(target_port)]
        self._environment = environment

    def __enter__(self) -> Proxy:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._await_line()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def tell(self, command: str) -> int:
        """Give a command; how many connections it has met at once."""
        if self._process.stdin is None:
            raise RuntimeError("the proxy was started without a pipe")
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return int(self._await_line())

    def _await_line(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError(f"the proxy has ended with status {self._process.wait()}")
        return line


class _Forwarder:
    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._armed: bytes | None = None
        self._refuses_until = 0.0
        self._delay_s = 0.0
        #: When the last of what is on its way arrives.
        self._due: WeakKeyDictionary[asyncio.StreamWriter, float] = WeakKeyDictionary()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._refuses_until:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        _notice_soon(writer)
        pair = (writer, to_server)
        self._pairs.add(pair)
        doomed = asyncio.Event()
        pumps = [self._requests(reader, to_server, doomed), self._replies(from_server, writer, doomed)]
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._pairs.discard(pair)
        for end in pair:
            end.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self._armed is not None and self._armed in chunk:
                    self._armed = None
                    doomed.set()
                await self._send(writer, chunk)
            await asyncio.sleep(self._delay_s)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flowing.wait()
                if doomed.is_set():
                    return
                await self._send(writer, chunk)
            await asyncio.sleep(self._delay_s)

    async def _send(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        """Send it, behind all that was sent before and is still on its way."""
        loop = asyncio.get_running_loop()
        due = max(loop.time() + self._delay_s, self._due.get(writer, 0.0) + _APART_S)
        if due <= loop.time():
            writer.write(chunk)
            await writer.drain()
        else:
            self._due[writer] = due
            loop.call_at(due, writer.write, chunk)

    def obey(self, command: str, argument: str) -> int:
        if command == "drop":
            self._armed = argument.encode()
            return 1
        if command == "hang":
            self._flowing.clear()
            asyncio.get_running_loop().call_later(float(argument), self._flowing.set)
            return len(self._pairs)
        if command == "delay":
            self._delay_s = float(argument)
            return len(self._pairs)
        if command == "shut":
            self._refuses_until = time.monotonic() + float(argument)
        share = float(argument) if command == "cut" else 1.0
        count = max(1, round(len(self._pairs) * share)) if self._pairs else 0
        for pair in random.sample(sorted(self._pairs, key=id), count):
            for end in pair:
                end.transport.abort()
        return count


def _notice_soon(writer: asyncio.StreamWriter) -> None:
    """Have a client that is not there any more noticed, as by a server whose keepalives are set as docs/scale.md has
    them: what it had open is rolled back then."""
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 11_000)


async def _serve(address: str, port: int, target_port: int) -> None:
    forwarder = _Forwarder(target_port)
    server = await asyncio.start_server(forwarder.accept, address, port)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    async with server:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            print(forwarder.obey(command, argument), flush=True)
        forwarder.obey("cut", "1.0")
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=1.0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
