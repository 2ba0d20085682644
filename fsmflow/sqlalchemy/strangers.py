"""Transactions of SQLAlchemy that are open in this thread, have changes, and that fsmflow was not told of."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from fsmflow import log
from fsmflow.errors import ConfigurationError
from fsmflow.store.dialects import dialect_of
from fsmflow.store.host import Stranger, find_by, held, is_of
from fsmflow.store.locks import waits_of


class _Opened(threading.local):
    """The Sessions of a thread that may have changes, and the Connections that have, each with the task of asyncio that
    it was used in."""

    def __init__(self) -> None:
        self.sessions: list[tuple[ref[Session], Any]] = []
        self.connections: WeakKeyDictionary[Connection, Any] = WeakKeyDictionary()


_opened: Final = _Opened()
#: The Sessions that have begun on a Connection.
_sessions: Final[WeakKeyDictionary[Connection, WeakSet[Session]]] = WeakKeyDictionary()
_WROTE: Final = "fsmflow_wrote"
#: What SQLAlchemy calls a database, and we by another name.
_ALSO_CALLED: Final = {"mariadb": "mysql"}
_WHAT: Final = "a {} of SQLAlchemy in this thread has changes of this database that are not committed"
_ADVICE: Final = (
    "write within={0} in start() or trigger(), or call inside 'with fsmflow.joining({0}):'; or commit it first"
)
#: The parts of a statement that tell what it does, and its comments and literals, which do not. Each is read once.
_PART: Final = re.compile(
    r"(?:--|^\s*\#)[^\n]*|/\*.*?(?:\*/|\Z)"
    r"|'[^']*'?|\"[^\"]*\"?|`[^`]*`?|(\$(?:[a-z_]\w*)?\$).*?(?:\1|\Z)"
    r"|(?P<word>\w[\w$]*)(?P<called>\s*\()?|(?P<mark>[()])",
    re.I | re.S,
)
_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_mine(of: Any) -> bool:
    """Whether something was used by this task; or, outside of any task, by one that has left it behind."""
    task = _task()
    return of is task or (task is None and bool(of.done()))


def _user(of: Any) -> Any:
    """Whose something is that goes on being used: the task that used it first, and may have it used by tasks that it
    awaits, as ``asyncio.wait_for`` makes one; where that has ended, this one."""
    return _task() if of is None or of.done() else of


def _open(session: Session) -> None:
    live = [(known, task) for known, task in _opened.sessions if _is_open(known())]
    of = next((task for known, task in live if known() is session), None)
    others = [(known, task) for known, task in live if known() is not session]
    _opened.sessions = [*others, (ref(session), _user(of))]


def _begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    _open(session)
    _sessions.setdefault(connection, WeakSet()).add(session)


def sessions_on(connection: Connection) -> list[Session]:
    """The Sessions that work on a Connection."""
    return [session for session in _sessions.get(connection, ()) if session.in_transaction()]


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


def _writes(statement: str, context: ExecutionContext | None) -> bool:
    """Whether a statement changes something: by its first word, or by one behind WITH that begins a part of it."""
    known: Any = context
    if known is not None and (known.isinsert or known.isupdate or known.isdelete):
        return True
    before = first = None
    for part in _PART.finditer(statement):
        word = (part["word"] or "").upper()
        if not word:
            before = part["mark"] or before
            continue
        if first is None:
            first = word
            if word != "WITH":
                return word in _WRITES
        if before and word in _WRITES and not part["called"]:
            return True
        before = part["called"]
    return False


def _check_apart(
    connection: Connection, cursor: Any, statement: str, params: Any, context: ExecutionContext | None, *_: object
) -> None:
    """Raises ConfigurationError where a transactional job would wait for itself; tells where it may."""
    db = held.db
    if db is None or not _writes(statement, context) or not _is_of(connection, db):
        return
    why = (
        "a transactional job writes by a Session or Connection of its own: that is committed apart from its "
        "transition, and waits in vain for what the transaction of the job has locked; write by machine.session"
    )
    if not dialect_of(db).is_server:
        raise ConfigurationError(f"{why}. On SQLite one transaction writes at a time")
    if connection not in _opened.connections:
        log.written_apart(why)
        # Some drivers tell it only while nothing is asked of the server.
        driver = connection.connection.driver_connection
        number = waits_of(driver).number_of(driver)
        if number is not None and held.apart is not None:
            held.apart.append(number)


def _note_write(
    connection: Connection, cursor: Any, statement: str, params: Any, context: ExecutionContext | None, *_: object
) -> None:
    if _writes(statement, context):
        _opened.connections[connection] = _user(_opened.connections.get(connection))


def _forget(connection: Connection, *_: object) -> None:
    _opened.connections.pop(connection, None)


def _unjoined(db: Any) -> Stranger | None:
    """A Session or Connection of this thread, and this task, that has changes of the database."""
    for known, of in _opened.sessions:
        session = known()
        if session is None or not _is_mine(of) or not _is_open(session):
            continue
        if is_changed(session) and _is_of(session.bind, db):
            return Stranger(_WHAT.format("Session"), _ADVICE.format("session"), session.rollback)
    for connection, of in list(_opened.connections.items()):
        if _is_mine(of) and not connection.closed and connection.in_transaction() and _is_of(connection, db):
            return Stranger(_WHAT.format("Connection"), _ADVICE.format("connection"), connection.rollback)
    return None


def _is_of(bind: Engine | Connection | None, db: Any) -> bool:
    """Whether a Session or Connection is of the same database, as far as its URL tells."""
    if bind is None or not bind.engine.url.database or _commits_alone(bind):
        return False
    url = bind.engine.url
    theirs = url.get_backend_name()
    return is_of(db, _ALSO_CALLED.get(theirs, theirs), url.database, url.port)


def _commits_alone(bind: Engine | Connection) -> bool:
    level = bind.get_execution_options().get("isolation_level")
    return bool((level or getattr(bind.dialect, "_on_connect_isolation_level", None)) == "AUTOCOMMIT")


def look_out() -> None:
    """From now on such transactions are found."""
    event.listen(Session, "after_begin", _begin)
    event.listen(Session, "transient_to_pending", lambda session, instance: _open(session))
    event.listen(Session, "after_flush", _note_change)
    event.listen(Session, "do_orm_execute", _note_statement)
    event.listen(Session, "after_transaction_end", _note_end)
    event.listen(Engine, "before_cursor_execute", _check_apart)
    event.listen(Engine, "after_cursor_execute", _note_write)
    for end in ("commit", "rollback", "commit_twophase", "rollback_twophase"):
        event.listen(Engine, end, _forget)
    find_by(_unjoined)
