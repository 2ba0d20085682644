"""A copy of what is deleted: one JSON object a tree and line, in a file that is compressed as ``gzip`` does it."""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from fsmflow.cli.output import to_json
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.engine.branches import item_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import ConfigurationError
from fsmflow.objects import entities
from fsmflow.objects.plain import iso_of
from fsmflow.queries import redacted
from fsmflow.redaction import hide
from fsmflow.store.retention import Tree

_CHUNK: Final = 2**20


class Archive:
    """Appends to a file. What was kept is on the disk before it is deleted."""

    def __init__(self, runtime: Runtime, file: IO[bytes]) -> None:
        self._runtime = runtime
        self._file = file
        self._before = file.seek(0, os.SEEK_END)

    def keep(self, trees: Sequence[Tree]) -> None:
        """Append these; once this returns, they are durable. Raises ConfigurationError, and then nothing is added."""
        self._before = self._file.seek(0, os.SEEK_END)
        try:
            with gzip.GzipFile(filename="", fileobj=self._file, mode="wb") as out:
                for tree in trees:
                    for text in self._texts(tree):
                        out.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException as error:
            self.take_back()
            if not isinstance(error, OSError):
                raise
            raise ConfigurationError(
                f"the archive {self._file.name} cannot be written ({error.strerror or error}); what is not in it was "
                f"not deleted. Make room, or name another file, and run the same command again"
            ) from error

    def take_back(self) -> None:
        """What was appended last is not deleted after all."""
        self._file.truncate(self._before)

    def _texts(self, tree: Tree) -> Iterator[str]:
        """One line, in pieces: a tree may be larger than what fits into memory."""
        root, *branches = sorted(tree.members, key=lambda row: (row != tree.root.row, row))
        addresses: dict[int, str] = {}
        for place, (snapshot, history) in enumerate(self._runtime.store.entities.whole([root, *branches])):
            parent = addresses.get(snapshot.parent) if snapshot.parent is not None else None
            addresses[snapshot.row] = snapshot.address
            text = to_json(self._object(snapshot, history, parent))
            yield f'{text[:-1]}, "branches": [' if place == 0 else f"{', ' if place > 1 else ''}{text}"
        yield "]}\n"

    def _object(self, snapshot: Snapshot, history: list[HistoryEntry], parent: str | None) -> dict[str, Any]:
        keys, event = redacted(self._runtime, snapshot), snapshot.event
        return {
            **{name: value for name, value in entities.summary(snapshot).items() if name not in ("stuck", "overdue")},
            "parent": parent,
            "data": hide(snapshot.data, keys),
            "event": {**vars(event), "payload": hide(event.payload, keys), "at": iso_of(event.at)},
            "item": hide(item_of(snapshot), keys),
            "result": hide(entities.result_of(snapshot), keys),
            "history": [entities.entry(line, keys) for line in history],
        }


@contextmanager
def archive(runtime: Runtime, path: Path) -> Iterator[Archive]:
    """The archive in a file, which is made where it is not there. Nobody else appends to it meanwhile.

    What somebody has left behind who was killed while appending is cut off: it had not been deleted yet. Raises
    ConfigurationError.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ConfigurationError(f"the archive {path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"another program is writing to the archive {path}; name another file") from error
        file.truncate(_sound_length(file, path))
        _sync_folder(path)
        yield Archive(runtime, file)


def _sound_length(file: IO[bytes], path: Path) -> int:
    """Up to where a file can be read. Reads all of it. Raises ConfigurationError for what is no such file."""
    file.seek(0)
    sound, position, rest = 0, 0, b""
    member = zlib.decompressobj(wbits=31)
    try:
        while rest or (rest := file.read(_CHUNK)):
            member.decompress(rest)
            position += len(rest) - len(member.unused_data)
            rest = member.unused_data
            if member.eof:
                sound, member = position, zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise ConfigurationError(f"{path} is no file that gzip can read ({error}); name another one") from error
    return sound


def _sync_folder(path: Path) -> None:
    """A file that was just made is found again after a crash of the machine."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
