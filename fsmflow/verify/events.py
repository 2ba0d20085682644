"""The rows of ``event``: keys that were used, events that are kept, messages, and what is to be passed down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow.verify.entity import Found, Moment
from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Event
from fsmflow.verify.texts import unreadable

KEY: Final = "key"
KEPT: Final = "kept"
SENT: Final = "sent"
LOST: Final = "lost"
#: The kinds of events that are checked against something; others are only read.
KINDS: Final = frozenset({KEY, KEPT, SENT, LOST})


def check_events(found: Found, events: Sequence[Event], at: Moment, findings: Findings) -> None:
    """Check the events of one entity, against its history too."""
    address = found.entity.address
    for event in events:
        why = unreadable(event.payload)
        if why:
            findings.add("readable", address, f"payload of event row {event.id} ({event.kind}) is no JSON: {why}")
        check_due(event, address, at, findings)
    _check_keys(found, events, findings)
    _check_kept(found, events, at, findings)
    _check_bound(found, events, findings)
    lost = sum(event.kind == LOST for event in events)
    if lost > found.fold.discarded:
        what = f"{lost} messages were given up, and {found.fold.discarded} history rows tell of what was discarded"
        findings.add("lost-recorded", address, what)


def check_due(event: Event, address: str, at: Moment, findings: Findings) -> None:
    """What is to be delivered or passed down is, once it is due."""
    if event.due_at is not None and event.due_at < at.late:
        what = f"event row {event.id} ({event.kind} {event.trigger!r}) was due {at.ago(event.due_at)}"
        findings.add("overdue", address, f"{what}, and nobody looked after it")


def _check_keys(found: Found, events: Sequence[Event], findings: Findings) -> None:
    """A key that was applied is there, so that it is not applied again, and what it led to can be found."""
    used = {event.key or "": (event.seq, event.trigger) for event in events if event.kind == KEY}
    applied = found.fold.keys.applied
    for key in applied.keys() - used.keys() - found.fold.keys.old:
        what = f"the key {key!r} was applied in history row {applied[key][0]}, and is not noted as used"
        findings.add("key-recorded", found.entity.address, what)
    for key, (seq, asked) in used.items():
        if key not in applied or applied[key][0] != seq:
            what = f"the key {key!r} is noted as used by history row {seq}, and that row does not have it"
            findings.add("key-recorded", found.entity.address, what)
        elif applied[key][1] != asked:
            what = f"the key {key!r} is noted as used for {asked!r}, and history row {seq} tells of {applied[key][1]!r}"
            findings.add("key-recorded", found.entity.address, what)


def _check_bound(found: Found, events: Sequence[Event], findings: Findings) -> None:
    """A message that ends with the visit of a state is gone when that is, and until then the entity knows of it."""
    entity = found.entity
    for event in events:
        if event.kind != SENT or event.seq is None:
            continue
        told = f"event row {event.id} ({event.trigger!r}) ends with the visit of epoch {event.seq}"
        if event.seq != entity.epoch:
            findings.add("visit-message", entity.address, f"{told}, and it is in epoch {entity.epoch}")
        elif not entity.bound:
            findings.add("visit-message", entity.address, f"{told}, and the entity does not know of any such")


def _check_kept(found: Found, events: Sequence[Event], at: Moment, findings: Findings) -> None:
    entity = found.entity
    kept = [event for event in events if event.kind == KEPT]
    if len(kept) != entity.kept:
        findings.add(
            "kept-counted", entity.address, f"it keeps {len(kept)} events, and says that it keeps {entity.kept}"
        )
    for event in kept:
        if event.until is not None and event.until < at.late:
            what = f"event row {event.id} ({event.trigger!r}) was to be kept until {at.ago(event.until)}"
            findings.add("kept-limit", entity.address, f"{what}, and is there still")
        if event.seq not in found.fold.deferred:
            what = f"event row {event.id} ({event.trigger!r}) is kept, and no history row {event.seq} tells of it"
            findings.add("kept-counted", entity.address, what)
