"""The picture of a machine: well-formed whatever names say, text throughout, in dark and light, the same each time."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from fsmflow import Machine
from fsmflow.definition.names import undoing
from fsmflow.diagram import Tally, chart, rows, svg
from fsmflow.diagram import place as place_module
from fsmflow.diagram.chart import UNDOING
from fsmflow.diagram.colours import STYLE
from fsmflow.diagram.letters import width, wrapped
from machines.approval import Approval
from machines.newsletter import Newsletter
from machines.onboarding import Invitation, Onboarding
from machines.order import Order
from machines.podcast import Podcast
from machines.report import Report
from machines.trip import Trip
from tests.diagram.charts import AT, HOSTILE, LONG, Checked, Hostile, Hub, Long, Ticket, journey
from tests.support.deployments import definition_of

EXAMPLES: list[type[Machine]] = [Order, Podcast, Approval, Newsletter, Onboarding, Invitation, Report, Trip]
#: Hard to draw.
HARD = [Ticket, Long, Hostile, Hub, Checked]
SPACE = "{http://www.w3.org/2000/svg}"
FAILED = journey(
    "order:7",
    (None, "start", "pending"),
    ("pending", "submit", "charging"),
    ("charging", "fail", "failed_from_charging"),
    ("failed_from_charging", "retry", "charging"),
    ("charging", "fail", "failed_from_charging"),
    failure="GatewayDown",
)


@pytest.fixture(params=["graphlay", "layers"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "layers":
        monkeypatch.setattr(place_module, "_engine", None)
    else:
        pytest.importorskip("graphlay")


def drawn(machine: type[Machine], **over: Any) -> Element:
    return ElementTree.fromstring(svg(chart(definition_of(machine), **over)))


def texts(root: Element) -> list[str]:
    return ["".join(found.itertext()) for found in root.iter(f"{SPACE}text")]


def group(root: Element, name: str) -> Element:
    """The box of a state."""
    (found,) = [
        box
        for box in root.iter(f"{SPACE}g")
        if "state" in box.get("class", "").split() and name in [line.text for line in box.iter(f"{SPACE}text")]
    ]
    return found


def looks(root: Element, name: str) -> set[str]:
    return set(group(root, name).get("class", "").split())


def described(root: Element) -> str:
    (found,) = root.iter(f"{SPACE}desc")
    return found.text or ""


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("machine", [*EXAMPLES, *HARD], ids=lambda machine: machine.__name__)
class TestAnyMachine:
    def test_it_is_wellformed_and_holds_each_state_in_the_page(self, machine: type[Machine]) -> None:
        root = drawn(machine)
        wide, high = float(root.get("width", "")), float(root.get("height", ""))
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
        (moved,) = [found for found in root.iter(f"{SPACE}g") if "transform" in found.attrib]
        x, y = map(float, re.findall(r"-?[\d.]+", moved.get("transform", "")))
        for rect in moved.iter(f"{SPACE}rect"):
            left, top = float(rect.get("x", "")) + x, float(rect.get("y", "")) + y
            assert 0 < left < left + float(rect.get("width", "")) < wide
            assert 0 < top < top + float(rect.get("height", "")) < high
        told = described(root)
        for name, spec in definition_of(machine).states.items():
            assert spec.generated or name in told

    def test_the_same_is_drawn_the_same_in_ascii(self, machine: type[Machine]) -> None:
        first, second = (svg(chart(definition_of(machine))) for _ in range(2))
        assert first == second
        assert first.isascii()

    def test_it_needs_nothing_from_elsewhere_and_runs_nothing(self, machine: type[Machine]) -> None:
        root = drawn(machine)
        assert {found.tag.removeprefix(SPACE) for found in root.iter()} <= {
            *("svg", "title", "desc", "style", "g", "rect", "path", "circle", "text")
        }
        names = {name for found in root.iter() for name in found.attrib}
        assert not [name for name in names if "href" in name or name.startswith("on")]
        assert "url(" not in STYLE
        assert "@import" not in STYLE


def test_a_screen_reader_is_told_what_it_is_and_all_that_is_in_it() -> None:
    root = drawn(Order)
    assert root.get("role") == "img"
    named = {found.get("id"): found.tag.removeprefix(SPACE) for found in root}
    assert [named[name] for name in root.get("aria-labelledby", "").split()] == ["title", "desc"]
    told = described(root)
    assert told.startswith("Charge, have large orders approved")
    assert "It begins in pending." in told
    assert "awaiting_approval (timeout after 2 d): approve (manager) leads to reserving; reject or timeout" in told
    assert {"done [is_large]", "approve (manager)", "job charge", "shipped"} <= set(texts(root))


def test_each_colour_has_one_for_the_dark() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme:dark)")
    rules = re.compile(r"^(\.fsmflow[^{]*)\{(fill|stroke):#", re.MULTILINE)
    assert rules.findall(light) == rules.findall(dark) != []


class TestContrast:
    """That of text is 4.5 at least, and that of lines 3, as the guidelines for accessible pages (WCAG) ask."""

    @staticmethod
    def colours(scheme: int) -> dict[tuple[str, str], str]:
        rules = re.findall(r"^(.*)\{(fill|stroke):(#\w{6})\}$", STYLE.split("@media")[scheme], re.MULTILINE)
        return {
            (part.removeprefix(".fsmflow "), what): colour for who, what, colour in rules for part in who.split(",")
        }

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize("ground", [".page", ".box rect", ".visited rect", ".here rect", ".stuck rect"])
    @pytest.mark.parametrize(
        "text", ["text", ".mark", ".inner", ".sub", ".made .name", "text.taken", ".note", ".note.bad"]
    )
    def test_text_can_be_read(self, text: str, ground: str, scheme: int) -> None:
        colours = self.colours(scheme)
        assert contrast(colours[text, "fill"], colours[ground, "fill"]) >= 4.5

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize("pill", [".here .pill", ".stuck .pill"])
    def test_so_can_where_an_entity_is(self, pill: str, scheme: int) -> None:
        colours = self.colours(scheme)
        assert contrast(colours[".now", "fill"], colours[pill, "fill"]) >= 4.5

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    @pytest.mark.parametrize("line", [".line", ".line.taken", ".box rect", ".bar"])
    def test_lines_can_be_seen(self, line: str, scheme: int) -> None:
        colours = self.colours(scheme)
        assert contrast(colours[line, "stroke"], colours[".page", "fill"]) >= 3


def contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted([light(one), light(two)])
    return (bright + 0.05) / (dark + 0.05)


def test_states_that_fsmflow_makes_are_told_in_the_box_of_their_state() -> None:
    root = drawn(Order)
    assert not [text for text in texts(root) if text.startswith("failed_from") or "cancel" in text]
    everything = drawn(Order, everything=True)
    assert "made" in looks(everything, "cancelled")


class TestLegend:
    def test_it_says_where_a_failure_leads_and_what_leads_back(self) -> None:
        told = "fail leads to failed_from_X, retry back"
        assert f"↻ {told}" in texts(drawn(Order))
        assert f"↻ {told}" in texts(drawn(Order, journey=FAILED))
        in_words = "A step X that has failed for good rests in failed_from_X, until it is retried."
        assert in_words in described(drawn(Order))

    def test_it_says_nothing_of_that_where_no_state_is_made_for_it(self) -> None:
        assert not [text for text in (*texts(drawn(Hub)), described(drawn(Hub))) if "failed_from" in text]

    def test_it_says_what_does_not_leave_its_state(self) -> None:
        assert "↻ stays in its state" in texts(drawn(Ticket))
        assert "↻ stays in its state" not in texts(drawn(Order, journey=FAILED))


def test_what_says_where_an_entity_is_stays_within_its_box() -> None:
    box = group(drawn(Order, journey=FAILED), "charging")
    (pill,) = [found for found in box.iter(f"{SPACE}rect") if found.get("class") == "pill"]
    frame = next(box.iter(f"{SPACE}rect"))
    beside = float(pill.get("x", "")) - float(frame.get("x", ""))
    assert beside > 10  # where the bar of a state with a job ends


def test_an_own_way_out_of_a_failure_is_drawn() -> None:
    assert "once failed: give_up" in texts(drawn(Ticket))


def test_what_does_not_leave_a_state_stands_in_its_box() -> None:
    root = drawn(Ticket)
    assert "↻ assign" in [line.text for line in group(root, "assigned").iter(f"{SPACE}text")]
    assert "↻ comment (internal)" in [line.text for line in group(root, "in_progress").iter(f"{SPACE}text")]


def test_the_jobs_of_branches_by_name_are_told_once() -> None:
    (box,) = [box for box in chart(definition_of(Checked)).boxes if box.key == "checking"]
    assert box.lines == ("jobs credit and stock",)


def test_a_box_is_wide_enough_for_its_arrows() -> None:
    root = drawn(Hub)
    spoke, hub = (next(group(root, name).iter(f"{SPACE}rect")) for name in ("spoke_1", "hub"))
    assert float(spoke.get("width", "")) < 120 < 220 < float(hub.get("width", ""))


def test_all_that_undo_something_are_one_box() -> None:
    found = chart(definition_of(Trip))
    (box,) = [box for box in found.boxes if box.key == UNDOING]
    assert box.lines == ("booking_car: cancel_car", "booking_hotel: cancel_hotel", "booking_flight: cancel_flight")
    into = [(arrow.source, *(way.text for way in arrow.ways)) for arrow in found.arrows if arrow.dest == UNDOING]
    assert into == [("booking_car", "fail"), ("booking_hotel", "fail"), ("booking_flight", "fail")]


class TestHostileNames:
    def test_they_stay_text(self) -> None:
        root = drawn(Hostile)
        shown = " ".join(texts(root))
        assert "<script>alert" in shown
        assert "]]>" in shown
        assert "'a'" in shown
        assert "מנהל" in shown
        assert "管理者" in shown
        assert "\U0001f468\u200d\U0001f469" in shown

    def test_what_reverses_or_hides_text_is_shown_by_its_code(self) -> None:
        told = described(drawn(Hostile))
        assert not {"\u202e", "\x07"} & set(told)
        assert r"\u202e\x07" in told

    def test_they_are_cut_where_they_are_drawn_and_whole_in_a_title(self) -> None:
        root = drawn(Hostile)
        assert float(root.get("width", "")) < 500
        assert max(map(len, texts(root))) < 100
        assert any(LONG in (title.text or "") for title in root.iter(f"{SPACE}title"))

    def test_an_address_is_text_too(self) -> None:
        root = drawn(Hostile, journey=journey(f"hostile:{HOSTILE}", (None, "start", "begin")))
        title, *_ = root.iter(f"{SPACE}title")
        assert (title.text or "").startswith("hostile:<script>")


class TestJourney:
    def test_states_visited_and_ways_taken_are_marked(self) -> None:
        root = drawn(Order, journey=FAILED)
        assert "visited" in looks(root, "pending")
        assert "visited" not in looks(root, "reserving")
        css = {line.text: line.get("class") for line in root.iter(f"{SPACE}text")}
        assert (css["submit"], css["done [is_large]"]) == ("label taken", "label")

    def test_where_it_is_and_that_it_rests_in_a_failure_is_said_in_words(self) -> None:
        root = drawn(Order, journey=FAILED)
        assert "stuck" in looks(root, "charging")
        assert {"failed_from_charging", "↻ fail \N{MULTIPLICATION SIGN}2", "↻ retry"} <= {
            line.text for line in group(root, "charging").iter(f"{SPACE}text")
        }
        told = described(root)
        assert "rests in failed_from_charging since 2026-01-02 03:04:05 UTC. GatewayDown." in told
        assert "The way it came: start to pending, submit to charging, fail to failed_from_charging" in told

    def test_a_step_that_no_transition_stands_for_is_drawn_all_the_same(self) -> None:
        way = journey(
            "order:7", (None, "start", "pending"), ("pending", "force", "packing"), ("packing", "cancel", "cancelled")
        )
        root = drawn(Order, journey=way)
        css = {line.text: line.get("class") for line in root.iter(f"{SPACE}text")}
        assert css["force"] == css["cancel"] == "label taken"
        assert "here" in looks(root, "cancelled")

    def test_of_what_is_undone_the_state_is_named(self) -> None:
        here = undoing("booking_hotel")
        way = journey("trip:1", (None, "start", "booking_car"), ("booking_car", "fail", here))
        assert here in texts(drawn(Trip, journey=way))

    def test_a_long_way_is_told_from_its_end(self) -> None:
        steps = [("pending", f"rate{number}", "pending") for number in range(50)]
        told = described(drawn(Order, journey=journey("order:7", *steps)))
        assert "without the first 10 steps: rate10 to pending" in told


def test_how_many_are_where_stands_in_the_boxes() -> None:
    tallies = {
        "charging": Tally(count=1400, since=AT, age="12 s"),
        "failed_from_charging": Tally(count=2, since=AT, age="3 d"),
        "chargin": Tally(count=1, since=AT, age="9 d"),
    }
    root = drawn(Order, tallies=tallies)
    lines = {line.text: line.get("class") for line in group(root, "charging").iter(f"{SPACE}text")}
    assert lines["1,400, oldest 12 s"] == "note"
    assert lines["2 in failed_from_charging, oldest 3 d"] == "note bad"
    assert "1, oldest 9 d: in chargin, which the code does not have." in described(root)


def test_text_is_broken_where_words_end_and_cut_with_an_ellipsis() -> None:
    assert wrapped("awaiting_the_approval", 10, 90, lines=3) == ["awaiting_the_", "approval"]
    assert wrapped("one two", 10, 500, lines=1) == ["one two"]
    assert wrapped("x" * 100, 10, 65, lines=2) == ["x" * 10, f"{'x' * 9}…"]
    assert width("", 10) == 0


def test_where_a_page_says_what_it_is_of_a_picture_says_it_to_those_alone_who_hear_it() -> None:
    bare = ElementTree.fromstring(svg(chart(definition_of(Order), journey=FAILED), titled=False))
    assert "order:7" in ["".join(found.itertext()) for found in bare.iter(f"{SPACE}title")]
    assert not [text for text in texts(bare) if "order:7" in text or "since" in text]
    assert "since" in "".join(next(bare.iter(f"{SPACE}desc")).itertext())


def test_a_list_says_what_a_picture_shows() -> None:
    found = {row.title: row for row in rows(chart(definition_of(Order), journey=FAILED))}
    assert (found["pending"].visited, found["pending"].now) == (True, None)
    assert (found["charging"].now, found["charging"].has_failed) == ("failed_from_charging", True)
    assert "a step" in found["charging"].told
    ways = {(way.text, way.dest): way.taken for row in found.values() for way in row.onward}
    assert ways["submit", "charging"] == 1
    assert ways["fail", None] == 2
