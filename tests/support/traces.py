"""What the jobs of a test did, and which of them are to fail. Both are empty when a test begins."""

from __future__ import annotations

from typing import Any

#: What jobs did, in order.
ran: list[Any] = []
#: The items, or whatever else a job goes by, for which it fails.
failing: set[Any] = set()
