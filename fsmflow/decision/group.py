"""A failure group: all that failed for one reason, and what people have said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from fsmflow.decision.entity import Failure
from fsmflow.decision.failure import sound
from fsmflow.decision.kind import Kind
from fsmflow.values import dataclass


class Life(Kind):
    """What people have said of a group, or that nobody has."""

    OPEN = "open"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    #: Never stored: it was said to be resolved, and came again.
    REOPENED = "reopened"


@dataclass(frozen=True, kw_only=True)
class Group:
    """A row of ``failure``: what is known of a fingerprint, with the first failure that had it as a sample.

    ``same_as``: the group that it belongs to, where that is another one. ``life`` was said by ``life_by`` at
    ``life_at``: it is resolved, in ``life_release`` where that was named; or it is ignored until ``until``, or until it
    was seen ``most`` times. Of a resolved one ``most`` is how often it had been seen when that was said.
    """

    fingerprint: str
    recipe: int
    same_as: str | None = None
    machine: str
    state: str
    error_type: str
    message: str
    origin: str | None
    sample: str
    traceback: str
    first_at: int
    life: Life = Life.OPEN
    life_at: int | None = None
    life_by: str | None = None
    life_release: str | None = None
    until: int | None = None
    most: int | None = None
    note: str | None = None
    link: str | None = None
    noted_at: int | None = None
    noted_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """How often failures of a group came about in a release, and from when to when."""

    fingerprint: str
    #: Empty where it is not known.
    release: str
    seen: int
    first_at: int
    last_at: int


def first_of(failure: Failure, *, machine: str, state: str, address: str, at: int, same_as: str | None) -> Group:
    """The group of a failure that is the first of its kind."""
    return Group(
        fingerprint=failure.fingerprint,
        recipe=failure.recipe,
        same_as=same_as,
        machine=machine,
        state=state,
        error_type=failure.error_type,
        message=sound(failure.message),
        origin=failure.origin,
        sample=address,
        traceback=sound(failure.traceback),
        first_at=at,
    )


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A group with all that it was seen of it, under each fingerprint that belongs to it."""

    group: Group
    sightings: tuple[Sighting, ...]
    fingerprints: tuple[str, ...]
    #: When each release was first seen among all failures; as far as it matters.
    releases: Mapping[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return sum(sighting.seen for sighting in self.sightings)

    @property
    def first_at(self) -> int:
        return min((self.group.first_at, *(sighting.first_at for sighting in self.sightings)))

    @property
    def last_at(self) -> int:
        return max((self.group.first_at, *(sighting.last_at for sighting in self.sightings)))

    def life(self, now: int) -> Life:
        """What becomes of what was said, at ``now``: it holds, or its time is over, or the group has come again."""
        group = self.group
        if group.life is Life.RESOLVED:
            return Life.REOPENED if any(map(self._reopens, self.sightings)) else Life.RESOLVED
        if group.life is Life.IGNORED:
            is_over = (group.until is not None and now >= group.until) or (
                group.most is not None and self.seen >= group.most
            )
            return Life.OPEN if is_over else Life.IGNORED
        return group.life

    def _reopens(self, sighting: Sighting) -> bool:
        """Whether it came again after it was resolved. What runs code older than the release that resolves it is not
        told of the cure: older is what had failed somewhere before that was said."""
        group, at = self.group, self.group.life_at or 0
        if sighting.last_at < at or (sighting.last_at == at and self.seen <= (group.most or self.seen)):
            return False
        if group.life_release is None or sighting.release in ("", group.life_release):
            return True
        return self.releases.get(sighting.release, sighting.first_at) > at


def ledgers(groups: Iterable[Group], sightings: Iterable[Sighting], releases: Mapping[str, int]) -> dict[str, Ledger]:
    """The ledgers of groups by their id, each with what belongs to it."""
    every = {group.fingerprint: group for group in groups}
    belongs: dict[str, list[str]] = {}
    for fingerprint, group in every.items():
        belongs.setdefault(group.same_as or fingerprint, []).append(fingerprint)
    seen: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        seen.setdefault(sighting.fingerprint, []).append(sighting)
    return {
        id_: Ledger(
            group=every[id_],
            sightings=tuple(sighting for each in fingerprints for sighting in seen.get(each, ())),
            fingerprints=tuple(sorted(fingerprints, key=lambda each: each != id_)),
            releases=releases,
        )
        for id_, fingerprints in belongs.items()
        if id_ in every
    }
