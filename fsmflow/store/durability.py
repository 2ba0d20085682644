"""What a database may lose of what it has acknowledged, as far as it tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Query = Callable[[str], list[Any]]


class Durability:
    """Of a database that keeps what it has acknowledged as long as its disk is there."""

    def told(self, query: Query) -> list[str]:
        """What is lost, and when, each a sentence. A query or two."""
        return []


class OfPostgres(Durability):
    """It may tell a client of a commit before that is on its own disk, and on that of a standby."""

    def told(self, query: Query) -> list[str]:
        ((commit, fsync, names, standbys),) = query(
            "SELECT current_setting('synchronous_commit'), current_setting('fsync'), "
            "current_setting('synchronous_standby_names'), (SELECT COUNT(*) FROM pg_stat_replication)"
        )
        found = []
        if commit == "off" or fsync == "off":
            off = "synchronous_commit" if commit == "off" else "fsync"
            found.append(f"{off} is off: if the server crashes, what it has acknowledged last is lost; set it to on")
        if not names and standbys:
            them = "its standby is" if standbys == 1 else f"its {standbys} standbys are"
            found.append(
                f"{them} asynchronous: if one takes over, what was acknowledged last is lost; name one that is waited "
                f"for in synchronous_standby_names"
            )
        elif names and commit == "local":
            found.append(
                "synchronous_commit is local: if a standby takes over, what was acknowledged last is lost; set it to on"
            )
        return found


class OfMysql(Durability):
    """It may write its log once a second alone."""

    def told(self, query: Query) -> list[str]:
        ((flushed,),) = query("SELECT @@innodb_flush_log_at_trx_commit")
        if int(flushed) == 1:
            return []
        return [
            f"innodb_flush_log_at_trx_commit is {flushed}: if the server crashes, what it has acknowledged last is "
            f"lost; set it to 1"
        ]
