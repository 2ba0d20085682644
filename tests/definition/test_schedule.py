"""``Schedule``: its ticks in a zone, also where clocks are changed, and what is refused of it."""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fsmflow import DefinitionError, Machine, Schedule, State, clock

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return clock.from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def ticks(schedule: Schedule, after: str, count: int) -> str:
    """The next ticks after a moment, in UTC and as the clocks of the zone show them."""
    found = islice(schedule.between(ms(after), ms("2100-01-01")), count)
    return ", ".join(f"{clock.to_datetime(tick):%d %H:%M} = {schedule.at(tick):%H:%M}" for tick in found)


VIENNA, AUCKLAND, SANTIAGO = "Europe/Vienna", "Pacific/Auckland", "America/Santiago"
LORD_HOWE, APIA = "Australia/Lord_Howe", "Pacific/Apia"
VIENNA_SPRING, VIENNA_AUTUMN = "2026-03-28T12:00", "2026-10-24T12:00"
AUCKLAND_AUTUMN, AUCKLAND_SPRING = "2026-04-04T00:00", "2026-09-26T00:00"
SANTIAGO_SPRING = "2026-09-05T12:00"
LORD_HOWE_AUTUMN, LORD_HOWE_SPRING = "2026-04-04T00:00", "2026-10-03T00:00"


@pytest.mark.parametrize(
    ("cron", "zone", "after", "found"),
    [
        ("0 3 * * *", "UTC", VIENNA_SPRING, "29 03:00 = 03:00, 30 03:00 = 03:00"),
        ("0 3 * * *", VIENNA, VIENNA_SPRING, "29 01:00 = 03:00, 30 01:00 = 03:00"),
        # Left out: it comes as long after midnight as ever.
        ("30 2 * * *", VIENNA, VIENNA_SPRING, "29 01:30 = 03:30, 30 00:30 = 02:30"),
        # What comes at the same moment then is one tick.
        ("30 2,3 * * *", VIENNA, VIENNA_SPRING, "29 01:30 = 03:30, 30 00:30 = 02:30"),
        # Later on the dial, and yet before what was left out.
        ("45 2 * * *", VIENNA, VIENNA_SPRING, "29 01:45 = 03:45, 30 00:45 = 02:45"),
        ("0 3,4 * * *", VIENNA, "2026-03-29T01:30", "29 02:00 = 04:00, 30 01:00 = 03:00"),
        ("50 2 * * *", VIENNA, "2026-03-29T01:30", "29 01:50 = 03:50, 30 00:50 = 02:50"),
        ("10,50 2,3 * * *", VIENNA, "2026-03-29T00:59", "29 01:10 = 03:10, 29 01:50 = 03:50"),
        # Comes twice: the first time.
        ("30 2 * * *", VIENNA, VIENNA_AUTUMN, "25 00:30 = 02:30, 26 01:30 = 02:30"),
        ("30 2 * * *", VIENNA, "2026-10-25T00:45", "26 01:30 = 02:30"),
        ("30 2 * * *", VIENNA, "2026-10-25T01:15", "26 01:30 = 02:30"),
        # Each hour is each hour.
        ("30 * * * *", VIENNA, "2026-03-29T00:00", "29 00:30 = 01:30, 29 01:30 = 03:30, 29 02:30 = 04:30"),
        ("30 * * * *", VIENNA, "2026-10-25T00:00", "25 00:30 = 02:30, 25 01:30 = 02:30, 25 02:30 = 03:30"),
        ("0 0-23 * * *", VIENNA, "2026-10-24T23:30", "25 00:00 = 02:00, 25 01:00 = 02:00"),
        ("*/30 * * * *", VIENNA, "2026-10-25T00:45", "25 01:00 = 02:00, 25 01:30 = 02:30"),
        # In the south, clocks go the other way round.
        ("30 2 * * *", AUCKLAND, AUCKLAND_AUTUMN, "04 13:30 = 02:30, 05 14:30 = 02:30"),
        ("30 2 * * *", AUCKLAND, AUCKLAND_SPRING, "26 14:30 = 03:30, 27 13:30 = 02:30"),
        # There midnight itself is left out.
        ("0 0 * * *", SANTIAGO, SANTIAGO_SPRING, "06 04:00 = 01:00, 07 03:00 = 00:00"),
        # By half an hour.
        ("45 1 * * *", LORD_HOWE, LORD_HOWE_AUTUMN, "04 14:45 = 01:45, 05 15:15 = 01:45"),
        ("45 * * * *", LORD_HOWE, "2026-04-04T14:30", "04 14:45 = 01:45, 04 15:15 = 01:45, 04 16:15 = 02:45"),
        ("15 2 * * *", LORD_HOWE, LORD_HOWE_SPRING, "03 15:45 = 02:45, 04 15:15 = 02:15"),
        ("0,15,30,45 2 * * *", LORD_HOWE, LORD_HOWE_SPRING, "03 15:30 = 02:30, 03 15:45 = 02:45, 04 15:00 = 02:00"),
        # A day that was left out.
        ("0 9 * * *", APIA, "2011-12-29T00:00", "29 19:00 = 09:00, 30 19:00 = 09:00, 31 19:00 = 09:00"),
    ],
)  # fmt: skip
def test_the_ticks_around_a_change_of_clocks(cron: str, zone: str, after: str, found: str) -> None:
    assert ticks(Schedule(cron, zone=zone), after, found.count("=")) == found


