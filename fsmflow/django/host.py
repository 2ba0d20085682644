"""The transactions of Django as hosts, and those that fsmflow works beside without having been told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionDoesNotExist

from fsmflow.errors import ConfigurationError, did_you_mean, shown
from fsmflow.store.host import Broken, Host, Stranger, find_by, is_of

#: The name of the app, as Django has it.
LABEL: Final = "fsmflow"
_BROKEN: Final = (
    "an error of the database was caught inside {}, so nothing more can be done in it, and none of it will be "
    "committed: put what may fail in a transaction.atomic() of its own"
)


class _First:
    """An action of fsmflow's, as it is known among those of ``on_commit``."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def __call__(self) -> None:
        self._action()


class AtomicBlock(Host):
    """What is open on one of Django's connections: it commits with the outermost ``atomic()``, and gives up what an
    inner one gives up."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.name = f"the transaction.atomic() of {connection.alias!r}"
        self.transaction = self._alias = str(connection.alias)
        self._of: ref[Any] = ref(connection)
        #: What Django has for each transaction anew, and what was noted of the one that this is.
        self._begun: object = None
        self._notes: set[str] = set()

    def _django(self) -> Any:
        connection = self._of()
        if connection is None or not connection.in_atomic_block:
            raise ConfigurationError(
                f"the database {self._alias!r} of Django has no transaction open in this thread; call inside 'with "
                f"transaction.atomic(using={self._alias!r}):'"
            )
        return connection

    def connection(self) -> Any:
        connection = self._django()
        if connection.needs_rollback or connection.closed_in_transaction:
            raise Broken(_BROKEN.format(self.name))
        return connection.connection

    def notes(self) -> set[str]:
        begun = self._django().run_on_commit
        if begun is not self._begun:
            self._begun, self._notes = begun, set()
        return self._notes

    @property
    def is_of_test(self) -> bool:  # type: ignore[override]
        """Whether only ``TestCase`` has opened it."""
        return all(block._from_testcase for block in self._django().atomic_blocks)  # noqa: SLF001 - as Django asks it

    def flush(self) -> None:
        """Django holds nothing back."""

    def after_commit(self, action: Callable[[], None]) -> None:
        """Before all that the program has handed to ``on_commit``: Django calls nothing of what comes after one that
        raises. What is registered in an inner block goes with that, as Django has it."""
        connection = self._django()
        if connection.atomic_blocks[0]._from_testcase:  # noqa: SLF001 - as Django asks it
            # Never committed; and what its tests capture is what stands at the end.
            transaction.on_commit(action, using=self._alias, robust=True)
            return
        waiting = connection.run_on_commit
        place = bisect_left(waiting, True, key=lambda entry: not isinstance(entry[1], _First))
        waiting.insert(place, (set(connection.savepoint_ids), _First(action), True))

    def spoil(self, error: BaseException) -> None:
        connection = self._django()
        if not connection.needs_rollback:
            connection.set_rollback(True)
            connection.rollback_exc = error
            connection.errors_occurred = True


_hosts: Final[WeakKeyDictionary[BaseDatabaseWrapper, AtomicBlock]] = WeakKeyDictionary()


def host_on(connection: BaseDatabaseWrapper) -> AtomicBlock:
    """The one host of a connection."""
    found = _hosts.get(connection)
    if found is None:
        found = _hosts[connection] = AtomicBlock(connection)
    return found


def host_of(transaction: Any) -> Host:
    """The host of a connection of Django's, or of its alias. Raises ConfigurationError."""
    if not isinstance(transaction, str):
        alias = getattr(transaction, "alias", None)
        if not isinstance(alias, str):
            raise ConfigurationError(
                f"fsmflow cannot write within {shown(transaction)}; give the connection of Django, or its alias"
            )
        transaction = alias
    return host_on(connection_of(transaction))


def connection_of(alias: str) -> Any:
    """This thread's connection of an alias; it opens when it is used. Raises ConfigurationError."""
    try:
        return connections[alias]
    except ConnectionDoesNotExist:
        hint = did_you_mean(alias, list(connections)) or f"; it has {', '.join(connections)}"
        raise ConfigurationError(f"DATABASES of Django has no {alias!r}{hint}") from None
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"{alias!r} is taken for a database of Django's, whose {error}") from error


def _unjoined(db: Any) -> Stranger | None:
    """A transaction of this thread, on an alias of the same database, that is not joined by itself."""
    if not settings.configured:
        return None
    for connection in connections.all():
        by_hand = connection.connection is not None and not connection.autocommit
        if not (connection.in_atomic_block or by_hand):
            continue
        place = connection.settings_dict
        if is_of(db, connection.vendor, place["NAME"], place["PORT"]):
            return _stranger(connection.alias, by_hand=not connection.in_atomic_block)
    return None


def _stranger(alias: str, *, by_hand: bool) -> Stranger:
    if by_hand:
        what = f"autocommit is off on {alias!r} of Django, so a transaction may be open by hand"
        return Stranger(what, f"call inside 'with transaction.atomic(using={alias!r}):', or after set_autocommit(True)")
    what = f"this is inside the transaction.atomic() of {alias!r} of Django, which is of the same database"
    told = f"write within={alias!r} in start() or trigger(), or hand the call to transaction.on_commit()"
    with suppress(Exception):  # the apps are not there yet
        if apps.is_installed("fsmflow.django"):
            return Stranger(what, told)
    return Stranger(
        what, f"add 'fsmflow.django' to INSTALLED_APPS, and such calls are part of it by themselves; or {told}"
    )


find_by(_unjoined)
