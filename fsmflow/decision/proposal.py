"""What one of two people asks for: it is noted, and done once another one asks for the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Post, Posted
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked, Proposed
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.decision.mover import Mover
from fsmflow.errors import NotPermitted
from fsmflow.values import dataclass, replace

#: Of a request everything but these has to be the same.
_OWN = ("actor", "reason", "key", "form", "epoch", "confirms")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What somebody has asked for, and a second person has to ask for too. ``action`` with its place, where it has one;
    ``login``: who may not be the second. ``post``: the row that says so."""

    action: str
    actor: str
    login: str
    at: int
    until: int
    reason: str | None
    seq: int
    digest: str
    post: Posted

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        by = f"by {self.actor!r} in line {self.seq} of its history{why}"
        return f"{self.action}, {by}; another person who asks for the same until {_moment(self.until)} does it"


def open_ones(posts: Sequence[Posted], snapshot: Snapshot, now: int) -> list[Proposal]:
    """Those of an entity whose time is not over, and since which it has not moved."""
    found = [(post, codec.decode(post.text or "{}")) for post in posts]
    return [
        Proposal(
            action=said["action"],
            actor=post.actor or "",
            login=said["login"],
            at=post.at,
            until=post.due_at or 0,
            reason=said.get("reason"),
            seq=said["seq"],
            digest=said["digest"],
            post=post,
        )
        for post, said in found
        if said["epoch"] == snapshot.epoch and (post.due_at or 0) > now
    ]


def answered(
    asked: Asked, action: str, snapshot: Snapshot, open_now: Sequence[Proposal], stale: tuple[int, ...], within_ms: int
) -> Asked:
    """What is to be decided: the request itself where another person has asked for the same, else that it is noted.
    Raises NotPermitted for who has asked for it already, under whichever name."""
    actor = asked.actor
    if actor is None:
        raise NotPermitted(snapshot.address, action, (), None, words="it takes two people, and nobody is named")
    digest = digest_of(asked)
    alike = next((one for one in open_now if one.digest == digest), None)
    if alike is None:
        place = getattr(asked, "state", None) or getattr(asked, "event", None)
        return Proposed(
            actor=actor,
            reason=asked.reason,
            key=asked.key,
            epoch=asked.epoch,
            action=action,
            told=f"{action} {place}" if place else action,
            digest=digest,
            within_ms=within_ms,
            stale=stale,
        )
    if alike.login == actor.login:
        same = "" if alike.actor == actor.name else f", who is {actor.name!r} too (both are {actor.login!r}),"
        words = (
            f"it takes two people, and {alike.actor!r}{same} has asked for it in line {alike.seq} of its history; "
            f"another person who asks for the same until {_moment(alike.until)} does it"
        )
        raise NotPermitted(snapshot.address, action, (), actor.name, words=words)
    reason = f"{alike.actor} asked for it in line {alike.seq}"
    return replace(asked, confirms=alike.post, reason=f"{asked.reason}; {reason}" if asked.reason else reason)


def _moment(ms: int) -> str:
    return f"{clock.to_datetime(ms):%Y-%m-%d %H:%M:%S} UTC"


def digest_of(asked: Asked) -> str:
    """What has to be the same when a second person asks, and may hold what is redacted."""
    given = {name: value for name, value in vars(asked).items() if name not in _OWN}
    text = f"{type(asked).__name__} {codec.encode(given)}"
    return hashlib.sha256(text.encode()).hexdigest()


def proposed(mover: Mover, happening: Proposed) -> None:
    """Note what somebody asks for. Nothing else moves."""
    actor: Actor | None = happening.actor
    assert actor is not None
    mover.note(
        HistoryKind.ASKED,
        trigger=happening.action,
        source=mover.before.state,
        actor=actor,
        reason=happening.reason,
        key=happening.key,
    )
    said = {
        "action": happening.told,
        "login": actor.login,
        "reason": mover.entries[-1].reason,
        "seq": mover.after.seq,
        "epoch": mover.before.epoch,
        "digest": happening.digest,
    }
    mover.takes += happening.stale
    mover.posts.append(
        Post(
            kind=EventKind.ASKED,
            trigger=happening.action,
            text=codec.encode(said),
            actor=actor.name,
            at=mover.now,
            due_at=mover.now + happening.within_ms,
        )
    )
