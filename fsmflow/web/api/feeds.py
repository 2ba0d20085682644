"""Feeds over HTTP: begun by name, read in batches, and acknowledged."""

from __future__ import annotations

from typing import Any, Final, cast

from fsmflow import feeds
from fsmflow.decision.history import HistoryKind
from fsmflow.engine.cursors import UnknownFeed
from fsmflow.engine.runtime import current
from fsmflow.engine.teams import permit_whole
from fsmflow.feeds import Start
from fsmflow.objects.feeds import line_object, state_object
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.field import FLAG, TEXT, TEXTS, Field
from fsmflow.web.api.operation import LIMIT, Operation, page

_WANTED: Final = (
    Field(name="machine", kind=TEXTS, told="Of these machines."),
    Field(name="state", kind=TEXTS, told="What leads to these states, globs."),
    Field(name="trigger", kind=TEXTS, told="What these triggers fired, globs."),
    Field(name="kind", kind=TEXTS, told="Of these kinds.", choices=tuple(kind.value for kind in HistoryKind)),
    Field(name="branches", kind=FLAG, told="Of branches and children too.", default=False),
)
_START: Final = Field(name="start", kind=TEXT, told="Where it begins.", choices=("now", "beginning"), default="now")
_MARK: Final = Field(name="mark", kind=TEXT, told="What came with the entries.", is_required=True)


def find(call: Call) -> Answer:
    """All that are stored."""
    _permit(call)
    return Answer(content=page([state_object(each) for each in feeds.feeds()]))


def begin(call: Call) -> Answer:
    """Store one, if there is none of this name."""
    _permit(call)
    feeds.begin(call.path["feed"], cast(Start, call.body["start"]))
    return _state(call)


def entries(call: Call) -> Answer:
    """What comes next, and the mark by which it is acknowledged."""
    _permit(call)
    given: dict[str, Any] = {
        f"{name}s" if name != "machine" else name: call.query[name] for name in ("machine", "state", "trigger", "kind")
    }
    found = feeds.batch(
        call.path["feed"], **given, branches=call.query["branches"], most=call.query["limit"], actor=call.actor
    )
    return Answer(content={"items": [line_object(each) for each in found.entries], "mark": found.mark})


def acknowledge(call: Call) -> Answer:
    """Note that these entries have been read."""
    _permit(call)
    feeds.acknowledge(call.path["feed"], call.body["mark"])
    return _state(call)


def rewind(call: Call) -> Answer:
    """Let it go on from the beginning, or from now on."""
    _permit(call)
    feeds.rewind(call.path["feed"], cast(Start, call.body["start"]))
    return _state(call)


def _permit(call: Call) -> None:
    permit_whole(current(), None, "feed", call.actor)


def _state(call: Call) -> Answer:
    found = next((each for each in feeds.feeds() if each.name == call.path["feed"]), None)
    if found is None:
        raise UnknownFeed(f"feed {call.path['feed']!r} was forgotten meanwhile")
    return Answer(content=state_object(found))


OPERATIONS: Final = (
    Operation(
        name="list_feeds",
        method="GET",
        path="/feeds",
        told="Feeds that are stored, and how far each is behind.",
        tag="feeds",
        act=find,
        gives="Feeds",
    ),
    Operation(
        name="begin_feed",
        method="PUT",
        path="/feeds/{feed}",
        told="Store a feed of this name, if there is none.",
        tag="feeds",
        act=begin,
        gives="Feed",
        body=(_START,),
    ),
    Operation(
        name="read_feed",
        method="GET",
        path="/feeds/{feed}/entries",
        told="What comes next. It is told again until its mark is acknowledged.",
        tag="feeds",
        act=entries,
        gives="FeedEntries",
        query=(*_WANTED, LIMIT),
        refusals=(404,),
    ),
    Operation(
        name="acknowledge_feed",
        method="POST",
        path="/feeds/{feed}/acknowledge",
        told="Note that what came with this mark has been read. Said again, it changes nothing.",
        tag="feeds",
        act=acknowledge,
        gives="Feed",
        body=(_MARK,),
        refusals=(404, 409),
    ),
    Operation(
        name="rewind_feed",
        method="POST",
        path="/feeds/{feed}/rewind",
        told="Let a feed go on from the beginning of all that is kept, or from now on.",
        tag="feeds",
        act=rewind,
        gives="Feed",
        body=(_START,),
        refusals=(404, 409),
        takes_key=True,
        once=True,
        again=_state,
    ),
)
