"""fsmflow and SQLAlchemy: its Sessions and Connections as transactions to write in, its mapped attributes as status
fields, and the Session of a job. Needs the extra ``sqlalchemy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow.sqlalchemy import strangers
from fsmflow.sqlalchemy.attribute import own_field_of
from fsmflow.sqlalchemy.host import host_of
from fsmflow.store.tables import PREFIX

__all__ = ["host_of", "include_name", "own_field_of"]

strangers.look_out()


def include_name(name: str | None, kind: str, parents: Mapping[str, Any]) -> bool:
    """For ``context.configure(include_name=...)`` of Alembic: its autogenerate leaves fsmflow's tables and views alone,
    which ``fsmflow init`` makes and upgrades."""
    return not (kind in ("table", "view") and name is not None and name.startswith(PREFIX))
