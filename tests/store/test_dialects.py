"""What differs between databases is in one object for each of them, and no other module asks which one it is."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import peewee
import pytest
from peewee import Database, Field
from playhouse.cockroachdb import CockroachDatabase
from playhouse.pool import PooledSqliteDatabase

from fsmflow.errors import ConfigurationError
from fsmflow.store.dialect import Dialect
from fsmflow.store.dialects import DIALECTS, dialect_of
from fsmflow.store.link import Link, open_database
from tests.support.paths import ROOT

each = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
#: Here the kinds of databases are known: ``memory`` is one, and drivers are put in place for them.
KNOWING = {
    "fsmflow/store/placeholders.py",
    "fsmflow/store/dialects.py",
    "fsmflow/store/memory.py",
    "fsmflow/store/writelock.py",
    # Other libraries have names of their own for databases: whoever translates them, and who hands ours on to that.
    "fsmflow/django/checks.py",
    "fsmflow/sqlalchemy/attribute.py",
    "fsmflow/sqlalchemy/migration.py",
    "fsmflow/store/own_rows.py",
    "fsmflow/store/reader.py",
}
KINDS = {"SqliteDatabase", "PostgresqlDatabase", "MySQLDatabase", "is_sqlite", "is_postgres", "is_mysql"}


@each
def test_each_says_all_that_is_asked_of_it(dialect: Dialect) -> None:
    assert not inspect.isabstract(type(dialect))
    asked = [name for name, hint in Dialect.__annotations__.items() if "ClassVar" in str(hint)]
    assert len(asked) > 10
    assert [name for name in asked if not hasattr(dialect, name)] == []
    assert dialect.name in dialect.schemes
    assert dialect.example.partition("://")[0] in dialect.schemes
    assert issubclass(dialect.kind, Database)
    assert issubclass(dialect.row_field, Field)
    assert issubclass(dialect.text_field, Field)
    assert (type(dialect).__doc__ or "").strip()


@each
def test_none_adds_a_word_that_is_not_asked_of_all(dialect: Dialect) -> None:
    own = {name for name in vars(type(dialect)) if not name.startswith("_")}
    assert own <= set(Dialect.__annotations__) | {name for name in vars(Dialect) if not name.startswith("_")}


def test_their_names_and_urls_tell_them_apart() -> None:
    schemes = [scheme for dialect in DIALECTS for scheme in dialect.schemes]
    assert len(set(schemes)) == len(schemes)
    assert len({dialect.kind for dialect in DIALECTS}) == len(DIALECTS)


def test_a_database_is_known_by_its_class_whatever_it_is_derived_from(database_url: str) -> None:
    link = Link(open_database(database_url), own=True)
    assert database_url.partition("://")[0] in link.dialect.schemes
    assert dialect_of(PooledSqliteDatabase("any.db")).name == "sqlite"
    assert dialect_of(CockroachDatabase("any")).name == "postgresql"


def test_a_database_of_no_known_kind_is_refused_by_name() -> None:
    class Ledger(Database):
        """Some other database."""

    with pytest.raises(ConfigurationError, match="cannot work on a Ledger; use sqlite, postgresql or mysql"):
        Link(Ledger("any"), own=False)


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    link = Link(open_database(database_url), own=True)
    yield link
    link.forget_connection()


class Word(peewee.Model):
    """A table to try each statement on."""

    text = peewee.CharField()
    number = peewee.IntegerField(null=True)

    class Meta:
        table_name = "word"


@pytest.fixture
def words(link: Link) -> Iterator[Link]:
    with link.db.bind_ctx([Word]):
        link.dialect.create_tables(link.db, [Word])
        yield link


def test_rows_are_inserted_by_the_page_and_found_among_values(words: Link) -> None:
    dialect = words.dialect
    rows = [("a'\"\\%?", 1), ("\U0001f642", None), ("", -1)]
    words.write(lambda: words.execute(*dialect.insert_many("word", ("text", "number"), rows)))
    among, values = dialect.among(["a'\"\\%?", ""])
    found = words.rows(f"SELECT {dialect.quoted('text')}, number FROM word WHERE text {among} ORDER BY number", values)
    assert [tuple(row) for row in found] == [("", -1), ("a'\"\\%?", 1)]


def test_an_insert_tells_the_number_of_its_row(words: Link) -> None:
    sql = f"INSERT INTO word (text) VALUES ({words.mark}){words.dialect.returning}"
    numbers = [words.dialect.new_row(words.execute(sql, (text,))) for text in "ab"]
    assert [Word.get_by_id(number).text for number in numbers] == ["a", "b"]


def fail_in_a_hurry(words: Link, *, own: bool) -> None:
    with words.dialect.hasty(words.db, own=own):
        Word.create(text="lost")
        raise ZeroDivisionError


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("inside", [False, True])
def test_a_hasty_transaction_is_one_all_the_same(words: Link, own: bool, inside: bool) -> None:
    """Inside one of the caller's it is a savepoint, and leaves that as durable as it was."""
    with words.db.atomic() if inside and not own else nullcontext():
        with pytest.raises(ZeroDivisionError):
            fail_in_a_hurry(words, own=own)
        with words.dialect.hasty(words.db, own=own):
            Word.create(text="kept")
        if inside and words.dialect.name == "postgresql" and not own:
            assert words.rows("SHOW synchronous_commit") == [("on",)]
    assert [word.text for word in Word.select()] == ["kept"]


def test_a_transaction_that_is_open_on_a_connection_is_seen_whoever_began_it(link: Link) -> None:
    link.rows("SELECT 1")
    connection = link.db.connection()
    assert not link.dialect.is_in_transaction(connection)
    link.execute("BEGIN")
    assert link.dialect.is_in_transaction(connection)
    link.execute("ROLLBACK")
    assert not link.dialect.is_in_transaction(connection)


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "fsmflow").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in KNOWING:
            yield name, ast.parse(Path(path).read_text(encoding="utf-8"))


def test_no_other_module_asks_which_database_it_is() -> None:
    names = {dialect.name for dialect in DIALECTS} | {type(dialect).__name__ for dialect in DIALECTS}
    asking = []
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                compared = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                asks = bool(compared & names)
            elif isinstance(node, ast.Attribute):
                asks = node.attr in KINDS or (node.attr == "name" and _ends_in_dialect(node.value))
            else:
                asks = isinstance(node, ast.alias) and node.name in KINDS | names
            if asks:
                asking.append(f"{module}:{getattr(node, 'lineno', 0)}")
    assert asking == []


def _ends_in_dialect(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith("dialect")
