"""New entities and all that is written with them, many in a few statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.entity import Snapshot
from fsmflow.errors import DatabaseRefused
from fsmflow.store.columns import (
    EVENT_COLUMNS,
    HISTORY_COLUMNS,
    NEW_ENTITY_COLUMNS,
    TERM_COLUMNS,
    WORK_COLUMNS,
    entry_values,
    new_entity_values,
    post_values,
    work_values,
)
from fsmflow.store.entities import Entities, pages
from fsmflow.store.link import Link
from fsmflow.store.own_rows import OwnRows
from fsmflow.store.refusals import named
from fsmflow.store.search import Search
from fsmflow.store.sentence import first_line
from fsmflow.store.sizes import by_size, size_of
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, TERM, WORK
from fsmflow.store.verdicts import ERRORS, Verdict, is_duplicate


class Births:
    """Inside a transaction of whoever calls it."""

    def __init__(self, link: Link, entities: Entities, own_rows: OwnRows, search: Search) -> None:
        self._link = link
        self._entities = entities
        self._own_rows = own_rows
        self._terms = search

    def write(self, commits: Sequence[Commit], token: str) -> list[Snapshot]:
        """The entities, each with its row. Raises CommitLost where one is there already, and DatabaseRefused."""
        return [snapshot for page in pages(commits) for snapshot in self._page(page, token)]

    def _page(self, commits: Sequence[Commit], token: str) -> list[Snapshot]:
        new = [(commit, new_entity_values(commit.after)) for commit in commits]
        self._many(ENTITY, NEW_ENTITY_COLUMNS, new)
        made = self._entities.with_rows([commit.after for commit in commits])
        both = list(zip(made, commits, strict=True))
        of_work, of_line = _Stored(work_values), _Stored(lambda line: entry_values(line, token))
        work = [(commit, [item.row, *of_work(item.work)]) for item, commit in both if item.work is not None]
        self._many(WORK, ("entity", *WORK_COLUMNS), work)
        history = [(each, [item.row, *of_line(line)]) for item, each in both for line in each.entries]
        self._many(HISTORY, HISTORY_COLUMNS, history)
        events = [(commit, (item.row, *post_values(post))) for item, commit in both for post in commit.posts]
        self._many(EVENT, EVENT_COLUMNS, events)
        terms = [(commit, row) for item, commit in both for row in self._terms.rows(item, commit.search)]
        self._many(TERM, TERM_COLUMNS, terms)
        for item, commit in both:
            if commit.status_field is not None:
                self._own_rows.write_status(commit.status_field, item, lenient=False)
        return made

    def _many(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Commit, Sequence[Any]]]) -> None:
        """Insert these, as many in a statement as its size allows. ``rows``: each with what it is a part of."""
        for page in by_size(rows, lambda row: size_of(row[1])):
            commits, values = zip(*page, strict=True)
            try:
                self._link.execute(*self._link.dialect.insert_many(table, columns, values))
            except ERRORS as error:
                if self._link.verdict(error) is not Verdict.LASTING:
                    raise
                if is_duplicate(error):
                    raise CommitLost(first_line(error)) from error
                raise DatabaseRefused(named(commits), first_line(error)) from error


class _Stored:
    """What values are stored as. That of the last one is kept: those who begin together share theirs."""

    def __init__(self, store: Callable[[Any], list[Any]]) -> None:
        self._store = store
        self._value: Any = None
        self._stored: list[Any] = []

    def __call__(self, value: Any) -> list[Any]:
        if value is not self._value:
            self._value, self._stored = value, self._store(value)
        return self._stored
