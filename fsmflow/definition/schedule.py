"""``Schedule``: when a machine starts an entity of itself; the moments at which its clock ticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import heappop, heappush
from importlib import import_module
from itertools import takewhile
from typing import Any, Final, cast

from fsmflow import clock
from fsmflow.errors import did_you_mean, shown
from fsmflow.values import Options, dataclass

ALL: Final = "all"
SKIP: Final = "skip"
QUEUE: Final = "queue"
OVERLAPS: Final = (ALL, SKIP, QUEUE)

_UTC: Final = "UTC"
_SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
_A_DAY: Final = timedelta(days=1)
_HOURS: Final = 24
#: The first look back for a tick, and how much farther each next one goes.
_LOOK_BACK_MS: Final = 120_000
_FARTHER: Final = 4
#: "L" is the last day of a month, and "W" the nearest day from Monday to Friday.
_WORDS: Final = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat l w".split()  # noqa: SIM905 - to read
)
_EXAMPLE: Final = "such as '0 3 * * *' for 3:00 UTC each day"


def _croniter() -> Any:
    """Imported where a machine has a schedule: few have one."""
    return import_module("croniter")


@dataclass(frozen=True)
class Schedule(Options):
    """Start an entity at each tick of a clock: ``Schedule("0 3 * * *", zone="Europe/Vienna")``.

    ``cron``: minute, hour, day of the month, month and day of the week, as the clocks of ``zone`` show them. ``zone``
    is a name such as ``Europe/Vienna``. A time that summer time leaves out is taken as long after midnight as ever:
    02:30 is then 03:30. One that comes twice is taken the first time; both times where the hour is ``*``.

    ``overlap``: what happens at a tick while an earlier entity of the schedule is not finished. ``"all"``: the next one
    is started all the same. ``"skip"``: none is. ``"queue"``: it is started once the earlier one is finished; of
    several ticks that wait, the latest.
    """

    _meant = {"tz": "zone", "timezone": "zone", "time_zone": "zone"}

    cron: str
    _: KW_ONLY
    zone: str = _UTC
    overlap: str = ALL

    def __str__(self) -> str:
        """Cron and zone; the same text means the same ticks."""
        return self.cron if self.zone == _UTC else f"{self.cron} {self.zone}"

    def following(self, moment: int) -> int:
        """The first tick after a moment."""
        return next(self._ticks(moment))

    def between(self, after: int, until: int) -> Iterator[int]:
        """The ticks after one moment, up to another, that one included."""
        return takewhile(lambda tick: tick <= until, self._ticks(after))

    def latest(self, after: int, until: int) -> int | None:
        """The last of these ticks; None where there is none, which is seen at once."""
        if self.following(after) > until:
            return None
        back = _LOOK_BACK_MS
        while True:
            begin = max(after, until - back)
            found = None
            for found in self.between(begin, until):  # noqa: B007 - the last one is what is asked for
                pass
            if found is not None:
                return found
            back *= _FARTHER

    def at(self, moment: int) -> datetime:
        """A moment as the clocks of the zone show it."""
        return clock.to_datetime(moment).astimezone(zone_of(self.zone))

    def _ticks(self, moment: int) -> Iterator[int]:
        """The ticks after a moment, in order, each once.

        Where clocks are put forward, what is left out comes after times that are later on the dial. So a tick is given
        only once no later time on the dial can come before it.
        """
        zone, after = zone_of(self.zone), clock.to_datetime(moment)
        start = after.astimezone(zone).replace(tzinfo=UTC) - _shift(zone, after)
        dial, comes_twice = _croniter().croniter(self.cron, start), self._is_hourly()
        found: list[datetime] = []
        last = after
        while True:
            moments = _moments(dial.get_next(datetime), zone, twice=comes_twice)
            for one in moments:
                heappush(found, one)
            bound = moments[0] - _shift(zone, moments[0])
            while found and found[0] <= bound:
                tick = heappop(found)
                if tick > last:
                    last = tick
                    yield clock.from_datetime(tick)

    def _is_hourly(self) -> bool:
        hours = _croniter().croniter.expand(self.cron)[0][1]
        return hours == ["*"] or len(set(hours)) == _HOURS


def zone_of(name: str) -> tzinfo:
    """The zone of a name. Raises KeyError, ValueError or OSError where there is none; "UTC" needs no database."""
    # It asks the interpreter for its whole configuration as it is imported; few machines have a zone.
    return UTC if name == _UTC else cast(tzinfo, import_module("zoneinfo").ZoneInfo(name))


def _shift(zone: tzinfo, moment: datetime) -> timedelta:
    """How far clocks are put forward or back within a day of a moment."""
    offsets = [_offset((moment + days * _A_DAY).astimezone(zone)) for days in (-1, 0, 1)]
    return max(offsets) - min(offsets)


def _moments(dial: datetime, zone: tzinfo, *, twice: bool) -> list[datetime]:
    """The moments at which clocks show a time. One that is left out is read by the clock of before."""
    first = dial.replace(tzinfo=zone)
    second = first.replace(fold=1)
    moments = [first.astimezone(UTC)]
    if twice and _offset(first) > _offset(second):
        moments.append(second.astimezone(UTC))
    return moments


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def read_schedule(owner: type, faults: list[str]) -> Schedule | None:
    """What ``schedule`` of a machine's class says; a text is in UTC."""
    given = getattr(owner, "schedule", None)
    if given is None:
        return None
    wanted = given if isinstance(given, Schedule) else Schedule(given)
    found = list(_faults(wanted))
    faults += [f"schedule={shown(given)}{fault}" for fault in found]
    if found:
        return None
    return Schedule(" ".join(wanted.cron.split()), zone=wanted.zone, overlap=wanted.overlap)


