"""Whether the file of a SQLite database is still the one that was opened."""

from __future__ import annotations

from pathlib import Path

import peewee

from fsmflow.store.dialects import open_sqlite
from fsmflow.store.file import DatabaseFile
from fsmflow.store.link import Link


def opened(folder: Path) -> tuple[Link, DatabaseFile]:
    link = Link(open_sqlite(folder / "fsmflow.db"), own=True)
    link.execute("CREATE TABLE one (a INTEGER)")
    file = DatabaseFile.of(link)
    assert file is not None
    return link, file


def test_a_file_that_was_deleted_or_replaced_is_gone(tmp_path: Path) -> None:
    link, file = opened(tmp_path)
    link.execute("INSERT INTO one VALUES (1)")
    assert not file.is_gone
    file.path.unlink()
    assert file.is_gone
    file.path.touch()
    assert file.is_gone, "another file stands in its place"
    link.forget_connection()


def test_a_file_is_gone_with_its_folder_and_follows_it_nowhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    link, file = opened(home)
    home.rename(tmp_path / "elsewhere")
    assert file.is_gone
    home.touch()
    assert file.is_gone
    link.forget_connection()


def test_memory_has_no_file() -> None:
    assert DatabaseFile.of(Link(peewee.SqliteDatabase(":memory:"), own=False)) is None
