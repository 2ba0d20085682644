"""The Session of SQLAlchemy that a job asks for, and when it ends."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from fsmflow.errors import ConfigurationError
from fsmflow.store.link import Link


class Session(Protocol):
    """What an attempt does with the Session of its job."""

    session: Any

    def finish(self) -> bool:
        """The job has returned. Whether there was something that was not committed, and is rolled back."""
        ...

    def close(self) -> None:
        """The attempt is over."""
        ...


def job_session(link: Link, *, shares: bool) -> Session:
    """A Session for one attempt. ``shares``: it writes in the transaction that is open. Raises ConfigurationError where
    SQLAlchemy is not installed."""
    try:
        adapter = import_module("fsmflow.sqlalchemy.session")
    except ImportError as error:
        raise ConfigurationError("machine.session is one of SQLAlchemy; pip install 'fsmflow[sqlalchemy]'") from error
    return cast(Session, adapter.JobSession(link, shares=shares))
