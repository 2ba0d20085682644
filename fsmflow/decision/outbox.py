"""What a decision sends and takes back: names that are used again, and messages that end with a visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from fsmflow.decision.commit import Commit, EventKind, Mark, Post, Posted
from fsmflow.decision.context import Context
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.messages import Recall, due_again, envelope_of, stopped, when_due
from fsmflow.values import dataclass, replace


@dataclass(kw_only=True)
class SortedOut:
    """``posts`` are to be written, ``takes`` the rows to be taken away; ``ended`` what is not delivered, and why.
    ``bound``: whether a message is on its way that ends with the visit."""

    posts: list[Post] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)
    ended: list[tuple[Post, str]] = field(default_factory=list)
    bound: bool = False


def sorted_out(mail: Sequence[Post | Recall], before: Snapshot, after: Snapshot, context: Context) -> SortedOut:
    """What is sent and taken back, in order, on top of what is on its way. That is looked at only where it has to be:
    where a name is used, and where a visit ends in which something was sent until then."""
    found = SortedOut(bound=before.bound and before.epoch == after.epoch)
    left = before.bound and before.epoch != after.epoch
    names = any(isinstance(asked, Recall) or asked.key is not None for asked in mail)
    there: list[Post] = list(context.sent) if left or names else []
    for asked in mail:
        name = asked.name if isinstance(asked, Recall) else asked.key
        same = next((post for post in there if name is not None and post.key == name), None)
        if same is not None:
            there.remove(same)
            _end(found, same, f"unsend({name!r})" if isinstance(asked, Recall) else None)
        if not isinstance(asked, Recall):
            there.append(asked)
    for post in there:
        if post.seq is not None and post.seq != after.epoch:
            _end(found, post, "the visit that it was for is over")
        elif not isinstance(post, Posted):
            found.posts.append(post)
            found.bound = found.bound or post.seq is not None
    return found


def _end(found: SortedOut, post: Post, why: str | None) -> None:
    """Not to be delivered. Nothing is told of one that was replaced: what takes its place is the same message."""
    if isinstance(post, Posted):
        found.takes.append(post.id)
    if why is not None:
        found.ended.append((post, f"{_named(post)}: {why}"))


def _named(post: Post) -> str:
    name = "" if post.key is None else f"{post.key!r} "
    return f"{name}to {envelope_of(post).to}, {when_due(post)}"


def held(posts: Sequence[Post], after: Snapshot, now: int) -> list[Post]:
    """What is sent by an entity that is paused: what goes to itself stands still with it."""
    if not after.holds:
        return list(posts)
    return [replace(post, due_at=stopped(post, now)) if _is_to(after, post) else post for post in posts]


def marks_of_pause(before: Snapshot, after: Snapshot, context: Context, now: int) -> list[Mark]:
    """What a pause, and its end, make of the messages that an entity has sent itself. No query for any other change."""
    if before.holds == after.holds:
        return []
    moment = stopped if after.holds else due_again
    own = [post for post in context.sent if _is_to(after, post)]
    return [Mark(id=post.id, tries=post.tries, why=post.why, due_at=moment(post, now)) for post in own]


def _is_to(entity: Snapshot, post: Post) -> bool:
    return post.kind is EventKind.SENT and envelope_of(post).to == entity.address


def is_on_its_way(name: str, mail: Sequence[Post | Recall], context: Context) -> bool:
    """Whether a message of this name would be delivered, by what was decided so far."""
    for asked in reversed(mail):
        if isinstance(asked, Recall) and asked.name == name:
            return False
        if isinstance(asked, Post) and asked.key == name:
            return True
    return any(post.key == name for post in context.sent)


def still_sent(posts: Sequence[Post], fired: Commit) -> list[Post]:
    """What the first commit of an entity sends, where its first event is part of that: no name twice, and nothing of a
    visit that the event has ended."""
    names = {post.key for post in fired.posts if post.kind is EventKind.SENT and post.key is not None}
    return [
        post
        for post in posts
        if post.kind is not EventKind.SENT or (post.key not in names and post.seq in (None, fired.after.epoch))
    ]
