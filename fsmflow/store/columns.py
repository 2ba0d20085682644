"""The tables, and each column in one line: what it is in the table, of which value it is a part, and how it is stored.

The schema, the lists of columns in statements, what is written to a row and what is read from one all follow from this.
To add a column, write its line, and the field of the value that it stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from peewee import CharField, Field

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
from fsmflow.store.answers import OF_REPEATS
from fsmflow.store.arrivals import OF_HOOKS
from fsmflow.store.column import Column, Columns, Table, big, chars, long_text, real, small, whole
from fsmflow.store.dialect import Dialect
from fsmflow.store.indexes import OF_ENTITIES, OF_EVENTS, OF_MEMBERS, OF_TERMS, OF_WORK
from fsmflow.store.limits import OF_LIMITED
from fsmflow.store.persons import OF_PERSONS
from fsmflow.store.wakes import ROUNDED
from fsmflow.values import made


def _term(dialect: Dialect) -> Field:
    """It sorts by its bytes, wherever people sort otherwise."""
    return CharField(MAX_TERM, collation=dialect.by_bytes)


def _row(dialect: Dialect) -> Field:
    return dialect.row_field()


def _number(dialect: Dialect) -> Field:
    return dialect.number_field()


def _look_at(dialect: Dialect) -> Field | None:
    return dialect.wakes.make()


_value = attrgetter("value")


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


#: What each write of an entity changes, or may change: numbers first, and of these and of texts at first what each step
#: changes. PostgreSQL writes to its log what is between the first byte of a row that has changed and the last one.
_CHANGING = (
    Column("entered_at", big()),
    Column("updated_at", big()),
    Column("revision", big()),
    Column("epoch", whole()),
    Column("seq", whole()),
    Column("step", whole()),
    Column("kept", whole()),
    Column("version", whole()),
    Column("standing", small(null=True), store=_optional(int), load=_optional(Standing)),
    Column("paused", small(), store=int, load=bool),
    Column("bound", small(), store=int, load=bool),
    Column("state", chars(100)),
    Column("step_name", chars(100)),
    Column("visits", long_text(), "visits_text"),
    Column("event", long_text(), "event_text"),
    Column("result", long_text(null=True), "result_text"),
    Column("phase", chars(10)),
    Column("data", long_text(), "data_text"),
    Column("failure", long_text(null=True), "failure_text"),
    Column("fingerprint", chars(12, null=True)),
    Column("items", chars(40, null=True)),
)
#: What an entity is born with: numbers, and texts.
_BORN = (
    Column("created_at", big()),
    Column("parent", big(null=True)),
    Column("parent_step", whole(null=True)),
    Column("parent_index", whole(null=True)),
)
_NAMED = (
    Column("machine", chars(64)),
    Column("entity_id", chars(512)),
    Column("branch_of", chars(64, null=True)),
    Column("branch_name", chars(64, null=True)),
    Column("item", long_text(null=True), "item_text"),
)
_LASTING = (*_BORN, *_NAMED)
#: As of an entity: what neither a claim nor a step changes comes first and last.
_WORK = (
    Column("failures", whole()),
    Column("crashes", whole()),
    Column("postponed", whole()),
    Column("tries", whole()),
    Column("overdue", small(), store=int, load=bool),
    Column("progress", real(null=True)),
    Column("held", big(null=True)),
    Column("parked", big(null=True)),
    Column("deadline", big(null=True)),
    Column("rung_at", big(null=True)),
    Column("epoch", whole()),
    Column("attempt", whole()),
    Column("dispatch", whole()),
    Column("fence", whole()),
    Column("wake_at", big()),
    Column("lease_until", big(null=True)),
    Column("owner", chars(40, null=True)),
    Column("kind", chars(10), store=_value, load=WorkKind),
    Column("queue", chars(100, null=True)),
    Column("why", long_text(null=True)),
    Column("trace", chars(55, null=True)),
)
_HISTORY = (
    Column("seq", whole()),
    Column("kind", chars(20), store=_value, load=HistoryKind),
    Column("at", big(), store=clock.from_datetime, load=clock.to_datetime),
    Column("trigger", chars(100, null=True)),
    Column("source", chars(100, null=True)),
    Column("dest", chars(100)),
    Column("epoch", whole()),
    Column("attempt", whole(null=True)),
    Column("actor", chars(200, null=True)),
    Column("reason", long_text(null=True)),
    Column(
        "payload",
        long_text(null=True),
        store=lambda payload: codec.encode(payload, what="payload") if payload else None,
        load=lambda text: codec.decode(text) if text else {},
    ),
    Column("key", chars(200, null=True)),
    Column("failure", long_text(null=True), store=_optional(Failure.to_text), load=_optional(Failure.from_text)),
    Column(
        "duration",
        big(null=True),
        store=_optional(lambda seconds: round(seconds * 1000)),
        load=_optional(lambda milliseconds: milliseconds / 1000),
    ),
    Column("version", whole()),
    Column("edit", long_text(null=True), store=_optional(Edit.to_text), load=_optional(Edit.from_text)),
    Column("release", chars(MAX_RELEASE, null=True)),
)
_EVENT = (
    Column("kind", chars(10), store=_value, load=EventKind),
    Column("key", chars(200, null=True)),
    Column("trigger", chars(100)),
    Column("payload", long_text(null=True), "text"),
    Column("actor", chars(200, null=True)),
    Column("at", big()),
    Column("due_at", big(null=True)),
    Column("seq", whole(null=True)),
    Column("until", big(null=True)),
    Column("tries", whole()),
    Column("why", long_text(null=True)),
)
_MEMBER = (
    Column("repair", big()),
    Column("entity", big()),
    Column("address", chars(600)),
    Column("epoch", whole()),
    Column("state", chars(100)),
    Column("fingerprint", chars(12, null=True)),
    Column("would", chars(100, null=True)),
    Column("job", chars(200, null=True)),
    Column("why", long_text(null=True)),
    Column("fate", chars(20), store=_value, load=Fate),
    Column("turn", whole(null=True)),
    Column("asked_epoch", whole(null=True)),
    Column("asked_at", big(null=True)),
    Column("settled_at", big(null=True)),
)
_FAILURE = (
    Column("fingerprint", chars(12, primary_key=True)),
    Column("recipe", small()),
    Column("same_as", chars(12, null=True)),
    Column("machine", chars(64)),
    Column("state", chars(100)),
    Column("error_type", chars(210)),
    Column("message", long_text()),
    Column("origin", long_text(null=True)),
    Column("sample", chars(600)),
    Column("traceback", long_text()),
    Column("first_at", big()),
    Column("life", chars(10), store=_value, load=Life),
    Column("life_at", big(null=True)),
    Column("life_by", chars(200, null=True)),
    Column("life_release", chars(MAX_RELEASE, null=True)),
    Column("until", big(null=True)),
    Column("most", big(null=True)),
    Column("note", long_text(null=True)),
    Column("link", long_text(null=True)),
    Column("noted_at", big(null=True)),
    Column("noted_by", chars(200, null=True)),
)
#: Those who count in the same moment do so in slots of their own.
_SIGHTING = (
    Column("fingerprint", chars(12)),
    Column("release", chars(MAX_RELEASE)),
    Column("slot", small()),
    Column("seen", big()),
    Column("first_at", big()),
    Column("last_at", big()),
)
#: ``at_most``: the upper edge of a bucket, in milliseconds; 0 for what has none.
_METER = (
    Column("name", chars(40)),
    Column("machine", chars(64)),
    Column("state", chars(100)),
    Column("label", chars(100)),
    Column("at_most", big()),
    Column("value", big()),
)
#: By what a meter is known.
METER_KEY: Final = tuple(column.name for column in _METER[:-1])
#: The cursor of a feed.
FEED: Final = Columns(
    Column("name", chars(64, primary_key=True)),
    Column("upto", big()),
    Column("gaps", long_text(null=True), "gaps_text"),
    Column("begun_at", big()),
    Column("token", chars(16, null=True)),
    Column("owner", chars(40, null=True)),
    Column("holder", chars(200, null=True)),
    Column("lease_until", big(null=True)),
    Column("wanted", long_text(null=True)),
    Column("read_at", big(null=True)),
    Column("told", big()),
    Column("missed", big()),
)
_ENTITY_ROW = Column("id", _row, "row")
_EVENT_ROW = Column("id", _row)
_ITS_ENTITY = Column("entity", big())
_TERM = (_ITS_ENTITY, Column("name", chars(130)), Column("value", _term))

_FACT: Final = (Column("name", chars(64, primary_key=True)), Column("value", long_text()))
TABLES: Final = (
    Table(
        name=tables.ENTITY,
        columns=(_ENTITY_ROW, *_BORN, *_CHANGING, *_NAMED),
        indexes=OF_ENTITIES,
        fill=90,
    ),
    Table(
        name=tables.WORK,
        columns=(Column("entity", big(primary_key=True)), Column(ROUNDED.column, _look_at), *_WORK),
        indexes=OF_WORK,
        fill=75,
    ),
    Table(
        name=tables.HISTORY,
        columns=(Column("id", _number), _ITS_ENTITY, *_HISTORY, Column("token", chars(16))),
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
    *OF_LIMITED,
    *OF_HOOKS,
    *OF_PERSONS,
    *OF_REPEATS,
    Table(name=tables.META, columns=_FACT),
    Table(name=tables.SECRET, columns=_FACT),
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
