"""The simulation itself: that it repeats itself, and that it finds what is wrong.

Ten thousand schedules of the code as it is are run by ``scripts/simulate.py``, beside the tests.
"""

from __future__ import annotations

from itertools import chain

import pytest

from tests.attacks.simulation.machines import design
from tests.attacks.simulation.runs import first_broken, laboratory, run
from tests.attacks.simulation.schedule import Schedule
from tests.attacks.simulation.variants import VARIANTS, applied
from tests.support.paths import ROOT

#: By variant a seed that finds it, shortly before which the search begins: without it some take a minute.
NEAR = {
    "messages that outlive their visit": 198,
    "messages that are taken back in words alone": 198,
    "no reconciler": 18,
    "leases that never run out": 121,
    "no fence": 840,
    "any attempt settles": 216,
    "claimed twice": 36,
    "claimed while held": 121,
    "one doorbell id for a step": 32,
    "a COMMIT in doubt taken for a failure": 35,
    "crashes without a limit": 14,
    "joined too early": 16,
    "items that are read once": 32,
    "messages that stay": 17,
    "at most once, not durably": 4_690,
    "a transactional job outside of its transaction": 6,
    "data that are not merged": 2_805,
    "a merge that is not asked for": 1_125,
    "jobs that begin after the time of their step": 1_345,
    "branches that begin after the time of their step": 5_410,
    "time that bounds the first attempt alone": 5_226,
    "deadlines that nobody looks at": 32,
    "a next step that is taken in a pause": 1_180,
    "claims that do not look at the holds": 11,
    "parked for ever by a hold": 11,
    "many committed together without their guards": 903,
    "permits that nobody counts": 146,
    "permits that outlive their claims": 146,
    "handed over without a permit": 148,
}
#: Schedules that once broke a promise. A new kind of dice makes others of them: what they found has tests of its own.
BROKEN_ONCE = (11_569,)
_BEFORE, _AFTER = 2, 300
_SEEDS = 3_000


@pytest.mark.parametrize("seed", [5, 105])
def test_a_seed_leads_to_the_same_schedule_each_time(seed: int) -> None:
    first, second = run(seed), run(seed)
    assert first.holds
    assert first.trace
    assert (first.trace, first.points) == (second.trace, second.points)


def test_a_seed_leads_to_the_same_schedule_whatever_was_run_before_it() -> None:
    alone = run(5)
    with laboratory() as made:
        after = [Schedule(made, seed).run() for seed in (105, 11, 5)][-1]
    assert (alone.trace, alone.points) == (after.trace, after.points)


@pytest.mark.parametrize("seed", BROKEN_ONCE)
def test_a_schedule_that_once_broke_a_promise_breaks_none_any_more(seed: int) -> None:
    outcome = run(seed)
    assert outcome.holds, "\n".join([outcome.violation or "", *outcome.trace[-60:]])


def test_each_wrong_variant_fits_the_code_as_it_is() -> None:
    """Whether they are found is tried in turns: one that patches what is no longer there is known at once."""
    with laboratory() as made:
        for variant in VARIANTS:
            with applied(variant, made.store):
                pass


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_wrong_variant_of_the_protocol_is_found(variant: str) -> None:
    near = NEAR[variant]
    found = first_broken(chain(range(max(near - _BEFORE, 0), near + _AFTER), range(_SEEDS)), variant)
    assert found is not None, f"{variant}: {_SEEDS} schedules have not found it"


def test_the_page_says_how_many_are_found() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"{len(VARIANTS)} wrong variants of the code must be found" in page
    assert f"{len(VARIANTS)} of {len(VARIANTS)} wrong variants found" in page


def test_machines_of_every_kind_are_made() -> None:
    definitions = [made._definition for number in range(120) for made in design(number).classes]
    states = [spec for definition in definitions for spec in definition.states.values()]
    assert any(spec.transactional for spec in states)
    assert any(spec.at_most_once for spec in states)
    assert any(spec.undoes for spec in states)
    fans = [spec.fan for spec in states if spec.fan is not None]
    assert {fan.machine is None for fan in fans} == {True, False}
    assert {(fan.has_children, fan.only is None) for fan in fans if fan.named} == {
        (children, every) for children in (True, False) for every in (True, False)
    }
    bounded = [spec for spec in states if spec.timer is not None and spec.timer.bounds]
    assert {spec.fan is None for spec in bounded} == {spec.waits for spec in bounded} == {True, False}
    spread = [spec.fan for spec in bounded if spec.fan is not None]
    assert {(fan.has_children, bool(fan.named)) for fan in spread} == {
        (children, named) for children in (True, False) for named in (True, False)
    }
    assert {definition.wide.merge is None for definition in definitions} == {True, False}
