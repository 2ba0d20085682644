"""A repair sees who is meant, tries the action on a few, does it to the rest at a rate, and tells what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, DataError, NotPermitted, TransitionNotAllowed, repairs
from fsmflow.operations.members import Members
from fsmflow.operations.repair import Repair
from fsmflow.testing import Sandbox
from tests.operations.flows import FAILED, Gateway, Payment, failed, mend, start
from tests.support.interruptions import after_nth
from tests.support.sandbox import sandbox


def retries(payment: Payment) -> int:
    return sum(entry.trigger == "retry" for entry in payment.refresh().history)


def test_a_preview_tells_what_would_be_done_and_changes_nothing(box: Sandbox) -> None:
    payments = failed(3)
    box.run()
    before = [(payment.refresh().state, payment.epoch, len(list(payment.history))) for payment in payments]
    repair = start(confirm=False)
    box.run()
    assert repair.refresh().state == "previewed"
    assert repair.report().preview == {
        "members": 3,
        "ways": [{"count": 3, "state": FAILED, "would": "charging", "job": "charge"}],
        "refusals": [],
    }
    assert [(payment.refresh().state, payment.epoch, len(list(payment.history))) for payment in payments] == before


def test_a_preview_tells_who_would_be_refused_and_why(box: Sandbox) -> None:
    failed(3)
    box.run()
    repair = start("trigger", trigger="write_off", confirm=False)
    box.run()
    report = repair.refresh().report()
    (refusal,) = report.preview["refusals"]
    assert (report.refused, report.pending, refusal["count"]) == (3, 0, 3)
    assert "needs an actor with one of the roles lead" in refusal["why"]


def test_a_trigger_is_fired_as_the_actor_who_started_the_repair(box: Sandbox) -> None:
    payments = failed(3)
    box.run()
    lead = Actor("alice", roles={"lead"})
    repair = start("trigger", trigger="write_off", actor=lead, reason="lost")
    box.run()
    assert repair.refresh().report().recovered == 3
    last = list(payments[0].refresh().history)[-1]
    assert (last.trigger, last.actor, last.reason, last.key) == ("write_off", "alice", "lost", repair.address)


def test_the_rest_is_asked_once_the_canary_has_recovered(box: Sandbox) -> None:
    failed(5)
    box.run()
    mend("acme")
    repair = start(canary=2)
    box.run()
    way = [entry.dest for entry in repair.refresh().history]
    assert way == ["previewing", "canary", "judging", "running", "settling", "done"]
    report = repair.report()
    assert (report.members, report.recovered, report.asked, report.pending) == (5, 5, 5, 0)


def test_it_stops_where_a_canary_fails_again_and_tries_others_once_it_goes_on(box: Sandbox) -> None:
    payments = failed(5)
    box.run()
    repair = start(canary=2)
    box.run()
    assert repair.refresh().state == "stopped"
    report = repair.report()
    assert (report.failed_alike, report.pending, report.why) == (2, 3, "2 of 2 that were tried first failed again")
    mend("acme")
    repairs.resume(repair)
    box.run()
    assert repair.refresh().state == "done"
    assert (repair.report().recovered, repair.report().failed_alike) == (3, 2)
    assert [retries(payment) for payment in payments] == [1, 1, 1, 1, 1]


def test_a_canary_that_is_still_under_way_is_waited_for(box: Sandbox) -> None:
    failed(5)
    box.run()
    mend("acme")
    repair = start(canary=1)
    with after_nth(Members, "note", 1, lambda: Payment.get("0").pause()):
        box.run()
    assert repair.refresh().state == "judging"
    box.advance(minutes=10)
    assert repair.refresh().report().under_way == 1
    Payment.get("0").resume()
    box.advance(minutes=2)
    assert repair.refresh().state == "done"


def test_no_more_are_asked_within_a_second_than_the_rate_says(box: Sandbox) -> None:
    failed(10)
    box.run()
    mend("acme")
    start(rate="3/s")
    box.advance(seconds=10)
    moments = sorted(entry.at for payment in Payment.find() for entry in payment.history if entry.trigger == "retry")
    assert len(moments) == 10
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in zip(moments, moments[3:], strict=False))
    assert moments[-1] - moments[0] < timedelta(seconds=4)


def test_no_more_are_under_way_than_may_be_at_once(box: Sandbox) -> None:
    failed(5)
    box.run()
    mend("acme")
    repair = start(at_once=2)
    with after_nth(Members, "preview", 1, lambda: [Payment.get(str(number)).pause() for number in range(2)]):
        box.run()
    assert (repair.refresh().report().under_way, repair.report().pending) == (2, 3)
    Payment.get("0").resume()
    box.advance(seconds=5)
    assert (repair.refresh().report().under_way, repair.report().recovered) == (1, 4)


def test_it_stops_once_too_many_have_failed_again_and_what_failed_before_does_not_count_then(box: Sandbox) -> None:
    failed(40)
    failed(60, "other", first=40)
    box.run()
    mend("acme")
    repair = start(rate="10/s", stop_after="10%")
    box.advance(seconds=60)
    report = repair.refresh().report()
    assert repair.state == "stopped"
    settled = report.recovered + report.failed_alike
    assert report.why == f"{report.failed_alike} of {settled} that settled failed again, more than 10 %"
    assert (report.recovered, report.failed_alike, report.pending) == (40, 6, 54)
    mend("other")
    repairs.resume(repair)
    box.advance(seconds=60)
    assert repair.refresh().state == "done"
    assert (repair.report().recovered, repair.report().failed_alike) == (94, 6)


def test_few_failures_do_not_stop_it_before_enough_have_settled(box: Sandbox) -> None:
    failed(10)
    box.run()
    repair = start(stop_after="1%")
    box.advance(seconds=10)
    assert repair.refresh().state == "done"
    assert repair.report().failed_alike == 10


def test_what_moved_meanwhile_is_left_alone_and_told(box: Sandbox) -> None:
    payments = failed(3)
    box.run()
    mend("acme")
    repair = start(confirm=False)
    box.run()
    payments[1].cancel()
    repairs.resume(repair)
    box.run()
    report = repair.refresh().report()
    assert (report.recovered, report.moved) == (2, 1)
    (moved,) = repair.members("moved")
    assert moved.address == "payment:1"
    assert moved.why is not None
    assert "is now at epoch" in moved.why
    assert payments[1].refresh().state == "cancelled"


def test_whoever_fails_after_the_preview_is_not_touched(box: Sandbox) -> None:
    failed(3)
    box.run()
    repair = start(confirm=False)
    box.run()
    (late,) = failed(1, first=99)
    box.run()
    mend("acme")
    repairs.resume(repair)
    box.run()
    assert (repair.refresh().report().members, late.refresh().state) == (3, FAILED)


def test_those_of_another_reason_are_not_touched(box: Sandbox) -> None:
    failed(3)
    others = failed(3, "other", "card declined", first=3)
    box.run()
    mend("acme", "other")
    repair = start(error="*no answer*")
    box.run()
    assert repair.refresh().report().recovered == 3
    assert [retries(payment) for payment in others] == [0, 0, 0]


def test_who_fails_otherwise_than_before_is_told_apart(box: Sandbox) -> None:
    failed(3)
    box.run()
    Gateway.down["acme"] = "card declined"
    repair = start()
    box.run()
    assert (repair.refresh().report().failed_otherwise, repair.report().failed_alike) == (3, 0)


def test_who_is_cancelled_while_it_is_under_way_has_not_recovered(box: Sandbox) -> None:
    failed(1)
    box.run()
    mend("acme")
    repair = start()
    with after_nth(Members, "note", 1, lambda: Payment.get("0").cancel()):
        box.run()
    box.advance(seconds=5)
    assert (repair.refresh().report().taken_over, repair.state) == (1, "done")


def test_a_retry_brings_edited_data(box: Sandbox) -> None:
    failed(2)
    box.run()
    repair = start(data={"card": "tok_2"})
    box.run()
    assert repair.refresh().report().recovered == 2
    assert Payment.get("0").data["card"] == "tok_2"


def test_a_person_stops_it_with_a_reason_and_lets_it_go_on(box: Sandbox) -> None:
    failed(10)
    box.run()
    mend("acme")
    repair = start(rate="1/s")
    box.advance(seconds=2)
    repairs.stop(repair, reason="the bank called", actor="alice")
    box.advance(minutes=10)
    assert (repair.refresh().state, repair.report().recovered, repair.report().why) == ("stopped", 3, "the bank called")
    repairs.resume(repair)
    box.advance(minutes=1)
    assert (repair.refresh().state, repair.report().recovered, repair.report().why) == ("done", 10, None)


def test_it_is_paused_and_cancelled_as_any_entity(box: Sandbox) -> None:
    failed(10)
    box.run()
    mend("acme")
    repair = start(rate="1/s")
    box.advance(seconds=2)
    repair.pause()
    box.advance(minutes=1)
    assert repair.refresh().report().recovered == 3
    repairs.resume(repair)
    box.advance(seconds=2)
    assert repair.refresh().report().asked == 5
    repair.cancel()
    box.advance(minutes=1)
    assert (repair.refresh().report().recovered, repair.state) == (5, "cancelled")
    with pytest.raises(DataError, match="nothing to go on with"):
        repairs.resume(repair)


def test_nobody_is_asked_twice_where_its_job_is_lost_and_run_again(box: Sandbox) -> None:
    payments = failed(7)
    box.run()
    mend("acme")
    for job in ("preview", "ask_few", "judge", "ask_all"):
        box.crash(job, after_job=True)
    repair = start(canary=2, rate="2/s")
    box.advance(minutes=1)
    assert (repair.refresh().state, repair.report().recovered) == ("done", 7)
    assert [retries(payment) for payment in payments] == [1] * 7


def test_those_that_are_named_are_meant_and_no_others(box: Sandbox) -> None:
    payments = failed(3)
    box.run()
    mend("acme")
    repair = repairs.start(addresses=["payment:2", "payment:0"])
    box.run()
    assert [member.address for member in repair.refresh().members()] == ["payment:0", "payment:2"]
    assert [retries(payment) for payment in payments] == [1, 0, 1]


def test_other_actions_settle_where_they_lead_to_no_step(box: Sandbox) -> None:
    failed(4)
    box.run()
    moved = repairs.start("force", machine="payment", state=FAILED, limit=1, to="shipped")
    box.run()
    skipped = repairs.start("skip", machine="payment", state=FAILED, limit=2)
    box.run()
    cancelled = repairs.start("cancel", machine="payment", state=FAILED)
    box.run()
    found = [repair.refresh().report().recovered for repair in (moved, skipped, cancelled)]
    assert (found, Payment.counts()) == ([1, 2, 1], {"cancelled": 1, "shipped": 3})


def test_an_empty_set_is_done_at_once(box: Sandbox) -> None:
    repair = start()
    box.run()
    assert (repair.refresh().state, repair.report().members) == ("done", 0)


def test_a_repair_that_is_begun_twice_under_one_id_is_one(box: Sandbox) -> None:
    failed(2)
    box.run()
    assert start(id="night").address == start(id="night").address == repairs.get("repair:night").address
    assert Repair.counts() == {"previewing": 1}


def test_a_selection_of_everything_does_not_mean_repairs(box: Sandbox) -> None:
    failed(1)
    box.run()
    waiting = start(confirm=False)
    box.run()
    repairs.start("cancel", phase="waiting")
    box.run()
    assert waiting.refresh().state == "previewed"


def test_a_preview_that_nobody_confirms_lapses(box: Sandbox) -> None:
    failed(1)
    box.run()
    repair = start(confirm=False)
    box.advance(days=8)
    assert repair.refresh().state == "cancelled"


PEOPLE: Any = {"roles": {"clerk": ["*.repair", "payment.*"], "lead": ["repair.*"]}}
CLERK, OTHER, LEAD = (Actor(name, roles={role}) for name, role in (("ann", "clerk"), ("ben", "clerk"), ("cat", "lead")))


def test_whoever_asked_for_a_repair_or_may_confirms_stops_and_resumes_it() -> None:
    with sandbox(machines=[Payment], permissions=PEOPLE) as box:
        failed(10)
        box.run()
        repair = repairs.start(
            "retry", machine="payment", state="failed_from_*", confirm=False, rate="1/s", actor=CLERK
        )
        box.run()
        for who in (OTHER, None):
            with pytest.raises(NotPermitted, match="'confirm'"):
                repairs.resume(repair, actor=who)
        assert "confirm" not in repair.allowed_triggers(OTHER)
        assert "confirm" in repair.allowed_triggers(CLERK)
        repairs.resume(repair, actor=CLERK)
        box.advance(seconds=2)
        for ask in (lambda: repairs.stop(repair, reason="no", actor=OTHER), lambda: repair.pause(actor=OTHER)):
            with pytest.raises(NotPermitted):
                ask()
        repairs.stop(repair, reason="no", actor=LEAD)
        with pytest.raises(NotPermitted, match="'go_on'"):
            repairs.resume(repair, actor=OTHER)
        repairs.resume(repair, actor=LEAD)
        repair.pause(actor=CLERK)
        assert repairs.resume(repair, actor=CLERK).cancel(actor=CLERK).state == "cancelled"


def test_what_its_own_jobs_fire_nobody_else_does(box: Sandbox) -> None:
    failed(10)
    box.run()
    repair = start(rate="1/s")
    box.advance(seconds=2)
    for trigger in ("stint_over", "failed_again"):
        with pytest.raises(TransitionNotAllowed, match="belongs to the engine and cannot be fired from outside"):
            repair.trigger(trigger)
        assert trigger not in [offer.trigger for offer in repair.triggers()]


def test_who_is_meant_is_said_by_comparisons_too(box: Sandbox) -> None:
    for number in range(4):
        Payment.start(str(number), customer="acme", amount=number)
    repair = repairs.start("cancel", machine="payment", where=[("amount", ">=", 2)])
    box.advance(seconds=5)
    assert [member.address for member in repair.members()] == ["payment:2", "payment:3"]
    with pytest.raises(DataError, match="it is a list of comparisons"):
        repairs.start("cancel", machine="payment", where=[("amount", 2)])  # type: ignore[list-item]
