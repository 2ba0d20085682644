"""The branches of a step as the page of their parent lists them: those first that have failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow.decision.entity import Snapshot
from fsmflow.engine.details import Details
from fsmflow.engine.runtime import Runtime
from fsmflow.values import dataclass

#: So many are on one page; of those that have failed no more stand before them.
BRANCHES: Final = 50


@dataclass(frozen=True, kw_only=True)
class Listed:
    """``failed`` stand first on the first page, wherever they are in the order; ``others`` follow by index. ``more``:
    after which index the next page goes on, None where this is the last one."""

    failed: Sequence[Snapshot] = ()
    others: Sequence[Snapshot] = ()
    more: int | None = None

    @property
    def rows(self) -> Sequence[Snapshot]:
        """All that are on the page."""
        return [*self.failed, *self.others]


def listed(runtime: Runtime, parent: Snapshot, details: Details, after: int) -> Listed:
    """The page of branches after this index, -1 for the first one. Two queries at most, each by an index."""
    if details.progress is None:
        return Listed()
    branches, failed = runtime.store.branches, list[Snapshot]()
    if after < 0 and details.progress.failed:
        failed = branches.failing(parent.row, parent.step, limit=BRANCHES)
    found = branches.page(parent.row, parent.step, after=after, limit=BRANCHES + 1)
    page, first = found[:BRANCHES], {each.row for each in failed}
    return Listed(
        failed=failed,
        others=[each for each in page if each.row not in first],
        more=page[-1].parent_index if len(found) > BRANCHES else None,
    )
