"""The tables of limits: a row for each key of one that was met, and one for each who has a permit of it or waits."""

from __future__ import annotations

from typing import Final

from fsmflow.decision.permit import Stage
from fsmflow.settings.limits import MAX_KEY, MAX_LIMIT
from fsmflow.store import tables
from fsmflow.store.column import Column, Columns, Table, big, chars, long_text, small, whole
from fsmflow.store.indexes import OF_LIMITS, OF_PERMITS

#: ``template``: its name as code has it; ``look_at``: when a sweeper looks at its line next.
LIMIT: Final = Columns(
    Column("name", chars(MAX_KEY, primary_key=True)),
    Column("template", chars(MAX_LIMIT)),
    Column("running", whole(null=True)),
    Column("per_minute", whole(null=True)),
    Column("starts", long_text()),
    Column("look_at", big()),
)
#: The claim that a permit is of, which may be live no more; of those in line the ``epoch`` alone means something.
PERMIT: Final = Columns(
    Column("name", chars(MAX_KEY)),
    Column("entity", big()),
    Column("stage", small(), store=int, load=Stage),
    Column("epoch", whole()),
    Column("attempt", whole()),
    Column("fence", whole()),
    Column("owner", chars(40, null=True)),
    Column("since", big()),
    Column("at", big()),
    Column("most", whole(null=True)),
)

OF_LIMITED: Final = (
    Table(name=tables.LIMIT, columns=LIMIT.all, indexes=OF_LIMITS),
    Table(name=tables.PERMIT, columns=PERMIT.all, key=("name", "entity"), indexes=OF_PERMITS),
)
