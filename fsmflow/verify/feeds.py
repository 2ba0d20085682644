"""How feeds stand to the history that they read."""

from __future__ import annotations

from fsmflow.store.reader import Reader
from fsmflow.store.tables import FEED, HISTORY
from fsmflow.verify.report import Findings


def check_feeds(reader: Reader, findings: Findings) -> None:
    """What a feed has read last is what stands there, or was deleted. Two queries for each, and one."""
    name = reader.quoted("name")
    feeds = reader.rows(f"SELECT {name}, upto, token FROM {FEED} WHERE upto > 0 ORDER BY {name}")
    if not feeds:
        return
    findings.checked["feeds"] = len(feeds)
    last = reader.last_number()
    for feed, upto, token in feeds:
        there = reader.rows(f"SELECT token FROM {HISTORY} WHERE id = ?", (upto,))
        if last is not None and upto > last:
            findings.add(
                "feed-in-history", f"feed {feed}", f"it has read up to line {upto}, and the last one is {last}"
            )
        elif there and token is not None and there[0][0] != token:
            findings.add("feed-in-history", f"feed {feed}", f"line {upto}, which it has read last, is another one now")
