"""How the numbers of the first page have gone: kept in little room, and drawn as a line that can also be heard."""

from __future__ import annotations

from fsmflow.engine.headcount import Headcount
from fsmflow.web.sparkline import sparkline
from fsmflow.web.trend import Ring, Trend, told

NOW = 1_700_000_000_000
QUARTER_MS = 15_000
PLACE = ("order", "charging")


def counts(count: int, state: str = "charging") -> list[Headcount]:
    return [Headcount(machine="order", state=state, count=count, since=None, at=None)]


def test_a_change_is_told_and_drawn_and_nothing_where_there_is_none() -> None:
    trend = Trend()
    for number in range(5):
        trend.note("all", NOW + number * QUARTER_MS, counts(10 + 3 * number))
        trend.note("all", NOW + number * QUARTER_MS + 1, counts(99))
    line = trend.line("all", PLACE, 30, NOW + 5 * QUARTER_MS)
    assert [count for _, count in line] == [10, 13, 16, 19, 22, 30]
    assert told(line) == "(+20 in 1 min)"
    drawn = sparkline(line, 'charging "now"')
    assert 'aria-label="charging &quot;now&quot;: 10 1 min ago, 30 now; 10 at least, 30 at most"' in drawn
    assert 'points="3,21 ' in drawn
    assert 'cx="117" cy="3"' in drawn
    assert "style" not in drawn
    assert trend.line("all", PLACE, 30, NOW) == []
    assert trend.line("others", PLACE, 30, NOW + QUARTER_MS) == []
    assert (told([]), sparkline([], "charging")) == ("", "")


def test_what_went_up_and_came_back_is_drawn_and_not_told() -> None:
    trend = Trend()
    for number, count in enumerate((5, 50, 5)):
        trend.note("all", NOW + number * QUARTER_MS, counts(count))
    line = trend.line("all", PLACE, 5, NOW + 3 * QUARTER_MS)
    assert told(line) == ""
    assert "50 at most" in sparkline(line, "charging")


def test_a_ring_keeps_a_quarter_of_an_hour_and_forgets_states_that_are_empty() -> None:
    ring = Ring()
    ring.note(NOW, counts(1, "new"))
    for number in range(1, 100):
        ring.note(NOW + number * QUARTER_MS, counts(number))
    assert list(ring.numbers(PLACE)) == list(range(40, 100))
    assert ring.moments[-1] - ring.moments[0] == 59 * QUARTER_MS
    assert not any(ring.numbers(("order", "new")))
    assert len(ring._numbers) == 1


def test_however_many_see_different_things_the_last_ones_alone_are_kept() -> None:
    trend = Trend()
    for number in range(100):
        trend.note(number, NOW, counts(1))
    assert len(trend._rings) == 20
    assert trend.line(99, PLACE, 2, NOW + QUARTER_MS) != []
