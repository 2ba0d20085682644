"""Transactions of SQLAlchemy that are open in this thread, have changes, and that fsmflow was not told of."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final
from weakref import ref

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from fsmflow.store.host import Stranger, find_by, is_of


class _Opened(threading.local):
    """The Sessions of a thread that may have changes, each with the task of asyncio that it was used in."""

    def __init__(self) -> None:
        self.sessions: list[tuple[ref[Session], Any]] = []


_opened: Final = _Opened()
_WROTE: Final = "fsmflow_wrote"
#: What SQLAlchemy calls a database, and we by another name.
_ALSO_CALLED: Final = {"mariadb": "mysql"}
_STRANGER: Final = Stranger(
    "a Session of SQLAlchemy in this thread has changes of this database that are not committed",
    "write within=session in start() or trigger(), or call inside 'with fsmflow.joining(session):'; or commit it first",
)


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _open(session: Session) -> None:
    live = [(known, task) for known, task in _opened.sessions if _is_open(known()) and known() is not session]
    _opened.sessions = [*live, (ref(session), _task())]


def _is_open(session: Session | None) -> bool:
    return session is not None and (session.in_transaction() or bool(session.new))


def _note_change(session: Session, *_: object) -> None:
    session.info[_WROTE] = True


def _note_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WROTE, None)


def _note_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        _note_change(state.session)


def is_changed(session: Session) -> bool:
    """Whether a Session has changes that are not committed, as far as it knows of them."""
    return bool(session.info.get(_WROTE) or session.new or session.dirty or session.deleted)


def _unjoined(db: Any) -> Stranger | None:
    """A Session of this thread, and this task, that has changes of the database."""
    task = _task()
    for known, of in _opened.sessions:
        session = known()
        if session is None or of is not task or not _is_open(session):
            continue
        if is_changed(session) and _is_of(session, db):
            return _STRANGER
    return None


def _is_of(session: Session, db: Any) -> bool:
    """Whether a Session is of the same database, as far as its URL tells."""
    url = getattr(getattr(session.bind, "engine", None), "url", None)
    if url is None or not url.database:
        return False
    theirs = url.get_backend_name()
    return is_of(db, _ALSO_CALLED.get(theirs, theirs), url.database, url.port)


def look_out() -> None:
    """From now on such transactions are found."""
    event.listen(Session, "after_begin", lambda session, transaction, connection: _open(session))
    event.listen(Session, "transient_to_pending", lambda session, instance: _open(session))
    event.listen(Session, "after_flush", _note_change)
    event.listen(Session, "do_orm_execute", _note_statement)
    event.listen(Session, "after_transaction_end", _note_end)
    find_by(_unjoined)
