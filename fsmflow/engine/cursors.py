"""Who reads a feed, and how far it has come: a claim on the cursor, under which alone it is moved."""

from __future__ import annotations

import os
import socket
from typing import Protocol

from fsmflow import clock
from fsmflow.decision.position import Cursor, Position
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import ConfigurationError, FsmflowError
from fsmflow.log.feeds import feed_missed, feed_waits
from fsmflow.values import replace


class FeedInUse(FsmflowError):
    """Somebody else reads a feed, or has taken it over meanwhile; what was told last is not noted as read."""


class UnknownFeed(FsmflowError):
    """No feed has this name."""


class FeedAhead(FsmflowError):
    """A feed has read lines that the history has not: one of the two was restored from a backup. Where to go on is for
    a person to say."""


class Place(Protocol):
    """Where it is kept how far a feed has come."""

    def claimed(self) -> Cursor | None:
        """The cursor as it is now, which nobody else moves for a while; None where it is somebody else's turn.

        Raises FeedInUse where that is not waited for, FeedAhead, ConfigurationError, DatabaseUnavailable.
        """

    def move(self, position: Position, token: str | None, told: int) -> None:
        """Note what has been read, and that ``told`` more entries were. Raises FeedInUse where others read by now."""

    def close(self) -> None:
        """Let others read."""


def begun(runtime: Runtime, name: str, *, from_beginning: bool) -> Cursor:
    """The cursor of a feed that begins. Raises ConfigurationError where none can be read."""
    check_order(runtime)
    now = runtime.now()
    position = Position() if from_beginning else runtime.store.lines.end(now)
    return Cursor(name=name, upto=position.upto, gaps_text=position.to_text(), begun_at=now)


def check_order(runtime: Runtime) -> None:
    """Raises ConfigurationError where the database numbers lines in no order that could be read."""
    fault = runtime.store.lines.fault()
    if fault is not None:
        raise ConfigurationError(f"a feed cannot be read here: {fault}")


class Unstored:
    """In memory, for who needs it once."""

    def __init__(self, runtime: Runtime, *, from_beginning: bool) -> None:
        self._runtime = runtime
        self._from_beginning = from_beginning
        self._cursor: Cursor | None = None

    def claimed(self) -> Cursor:
        """It is nobody else's."""
        if self._cursor is None:
            self._cursor = begun(self._runtime, "", from_beginning=self._from_beginning)
        return self._cursor

    def move(self, position: Position, token: str | None, told: int) -> None:
        """Remember it."""
        self._cursor = replace(self.claimed(), upto=position.upto, gaps_text=position.to_text(), token=token)

    def close(self) -> None:
        """Nobody waits for it."""


class Stored:
    """In the database, under the name of the feed. ``waits``: for its turn; ``wanted``: what is asked for, as a text"""

    def __init__(
        self, runtime: Runtime, name: str, *, from_beginning: bool, waits: bool, lease_ms: int, wanted: str
    ) -> None:
        self._runtime = runtime
        self._feeds = runtime.store.feeds
        self._name = name
        self._from_beginning = from_beginning
        self._waits = waits
        self._lease_ms = lease_ms
        self._wanted = wanted
        self._owner: str | None = None
        self._waits_for: str | None = None
        self._missed = 0

    def claimed(self) -> Cursor | None:
        """One query; a write where half of the lease is over, or it is not ours yet."""
        now = self._runtime.now()
        found = self._feeds.find(self._name)
        if found is None:
            self._feeds.add(begun(self._runtime, self._name, from_beginning=self._from_beginning))
            found = self._feeds.find(self._name)
        if found is not None and not self._is_held(found, now):
            found = self._claim(found, now)
        if found is not None and found.missed != self._missed:
            if found.missed > self._missed:
                feed_missed(found.name, found.missed - self._missed)
            self._missed = found.missed
        return found

    def _is_held(self, found: Cursor, now: int) -> bool:
        """Whether it is ours for some time yet."""
        until = found.lease_until or 0
        return self._owner is not None and found.owner == self._owner and until - now > self._lease_ms / 2

    def _claim(self, found: Cursor, now: int) -> Cursor | None:
        goes_on = self._owner is not None and found.owner == self._owner
        owner = self._owner if goes_on and self._owner is not None else os.urandom(16).hex()
        holder = f"{socket.gethostname()}, process {os.getpid()}"
        if not self._feeds.claim(found.name, owner, holder, now, now + self._lease_ms, self._wanted):
            self._owner = None
            if not self._waits:
                raise _in_use(found)
            if found.owner != self._waits_for:
                self._waits_for = found.owner
                feed_waits(found.name, found.holder or "another reader", _told(found.lease_until or now))
            return None
        self._owner = owner
        # Whoever had it may have moved it until now.
        latest = found if goes_on else self._feeds.find(found.name)
        if latest is not None and not goes_on:
            self._check(latest)
        return latest

    def _check(self, found: Cursor) -> None:
        """Raises FeedAhead where the history is not the one that was read."""
        check_order(self._runtime)
        lines = self._runtime.store.lines
        there, last = (lines.token(found.upto), lines.last()) if found.upto else (None, None)
        is_short = last is not None and last < found.upto
        if not is_short and (found.token is None or there in (None, found.token)):
            return
        self.close()
        instead = f"ends with line {last:,}" if is_short else "has another line there"
        raise FeedAhead(
            f"feed {found.name} has read up to line {found.upto:,}, and the history {instead}: it, or the feed, was "
            f"restored from a backup. Say where to go on: 'fsmflow feed rewind {found.name} --from now', or "
            f"'--from beginning' to be told all of it again"
        )

    def move(self, position: Position, token: str | None, told: int) -> None:
        """One write."""
        now = self._runtime.now()
        until = now + self._lease_ms
        if self._owner is not None and self._feeds.move(
            self._name, position, owner=self._owner, token=token, told=told, now=now, until=until
        ):
            return
        self._owner = None
        found = self._feeds.find(self._name)
        raise FsmflowError(f"feed {self._name} was forgotten meanwhile") if found is None else _in_use(found)

    def close(self) -> None:
        """Without it others wait until the lease is over."""
        owner, self._owner = self._owner, None
        if owner is not None:
            self._feeds.release(self._name, owner)


def _told(moment: int) -> str:
    return f"{clock.to_datetime(moment):%Y-%m-%d %H:%M:%S} UTC"


def _in_use(found: Cursor) -> FeedInUse:
    until = "" if found.lease_until is None else f", until {_told(found.lease_until)} at least"
    reader = f"is read by {found.holder}{until}" if found.owner is not None else "was taken away from this reader"
    return FeedInUse(
        f"feed {found.name} {reader}. What was told and not noted as read is told again. Let one program read it, or "
        f"give each a feed of its own name; one that follows waits for its turn"
    )
