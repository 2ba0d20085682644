"""How the databases write what a person wants to read: moments, texts that are put together, parts of JSON; and what
becomes of a row that is there already, and of a table in parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Notation(ABC):
    """Expressions of SQL made of others. It has no state."""

    #: Whether tables can be divided by the hash of a column.
    divides = False

    @abstractmethod
    def moment(self, milliseconds: str) -> str:
        """A point in time, of UTC in milliseconds."""

    @abstractmethod
    def part(self, text: str, name: str) -> str:
        """A text in a stored JSON object."""

    def joined(self, *texts: str) -> str:
        """Texts put together."""
        return " || ".join(texts)

    def json(self, text: str) -> str:
        """A stored JSON text, as JSON where that is a type of its own."""
        return text

    def truth(self, condition: str) -> str:
        """Whether a condition holds."""
        return f"({condition})"

    def filled(self, percent: int) -> list[str] | None:
        """What CREATE TABLE ends with so that new rows leave room in a page for new versions of those that are there;
        None where rows are changed in place."""
        return None

    def divided(self, column: str) -> str:
        """What the CREATE TABLE of one ends with that is divided by the hash of this column, where ``divides``."""
        return f"PARTITION BY HASH ({column})"

    def unless_there(self, key: Sequence[str]) -> str:
        """What an INSERT ends with that does nothing where there is a row with this key."""
        return f"ON CONFLICT ({', '.join(key)}) DO NOTHING"

    def or_else(self, key: Sequence[str]) -> str:
        """What stands in an INSERT before that which it sets instead where there is a row with this key."""
        return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET"

    def offered(self, column: str) -> str:
        """There: the value that was to be inserted."""
        return f"excluded.{column}"

    def replaced(self, view: str, query: str) -> tuple[str, ...]:
        """The statements that make a view, or make it anew."""
        return (f"CREATE OR REPLACE VIEW {view} AS {query}",)


class SqliteNotation(Notation):
    """Moments are texts in UTC, truth is 0 or 1."""

    def moment(self, milliseconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f', {milliseconds} / 1000.0, 'unixepoch')"

    def part(self, text: str, name: str) -> str:
        return f"json_extract({text}, '$.{name}')"

    def replaced(self, view: str, query: str) -> tuple[str, ...]:
        return f"DROP VIEW IF EXISTS {view}", f"CREATE VIEW {view} AS {query}"


class PostgresNotation(Notation):
    """``json``, not ``jsonb``: that refuses a text with a character of the number 0, and with it the whole view."""

    divides = True

    def filled(self, percent: int) -> list[str] | None:
        return [f"WITH (fillfactor = {percent})"] if percent < 100 else None

    def moment(self, milliseconds: str) -> str:
        return f"to_timestamp({milliseconds} / 1000.0)"

    def part(self, text: str, name: str) -> str:
        return f"({text})::json ->> '{name}'"

    def json(self, text: str) -> str:
        return f"({text})::json"


class MysqlNotation(Notation):
    """Moments have no zone and are in UTC; JSON stays a text, as that is what MariaDB calls JSON."""

    def moment(self, milliseconds: str) -> str:
        return f"TIMESTAMPADD(MICROSECOND, {milliseconds} * 1000, TIMESTAMP'1970-01-01 00:00:00.000000')"

    def part(self, text: str, name: str) -> str:
        return f"JSON_UNQUOTE(JSON_EXTRACT({text}, '$.{name}'))"

    def joined(self, *texts: str) -> str:
        return f"CONCAT({', '.join(texts)})"

    def unless_there(self, key: Sequence[str]) -> str:
        return f"{self.or_else(key)} {key[0]} = {key[0]}"

    def or_else(self, key: Sequence[str]) -> str:
        return "ON DUPLICATE KEY UPDATE"

    def offered(self, column: str) -> str:
        return f"VALUES({column})"
