"""The tables, and each column in one line: what it is in the table, of which value it is a part, and how it is stored.

The schema, the lists of columns in statements, what is written to a row and what is read from one all follow from this.
To add a column, write its line, and the field of the value that it stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from peewee import BigIntegerField, CharField, Field, FloatField, IntegerField, SmallIntegerField

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Post, Posted
from fsmflow.decision.edit import Edit
from fsmflow.decision.entity import Claim, Failure, Snapshot, Standing
from fsmflow.decision.group import Group, Life, Sighting
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.member import Fate, Member
from fsmflow.decision.terms import MAX_TERM
from fsmflow.decision.work import Work, WorkKind
from fsmflow.settings import MAX_RELEASE
from fsmflow.store import tables
from fsmflow.store.column import Column, Columns, Make, Table
from fsmflow.store.dialect import Dialect
from fsmflow.store.indexes import OF_ENTITIES, OF_EVENTS, OF_MEMBERS, OF_TERMS, OF_WORK
from fsmflow.values import made


def _chars(most: int, **options: Any) -> Make:
    return lambda dialect: CharField(most, **options)


def _long_text(**options: Any) -> Make:
    return lambda dialect: dialect.text_field(**options)


def _whole(**options: Any) -> Make:
    return lambda dialect: IntegerField(**options)


def _small(**options: Any) -> Make:
    return lambda dialect: SmallIntegerField(**options)


def _big(**options: Any) -> Make:
    """Numbers of rows, and times: UTC in milliseconds."""
    return lambda dialect: BigIntegerField(**options)


def _real(**options: Any) -> Make:
    return lambda dialect: FloatField(**options)


def _term(dialect: Dialect) -> Field:
    """It sorts by its bytes, wherever people sort otherwise."""
    return CharField(MAX_TERM, collation=dialect.by_bytes)


def _row(dialect: Dialect) -> Field:
    return dialect.row_field()


def _number(dialect: Dialect) -> Field:
    return dialect.number_field()


_value = attrgetter("value")


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


#: What each write of an entity changes, or may change.
_CHANGING = (
    Column("state", _chars(100)),
    Column("phase", _chars(10)),
    Column("epoch", _whole()),
    Column("revision", _big()),
    Column("seq", _whole()),
    Column("data", _long_text(), "data_text"),
    Column("step", _whole()),
    Column("step_name", _chars(100)),
    Column("visits", _long_text(), "visits_text"),
    Column("event", _long_text(), "event_text"),
    Column("result", _long_text(null=True), "result_text"),
    Column("failure", _long_text(null=True), "failure_text"),
    Column("fingerprint", _chars(12, null=True)),
    Column("paused", _small(), store=int, load=bool),
    Column("standing", _small(null=True), store=_optional(int), load=_optional(Standing)),
    Column("kept", _whole()),
    Column("items", _chars(40, null=True)),
    Column("bound", _small(), store=int, load=bool),
    Column("version", _whole()),
    Column("entered_at", _big()),
    Column("updated_at", _big()),
)
#: What an entity is born with.
_LASTING = (
    Column("machine", _chars(64)),
    Column("entity_id", _chars(512)),
    Column("created_at", _big()),
    Column("parent", _big(null=True)),
    Column("parent_step", _whole(null=True)),
    Column("parent_index", _whole(null=True)),
    Column("branch_of", _chars(64, null=True)),
    Column("branch_name", _chars(64, null=True)),
    Column("item", _long_text(null=True), "item_text"),
)
_WORK = (
    Column("epoch", _whole()),
    Column("kind", _chars(10), store=_value, load=WorkKind),
    Column("attempt", _whole()),
    Column("dispatch", _whole()),
    Column("fence", _whole()),
    Column("owner", _chars(40, null=True)),
    Column("lease_until", _big(null=True)),
    Column("wake_at", _big()),
    Column("rung_at", _big(null=True)),
    Column("held", _big(null=True)),
    Column("queue", _chars(100, null=True)),
    Column("failures", _whole()),
    Column("crashes", _whole()),
    Column("postponed", _whole()),
    Column("progress", _real(null=True)),
    Column("deadline", _big(null=True)),
    Column("overdue", _small(), store=int, load=bool),
    Column("parked", _big(null=True)),
    Column("tries", _whole()),
    Column("why", _long_text(null=True)),
    Column("trace", _chars(55, null=True)),
)
_HISTORY = (
    Column("seq", _whole()),
    Column("kind", _chars(20), store=_value, load=HistoryKind),
    Column("at", _big(), store=clock.from_datetime, load=clock.to_datetime),
    Column("trigger", _chars(100, null=True)),
    Column("source", _chars(100, null=True)),
    Column("dest", _chars(100)),
    Column("epoch", _whole()),
    Column("attempt", _whole(null=True)),
    Column("actor", _chars(200, null=True)),
    Column("reason", _long_text(null=True)),
    Column(
        "payload",
        _long_text(null=True),
        store=lambda payload: codec.encode(payload, what="payload") if payload else None,
        load=lambda text: codec.decode(text) if text else {},
    ),
    Column("key", _chars(200, null=True)),
    Column("failure", _long_text(null=True), store=_optional(Failure.to_text), load=_optional(Failure.from_text)),
    Column(
        "duration",
        _big(null=True),
        store=_optional(lambda seconds: round(seconds * 1000)),
        load=_optional(lambda milliseconds: milliseconds / 1000),
    ),
    Column("version", _whole()),
    Column("edit", _long_text(null=True), store=_optional(Edit.to_text), load=_optional(Edit.from_text)),
    Column("release", _chars(MAX_RELEASE, null=True)),
)
_EVENT = (
    Column("kind", _chars(10), store=_value, load=EventKind),
    Column("key", _chars(200, null=True)),
    Column("trigger", _chars(100)),
    Column("payload", _long_text(null=True), "text"),
    Column("actor", _chars(200, null=True)),
    Column("at", _big()),
    Column("due_at", _big(null=True)),
    Column("seq", _whole(null=True)),
    Column("until", _big(null=True)),
    Column("tries", _whole()),
    Column("why", _long_text(null=True)),
)
_MEMBER = (
    Column("repair", _big()),
    Column("entity", _big()),
    Column("address", _chars(600)),
    Column("epoch", _whole()),
    Column("state", _chars(100)),
    Column("fingerprint", _chars(12, null=True)),
    Column("would", _chars(100, null=True)),
    Column("job", _chars(200, null=True)),
    Column("why", _long_text(null=True)),
    Column("fate", _chars(20), store=_value, load=Fate),
    Column("turn", _whole(null=True)),
    Column("asked_epoch", _whole(null=True)),
    Column("asked_at", _big(null=True)),
    Column("settled_at", _big(null=True)),
)
_FAILURE = (
    Column("fingerprint", _chars(12, primary_key=True)),
    Column("recipe", _small()),
    Column("same_as", _chars(12, null=True)),
    Column("machine", _chars(64)),
    Column("state", _chars(100)),
    Column("error_type", _chars(210)),
    Column("message", _long_text()),
    Column("origin", _long_text(null=True)),
    Column("sample", _chars(600)),
    Column("traceback", _long_text()),
    Column("first_at", _big()),
    Column("life", _chars(10), store=_value, load=Life),
    Column("life_at", _big(null=True)),
    Column("life_by", _chars(200, null=True)),
    Column("life_release", _chars(MAX_RELEASE, null=True)),
    Column("until", _big(null=True)),
    Column("most", _big(null=True)),
    Column("note", _long_text(null=True)),
    Column("link", _long_text(null=True)),
    Column("noted_at", _big(null=True)),
    Column("noted_by", _chars(200, null=True)),
)
#: Those who count in the same moment do so in slots of their own.
_SIGHTING = (
    Column("fingerprint", _chars(12)),
    Column("release", _chars(MAX_RELEASE)),
    Column("slot", _small()),
    Column("seen", _big()),
    Column("first_at", _big()),
    Column("last_at", _big()),
)
#: ``at_most``: the upper edge of a bucket, in milliseconds; 0 for what has none.
_METER = (
    Column("name", _chars(40)),
    Column("machine", _chars(64)),
    Column("state", _chars(100)),
    Column("label", _chars(100)),
    Column("at_most", _big()),
    Column("value", _big()),
)
#: By what a meter is known.
METER_KEY: Final = tuple(column.name for column in _METER[:-1])
#: The cursor of a feed.
FEED: Final = Columns(
    Column("name", _chars(64, primary_key=True)),
    Column("upto", _big()),
    Column("gaps", _long_text(null=True), "gaps_text"),
    Column("begun_at", _big()),
    Column("token", _chars(16, null=True)),
    Column("owner", _chars(40, null=True)),
    Column("holder", _chars(200, null=True)),
    Column("lease_until", _big(null=True)),
    Column("wanted", _long_text(null=True)),
    Column("read_at", _big(null=True)),
    Column("told", _big()),
    Column("missed", _big()),
)
_ENTITY_ROW = Column("id", _row, "row")
_EVENT_ROW = Column("id", _row)
_ITS_ENTITY = Column("entity", _big())
_TERM = (_ITS_ENTITY, Column("name", _chars(130)), Column("value", _term))

TABLES: Final = (
    Table(
        name=tables.ENTITY,
        columns=(_ENTITY_ROW, *_CHANGING, *_LASTING),
        indexes=OF_ENTITIES,
    ),
    Table(
        name=tables.WORK,
        columns=(Column("entity", _big(primary_key=True)), *_WORK),
        indexes=OF_WORK,
    ),
    Table(
        name=tables.HISTORY,
        columns=(Column("id", _number), _ITS_ENTITY, *_HISTORY, Column("token", _chars(16))),
        key=("entity", "seq"),
    ),
    Table(
        name=tables.EVENT,
        columns=(_EVENT_ROW, _ITS_ENTITY, *_EVENT),
        indexes=OF_EVENTS,
    ),
    Table(
        name=tables.MEMBER,
        columns=_MEMBER,
        key=("repair", "entity"),
        indexes=OF_MEMBERS,
    ),
    Table(name=tables.FAILURE, columns=_FAILURE),
    Table(name=tables.TERM, columns=_TERM, key=("entity", "name"), indexes=OF_TERMS),
    Table(name=tables.SIGHTING, columns=_SIGHTING, key=("fingerprint", "release", "slot")),
    Table(name=tables.METER, columns=_METER, key=METER_KEY),
    Table(name=tables.FEED, columns=FEED.all),
    Table(name=tables.META, columns=(Column("name", _chars(64, primary_key=True)), Column("value", _long_text()))),
)

_changing, _new, _entity = (
    Columns(*_CHANGING),
    Columns(*_CHANGING, *_LASTING),
    Columns(_ENTITY_ROW, *_CHANGING, *_LASTING),
)
_work, _history, _member = Columns(*_WORK), Columns(*_HISTORY), Columns(*_MEMBER)
_failure = Columns(*_FAILURE)
_event, _posted = Columns(*_EVENT), Columns(_EVENT_ROW, _ITS_ENTITY, *_EVENT)

ENTITY_COLUMNS: Final = _changing.names
NEW_ENTITY_COLUMNS: Final = _new.names
READ_ENTITY_COLUMNS: Final = _entity.names
WORK_COLUMNS: Final = _work.names
HISTORY_COLUMNS: Final = ("entity", *_history.names, "token")
READ_HISTORY_COLUMNS: Final = _history.names
EVENT_COLUMNS: Final = ("entity", *_event.names)
READ_EVENT_COLUMNS: Final = _posted.names
TERM_COLUMNS: Final = tuple(column.name for column in _TERM)
MEMBER_COLUMNS: Final = _member.names
FAILURE_COLUMNS: Final = _failure.names
#: What a claim is known by.
GUARD_COLUMNS: Final = ("entity", "epoch", "attempt", "fence", "owner")

_ENTITY_WIDTH: Final = len(READ_ENTITY_COLUMNS)


def entity_values(snapshot: Snapshot) -> list[Any]:
    """The values of ENTITY_COLUMNS."""
    return _changing.values(snapshot)


def new_entity_values(snapshot: Snapshot) -> list[Any]:
    """The values of NEW_ENTITY_COLUMNS."""
    return _new.values(snapshot)


def work_values(work: Work) -> list[Any]:
    """The values of WORK_COLUMNS."""
    return _work.values(work)


def entry_values(entry: HistoryEntry, token: str) -> list[Any]:
    """The values of HISTORY_COLUMNS, but for the entity; ``token`` is that of the commit."""
    return [*_history.values(entry), token]


def post_values(post: Post) -> list[Any]:
    """The values of EVENT_COLUMNS, but for the entity."""
    return _event.values(post)


def guard_values(claim: Claim) -> tuple[Any, ...]:
    """The values of GUARD_COLUMNS."""
    return (claim.row, claim.epoch, claim.attempt, claim.fence, claim.owner)


def guard_of(entity: Snapshot, work: Work) -> tuple[Any, ...]:
    """The values of GUARD_COLUMNS for the claim that is on the work of an entity."""
    return (entity.row, work.epoch, work.attempt, work.fence, work.owner)


def snapshot_of(row: Sequence[Any]) -> Snapshot:
    """The snapshot that a row of READ_ENTITY_COLUMNS and WORK_COLUMNS holds."""
    return made(Snapshot, {**_entity.attributes(row), "work": work_of(row[_ENTITY_WIDTH:]), "stored_as": None})


def work_of(values: Sequence[Any]) -> Work | None:
    """The work that values of WORK_COLUMNS hold; None where an entity has none."""
    return None if values[0] is None else made(Work, _work.attributes(values))


def entry_of(row: Sequence[Any]) -> HistoryEntry:
    """The history entry that a row of READ_HISTORY_COLUMNS holds."""
    return HistoryEntry(**_history.attributes(row))


def posted_of(row: Sequence[Any]) -> Posted:
    """The event that a row of READ_EVENT_COLUMNS holds."""
    return Posted(**_posted.attributes(row))


def member_values(member: Member) -> list[Any]:
    """The values of MEMBER_COLUMNS."""
    return _member.values(member)


def member_of(row: Sequence[Any]) -> Member:
    """The member of a repair that a row of MEMBER_COLUMNS holds."""
    return Member(**_member.attributes(row))


def group_values(group: Group) -> list[Any]:
    """The values of FAILURE_COLUMNS."""
    return _failure.values(group)


def group_of(row: Sequence[Any]) -> Group:
    """The failure group that a row of FAILURE_COLUMNS holds."""
    return Group(**_failure.attributes(row))


def sighting_of(row: Sequence[Any]) -> Sighting:
    """What fingerprint, release, and the numbers of a sighting say, those of all slots added up."""
    fingerprint, release, *numbers = row
    seen, first_at, last_at = map(int, numbers)
    return Sighting(fingerprint=fingerprint, release=release, seen=seen, first_at=first_at, last_at=last_at)
