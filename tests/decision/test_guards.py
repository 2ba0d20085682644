"""What guards answer: verdicts, refusals in words, and what is neither."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import (
    Cancelled,
    DatabaseUnavailable,
    DataError,
    DefinitionError,
    GuardError,
    Machine,
    Refuse,
    State,
    TransitionNotAllowed,
)
from fsmflow.decision.happenings import Skipped
from tests.support.walk import Walk

LIMIT = Refuse("over the limit of 500")


def door(*guards: Callable[[Any], Any], unless: Callable[[Any], Any] | None = None) -> Walk:
    """A door that is closed where these let it be."""

    class Door(Machine):
        initial = "open"
        redact = {"card"}
        states = ["open", State("shut", final=True)]
        transitions = [
            {"trigger": "close", "source": "open", "dest": "shut", "conditions": list(guards), "unless": unless}
        ]

    return Walk(Door, {"card": "4242-1111"})


def named(name: str, answer: Any) -> Callable[[Any], Any]:
    def guard(machine: Any) -> Any:
        return answer

    guard.__name__ = name
    return guard


def test_a_guard_refuses_in_words_that_reach_the_caller() -> None:
    walk = door(named("in_limit", LIMIT))
    with pytest.raises(TransitionNotAllowed) as refused:
        walk.trigger("close")
    assert str(refused.value) == (
        "door:1 is in 'open': 'close' was refused: over the limit of 500. Allowed now: cancel"
    )
    assert refused.value.refusals == refused.value.words == ("over the limit of 500",)
    assert walk.state == "open"


def test_of_several_guards_the_first_that_refuses_has_its_say() -> None:
    asked: list[str] = []

    def late(machine: Any) -> bool:
        asked.append("late")
        return False

    walk = door(named("is_known", True), named("in_limit", LIMIT), named("in_time", Refuse("too late")), late)
    with pytest.raises(TransitionNotAllowed) as refused:
        walk.trigger("close")
    assert refused.value.words == ("over the limit of 500",)
    assert asked == []


def test_words_and_plain_refusals_stand_side_by_side_in_the_order_of_the_transitions() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", "ajar", State("shut", final=True)]
        transitions = [
            ["close", "open", "ajar", named("is_light", False)],
            ["close", "open", "shut", named("in_limit", LIMIT)],
            ["go", "ajar", "shut"],
        ]

    with pytest.raises(TransitionNotAllowed) as refused:
        Walk(Door).trigger("close")
    assert refused.value.refusals == ("guard 'is_light' is false (close to 'ajar')", "over the limit of 500")
    assert refused.value.words == ("over the limit of 500",)


def test_refuse_in_unless_refuses_too() -> None:
    """Who returns it has said so; taking it for false would let the transition pass."""
    walk = door(unless=named("is_locked", Refuse("ann has locked it")))
    with pytest.raises(TransitionNotAllowed, match="was refused: ann has locked it"):
        walk.trigger("close")


def test_refuse_counts_as_false_and_shows_its_words() -> None:
    assert not LIMIT
    assert (LIMIT and True) is LIMIT
    assert (str(LIMIT), LIMIT.words, LIMIT) == (LIMIT.words, "over the limit of 500", Refuse("over the limit of 500"))
    for wrong in (None, "", "  ", 5, ["no"], "x" * 1_001):
        with pytest.raises(DataError, match=r"Refuse\("):
            Refuse(wrong)  # type: ignore[arg-type]


def test_words_are_told_without_what_the_machine_redacts() -> None:
    walk = door(lambda machine: Refuse(f"card {machine.data['card']} is blocked"))
    with pytest.raises(TransitionNotAllowed) as refused:
        walk.trigger("close")
    assert "4242" not in str(refused.value)
    assert refused.value.words[0].startswith("card ")
    assert refused.value.words[0].endswith(" is blocked")


async def _later() -> bool:
    return True


class Colour(enum.Enum):
    RED = "red"


class Mood(enum.StrEnum):
    GOOD = "good"


class Undecided:
    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: "over the limit", r"text alone, 'over the limit'.*Refuse\('over the limit'\) to refuse in words"),
    "no text": (lambda: "", r"text alone, ''.*Refuse\('...'\)"),
    "bytes": (lambda: b"no", "text alone, b'no'"),
    "a member that is text": (lambda: Mood.GOOD, "text alone"),
    "a coroutine": (_later, "a coroutine, which would always count as true; a guard is not async"),
    "a generator": (lambda: (item for item in "ab"), "a generator, which would always count as true"),
    "a pair": (lambda: (False, "over the limit"), r"the tuple \(False, 'over the limit'\)"),
    "an exception": (lambda: ValueError("no"), r"the exception ValueError\('no'\)"),
    "a method": (lambda: [].append, "is it to be called?"),
    "a class": (lambda: Refuse, "is it to be called?"),
    "a member": (lambda: Colour.RED, "Colour.RED.*which would always count as true"),
    "NotImplemented": (lambda: NotImplemented, "NotImplemented"),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.parametrize("part", ["conditions", "unless"])
def test_what_is_no_verdict_is_a_mistake_that_is_told(case: str, part: str) -> None:
    make, told = MISTAKES[case]

    def guard(machine: Any) -> Any:
        return make()

    guard.__name__ = "is_fine"
    walk = door(guard) if part == "conditions" else door(unless=guard)
    before = walk.snapshot
    with pytest.raises(GuardError, match=told) as mistaken:
        walk.trigger("close")
    error = mistaken.value
    assert str(error).startswith("door:1 is in 'open': guard 'is_fine' of 'close' returned ")
    assert (error.address, error.state, error.trigger, error.guard) == ("door:1", "open", "close", "is_fine")
    assert error.__cause__ is None
    assert walk.snapshot is before


def test_an_async_guard_is_refused_when_the_class_is_made() -> None:
    async def later(machine: Any) -> bool:
        return False

    with pytest.raises(DefinitionError, match="guard 'later' is async; only jobs may be"):
        door(later)


@pytest.mark.parametrize(
    "error",
    [KeyError("amount"), RecursionError("deep"), SystemExit(3), Cancelled("gone"), TransitionNotAllowed("a", "b", "c")],
)
def test_what_a_guard_raises_is_one_error_with_the_original_as_its_cause(error: BaseException) -> None:
    def guard(machine: Any) -> bool:
        machine.data["half"] = "done"
        raise error

    walk = door(guard)
    before = walk.snapshot
    with pytest.raises(GuardError) as raised:
        walk.trigger("close")
    told = f"door:1 is in 'open': guard 'guard' of 'close' raised {type(error).__name__}: {error}"
    assert (str(raised.value), raised.value.__cause__) == (told, error)
    assert (walk.snapshot, walk.kinds()) == (before, ["start"])


def test_a_value_without_a_truth_is_told_with_its_guard() -> None:
    with pytest.raises(GuardError, match="guard 'is_fine' of 'close' raised ValueError: the truth value"):
        door(named("is_fine", Undecided())).trigger("close")


def test_a_database_that_is_away_is_no_mistake_of_the_guard() -> None:
    def guard(machine: Any) -> bool:
        raise DatabaseUnavailable("the database is away")

    with pytest.raises(DatabaseUnavailable):
        door(guard).trigger("close")


def test_ctrl_c_in_a_guard_is_not_swallowed() -> None:
    def guard(machine: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        door(guard).trigger("close")


class Payment(Machine):
    """A job whose end is decided by guards."""

    initial = "new"
    states = ["new", State("paying", job="pay"), State("paid", final=True)]
    transitions = [["submit", "new", "paying"], ["done", "paying", "paid", "in_limit"]]

    def pay(self) -> None:
        pass

    def in_limit(self) -> Any:
        if "limit" not in self.data:
            return Refuse("no limit was set")
        return self.data["amount"] <= self.data["limit"]


def test_at_the_end_of_a_job_words_and_guards_are_recorded_in_the_failure() -> None:
    walk = Walk(Payment)
    walk.trigger("submit")
    walk.returns()
    assert walk.failure.message.startswith("the job returned, but nothing accepts it: no limit was set. ")
    walk = Walk(Payment, {"limit": 5})
    walk.trigger("submit")
    walk.returns()
    assert walk.failure.error_type == "KeyError"
    assert "deciding it raised KeyError: 'amount' (guard 'in_limit' of 'done')" in walk.failure.message


def test_a_mistake_at_the_end_of_a_job_is_recorded_by_its_name() -> None:
    class Slip(Payment):
        name = "slip"

        def in_limit(self) -> Any:
            return "yes"

    walk = Walk(Slip)
    walk.trigger("submit")
    walk.returns()
    assert walk.failure.error_type == "GuardError"
    assert "guard 'in_limit' of 'done' returned text alone, 'yes'" in walk.failure.message


def test_a_step_that_cannot_be_skipped_says_so_in_the_words_of_the_guard() -> None:
    walk = Walk(Payment)
    walk.trigger("submit")
    walk.fails(permanent=True)
    with pytest.raises(TransitionNotAllowed, match="nothing accepts 'done' of 'paying': no limit was set") as refused:
        walk.happen(Skipped())
    assert refused.value.words == ("no limit was set",)


def test_a_guard_that_raises_for_a_skip_is_told_of_with_the_state_that_the_entity_rests_in() -> None:
    walk = Walk(Payment, {"limit": 500})
    walk.trigger("submit")
    walk.fails(permanent=True)
    with pytest.raises(
        GuardError, match=r"is in 'failed_from_paying': guard 'in_limit' of 'done' raised KeyError"
    ) as told:
        walk.happen(Skipped())
    assert told.value.state == "failed_from_paying"
    assert isinstance(told.value.__cause__, KeyError)
