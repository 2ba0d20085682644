"""Messages of one sender that have names, or end with a visit, and are taken back while others deliver them.

Whoever changes the sender reads its row, then what it has on its way where that matters, decides, and commits against
the revision. Whoever delivers changes the addressee and takes the row of the message away, and leaves the sender alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tests.attacks.model.exploration import Step

#: What may be asked of the sender: to send what has a name, or what ends with the visit; to take the name back; to go
#: on to the next visit.
SEND: Final = "send by a name"
BIND: Final = "send until the visit is left"
UNSEND: Final = "unsend the name"
LEAVE: Final = "leave"


class Rules(NamedTuple):
    """What the protocol asks for. As it is here, it is right."""

    #: A decision on the sender is committed only where nobody has written it since it was read.
    compares: bool = True
    #: What is on its way is read after the row of the sender, whose revision then stands for it.
    reads_messages_last: bool = True
    #: Where the row of a message that is to be taken back, or delivered, is gone, nothing is committed.
    takes_strictly: bool = True
    delivers_strictly: bool = True
    #: Who was too late reads all of it again.
    reads_again: bool = True
    #: The row of the sender says whether something ends with its visit.
    notes_bound: bool = True


RIGHT: Final = Rules()


class Message(NamedTuple):
    """``visit``: the one that it ends with, 0 for none."""

    number: int
    named: bool
    visit: int


class Sender(NamedTuple):
    revision: int = 0
    visit: int = 1
    bound: bool = False


class Asker(NamedTuple):
    """Who decides on the sender: what it has read so far."""

    what: str
    sender: Sender | None = None
    there: frozenset[Message] | None = None


class World(NamedTuple):
    """``ended``: taken back, replaced, or over with its visit, once that is committed."""

    sender: Sender = Sender()
    there: frozenset[Message] = frozenset()
    asked: tuple[str, ...] = ()
    askers: tuple[Asker, ...] = ()
    delivering: tuple[Message, ...] = ()
    sent: int = 0
    delivered: tuple[int, ...] = ()
    ended: frozenset[int] = frozenset()


ENDED_RESTS: Final = "8: what was taken back, or is over with its visit, is not delivered"
ONE_OF_A_NAME: Final = "8: one message of a name is on its way"
ENDS_WITH_VISIT: Final = "8: what ends with a visit does not outlast it"
NOTHING_TWICE: Final = "4: a message is delivered once"
NOTHING_LOST: Final = "4: a message is not lost"


class Recalls(NamedTuple):
    """The model: what is asked of the sender, two of it at a time, in any order; and so many who deliver."""

    rules: Rules = RIGHT
    asked: tuple[str, ...] = ()
    deliverers: int = 2

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        return {
            ENDED_RESTS: lambda world: world.ended.isdisjoint(world.delivered),
            ONE_OF_A_NAME: lambda world: sum(message.named for message in world.there) <= 1,
            ENDS_WITH_VISIT: lambda world: all(it.visit in (0, world.sender.visit) for it in world.there),
            NOTHING_TWICE: lambda world: len(set(world.delivered)) == len(world.delivered),
            NOTHING_LOST: _loses_nothing,
        }

    def starts(self) -> Iterable[World]:
        yield World(asked=self.asked)

    def has_ended(self, world: World) -> bool:
        """All was asked, and nothing is on its way."""
        return not (world.asked or world.askers or world.there or world.delivering)

    def steps(self, world: World) -> Iterator[Step[World]]:
        for what in dict.fromkeys(world.asked) if len(world.askers) < 2 else ():
            rest = list(world.asked)
            rest.remove(what)
            yield Step(f"somebody is to {what}", _asking(world._replace(asked=tuple(rest)), Asker(what)))
        for asker in dict.fromkeys(world.askers):
            others = list(world.askers)
            others.remove(asker)
            yield from self._asks(world._replace(askers=tuple(others)), asker)
        if len(world.delivering) < self.deliverers:
            for message in sorted(world.there):
                found = tuple(sorted((*world.delivering, message)))
                yield Step(f"message {message.number} is due", world._replace(delivering=found))
        for message in dict.fromkeys(world.delivering):
            left = list(world.delivering)
            left.remove(message)
            yield from self._delivers(world._replace(delivering=tuple(left)), message)

    def _asks(self, world: World, asker: Asker) -> Iterator[Step[World]]:
        reads_sender = asker._replace(sender=world.sender)
        reads_messages = asker._replace(there=world.there)
        if asker.sender is None and (asker.there is not None or self.rules.reads_messages_last):
            yield Step(f"who is to {asker.what} reads the sender", _asking(world, reads_sender))
        elif asker.there is None:
            yield Step(f"who is to {asker.what} reads what is on its way", _asking(world, reads_messages))
        else:
            yield self._commits(world, asker)

    def _commits(self, world: World, asker: Asker) -> Step[World]:
        seen, there = asker.sender, asker.there
        assert seen is not None
        assert there is not None
        takes, leaves = self._takes(asker.what, seen, there), asker.what == LEAVE
        first = self.rules.compares and seen.revision != world.sender.revision
        if first or (self.rules.takes_strictly and not takes <= world.there):
            again = asker._replace(sender=None, there=None)
            if not self.rules.reads_again:
                again = asker._replace(sender=world.sender)
            return Step(f"{asker.what}: others were first", _asking(world, again))
        visit = seen.visit + leaves
        bound = not leaves and (seen.bound or (asker.what == BIND and self.rules.notes_bound))
        number = world.sent + 1
        new = {SEND: [Message(number, True, 0)], BIND: [Message(number, False, visit)]}.get(asker.what, [])
        return Step(
            f"{asker.what}: committed",
            world._replace(
                sender=Sender(world.sender.revision + 1, visit, bound),
                there=(world.there - takes) | frozenset(new),
                sent=world.sent + len(new),
                ended=world.ended | {message.number for message in takes},
            ),
        )

    def _takes(self, what: str, seen: Sender, there: frozenset[Message]) -> frozenset[Message]:
        """What is not to be delivered any more. Nobody looks for what ends with a visit where there is none."""
        if what in (SEND, UNSEND):
            return frozenset(message for message in there if message.named)
        return frozenset(message for message in there if message.visit) if what == LEAVE and seen.bound else frozenset()

    def _delivers(self, world: World, message: Message) -> Iterator[Step[World]]:
        if self.rules.delivers_strictly and message not in world.there:
            yield Step(f"message {message.number} is there no more", world)
            return
        delivered = tuple(sorted((*world.delivered, message.number)))
        taken = world._replace(there=world.there - {message}, delivered=delivered)
        yield Step(f"message {message.number} is delivered", taken)


def _asking(world: World, asker: Asker) -> World:
    return world._replace(askers=tuple(sorted((*world.askers, asker), key=repr)))


def _loses_nothing(world: World) -> bool:
    there = {message.number for message in world.there}
    return there | world.ended | set(world.delivered) == set(range(1, world.sent + 1))
