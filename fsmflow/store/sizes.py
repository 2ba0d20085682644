"""How large what is written is: a page of many is cut where one statement of it would get too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

#: Of one statement with several rows. Half of the least that a server is commonly set to take, as what a driver makes
#: of a text, in quotes and in UTF-8, may be twice as long.
MAX_BYTES: Final = 500_000

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
