"""``Store``: one database with its entities, work rows, listings and settings of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fsmflow.clock import Clock
from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.store import schema, tables
from fsmflow.store.answers import Answers
from fsmflow.store.arrivals import Arrivals
from fsmflow.store.branches import Branches
from fsmflow.store.bundles import Bundles
from fsmflow.store.census import Census
from fsmflow.store.commits import Commits
from fsmflow.store.counts import Counts
from fsmflow.store.dialects import open_sqlite
from fsmflow.store.doubt import Doubt
from fsmflow.store.entities import Entities
from fsmflow.store.erasure import Erasure
from fsmflow.store.events import Events
from fsmflow.store.feeds import Feeds
from fsmflow.store.groups import Groups
from fsmflow.store.link import Link, open_database
from fsmflow.store.listing import Listing
from fsmflow.store.lookout import Lookout
from fsmflow.store.members import Members
from fsmflow.store.memory import MemoryDatabase
from fsmflow.store.meta import Meta
from fsmflow.store.meters import Meters
from fsmflow.store.own_rows import OwnRows
from fsmflow.store.permits import Permits
from fsmflow.store.retention import Retention
from fsmflow.store.search import Search
from fsmflow.store.snags import Snags
from fsmflow.store.statements import Statements
from fsmflow.store.stream import Lines
from fsmflow.store.tokens import Tokens
from fsmflow.store.tries import Tries
from fsmflow.store.usage import Usage
from fsmflow.store.users import Users
from fsmflow.store.work import WorkRows


class WrongTables(ConfigurationError):
    """The database answers, and does not have the tables of this release."""


class NoTables(WrongTables):
    """It has none at all."""


class Store:
    """Opened by ``open_store``."""

    def __init__(self, link: Link) -> None:
        statements = Statements(link)
        self.link = link
        self.clock = Clock(link.now)
        self.own_rows, self.entities = OwnRows(link), Entities(link, statements)
        self.branches = Branches(link, statements)
        self.doubt = Doubt(link, statements, self.entities)
        self.groups = Groups(link)
        self.erasure = Erasure(link)
        self.meta, self.secrets = Meta(link), Meta(link, tables.SECRET)
        self.search = Search(link, self.meta)
        self.commits = Commits(
            link,
            statements,
            self.entities,
            self.doubt,
            self.own_rows,
            groups=self.groups,
            erasure=self.erasure,
            search=self.search,
        )
        self.events, self.bundles = Events(link, statements), Bundles(link, statements, self.commits, self.doubt)
        self.work = work = WorkRows(link, statements)
        self.listing, self.snags = Listing(link, statements, self.search), Snags(link)
        self.members = Members(link, self.commits.lock_claim)
        self.census = Census(link)
        self.lines, self.feeds, self.arrivals = Lines(link), Feeds(link), Arrivals(link)
        self.retention, self.lookout = Retention(link, self.meta, self.feeds), Lookout(link)
        self.counts, self.meters = Counts(link, self.listing, self.search, self.meta), Meters(link)
        self.permits, self.usage = Permits(link, work, self.meta, self._exact), Usage(link)
        self.users, self.tokens, self.tries, self.answers = Users(link), Tokens(link), Tries(link), Answers(link)
        self._meta_sql, self.installation = statements.meta, ""

    def _exact(self) -> int:
        return self.clock.exact()

    def check(self) -> None:
        """Make sure that the driver is one that is known, and that the tables are there and are those of this release.
        Raises ConfigurationError."""
        self.link.check_driver()
        found = self.link.again(self._look)
        if not all(found.values()) or not found:
            schema_of = "" if self.link.schema is None else f"the schema {self.link.schema} of "
            raise NoTables(f"{schema_of}the database has no tables of fsmflow yet; run 'fsmflow init' once")
        version = int(found["schema"][0][0])
        if version != schema.SCHEMA_VERSION:
            older = "older" if version < schema.SCHEMA_VERSION else "newer"
            raise WrongTables(
                f"the tables of fsmflow have version {version}, {older} than the {schema.SCHEMA_VERSION} of this "
                f"release; {'run fsmflow init' if older == 'older' else 'upgrade fsmflow'}"
            )
        self.installation = self.link.installation = str(found["installation"][0][0])

    def _look(self) -> dict[str, list[Any]]:
        self.link.look_for_pooler()
        there = self.link.has_table(tables.META)
        return {name: self.link.rows(self._meta_sql, (name,)) for name in ("schema", "installation") if there}

    def create(self, *, views: bool = False, partitions: int | None = None) -> None:
        """Create or upgrade the tables, some in so many ``partitions``, and the views where they are or were asked for.
        Safe to be run by several processes at once. Raises ConfigurationError."""
        self.link.check_driver()
        with self.link.alone():
            self.link.again(lambda: schema.create(self.link, views=views, wanted=partitions))


def open_store(settings: Settings) -> Store:
    """The store of the settings, checked. The embedded database is made where it is not there yet; for who only looks,
    an empty one in memory stands for it.

    Raises ConfigurationError: a URL or folder that cannot be used, a server that does not answer, missing tables.
    """
    file = settings.embedded_file
    if file is not None and settings.looks and not _is_there(file, settings.home):
        return _ready(Store(Link(MemoryDatabase(), own=False, schema=settings.schema)), create=True)
    return _ready(Store(_link(settings)), create=file is not None)


def create_store(settings: Settings, *, views: bool = False, partitions: int | None = None) -> Store:
    """The store of the settings, its tables made or upgraded, some in so many ``partitions``; with ``views``, those for
    people too. Raises ConfigurationError."""
    return _ready(Store(_link(settings, patient=True)), create=True, views=views, partitions=partitions)


def open_or_create_store(settings: Settings) -> Store:
    """The store of the settings; its tables are made only where they are not as they should be. Raises
    ConfigurationError."""
    try:
        return open_store(settings)
    except WrongTables:
        return create_store(settings)


def _ready(store: Store, *, create: bool, views: bool = False, partitions: int | None = None) -> Store:
    try:
        if create:
            store.create(views=views, partitions=partitions)
        store.check()
    except ConfigurationError:
        # A store that cannot be used is thrown away, and its connection would be left to the server.
        store.link.forget_connection()
        raise
    return store


def _link(settings: Settings, *, patient: bool = False) -> Link:
    limit_s, schema = settings.search_timeout, settings.schema
    if settings.database is not None:
        return Link(settings.database, own=False, limit_s=limit_s, schema=schema)
    if settings.database_url is not None:
        database = open_database(settings.database_url, patient=patient)
        return Link(database, own=True, limit_s=limit_s, schema=schema)
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _no_home(settings.home, error) from error
    file = settings.home.absolute() / "fsmflow.db"
    return Link(open_sqlite(file), own=True, limit_s=limit_s, schema=schema)


def _is_there(file: Path, home: Path) -> bool:
    """Whether the embedded database is there. Raises ConfigurationError where it never could be."""
    try:
        os.stat(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _no_home(home, error) from error
    return True


def _no_home(home: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the folder {home} cannot be made ({error.strerror}); set FSMFLOW_HOME to one that can, "
        f"or FSMFLOW_DATABASE_URL and FSMFLOW_REDIS_URL to servers"
    )
