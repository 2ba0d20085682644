"""How large what is written is: a page of many is cut where one statement of it would get too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import peewee

#: Of one statement with several rows. Half of the least that a server is commonly set to take, as what a driver makes
#: of a text, in quotes and in UTF-8, may be twice as long.
MAX_BYTES: Final = 500_000
#: What every server takes.
_SMALL: Final = 100_000

#: What stands for two characters in a text in quotes.
_ESCAPED: Final = "\0\n\r\x1a\"'\\"

Item = TypeVar("Item")


def by_size(items: Iterable[Item], size: Callable[[Item], int], *, most: int = MAX_BYTES) -> Iterator[list[Item]]:
    """As many at a time as stay below ``most`` bytes; what is larger comes by itself."""
    page: list[Item] = []
    total = 0
    for item in items:
        more = size(item)
        if page and total + more > most:
            yield page
            page, total = [], 0
        page.append(item)
        total += more
    if page:
        yield page


def size_of(values: Sequence[Any]) -> int:
    """About how many bytes the texts among these are."""
    return sum(bytes_of(value) for value in values if isinstance(value, str))


def bytes_of(text: str) -> int:
    """How long a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def quoted_size(values: Sequence[Any]) -> int:
    """How many bytes a driver makes of the texts among these that puts them into the statement, in quotes."""
    texts = [value for value in values if isinstance(value, str)]
    return sum(bytes_of(text) + sum(map(text.count, _ESCAPED)) + len("'', ") for text in texts)


class TooLarge(peewee.DataError):
    """What the server would say of a statement that is larger than it takes, if it did."""


class Most:
    """How large a statement may be, as far as that is known."""

    def __init__(self) -> None:
        self._bytes = 0

    def check(self, sql: str, params: Sequence[Any], ask: Callable[[], int]) -> None:
        """Raises TooLarge, where sending the statement would look like a server that is gone. ``ask`` asks the server,
        where it is larger than any before."""
        if size_of(params) <= _SMALL:
            return
        size = len(sql) + quoted_size(params)
        if size > self._bytes:
            self._bytes = ask()
        if size > self._bytes:
            raise TooLarge(
                f"a statement of {size:,} bytes is more than the {self._bytes:,} that the server takes "
                f"(max_allowed_packet)"
            )
