"""The file of a SQLite database: whether those who have it open still have what others open."""

from __future__ import annotations

import os
from pathlib import Path

from fsmflow.store.link import Link


class DatabaseFile:
    """The file as it is when this is made. It is only looked at: to open and close it would end SQLite's locks."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._opened = os.stat(self.path)

    @classmethod
    def of(cls, link: Link) -> DatabaseFile | None:
        """That of a database that is open; None where a server or memory holds it."""
        path = None if link.dialect.is_server else Path(str(link.db.database))
        return None if path is None or not path.is_file() else cls(path)

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted, or another file stands in its place: what is written to it then is read by nobody."""
        try:
            return not os.path.samestat(os.stat(self.path), self._opened)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # such as a folder that may not be entered any more
            return False