def _faults(schedule: Schedule) -> Iterator[str]:
    """What is wrong, to go on after what was given."""
    fault = _cron_fault(schedule.cron)
    if fault:
        yield fault
    fault = _zone_fault(schedule.zone)
    if fault:
        yield fault
    overlap = schedule.overlap
    if overlap not in OVERLAPS:
        hint = did_you_mean(overlap, OVERLAPS)
        yield f": overlap is {shown(overlap)}{hint}; it is one of {', '.join(OVERLAPS)}"


def _cron_fault(cron: object) -> str | None:
    if not isinstance(cron, str) or len(cron.split()) != 5:
        return f"; it is five fields as of cron, {_EXAMPLE}, or Schedule(...) with a zone"
    wrong = next((word for word in re.findall("[A-Za-z]+", cron) if word.lower() not in _WORDS), None)
    if wrong is not None:
        # croniter takes R for a time by chance, another one at each look.
        return (
            f": {wrong!r} is no time; it is five fields as of cron, {_EXAMPLE}. A field has numbers, or names such as "
            f"MON and JAN, and the signs * , - / and #"
        )
    library = _croniter()
    if not library.croniter.is_valid(cron):
        return f"; it is five fields as of cron, {_EXAMPLE}"
    try:
        library.croniter(cron, _SOME_DAY).get_next(datetime)
    except library.CroniterError:
        return " names a day that never comes"
    return None


def _zone_fault(zone: object) -> str | None:
    if not isinstance(zone, str):
        return f": zone is {shown(zone)}; it is the name of a time zone, such as 'Europe/Vienna'"
    try:
        zone_of(zone)
    except (KeyError, ValueError, OSError):
        known = import_module("zoneinfo").available_timezones()
        if not known:
            return f": zone {zone!r} is not known, as there is no time zone here; 'pip install tzdata' brings them"
        return f": there is no time zone {shown(zone)}{_near(zone, known)}"
    return None


def _near(wrong: str, known: set[str]) -> str:
    """A hint at the zone that is meant: by its city, or by what is alike."""
    city = [zone for zone in sorted(known) if zone.rpartition("/")[2].lower() == wrong.rpartition("/")[2].lower()]
    return did_you_mean(city[0], city) if city else did_you_mean(wrong, sorted(known))
