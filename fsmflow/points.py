"""Named points in the code, at which a crash or a delay would matter. Free of cost while nobody listens."""

from __future__ import annotations

from collections.abc import Callable

#: Told of each point that is passed: its name, and the address of the entity that it is about.
Listener = Callable[[str, str], None]


class _Heard:
    def __init__(self) -> None:
        self.by: Listener | None = None


_heard = _Heard()


def point(name: str, address: str) -> None:
    """Pass a point."""
    if _heard.by is not None:
        _heard.by(name, address)


def listen(listener: Listener | None) -> None:
    """From now on, tell ``listener`` of each point in this process; None ends that."""
    _heard.by = listener