#: Around the days at which clocks are changed.
CHANGES = [
    ("UTC", "2026-03-28"),
    (VIENNA, "2026-03-28"),
    (VIENNA, "2026-10-24"),
    (AUCKLAND, "2026-04-04"),
    (AUCKLAND, "2026-09-26"),
    (SANTIAGO, "2026-04-04"),
    (SANTIAGO, "2026-09-05"),
    (LORD_HOWE, "2026-04-04"),
    (LORD_HOWE, "2026-10-03"),
]
TIMES = {"30 2 * * *": ({30}, {2}), "*/15 0-3 * * *": ({0, 15, 30, 45}, {0, 1, 2, 3}), "20 * * * *": ({20}, None)}


def expected(minutes: set[int], hours: set[int] | None, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The same by brute force: each minute of the dial, as it is read; and each minute that passes."""
    place, found, dial = ZoneInfo(zone), set(), (begin - timedelta(days=2)).replace(tzinfo=None)
    while dial < (end + timedelta(days=2)).replace(tzinfo=None):
        if dial.minute in minutes and (hours is None or dial.hour in hours):
            found.add(dial.replace(tzinfo=place).astimezone(UTC))
        dial += timedelta(minutes=5)
    moment = begin
    while hours is None and moment <= end:
        if moment.astimezone(place).minute in minutes:
            found.add(moment)
        moment += timedelta(minutes=5)
    return sorted(one for one in found if begin < one <= end)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("cron", TIMES)
def test_ticks_are_those_that_the_dial_shows(cron: str, zone: str, day: str) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    end, schedule = start + timedelta(days=2), Schedule(cron, zone=zone)
    found = schedule.between(clock.from_datetime(start), clock.from_datetime(end))
    assert [clock.to_datetime(tick) for tick in found] == expected(*TIMES[cron], zone, start, end)


def walk(schedule: Schedule, begin: int, end: int) -> Iterator[int]:
    while (begin := schedule.following(begin)) <= end:
        yield begin


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Vienna", "2026-03-28T20:00"), ("Australia/Lord_Howe", LORD_HOWE_AUTUMN)]
)
def test_the_latest_tick_is_the_last_of_those_that_follow_one_another(zone: str, day: str) -> None:
    schedule, begin = Schedule("*/20 1,2 * * *", zone=zone), ms(day)
    in_order = list(walk(schedule, begin, begin + 36 * HOUR_MS))
    assert in_order == sorted(set(in_order))
    assert in_order == list(schedule.between(begin, begin + 36 * HOUR_MS))
    for moment in range(begin, begin + 36 * HOUR_MS, HOUR_MS // 2):
        past = [tick for tick in in_order if tick <= moment]
        assert schedule.latest(begin, moment) == (past[-1] if past else None)


def test_a_tick_at_the_very_moment_is_the_latest_and_not_the_following() -> None:
    schedule, three = Schedule("0 3 * * *"), ms("2026-11-22T03:00")
    assert schedule.latest(0, three) == three
    assert schedule.latest(three, three) is None
    assert schedule.following(three) == three + 24 * HOUR_MS
    assert schedule.following(three - 1) == three


def faults_of(schedule: Any) -> tuple[str, ...]:
    body = {
        "initial": "open",
        "states": ["open", State("shut", final=True)],
        "transitions": [["close", "open", "shut"]],
    }
    with pytest.raises(DefinitionError) as error:
        type("Wrong", (Machine,), {**body, "schedule": schedule})
    return error.value.faults


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("R R * * *", "schedule='R R * * *': 'R' is no time; it is five fields as of cron"),
        ("r(0-9) * * * *", "schedule='r(0-9) * * * *': 'r' is no time"),
        ("0 H * * *", "schedule='0 H * * *': 'H' is no time"),
        ("0 3 * * funday", "schedule='0 3 * * funday': 'funday' is no time"),
        ("0 25 * * *", "schedule='0 25 * * *'; it is five fields as of cron, such as '0 3 * * *' for 3:00 UTC"),
        (5, "schedule=5; it is five fields as of cron"),
        (Schedule("0 3"), "schedule=Schedule(cron='0 3', zone='UTC', overlap='all'); it is five fields as of cron"),
        (Schedule("0 0 31 2 *"), " names a day that never comes"),
        (Schedule("0 3 * * *", zone="Europe/Viena"), "no time zone 'Europe/Viena'; did you mean 'Europe/Vienna'?"),
        (Schedule("0 3 * * *", zone="vienna"), ": there is no time zone 'vienna'; did you mean 'Europe/Vienna'?"),
        (Schedule("0 3 * * *", zone="../Vienna"), ": there is no time zone '../Vienna'; did you mean 'Europe/Vienna'?"),
        (Schedule("0 3 * * *", zone="Europe"), ": there is no time zone 'Europe'"),
        (Schedule("0 3 * * *", zone=UTC), ": zone is datetime.timezone.utc; it is the name of a time zone"),  # type: ignore[arg-type]
        (Schedule("0 3 * * *", overlap="skipp"), ": overlap is 'skipp'; did you mean 'skip'?; it is one of"),
        (Schedule("0 3 * * *", overlap=None), ": overlap is None; it is one of all, skip, queue"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_the_class_is_created(schedule: Any, fault: str) -> None:
    (found,) = faults_of(schedule)
    assert fault in found


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(faults_of(Schedule("R * * * *", zone="Wien", overlap="none"))) == 3


@pytest.fixture
def without_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a slim image: no zones of the system, and none of the package."""
    for name in [name for name in sys.modules if name.startswith("tzdata.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath([])
    ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    ZoneInfo.clear_cache()


@pytest.mark.usefixtures("without_zones")
def test_where_there_are_no_time_zones_it_is_told_what_to_install() -> None:
    (fault,) = faults_of(Schedule("0 3 * * *", zone="Europe/Vienna"))
    assert fault.endswith(
        ": zone 'Europe/Vienna' is not known, as there is no time zone here; 'pip install tzdata' brings them"
    )


@pytest.mark.usefixtures("without_zones")
def test_utc_needs_no_time_zones_to_be_installed() -> None:
    assert ticks(Schedule("0 3 * * *"), "2026-11-22T00:00", 1) == "22 03:00 = 03:00"
