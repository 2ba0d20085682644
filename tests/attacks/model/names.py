"""A step whose branches have names, made and run by workers of two releases of the code, which name other ones.

A branch is done once its own job has run, whoever runs it; what the code of a worker does not know is left to others.
Releases come and go at any time, so that one whose name is gone may come back; a person who cancels it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tests.attacks.model.exploration import Step

OPEN: Final = "open"
FAILED: Final = "failed"
DONE: Final = "done"


class Rules(NamedTuple):
    """What the protocol asks for. As it is here, it is right."""

    #: A branch is known by its name, not by its place among those that the code names.
    by_name: bool = True
    #: All are written in one transaction.
    at_once: bool = True
    #: What has branches gets none for names that the code has gained since.
    made_once: bool = True
    #: A branch whose name is gone from the code is not run, and does not count as done.
    gone_waits: bool = True


RIGHT: Final = Rules()


class Branch(NamedTuple):
    """``ran``: the names of the jobs that were run for it."""

    name: str
    standing: str = OPEN
    ran: frozenset[str] = frozenset()


class World(NamedTuple):
    """``releases``: those that workers are of now, by number. ``read``: the names that were read first. ``maker``: of
    which release the worker is that makes branches, 0 for none."""

    releases: tuple[int, ...] = (1,)
    branches: tuple[Branch, ...] = ()
    read: frozenset[str] = frozenset()
    maker: int = 0
    is_made: bool = False
    is_failed: bool = False
    is_left: bool = False
    crashes: int = 0
    failures: int = 0


RUNS_ITS_OWN: Final = "7: a branch runs the job of its name"
ARE_OF_ONE_READING: Final = "7: the branches of a visit are those that one release named"
JOINS_RIGHTLY: Final = "7: a step is done once the job of each branch is"


class Names(NamedTuple):
    """The model. ``code``: the names of each release, in order."""

    rules: Rules = RIGHT
    code: tuple[tuple[str, ...], tuple[str, ...]] = (("stock", "credit"), ("stock", "fraud", "credit"))
    crashes: int = 0
    failures: int = 0

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        return {
            RUNS_ITS_OWN: lambda world: all(branch.ran <= {branch.name} for branch in world.branches),
            ARE_OF_ONE_READING: lambda world: not world.is_made or world.read == {it.name for it in world.branches},
            JOINS_RIGHTLY: lambda world: not world.is_left or all(it.ran for it in world.branches),
        }

    def starts(self) -> Iterable[World]:
        yield World(crashes=self.crashes, failures=self.failures)

    def has_ended(self, world: World) -> bool:
        return world.is_left

    def steps(self, world: World) -> Iterator[Step[World]]:
        if world.is_left:
            return
        if len(world.releases) == 1:
            rolls = (world.releases[0], 3 - world.releases[0])
            yield Step(f"release {rolls[1]} comes beside the other", world._replace(releases=rolls))
        else:
            for release in world.releases:
                # A worker of the other one that makes branches has its claim taken away.
                alone = world._replace(releases=(release,), maker=world.maker if world.maker == release else 0)
                yield Step(f"release {release} is the only one now", alone)
        for release in world.releases:
            yield from self._makes(world, release)
            yield from self._runs(world, release)
        yield from self._joins(world)

    def _makes(self, world: World, release: int) -> Iterator[Step[World]]:
        """Of all names, or of the first that has no branch yet."""
        if world.is_made or world.is_failed:
            return
        if not world.maker:
            yield Step(f"a worker of release {release} claims the step", world._replace(maker=release))
            return
        if world.maker != release:
            return
        if world.crashes:
            crashed = world._replace(maker=0, crashes=world.crashes - 1)
            yield Step("CRASH of who makes the branches", crashed, True)
        names = self.code[release - 1]
        there = world.branches
        if there and self.rules.made_once and self.rules.at_once:
            yield Step("there are branches: no more are made", world._replace(is_made=True, maker=0))
            return
        left = [name for name in names[0 if self.rules.by_name else len(there) :] if not _has(there, name)]
        page = left if self.rules.at_once else left[:1]
        read = world.read or frozenset(names)
        made = world._replace(branches=(*there, *map(Branch, page)), read=read)
        if not left or self.rules.at_once:
            # It is committed with the branches, or by the attempt that finds them.
            yield Step("that is all of them", made._replace(is_made=True, maker=0))
        if left:
            yield Step(f"{', '.join(page)}: branches are made", made)

    def _runs(self, world: World, release: int) -> Iterator[Step[World]]:
        names = self.code[release - 1]
        for place, branch in enumerate(world.branches):
            if branch.standing != OPEN:
                continue
            job = branch.name if branch.name in names else None
            if not self.rules.by_name:
                job = names[place] if place < len(names) else None
            if job is None:
                if not self.rules.gone_waits:
                    yield Step(f"{branch.name} is gone: done", _with(world, place, branch._replace(standing=DONE)))
                continue
            ran = branch._replace(ran=branch.ran | {job})
            yield Step(f"{branch.name}: {job} runs", _with(world, place, ran._replace(standing=DONE)))
            if world.failures:
                failed = _with(world._replace(failures=world.failures - 1), place, branch._replace(standing=FAILED))
                yield Step(f"{branch.name}: {job} fails", failed, True)

    def _joins(self, world: World) -> Iterator[Step[World]]:
        """Once all have settled; a retry runs again what failed, and looks whether branches are to be made."""
        if world.is_failed:
            again = tuple(it._replace(standing=OPEN) if it.standing == FAILED else it for it in world.branches)
            retried = world._replace(branches=again, is_failed=False, is_made=False)
            yield Step("a retry", retried)
        elif world.is_made and all(branch.standing != OPEN for branch in world.branches):
            if any(branch.standing == FAILED for branch in world.branches):
                yield Step("the step fails", world._replace(is_failed=True))
            else:
                yield Step("the step is done", world._replace(is_left=True))


def _has(branches: tuple[Branch, ...], name: str) -> bool:
    return any(branch.name == name for branch in branches)


def _with(world: World, place: int, branch: Branch) -> World:
    branches = (*world.branches[:place], branch, *world.branches[place + 1 :])
    return world._replace(branches=branches)
