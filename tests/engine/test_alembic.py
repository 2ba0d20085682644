"""fsmflow's tables, made by a migration of Alembic's over its own connection."""

from __future__ import annotations

import io

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

import fsmflow.sqlalchemy.migration  # noqa: F401 - it makes op.fsmflow_init
from fsmflow import ConfigurationError
from fsmflow.testing import sandbox
from tests.support.shops import DRIVERS, Purchase


def test_a_migration_makes_the_tables_and_may_run_again(database_url: str) -> None:
    kind = database_url.partition(":")[0]
    engine = create_engine(make_url(database_url.replace(kind, DRIVERS[kind][0], 1)))
    installations = set()
    for _ in range(2):
        with engine.begin() as connection:
            Operations(MigrationContext.configure(connection)).fsmflow_init()  # type: ignore[attr-defined]
        with sandbox([Purchase], database=database_url) as box:
            installations.add(box._runtime.store.installation)
            purchase = Purchase.start(len(installations), if_exists="return")
            assert purchase.state == "new"
    assert len(installations) == 1
    engine.dispose()


def test_it_is_refused_where_sql_is_only_printed() -> None:
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO()}
    )
    with pytest.raises(ConfigurationError, match="run 'fsmflow init' there"):
        Operations(context).fsmflow_init()  # type: ignore[attr-defined]
